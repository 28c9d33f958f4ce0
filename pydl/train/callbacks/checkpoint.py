"""Saving while training goes on: every so often, the best, the newest few."""

import contextlib
import glob
import os
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from pydl.errors import ArgumentError
from pydl.train.callbacks.callback import Best, Callback

if TYPE_CHECKING:
    from pydl.train.trainer import Trainer


class Checkpoint(Callback):
    """Saves the whole state of the training.

    Args:
        path: of the file; {epoch} and {step} are replaced by numbers. Missing folders are made.
        every_epochs: how often at the end of an epoch; 0 never.
        every_steps: how often within epochs; 0 never.
        monitor: a name in the history: save only when it is better than ever before. Then every_steps must be 0.
        mode: "min" or "max": what is better.
        keep: how many of the files to keep, the newest ones; None: all.
    Attributes: best: the best value of `monitor`. files: what was saved and is still there, the newest last.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        every_epochs: int = 1,
        every_steps: int = 0,
        monitor: str | None = None,
        mode: str = "min",
        keep: int | None = None,
    ) -> None:
        if every_epochs < 0 or every_steps < 0 or every_epochs + every_steps == 0:
            raise ArgumentError(
                f"Checkpoint: got every {every_epochs} epochs and {every_steps} steps: expected one > 0"
            )
        if monitor is not None and every_steps:
            raise ArgumentError("Checkpoint: monitor is known at the end of epochs only: every_steps must be 0")
        if keep is not None and keep < 1:
            raise ArgumentError(f"Checkpoint: keep must be >= 1 or None, got {keep}")
        self.path = os.fspath(path)
        self.every_epochs, self.every_steps, self.keep = every_epochs, every_steps, keep
        self.monitor, self.mode = monitor, mode
        self._best = Best("Checkpoint", monitor or "", mode)
        self.files: list[str] = []
        self._due: str | None = None
        self._old: list[str] = []

    @property
    def best(self) -> float | None:
        """The best value of `monitor` so far."""
        return self._best.value

    def on_fit_start(self, trainer: "Trainer") -> None:
        for left in glob.glob(_pattern(self.path) + ".*.tmp"):  # a process was killed while it wrote
            with contextlib.suppress(OSError):
                os.unlink(left)
        self._drop()

    def on_step_end(self, trainer: "Trainer") -> None:
        if self.every_steps and trainer.step % self.every_steps == 0:
            self._plan(trainer)

    def on_epoch_end(self, trainer: "Trainer") -> None:
        due = self.every_epochs and trainer.epoch % self.every_epochs == 0
        if due and (self.monitor is None or self._best.improved(trainer)):
            self._plan(trainer)

    def _plan(self, trainer: "Trainer") -> None:
        """What will be written and deleted, which the states of other checkpoints shall know already."""
        self._due = self.path.format(epoch=trainer.epoch, step=trainer.step)
        self.files = [*(name for name in self.files if name != self._due), self._due]
        self._sort_out()

    def on_save(self, trainer: "Trainer") -> None:
        path, self._due = self._due, None
        if path is None:
            return
        trainer.save(path)
        self._drop()

    def _sort_out(self) -> None:
        """Divides the files into those to keep and those to delete."""
        self._old = self.files[: -self.keep] if self.keep is not None else []
        self.files = self.files[len(self._old) :]

    def _drop(self) -> None:
        for name in self._old:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(name)
        self._old = []

    def state_dict(self) -> dict[str, Any]:
        return {
            "best": self._best.state_dict(),
            "files": [*self._old, *self.files],
        }  # it may be killed before it deletes

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self._best.load_state_dict(state["best"])
        self.files = [name for name in state["files"] if os.path.exists(name)]
        self._sort_out()


def newest(path: str | os.PathLike[str]) -> str | None:
    """The newest file that `Checkpoint(path)` has saved: the one with the largest step, then epoch; None without one.

    Args: path: as given to `Checkpoint`, with {epoch} and {step} in it or without.
    """
    text = os.fspath(path)
    parts = re.split(r"\{(epoch|step)(?::[^}]*)?\}", text)
    shape = re.compile("".join(re.escape(p) if i % 2 == 0 else f"(?P<{p}{i}>\\d+)" for i, p in enumerate(parts)))
    found = []
    for name in glob.glob(_pattern(text)):
        match = shape.fullmatch(name)
        if match is not None and os.path.isfile(name):
            numbers = {key.rstrip("0123456789"): int(value) for key, value in match.groupdict().items()}
            found.append((numbers.get("step", 0), numbers.get("epoch", 0), name))
    return max(found)[2] if found else None


def _pattern(path: str) -> str:
    """What `glob` finds the files of a path by."""
    parts = re.split(r"\{(?:epoch|step)(?::[^}]*)?\}", path)
    return "*".join(glob.escape(part) for part in parts)
