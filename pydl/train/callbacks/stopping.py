"""Early stopping: the end of training when nothing improves, with the best weights."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from pydl.errors import ArgumentError
from pydl.nn import Module
from pydl.tensor import Tensor
from pydl.train.callbacks.callback import Best, Callback

if TYPE_CHECKING:
    from pydl.train.trainer import Trainer


class EarlyStopping(Callback):
    """Ends the training after `patience` epochs in a row that are no better than the best one.

    Args:
        patience: at least 1: the epoch that stops is the best one's number plus patience.
        min_delta: how much better an epoch must be to count.
        restore_best: the model gets the weights and buffers of the best epoch back, whether the training was stopped
            or came to its last epoch; not after an error or a stop within an epoch, which can be resumed.
        monitor: the name in the history; None: "val_loss" with validation data, else "loss".
        mode: "min" or "max": what is better.
    Attributes: best: the best value. best_epoch: its epoch, counted from 1. stopped_epoch: the one that stopped it, or
        None. waited: epochs since the best one.
    Source: Prechelt 1998, Early stopping - but when?
    """

    def __init__(
        self,
        patience: int = 10,
        min_delta: float = 0.0,
        restore_best: bool = True,
        *,
        monitor: str | None = None,
        mode: str = "min",
    ) -> None:
        if patience < 1:
            raise ArgumentError(f"EarlyStopping: patience must be >= 1, got {patience}")
        self.patience, self.restore_best = patience, restore_best
        self.monitor = monitor
        self._best = Best("EarlyStopping", monitor or "", mode, min_delta)
        self._weights: dict[str, dict[str, Tensor]] | None = None
        self.stopped_epoch: int | None = None
        self.waited = 0

    @property
    def best(self) -> float | None:
        """The best value so far."""
        return self._best.value

    @property
    def best_epoch(self) -> int:
        """The epoch of the best value."""
        return self._best.epoch

    def on_fit_start(self, trainer: "Trainer") -> None:
        if not trainer.resuming:
            self._best.value, self._weights, self.stopped_epoch, self.waited = None, None, None, 0
        elif self.stopped_epoch is not None:  # it was interrupted after it had come to its end
            trainer.stop()

    def on_epoch_end(self, trainer: "Trainer") -> None:
        self._best.monitor = self.monitor or ("val_loss" if "val_loss" in trainer.history else "loss")
        if self._best.improved(trainer):
            self.waited = 0
            if self.restore_best:
                self._weights = {name: _copied(model) for name, model in trainer.models().items()}
            return
        self.waited += 1
        if self.waited >= self.patience:
            self.stopped_epoch = trainer.epoch
            trainer.stop()

    def on_fit_end(self, trainer: "Trainer") -> None:
        if self._weights is not None and trainer.finished:
            for name, model in trainer.models().items():
                model.load_state_dict(self._weights[name])

    def state_dict(self) -> dict[str, Any]:
        return {
            "best": self._best.state_dict(),
            "waited": self.waited,
            "stopped": self.stopped_epoch,
            "weights": self._weights,
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self._best.load_state_dict(state["best"])
        self.waited, self.stopped_epoch, self._weights = state["waited"], state["stopped"], state["weights"]


def _copied(model: Module) -> dict[str, Any]:
    """The state of a model, safe from what training does to it."""
    return {k: v.detach().clone() if isinstance(v, Tensor) else v for k, v in model.state_dict().items()}
