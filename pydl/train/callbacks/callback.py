"""What a callback is: the events of `Trainer.fit`, and the best value of a number that is watched."""

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from pydl.errors import ArgumentError

if TYPE_CHECKING:
    from pydl.train.trainer import Trainer


class Callback:
    """Called by `Trainer.fit`; a subclass defines the events that it needs, and the others cost nothing.

    on_fit_start; for each epoch on_epoch_start, for each batch on_batch_start (`trainer.current` is the batch) and
    on_batch_end, when its gradients are there; then, once per step, on_gradients before they are clipped and
    on_step_end after the optimizer; on_epoch_end after validation, when `trainer.history` has the epoch; on_save
    after both, when all callbacks have taken up the step or epoch, so that states may be saved; at last on_fit_end,
    also if the loop is left by an error (`trainer.finished` tells). `trainer.stop()` ends the training.

    Attributes: late: on_batch_end and on_gradients may also be called after the step, so that it can be captured.
    """

    late: ClassVar[bool] = False

    def on_fit_start(self, trainer: "Trainer") -> None: ...
    def on_epoch_start(self, trainer: "Trainer") -> None: ...
    def on_batch_start(self, trainer: "Trainer") -> None: ...
    def on_batch_end(self, trainer: "Trainer") -> None: ...
    def on_gradients(self, trainer: "Trainer") -> None: ...
    def on_step_end(self, trainer: "Trainer") -> None: ...
    def on_epoch_end(self, trainer: "Trainer") -> None: ...
    def on_save(self, trainer: "Trainer") -> None: ...
    def on_fit_end(self, trainer: "Trainer") -> None: ...

    def state_dict(self) -> dict[str, Any]:
        """What a resumed training needs of the callback: a tree for `pydl.save`."""
        return {}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Goes on from a state of `state_dict`."""


EVENTS = [name for name in vars(Callback) if name.startswith("on_")]


def heard(callbacks: Sequence[Callback]) -> dict[str, list[Any]]:
    """For each event the methods to call, of those callbacks that define it.

    Raises: ArgumentError for what is no callback.
    """
    for callback in callbacks:
        if not isinstance(callback, Callback):
            raise ArgumentError(f"fit: expected callbacks, got {type(callback).__name__}: derive it from Callback")
    listeners: dict[str, list[Any]] = {event: [] for event in EVENTS}
    for event, methods in listeners.items():
        for callback in callbacks:
            method = getattr(callback, event)
            if getattr(method, "__func__", None) is not vars(Callback)[event]:
                methods.append(method)
    return listeners


class Best:
    """The best value so far of one name in the history.

    Args:
        owner: the callback's name in messages. monitor: the name in the history.
        mode: "min" or "max": what is better. min_delta: how much better it must be to count.
    Attributes: value: the best, None before the first. epoch: when that was.
    """

    def __init__(self, owner: str, monitor: str, mode: str = "min", min_delta: float = 0.0) -> None:
        if mode not in ("min", "max"):
            raise ArgumentError(f'{owner}: mode must be "min" or "max", got {mode!r}')
        if not 0 <= min_delta < math.inf:
            raise ArgumentError(f"{owner}: min_delta must be >= 0, got {min_delta}")
        self.owner, self.monitor, self.mode, self.min_delta = owner, monitor, mode, float(min_delta)
        self.value: float | None = None
        self.epoch = 0

    def improved(self, trainer: "Trainer") -> bool:
        """Takes the epoch that has ended: whether it is the best. NaN never is."""
        value = last(self.owner, trainer, self.monitor)
        gain = math.inf if self.value is None else self.value - value if self.mode == "min" else value - self.value
        if math.isnan(value) or not gain > self.min_delta:
            return False
        self.value, self.epoch = value, trainer.epoch
        return True

    def state_dict(self) -> dict[str, Any]:
        """The best value and its epoch."""
        return {"value": self.value, "epoch": self.epoch}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Goes on from a state of `state_dict`."""
        self.value, self.epoch = state["value"], state["epoch"]


def last(owner: str, trainer: "Trainer", name: str) -> float:
    """The newest number of that name in the history. Raises: ArgumentError that lists the names there are."""
    if name not in trainer.history:
        raise ArgumentError(f"{owner}: no {name!r} in the history: there are {sorted(trainer.history)}")
    value = trainer.history[name][-1]
    if not is_number(value):
        raise ArgumentError(f"{owner}: {name!r} is not a single number")
    return float(value)


def is_number(value: Any) -> bool:
    """Whether a value of the history is a single number, not, say, a matrix of counts."""
    return isinstance(value, (int, float)) or getattr(value, "shape", None) == ()
