"""Logs that other programs read: CSV and JSON lines."""

import csv
import io
import json
import math
import os
import time
from typing import IO, TYPE_CHECKING, Any

from pydl.errors import ArgumentError, FileFormatError
from pydl.train.callbacks.callback import Callback, is_number

if TYPE_CHECKING:
    from pydl.train.trainer import Trainer


class _Log(Callback):
    """A file of lines with epoch and step: a resumed training first cuts off those that came after its state."""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = os.fspath(path)
        self._file: IO[str] | None = None
        self._began = 0.0

    def on_fit_start(self, trainer: "Trainer") -> None:
        os.makedirs(os.path.dirname(os.path.abspath(self.path)), exist_ok=True)
        kept = []
        if trainer.step and os.path.exists(self.path):
            with open(self.path, encoding="utf-8", newline="") as file:
                kept = self._until(file.read(), (trainer.epoch, trainer.step))
        self._file = open(self.path, "w", encoding="utf-8", newline="")  # noqa: SIM115
        self._write("".join(kept))
        self._began = time.monotonic()

    def on_fit_end(self, trainer: "Trainer") -> None:
        if self._file is not None:
            self._file.close()
            self._file = None

    def _write(self, text: str) -> None:
        assert self._file is not None
        self._file.write(text)
        self._file.flush()

    def _until(self, text: str, place: tuple[int, int]) -> list[str]:
        """The lines of the text up to that epoch and step, without one that was cut off."""
        lines = [line for line in text.splitlines(keepends=True) if line.endswith("\n")]
        return [line for line in lines if self._place_of(line, lines) <= place]

    def _place_of(self, line: str, lines: list[str]) -> tuple[int, int]:
        raise ArgumentError(f"{type(self).__name__}: a log must define _place_of")

    def _epoch(self, trainer: "Trainer") -> dict[str, Any]:
        """The record of the epoch that has ended."""
        numbers = {name: values[-1] for name, values in trainer.history.items()}
        return {**self._place(trainer), **{n: float(v) for n, v in numbers.items() if is_number(v)}}

    def _place(self, trainer: "Trainer") -> dict[str, Any]:
        seconds = round(time.monotonic() - self._began, 3)
        return {"epoch": trainer.epoch, "step": trainer.step, "seconds": seconds, "lr": rate(trainer)}


class CSVLog(_Log):
    """A CSV file with one row per epoch: epoch, step, seconds of this call of fit, lr, and the numbers of the history.

    A new training replaces the file, one that goes on appends to it. The first epoch sets the columns.
    Args: path: of the file.
    Raises: FileFormatError if a training would go on with another file than its log.
    """

    def on_fit_start(self, trainer: "Trainer") -> None:
        self._columns: list[str] = []
        super().on_fit_start(trainer)

    def on_epoch_end(self, trainer: "Trainer") -> None:
        record = self._epoch(trainer)
        if not self._columns:
            self._columns = list(record)
            self._row(self._columns)
        if not set(record) <= set(self._columns):
            new = sorted(set(record) - set(self._columns))
            raise ArgumentError(f"CSVLog: {self.path} has no columns for {', '.join(new)}: log to another file")
        self._row([record.get(name, "") for name in self._columns])

    def _row(self, values: list[Any]) -> None:
        text = io.StringIO()
        csv.writer(text, lineterminator="\n").writerow(values)
        self._write(text.getvalue())

    def _place_of(self, line: str, lines: list[str]) -> tuple[int, int]:
        if line is lines[0]:
            self._columns = next(csv.reader([line]))
            if self._columns[:2] != ["epoch", "step"]:
                raise FileFormatError(f"CSVLog: {self.path} is no log of this kind: its first line is {line!r}")
            return 0, 0
        epoch, step = next(csv.reader([line]))[:2]
        return int(epoch), int(step)


class JSONLog(_Log):
    """A file of JSON objects, one per line: one per epoch as in `CSVLog`, and one after every `every_steps` steps.

    A record of a step has "batch" and the running "loss" of its epoch. Numbers that JSON lacks (nan) are null.
    Args: path: of the file. every_steps: 0: epochs only.
    Raises: FileFormatError if a training would go on with another file than its log.
    """

    def __init__(self, path: str | os.PathLike[str], every_steps: int = 0) -> None:
        if every_steps < 0:
            raise ArgumentError(f"JSONLog: every_steps must be >= 0, got {every_steps}")
        super().__init__(path)
        self.every_steps = every_steps

    def on_step_end(self, trainer: "Trainer") -> None:
        if self.every_steps and trainer.step % self.every_steps == 0:
            self._line({**self._place(trainer), "batch": trainer.batch, "loss": trainer.running["loss"].compute()})

    def on_epoch_end(self, trainer: "Trainer") -> None:
        self._line(self._epoch(trainer))

    def _line(self, record: dict[str, Any]) -> None:
        finite = {k: None if isinstance(v, float) and not math.isfinite(v) else v for k, v in record.items()}
        self._write(json.dumps(finite) + "\n")

    def _place_of(self, line: str, lines: list[str]) -> tuple[int, int]:
        try:
            record = json.loads(line)
            return int(record["epoch"]), int(record["step"])
        except (ValueError, KeyError, TypeError) as error:
            raise FileFormatError(f"JSONLog: {self.path} is no log of this kind: it has the line {line!r}") from error


def rate(trainer: "Trainer") -> float:
    """The learning rate of the first group."""
    return float(trainer.optimizer.param_groups[0].get("lr", math.nan))
