"""Numbers of a step that Python computes, as arrays that its launches read: a replay reads what is new in them."""

from collections.abc import Callable
from typing import Any

import numpy as np

from pydl import _C
from pydl.tensor import Tensor

__all__ = ["Numbers", "Renewed"]


class Numbers:
    """float64 numbers on the CPU.

    Attributes: array: (n,), what launches read. values: NumPy's view of it, to write to.
    """

    __slots__ = ("array", "values")

    def __init__(self, count: int) -> None:
        self.array = _C.full((count,), 0, _C.float64, _C.device("cpu"))
        self.values: np.ndarray[Any, np.dtype[np.float64]] = _C.to_numpy(self.array)

    def part(self, first: int, count: int = 1) -> _C.Array:
        """(count,): some of them."""
        return _C.slice(self.array, (first,), (count,), (1,))

    def number(self, place: int) -> Tensor:
        """One of them, () on the same memory."""
        return Tensor(_C.view(self.part(place), ()))


class Renewed:
    """What Python does for a recorded step before each replay: `write` puts new numbers in place.

    A replay stands for a step while `frozen`, all other Python values that the step depends on, gives what it gave.
    """

    def __init__(self, write: Callable[[], Any], frozen: Callable[[], Any]) -> None:
        self.write, self.frozen = write, frozen
        self.before = frozen()

    def __call__(self) -> None:
        self.write()

    def fits(self) -> bool:
        """Whether the step is still the one that was recorded."""
        return bool(self.frozen() == self.before)
