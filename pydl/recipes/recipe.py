"""What a recipe is: a runnable experiment that says what it must reach, and reports what it got.

A recipe is a module with a dataclass `Settings`, a `RECIPE`, and `run(settings, report)`. `pydl run NAME` finds it by
its name or by the id of a row of the course that it covers.
"""

import math
import time
from collections.abc import Callable
from dataclasses import MISSING, dataclass, field, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from pydl.errors import ArgumentError

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["Check", "Recipe", "Report", "parse_settings", "setting"]


@dataclass(frozen=True)
class Recipe:
    """What `pydl list` shows.

    Attributes:
        name: as in `pydl run NAME`.
        ids: the rows of the course that its checks cover.
        title: one line.
        source: the work whose behaviour it reproduces.
        time: 't0' under 5 s, 't1' under a minute, 't2' under 5 minutes, on two cores; 't3' longer.
    """

    name: str
    ids: tuple[str, ...]
    title: str
    source: str
    time: str


def setting(default: Any, doc: str, *, least: float = 0.0, most: float = math.inf) -> Any:
    """A field of Settings with its one-line explanation, and the range of what may be given on the command line."""
    return field(default=default, metadata={"doc": doc, "least": least, "most": most})


@dataclass(frozen=True)
class Check:
    """A number, and what it must reach."""

    name: str
    value: Any
    wanted: str
    passed: bool

    def __str__(self) -> str:
        value = f"{self.value:.6g}" if isinstance(self.value, float) else str(self.value)
        return f"{'ok  ' if self.passed else 'FAIL'}  {self.name}: {value} (must be {self.wanted})"


@dataclass
class Report:
    """Collects checks as they are made, prints them, and knows where pictures and checkpoints go."""

    out: Path | None = None
    quiet: bool = False
    checks: list[Check] = field(default_factory=list)
    started: float = field(default_factory=time.perf_counter)

    def say(self, text: str) -> None:
        """Prints a line of progress."""
        if not self.quiet:
            print(text, flush=True)

    def check(
        self,
        name: str,
        value: Any,
        *,
        at_least: float | None = None,
        at_most: float | None = None,
        equals: Any = None,
    ) -> None:
        """Records a number and whether it lies within the bounds."""
        value = value.item() if hasattr(value, "item") else value
        value = float(value) if isinstance(value, np.floating) else value  # a long double has no Python form
        if equals is not None:
            self._add(Check(name, value, f"{equals}", value == equals))
            return
        if at_least is None and at_most is None:
            raise ArgumentError("check: give at_least, at_most or equals")
        low = at_least is None or value >= at_least
        high = at_most is None or value <= at_most
        parts = [f">= {at_least:g}" if at_least is not None else "", f"<= {at_most:g}" if at_most is not None else ""]
        self._add(Check(name, value, " and ".join(p for p in parts if p), bool(low and high)))

    def _add(self, check: Check) -> None:
        self.checks.append(check)
        self.say(str(check))

    @property
    def passed(self) -> bool:
        """Whether there was a check and all held."""
        return bool(self.checks) and all(c.passed for c in self.checks)

    def figure(self, name: str, draw: "Callable[[Figure], object]") -> None:
        """Writes the picture that draw(figure) makes to out/name.png; without matplotlib or out, nothing."""
        if self.out is None:
            return
        try:
            from matplotlib.figure import Figure
        except ImportError:
            self.say(f"no {name}.png: pip install 'pydl[plot]' for pictures")
            return
        figure = Figure(figsize=(6, 4), layout="constrained")
        draw(figure)
        figure.savefig(self._path(f"{name}.png"), dpi=120)

    def checkpoint(self, name: str, state: Any) -> None:
        """Saves a state to out/name.safetensors; without out, nothing."""
        if self.out is not None:
            from pydl.serialize import save

            save(state, self._path(f"{name}.safetensors"))

    def _path(self, name: str) -> Path:
        assert self.out is not None
        self.out.mkdir(parents=True, exist_ok=True)
        self.say(f"writing {self.out / name}")
        return self.out / name


def parse_settings(kind: Any, given: dict[str, str]) -> Any:
    """An instance of a Settings class from `--key value` pairs, each converted to the type of its default.

    Raises: ArgumentError that names the settings there are.
    """
    known = {f.name: f for f in fields(kind)}
    values: dict[str, Any] = {}
    for key, text in given.items():
        name = key.replace("-", "_")
        if name not in known:
            raise ArgumentError(f"there is no setting --{key}: expected one of {', '.join('--' + k for k in known)}")
        default = known[name].default
        assert default is not MISSING
        values[name] = _within(key, _convert(key, text, default), known[name].metadata)
    return kind(**values)


def _convert(key: str, text: str, default: Any) -> Any:
    """text in the type of the default; a tuple is written with commas."""
    try:
        if isinstance(default, bool):
            return {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}[text.lower()]
        if isinstance(default, tuple):
            return tuple(type(default[0])(part) for part in text.split(","))
        return type(default)(text)
    except (ValueError, KeyError) as error:
        wanted = f"{type(default[0]).__name__},..." if isinstance(default, tuple) else type(default).__name__
        raise ArgumentError(f"--{key}: expected {wanted}, got {text!r}") from error


def _within(key: str, value: Any, limits: Any) -> Any:
    """value, if all its numbers lie between the setting's least and most."""
    least, most = limits["least"], limits["most"]
    for number in value if isinstance(value, tuple) else (value,):
        if isinstance(number, (int, float)) and not (least <= number <= most and math.isfinite(number)):
            wanted = f">= {least:g}" if most == math.inf else f"from {least:g} to {most:g}"
            raise ArgumentError(f"--{key}: expected a number {wanted}, got {number}")
    return value
