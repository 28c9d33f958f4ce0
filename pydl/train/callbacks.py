"""What happens around the training loop: callbacks, checkpoints, the progress bar."""

import math
import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from pydl.errors import ArgumentError, require

if TYPE_CHECKING:
    from pydl.train.trainer import Trainer

__all__ = ["Callback", "Checkpoint", "Progress"]


class Callback:
    """Called by `Trainer.fit`: on_fit_start, then for each epoch on_epoch_start, on_step_end per batch and
    on_epoch_end (after validation; `trainer.history` has the epoch), then on_fit_end, also if the loop is left by an
    error. `trainer.stop()` ends the training. State that a resumed training needs goes through state_dict."""

    def on_fit_start(self, trainer: "Trainer") -> None: ...
    def on_epoch_start(self, trainer: "Trainer") -> None: ...
    def on_step_end(self, trainer: "Trainer") -> None: ...
    def on_epoch_end(self, trainer: "Trainer") -> None: ...
    def on_fit_end(self, trainer: "Trainer") -> None: ...

    def state_dict(self) -> dict[str, Any]:
        """Numbers and strings to be saved with the training."""
        return {}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Goes on from a state of `state_dict`."""


class Checkpoint(Callback):
    """Saves the whole state of the training.

    Args:
        path: of the file; {epoch} and {step} are replaced by numbers.
        every_epochs: how often at the end of an epoch; 0 never.
        every_steps: how often within epochs; 0 never.
        monitor: a name in the history: save only when it is better than ever before. Then every_steps must be 0.
        mode: "min" or "max": what is better.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        every_epochs: int = 1,
        every_steps: int = 0,
        monitor: str | None = None,
        mode: str = "min",
    ) -> None:
        if every_epochs < 0 or every_steps < 0 or every_epochs + every_steps == 0:
            raise ArgumentError(
                f"Checkpoint: got every {every_epochs} epochs and {every_steps} steps: expected one > 0"
            )
        if mode not in ("min", "max"):
            raise ArgumentError(f'Checkpoint: mode must be "min" or "max", got {mode!r}')
        if monitor is not None and every_steps:
            raise ArgumentError("Checkpoint: monitor is known at the end of epochs only: every_steps must be 0")
        self.path = os.fspath(path)
        self.every_epochs, self.every_steps = every_epochs, every_steps
        self.monitor, self.mode = monitor, mode
        self.best: float | None = None

    def on_step_end(self, trainer: "Trainer") -> None:
        if self.every_steps and trainer.step % self.every_steps == 0:
            self._save(trainer)

    def on_epoch_end(self, trainer: "Trainer") -> None:
        if self.every_epochs and trainer.epoch % self.every_epochs == 0 and self._is_better(trainer):
            self._save(trainer)

    def _is_better(self, trainer: "Trainer") -> bool:
        if self.monitor is None:
            return True
        if self.monitor not in trainer.history:
            raise ArgumentError(f"Checkpoint: no {self.monitor!r} in the history: there are {sorted(trainer.history)}")
        value = trainer.history[self.monitor][-1]
        sign = 1 if self.mode == "min" else -1
        if math.isnan(value) or (self.best is not None and sign * value >= sign * self.best):
            return False
        self.best = value
        return True

    def _save(self, trainer: "Trainer") -> None:
        trainer.save(self.path.format(epoch=trainer.epoch, step=trainer.step))

    def state_dict(self) -> dict[str, Any]:
        return {"best": self.best}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self.best = state["best"]


class Progress(Callback):
    """A bar per epoch with the loss so far. Needs tqdm."""

    def __init__(self) -> None:
        self._tqdm: Any = require("tqdm", "progress", "a progress bar")
        self._bar: Any = None

    def on_epoch_start(self, trainer: "Trainer") -> None:
        self._bar = self._tqdm.tqdm(
            total=trainer.batches, initial=trainer.batch, desc=f"epoch {trainer.epoch + 1}", unit="batch"
        )

    def on_step_end(self, trainer: "Trainer") -> None:
        self._bar.set_postfix(loss=f"{trainer.running['loss'].compute():.4g}", refresh=False)
        self._bar.update()

    def on_epoch_end(self, trainer: "Trainer") -> None:
        self._bar.set_postfix({name: f"{values[-1]:.4g}" for name, values in trainer.history.items()})
        self._bar.close()

    def on_fit_end(self, trainer: "Trainer") -> None:
        if self._bar is not None:
            self._bar.close()
