"""Dropout whose rate changes while training goes on."""

import math
from collections.abc import Callable, Mapping
from typing import Any

from pydl.errors import ArgumentError

__all__ = ["DropSchedule"]

_SHAPES: dict[str, Callable[[float], float]] = {
    "linear": lambda done: done,
    "cosine": lambda done: (1 - math.cos(math.pi * done)) / 2,
}


class DropSchedule:
    """A probability of dropping that moves from `start` to `end`: the p of dropout layers, which may share it.

        rate = nn.DropSchedule(0.5, steps=20)
        model = nn.Sequential(nn.Linear(64, 64), nn.ReLU(), nn.Dropout(rate), nn.Linear(64, 10))
        trainer.fit(data, 30, callbacks=[callbacks.Anneal(rate)])     # one step per epoch

    Args:
        start, end: probabilities; from 0.5 to 0 is annealed dropout.
        steps: after so many calls of `step` it is `end`, and stays.
        shape: of the way, "linear" or "cosine".
    Attributes: count: steps so far. value: the probability now, also `float(schedule)`.
    Raises: ArgumentError for arguments outside their range.
    Source: Rennie, Goel & Thomas 2014, Annealed dropout training of deep networks, equation 4.
    """

    def __init__(self, start: float = 0.5, end: float = 0.0, *, steps: int, shape: str = "linear") -> None:
        if not (0 <= start <= 1 and 0 <= end <= 1):
            raise ArgumentError(f"DropSchedule: start and end must be in [0, 1], got {start} and {end}")
        if steps < 1:
            raise ArgumentError(f"DropSchedule: steps must be >= 1, got {steps}")
        if shape not in _SHAPES:
            raise ArgumentError(f"DropSchedule: shape must be one of {', '.join(_SHAPES)}, got {shape!r}")
        self.start, self.end, self.steps, self.shape = float(start), float(end), steps, shape
        self.count = 0

    @property
    def value(self) -> float:
        """The probability now."""
        if self.count >= self.steps:
            return self.end
        return self.start + (self.end - self.start) * _SHAPES[self.shape](self.count / self.steps)

    def __float__(self) -> float:
        return self.value

    def step(self) -> None:
        """Goes on."""
        self.count += 1

    def state_dict(self) -> dict[str, Any]:
        """The number of steps so far."""
        return {"count": self.count}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Goes on from a state of `state_dict`."""
        self.count = int(state["count"])

    def __repr__(self) -> str:
        return f"DropSchedule({self.start}, {self.end}, steps={self.steps}, shape={self.shape!r})"
