"""Numbers of a step that Python computes, as arrays that its launches read: a replay reads what is new in them."""

from collections.abc import Callable
from operator import is_
from typing import Any

import numpy as np

from pydl import _C
from pydl.autograd import no_grad
from pydl.autograd.mode import mode
from pydl.tensor import Tensor

__all__ = ["Numbers", "Objects", "Renewed", "where_zero"]


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


class Objects(list[Any]):
    """Objects, equal to others if they are the same ones."""

    def __eq__(self, other: object) -> bool:
        return isinstance(other, list) and len(self) == len(other) and all(map(is_, self, other))


class Renewed:
    """What Python does for a recorded step before each replay: `write` puts new numbers in place.

    A replay stands for a step while `frozen`, all other Python values that the step depends on, gives what it gave.
    `undo` takes back what `write` has counted, where the replay did not take the step after all.
    """

    def __init__(
        self, write: Callable[[], Any], frozen: Callable[[], Any], undo: Callable[[], Any] | None = None
    ) -> None:
        self.write, self.frozen, self.undo = write, frozen, undo
        self.before = frozen()

    def __call__(self) -> None:
        self.write()

    def fits(self) -> bool:
        """Whether the step is still the one that was recorded."""
        return bool(self.frozen() == self.before)

    def back(self) -> None:
        """Undoes what was done for a step that was left out."""
        if self.undo is not None:
            self.undo()


def where_zero(numbers: Numbers, changed: Callable[[], list[Tensor]], work: Callable[[], None]) -> None:
    """Does `work` where the first of the numbers is 0; where that is recorded, each replay decides by its own number.

    Args: changed: the tensors from before that work changes.
    """
    due = numbers.values[0] == 0
    if mode.recording is None:
        if due:
            work()
        return
    with _C.Aside():
        saved = [] if due else [(t, t.detach().clone()) for t in changed()]
    with _C.Skipped(numbers.part(0)):
        work()
    with _C.Aside(), no_grad():
        for t, value in saved:  # what was recorded has run all the same
            t.copy_(value)
