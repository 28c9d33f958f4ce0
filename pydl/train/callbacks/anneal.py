"""Schedules of other things than the learning rate."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from pydl.errors import ArgumentError
from pydl.train.callbacks.callback import Callback

if TYPE_CHECKING:
    from pydl.train.trainer import Trainer


class Anneal(Callback):
    """Calls step() of schedules such as `nn.DropSchedule`, and saves their states.

    Args: schedules: with step, state_dict and load_state_dict. per: "epoch" or "step" of the optimizer.
    """

    def __init__(self, *schedules: Any, per: str = "epoch") -> None:
        if per not in ("epoch", "step"):
            raise ArgumentError(f'Anneal: per must be "epoch" or "step", got {per!r}')
        for schedule in schedules:
            if not all(callable(getattr(schedule, n, None)) for n in ("step", "state_dict", "load_state_dict")):
                raise ArgumentError(f"Anneal: expected schedules, got {type(schedule).__name__}")
        self.schedules, self.per = schedules, per

    def on_step_end(self, trainer: "Trainer") -> None:
        if self.per == "step":
            self._step()

    def on_epoch_end(self, trainer: "Trainer") -> None:
        if self.per == "epoch":
            self._step()

    def _step(self) -> None:
        for schedule in self.schedules:
            schedule.step()

    def state_dict(self) -> dict[str, Any]:
        return {"schedules": [schedule.state_dict() for schedule in self.schedules]}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        for schedule, saved in zip(self.schedules, state["schedules"], strict=True):
            schedule.load_state_dict(saved)
