"""How far information travels in a stack of layers. Axes: t and s are places of a sequence of n."""

from collections.abc import Callable, Iterable

import numpy as np
import numpy.typing as npt

from pydl.autograd import grad
from pydl.errors import ArgumentError, BoundsError, ShapeError
from pydl.tensor import Tensor

__all__ = ["dependencies", "path_length"]

Bools = npt.NDArray[np.bool_]


def dependencies(layer: Callable[[Tensor], Tensor], x: Tensor) -> Bools:
    """(n, n): whether output t depends on input s, by the gradient at x.

    Args: layer: (n, d) -> (n, e).   x: (n, d), at which no gradient happens to vanish.
    """
    if x.ndim != 2:
        raise ShapeError(f"dependencies: x {x.shape}: expected (n, d)")
    x = x.detach().requires_grad_()
    y = layer(x)
    if y.ndim != 2 or y.shape[0] != x.shape[0]:
        raise ShapeError(f"dependencies: the layer made {y.shape} of {x.shape}: expected as many rows")
    rows = []
    for t in range(y.shape[0]):
        (g,) = grad([y[t].sum()], [x], retain_graph=True, allow_unused=True)
        rows.append(np.zeros(x.shape[0], bool) if g is None else (g.numpy() != 0).any(1))
    return np.array(rows)


def path_length(layers: Iterable[Bools], start: int, end: int, most: int = 1_000_000) -> int:
    """The number of layers until place `end` depends on place `start`: breadth first search through their graphs.

    Args:
        layers: (n, n) of each layer, as `dependencies` finds them; the last is repeated by giving an endless iterator.
        start, end: places.   most: layers to look at.
    Raises: ArgumentError if it never does; ShapeError, BoundsError.
    """
    reached: Bools | None = None
    for count, edges in enumerate(layers, 1):
        n = len(edges) if reached is None else len(reached)
        if np.shape(edges) != (n, n):
            raise ShapeError(f"path_length: layer {count} has the shape {np.shape(edges)}: expected ({n}, {n})")
        if reached is None:
            if not (0 <= start < n and 0 <= end < n):
                raise BoundsError(f"path_length: places {start} and {end} must be in [0, {n})")
            reached = np.arange(n) == start
        grown: Bools = np.asarray((np.asarray(edges, bool) & reached).any(1))
        if grown[end]:
            return count
        if count >= most:
            break
        reached = grown
    raise ArgumentError(f"path_length: place {end} never depends on place {start}")
