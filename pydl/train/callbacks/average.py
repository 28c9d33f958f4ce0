"""Averages of the weights while training goes on."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from pydl.errors import ArgumentError
from pydl.optim.swa_utils import AveragedModel
from pydl.train.callbacks.callback import Callback

if TYPE_CHECKING:
    from pydl.train.trainer import Trainer


class WeightAverage(Callback):
    """Takes the weights into an average after steps of the optimizer.

    Args:
        average: an `EMA`, `PolyakAverage` or `AveragedModel` of the trainer's model.
        every: how many steps apart. start: the first step that counts, e.g. when the weights have settled.
        evaluate: validation and prediction use the average, as soon as there is one.
    """

    def __init__(self, average: AveragedModel, *, every: int = 1, start: int = 1, evaluate: bool = True) -> None:
        if every < 1 or start < 1:
            raise ArgumentError(f"WeightAverage: expected every and start >= 1, got {every} and {start}")
        self.average, self.every, self.start, self.evaluate = average, every, start, evaluate

    def on_fit_start(self, trainer: "Trainer") -> None:
        trainer.average = self.average
        self._use(trainer)

    def on_step_end(self, trainer: "Trainer") -> None:
        if trainer.step >= self.start and (trainer.step - self.start) % self.every == 0:
            self.average.update_parameters(trainer.model)
            self._use(trainer)

    def _use(self, trainer: "Trainer") -> None:
        if self.evaluate and int(self.average.n_averaged) > 0:
            trainer.evaluated = self.average

    def state_dict(self) -> dict[str, Any]:
        return {"average": self.average.state_dict()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self.average.load_state_dict(state["average"])
