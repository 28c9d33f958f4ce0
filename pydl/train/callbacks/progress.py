"""The progress bar."""

from typing import TYPE_CHECKING, Any

from pydl.errors import require
from pydl.train.callbacks.callback import Callback, is_number

if TYPE_CHECKING:
    from pydl.train.trainer import Trainer


class Progress(Callback):
    """A bar per epoch with the loss so far. Needs tqdm."""

    late = True

    def __init__(self) -> None:
        self._tqdm: Any = require("tqdm", "progress", "a progress bar")
        self._bar: Any = None

    def on_epoch_start(self, trainer: "Trainer") -> None:
        self._bar = self._tqdm.tqdm(
            total=trainer.batches, initial=trainer.batch, desc=f"epoch {trainer.epoch + 1}", unit="batch"
        )

    def on_batch_end(self, trainer: "Trainer") -> None:
        if self._bar.update():  # it was drawn: the next time shows this loss
            self._bar.set_postfix(loss=f"{trainer.running['loss'].compute():.4g}", refresh=False)

    def on_epoch_end(self, trainer: "Trainer") -> None:
        newest = {name: values[-1] for name, values in trainer.history.items()}
        self._bar.set_postfix({name: f"{value:.4g}" for name, value in newest.items() if is_number(value)})
        self._bar.close()

    def on_fit_end(self, trainer: "Trainer") -> None:
        if self._bar is not None:
            self._bar.close()
