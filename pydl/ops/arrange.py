"""Rearrangements composed of views, joins and selections."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from pydl import _C
from pydl.errors import ArgumentError, DtypeError, ShapeError
from pydl.ops.compare import where
from pydl.ops.index import index_select
from pydl.ops.shape import (
    broadcast_shape,
    cat,
    clone,
    expand,
    movedim,
    narrow,
    reshape,
    sizes_of,
    transpose,
    wrap,
)
from pydl.ops.slices import Slice, SliceGrad
from pydl.tensor import Tensor

__all__ = [
    "broadcast_tensors",
    "diag",
    "diagonal",
    "hstack",
    "meshgrid",
    "ravel",
    "repeat",
    "repeat_interleave",
    "roll",
    "tile",
    "trace",
    "tril",
    "triu",
    "vstack",
]


def ravel(input: Tensor) -> Tensor:
    """All elements in one axis; a view where the strides allow."""
    return reshape(input, [-1])


def repeat(input: Tensor, *repeats: Any) -> Tensor:
    """Copies side by side: repeats[i] of them along axis i; new axes go in front."""
    counts = sizes_of(repeats)
    if len(counts) < input.ndim or any(c < 0 for c in counts):
        raise ShapeError(f"repeat: {tuple(counts)} does not fit shape {input.shape}: expected one count per axis")
    shape = [1] * (len(counts) - input.ndim) + list(input.shape)
    parts = [n for c, s in zip(counts, shape, strict=True) for n in ([c, s] if c != 1 else [s])]
    if all(c == 1 for c in counts):
        return clone(reshape(input, shape))
    if len(parts) > 8:  # one axis at a time
        y = reshape(input, shape)
        for axis, count in reversed(list(enumerate(counts))):
            y = _repeated(y, axis, count) if count != 1 else y
        return y
    once = [n for c, s in zip(counts, shape, strict=True) for n in ([1, s] if c != 1 else [s])]
    return reshape(expand(reshape(input, once), parts), [c * s for c, s in zip(counts, shape, strict=True)])


def _repeated(x: Tensor, axis: int, count: int) -> Tensor:
    """count copies of x side by side along one axis; three axes are enough, so that x may have all eight."""
    shape = x.shape
    rows, rest = math.prod(shape[:axis]), math.prod(shape[axis:])
    tiled = expand(reshape(x, [rows, 1, rest]), [rows, count, rest])
    return reshape(tiled, [*shape[:axis], count * shape[axis], *shape[axis + 1 :]])


def tile(input: Tensor, *dims: int | Sequence[int]) -> Tensor:
    """As repeat, but counts that are left out in front are 1."""
    counts = sizes_of(dims)
    return repeat(input, [1] * (input.ndim - len(counts)) + counts)


def roll(input: Tensor, shifts: int | Sequence[int], dims: int | Sequence[int] | None = None) -> Tensor:
    """The elements moved on by shifts along dims, the last ones back to the start; without dims over all."""
    if dims is None:
        if not isinstance(shifts, int):
            raise ArgumentError(f"roll: shifts {shifts} without dims: expected one integer")
        return reshape(roll(ravel(input), shifts, 0), input.shape)
    steps, axes = [[v] if isinstance(v, int) else list(v) for v in (shifts, dims)]
    if len(steps) != len(axes):
        raise ArgumentError(f"roll: shifts {shifts} and dims {dims} do not pair up")
    y = input
    for step, dim in zip(steps, axes, strict=True):
        at = wrap(dim, y.ndim, "roll")
        size = y.shape[at] if y.ndim else 1
        cut = -step % size if size else 0
        y = cat([narrow(y, at, cut, size - cut), narrow(y, at, 0, cut)], at) if cut else y.clone()
    return y


def hstack(tensors: Sequence[Tensor]) -> Tensor:
    """Joined along axis 1; vectors along their only axis."""
    parts = [reshape(x, [1]) if x.ndim == 0 else x for x in tensors]
    return cat(parts, 0 if parts and parts[0].ndim == 1 else 1)


def vstack(tensors: Sequence[Tensor]) -> Tensor:
    """Joined along axis 0; vectors as rows."""
    return cat([reshape(x, [1, -1 if x.numel() else 0]) if x.ndim < 2 else x for x in tensors], 0)


def broadcast_tensors(*tensors: Tensor) -> tuple[Tensor, ...]:
    """All expanded to the shape that they broadcast to."""
    shape = broadcast_shape("broadcast_tensors", *[x.shape for x in tensors])
    return tuple(expand(x, shape) for x in tensors)


def meshgrid(*tensors: Tensor | Sequence[Tensor], indexing: str = "ij") -> tuple[Tensor, ...]:
    """Vectors of n0, n1, ... as grids of shape (n0, n1, ...): grid i holds vector i along axis i.

    Args: indexing: 'xy' exchanges the first two axes.
    """
    vectors = list(tensors[0]) if len(tensors) == 1 and not isinstance(tensors[0], Tensor) else list(tensors)
    if indexing not in ("ij", "xy"):
        raise ArgumentError(f"meshgrid: indexing must be 'ij' or 'xy', got {indexing!r}")
    for x in vectors:
        if not isinstance(x, Tensor):
            raise DtypeError(f"meshgrid: expected tensors, got {type(x).__name__}")
        if x.ndim > 1:
            raise ShapeError(f"meshgrid: expected at most one axis, got shape {x.shape}")
    shape = [x.numel() for x in vectors]
    grids = [
        expand(reshape(x, [n if j == i else 1 for j, n in enumerate(shape)]), shape) for i, x in enumerate(vectors)
    ]
    swapped = indexing == "xy" and len(vectors) > 1
    return tuple(transpose(g, 0, 1) for g in grids) if swapped else tuple(grids)


# ---------------------------------------------------------------- diagonals


def _below(op: str, x: Tensor, diagonal: int) -> Tensor:
    """(n, m) bool: on or below the diagonal."""
    if x.ndim < 2:
        raise ShapeError(f"{op}: expected at least 2 axes, got shape {x.shape}")
    rows, columns = (Tensor(_C.arange(0, s, 1, _C.int64, x.device)) for s in x.shape[-2:])
    return (
        reshape(rows, [-1, 1]) >= columns - diagonal
        if x.shape[-2]
        else Tensor(_C.empty(x.shape[-2:], _C.bool, x.device))
    )


def tril(input: Tensor, diagonal: int = 0) -> Tensor:
    """The elements of the last two axes on and below a diagonal; 0 above it."""
    return where(_below("tril", input, diagonal), input, False)


def triu(input: Tensor, diagonal: int = 0) -> Tensor:
    """The elements of the last two axes on and above a diagonal; 0 below it."""
    return where(_below("triu", input, diagonal - 1), False, input)


def diagonal(input: Tensor, offset: int = 0, dim1: int = 0, dim2: int = 1) -> Tensor:
    """A diagonal of the axes dim1 and dim2, put last; offset > 0 lies above the main one."""
    if input.ndim < 2:
        raise ShapeError(f"diagonal: expected at least 2 axes, got shape {input.shape}")
    if wrap(dim1, input.ndim, "diagonal") == wrap(dim2, input.ndim, "diagonal"):
        raise ArgumentError("diagonal: dim1 and dim2 are the same axis")
    x = movedim(input, [dim1, dim2], [-2, -1])
    n, m = x.shape[-2:]
    row, column = max(-offset, 0), max(offset, 0)
    length = max(min(n - row, m - column), 0)
    flat = reshape(x, [*x.shape[:-2], n * m])
    lead = flat.ndim - 1
    return Slice.apply(
        flat,
        starts=[0] * lead + [row * m + column if length else 0],
        sizes=[*flat.shape[:-1], length],
        steps=[1] * lead + [m + 1],
    )


def diag(input: Tensor, diagonal: int = 0) -> Tensor:
    """Of a vector the square matrix that has it as a diagonal; of a matrix that diagonal."""
    if input.ndim == 2:
        return _diagonal(input, diagonal)
    if input.ndim != 1:
        raise ShapeError(f"diag: expected 1 or 2 axes, got shape {input.shape}")
    n = input.shape[0] + abs(diagonal)
    start = diagonal if diagonal > 0 else -diagonal * n
    flat = SliceGrad.apply(input, shape=[n * n], starts=[start], steps=[n + 1])
    return reshape(flat, [n, n])


_diagonal = diagonal


def trace(input: Tensor) -> Tensor:
    """The sum of the main diagonal of a matrix."""
    if input.ndim != 2:
        raise ShapeError(f"trace: expected 2 axes, got shape {input.shape}")
    return diagonal(input).sum()


def repeat_interleave(input: Tensor, repeats: int | Tensor, dim: int | None = None) -> Tensor:
    """Each element along dim as often as repeats says, next to each other; without dim of the flat elements."""
    x, at = (ravel(input), 0) if dim is None else (input, wrap(dim, input.ndim, "repeat_interleave"))
    counts = np.asarray(repeats.detach().numpy() if isinstance(repeats, Tensor) else repeats)
    size = x.shape[at] if x.ndim else 1
    if counts.dtype.kind not in "iu" or counts.ndim > 1 or counts.size not in (1, size) or (counts < 0).any():
        raise ArgumentError(f"repeat_interleave: expected counts >= 0, one or {size}, got {repeats}")
    if float(counts.sum(dtype=np.float64)) * (size if counts.size == 1 else 1) > 2**48:
        raise ShapeError(f"repeat_interleave: {repeats} repeats of {size} elements are more than memory can hold")
    places = np.repeat(np.arange(size), np.broadcast_to(counts.reshape(-1), (size,)))
    return index_select(x, at, Tensor(_C.from_numpy(places)).to(x.device))
