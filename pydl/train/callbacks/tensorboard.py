"""Event files for TensorBoard."""

import os
import time
from typing import TYPE_CHECKING, Any

from pydl.errors import ArgumentError, require
from pydl.train.callbacks.callback import Callback, is_number
from pydl.train.callbacks.logs import rate

if TYPE_CHECKING:
    from pydl.train.trainer import Trainer


class TensorBoard(Callback):
    """Writes the numbers of each epoch, and the loss along the way, where `tensorboard --logdir` finds them.

    Training and validation go to <folder>/train and <folder>/validation, under the same names, so that they share a
    chart; the axis is the step. A resumed training hides what was logged after the state that it goes on from.

    Args: folder: of this run. every_steps: how often the loss and the learning rate are written within epochs; 0 never.
    Raises: MissingExtraError without tensorboard.
    """

    def __init__(self, folder: str | os.PathLike[str], every_steps: int = 50) -> None:
        if every_steps < 0:
            raise ArgumentError(f"TensorBoard: every_steps must be >= 0, got {every_steps}")
        purpose = "an event file"
        self._files: Any = require("tensorboard.summary.writer.event_file_writer", "tb", purpose)
        self._events: Any = require("tensorboard.compat.proto.event_pb2", "tb", purpose)
        self._summaries: Any = require("tensorboard.compat.proto.summary_pb2", "tb", purpose)
        self.folder, self.every_steps = os.fspath(folder), every_steps
        self._writers: dict[str, Any] = {}

    def on_fit_start(self, trainer: "Trainer") -> None:
        if trainer.resuming:
            for part in ("train", "validation"):
                if os.path.isdir(os.path.join(self.folder, part)):
                    start = self._events.SessionLog(status=self._events.SessionLog.START)
                    self._add(part, session_log=start, step=trainer.step + 1)

    def on_step_end(self, trainer: "Trainer") -> None:
        if self.every_steps and trainer.step % self.every_steps == 0:
            self._scalars("train", trainer.step, running_loss=trainer.running["loss"].compute(), lr=rate(trainer))

    def on_epoch_end(self, trainer: "Trainer") -> None:
        numbers = {name: values[-1] for name, values in trainer.history.items() if is_number(values[-1])}
        validation = {name[4:]: value for name, value in numbers.items() if name.startswith("val_")}
        training = {name: value for name, value in numbers.items() if not name.startswith("val_")}
        self._scalars("train", trainer.step, **training, lr=rate(trainer), epoch=trainer.epoch)
        self._scalars("validation", trainer.step, **validation)
        for writer in self._writers.values():
            writer.flush()

    def on_fit_end(self, trainer: "Trainer") -> None:
        for writer in self._writers.values():
            writer.close()
        self._writers.clear()

    def _scalars(self, part: str, step: int, **numbers: float) -> None:
        values = [self._summaries.Summary.Value(tag=name, simple_value=float(v)) for name, v in numbers.items()]
        if values:
            self._add(part, summary=self._summaries.Summary(value=values), step=step)

    def _add(self, part: str, **event: Any) -> None:
        if part not in self._writers:
            self._writers[part] = self._files.EventFileWriter(os.path.join(self.folder, part))
        self._writers[part].add_event(self._events.Event(wall_time=time.time(), **event))
