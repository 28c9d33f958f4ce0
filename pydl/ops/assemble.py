"""Tensors put together from others, turned round and seen through windows."""

import math
from collections.abc import Sequence
from typing import Any

from pydl import _C
from pydl.autograd.views import APART, ViewOp, root_of, track
from pydl.errors import ArgumentError, DtypeError, ShapeError
from pydl.ops.arrange import diag, ravel, tril, triu
from pydl.ops.index import IndexAdd, index_select, nonzero, take
from pydl.ops.place import put
from pydl.ops.shape import (
    broadcast_shape,
    cat,
    contiguous,
    flip,
    movedim,
    reshape,
    sizes_of,
    transpose,
    unsqueeze,
    wrap,
)
from pydl.ops.slices import SliceGrad
from pydl.tensor import Tensor

__all__ = [
    "adjoint",
    "as_strided",
    "as_strided_scatter",
    "atleast_1d",
    "atleast_2d",
    "atleast_3d",
    "block_diag",
    "broadcast_shapes",
    "column_stack",
    "concatenate",
    "diag_embed",
    "diagflat",
    "dstack",
    "fliplr",
    "flipud",
    "rot90",
    "row_stack",
    "swapdims",
    "tril_indices",
    "triu_indices",
    "unfold",
]


# ---------------------------------------------------------------- memory seen otherwise


def _places(size: Sequence[int], stride: Sequence[int], offset: int) -> Tensor:
    """Where the elements of a strided view are, (size) int64."""
    at = Tensor(_C.full((), offset, _C.int64, _C.device("cpu")))
    for i, (n, step) in enumerate(zip(size, stride, strict=True)):
        line = Tensor(_C.arange(0, n, 1, _C.int64, _C.device("cpu"))) * step
        at = at + reshape(line, [n if j == i else 1 for j in range(len(size))])
    return at


class AsStrided(ViewOp):
    """Any view of the memory; where two elements share a place, their gradients add up."""

    def kernel(x, size, stride, offset, start):
        return _C.as_strided(x, size, stride, offset)

    @classmethod
    def note(cls, made, x, attrs):
        """A view of the root itself, if that has all of its elements and no gaps."""
        root = root_of(x)
        start = _C.storage_offset(root.array)
        last = attrs["offset"] - start + sum((n - 1) * s for n, s in zip(made.shape, made.stride(), strict=True))
        if root.array.is_dense and attrs["offset"] >= start and last < root.numel():
            track(made, root, cls, attrs | {"start": start})
        else:
            made.kin = APART

    @classmethod
    def again(cls, x, size, stride, offset, start):
        x = contiguous(x)
        there = _C.storage_offset(x.array)
        return cls.apply(x, size=size, stride=stride, offset=offset - start + there, start=there)

    def vjp(g, x, size, stride, offset, start):
        theirs, mine = _places(size, stride, offset), _places(x.shape, x.stride(), start)
        low = min(int(p.min()) for p in (theirs, mine) if p.numel()) if g.numel() or mine.numel() else 0
        span = max((int(p.max()) for p in (theirs, mine) if p.numel()), default=0) - low + 1
        memory = IndexAdd.apply(reshape(g, [-1]), reshape(theirs - low, [-1]), dim=0, size=span)
        return (reshape(index_select(memory, 0, reshape(mine - low, [-1])), x.shape),)


def as_strided(input: Tensor, size: Sequence[int], stride: Sequence[int], storage_offset: int | None = None) -> Tensor:
    """The memory of input with these sizes and strides (in elements), from element storage_offset of it on; a view.

    Raises: BoundsError where that leaves the memory.
    """
    start = _C.storage_offset(input.array)
    offset = start if storage_offset is None else storage_offset
    return AsStrided.apply(input, size=list(size), stride=list(stride), offset=offset, start=start)


def as_strided_scatter(
    input: Tensor, src: Tensor, size: Sequence[int], stride: Sequence[int], storage_offset: int | None = None
) -> Tensor:
    """input with src in place of as_strided(input, size, stride, storage_offset); what lies outside of input is lost.

    Raises: BoundsError where that leaves the memory, ShapeError where src is not of that size.
    """
    start = _C.storage_offset(input.array)
    offset = start if storage_offset is None else storage_offset
    _C.as_strided(input.array, list(size), list(stride), offset)  # raises what it raises
    if src.shape != tuple(size):
        raise ShapeError(f"as_strided_scatter: src {src.shape} does not fit: expected shape {tuple(size)}")
    if not input.numel():
        return input.clone()  # type: ignore[attr-defined,no-any-return]
    theirs, mine = _places(size, stride, offset), _places(input.shape, input.stride(), start)
    reached = [p for p in (theirs, mine) if p.numel()]
    low = min(int(p.min()) for p in reached)
    span = max(int(p.max()) for p in reached) - low + 1
    memory = put(Tensor(_C.full((span,), 0, input.dtype, input.device)), mine - low, input)
    return take(put(memory, theirs - low, src.to(input.dtype)), mine - low)  # type: ignore[attr-defined]


class Windows(ViewOp):
    """All windows of an axis, their elements in a new last axis."""

    kernel = _C.windows

    def vjp(g, x, dim, size, step):
        if not x.ndim:
            return (g.sum(),)
        parts = movedim(g, -1, dim + 1)
        count = parts.shape[dim]
        at = _places([count, size], [step, 1], 0)
        flat = reshape(parts, [*parts.shape[:dim], count * size, *parts.shape[dim + 2 :]])
        return (IndexAdd.apply(flat, reshape(at, [-1]), dim=dim, size=x.shape[dim]),)


def unfold(input: Tensor, dimension: int, size: int, step: int) -> Tensor:
    """All windows of `size` elements along dimension, `step` apart; their elements are a new last axis. A view."""
    at = wrap(dimension, input.ndim, "unfold")
    length = input.shape[at] if input.ndim else 1
    if size < 0 or step < 1 or size > length:
        raise ArgumentError(f"unfold: size {size} and step {step} do not fit an axis of {length}")
    return Windows.apply(input, dim=at, size=size, step=step)


# ---------------------------------------------------------------- ranks


def _each(tensors: tuple[Any, ...], raise_rank: Any) -> Any:
    one = len(tensors) == 1 and isinstance(tensors[0], Tensor)
    listed = tensors[0] if len(tensors) == 1 and isinstance(tensors[0], (tuple, list)) else tensors
    for t in listed:
        if not isinstance(t, Tensor):
            raise DtypeError(f"atleast: expected tensors, got {type(t).__name__}")
    return raise_rank(listed[0]) if one else tuple(raise_rank(t) for t in listed)


def atleast_1d(*tensors: Tensor | Sequence[Tensor]) -> Any:
    """Numbers as vectors of one; a tensor, or a tuple of several."""
    return _each(tensors, lambda x: x if x.ndim else reshape(x, [1]))


def atleast_2d(*tensors: Tensor | Sequence[Tensor]) -> Any:
    """Vectors as rows."""
    return _each(tensors, lambda x: x if x.ndim > 1 else reshape(x, [1, x.numel()]))


def atleast_3d(*tensors: Tensor | Sequence[Tensor]) -> Any:
    """(n,) as (1, n, 1), (n, m) as (n, m, 1)."""

    def raised(x: Tensor) -> Tensor:
        return x if x.ndim > 2 else unsqueeze(x, 2) if x.ndim == 2 else reshape(x, [1, x.numel(), 1])

    return _each(tensors, raised)


def broadcast_shapes(*shapes: int | Sequence[int]) -> tuple[int, ...]:
    """The shape that these broadcast to; a number stands for one axis. Raises: ShapeError."""
    return broadcast_shape("broadcast_shapes", *[(s,) if isinstance(s, int) else tuple(s) for s in shapes])


def adjoint(input: Tensor) -> Tensor:
    """The last two axes exchanged."""
    if input.ndim < 2:
        raise ShapeError(f"adjoint: expected at least 2 axes, got shape {input.shape}")
    return transpose(input, -1, -2)


# ---------------------------------------------------------------- joins


def column_stack(tensors: Sequence[Tensor]) -> Tensor:
    """Joined along axis 1; numbers and vectors as columns."""
    return cat([reshape(x, [x.numel(), 1]) if x.ndim < 2 else x for x in tensors], 1)


def dstack(tensors: Sequence[Tensor]) -> Tensor:
    """Joined along axis 2; see `atleast_3d`."""
    return cat(list(atleast_3d(list(tensors))), 2)


def row_stack(tensors: Sequence[Tensor]) -> Tensor:
    """Joined along axis 0; vectors as rows."""
    return cat(list(atleast_2d(list(tensors))), 0)


def block_diag(*tensors: Tensor) -> Tensor:
    """The matrices along the diagonal of one, 0 elsewhere; numbers and vectors count as rows."""
    blocks = [atleast_2d(x) for x in tensors]
    if not blocks:
        raise ArgumentError("block_diag: expected at least one tensor")
    width, left, rows = sum(b.shape[-1] for b in blocks), 0, []
    for block in blocks:
        if block.ndim > 2:
            raise ShapeError(f"block_diag: expected at most 2 axes, got shape {block.shape}")
        n, m = block.shape
        rows.append(SliceGrad.apply(block, shape=[n, width], starts=[0, left], steps=[1, 1]))
        left += m
    return cat(rows, 0)


# ---------------------------------------------------------------- turns


def fliplr(input: Tensor) -> Tensor:
    """The columns in reverse order."""
    if input.ndim < 2:
        raise ShapeError(f"fliplr: expected at least 2 axes, got shape {input.shape}")
    return flip(input, 1)


def flipud(input: Tensor) -> Tensor:
    """The rows in reverse order."""
    if input.ndim < 1:
        raise ShapeError("flipud: expected at least 1 axis, got shape ()")
    return flip(input, 0)


def rot90(input: Tensor, k: int = 1, dims: Sequence[int] = (0, 1)) -> Tensor:
    """The plane of two axes turned k times by 90 degrees, from the first axis to the second."""
    if len(dims) != 2 or input.ndim < 2 or len({wrap(d, input.ndim, "rot90") for d in dims}) != 2:
        raise ArgumentError(f"rot90: expected two different dims of a tensor, got {tuple(dims)} and {input.shape}")
    first, second = dims
    turns = k % 4
    if turns == 0:
        return input.clone()
    if turns == 2:
        return flip(input, first, second)
    return transpose(flip(input, second), first, second) if turns == 1 else flip(transpose(input, *dims), second)


# ---------------------------------------------------------------- diagonals


def diag_embed(input: Tensor, offset: int = 0, dim1: int = -2, dim2: int = -1) -> Tensor:
    """The last axis as a diagonal of the new axes dim1 and dim2, 0 elsewhere; offset > 0 lies above the main one."""
    if not input.ndim:
        raise ShapeError("diag_embed: expected at least 1 axis, got shape ()")
    rank = input.ndim + 1
    a, b = wrap(dim1, rank, "diag_embed"), wrap(dim2, rank, "diag_embed")
    if a == b:
        raise ArgumentError("diag_embed: dim1 and dim2 are the same axis")
    lead, n = list(input.shape[:-1]), input.shape[-1] + abs(offset)
    starts = [0] * len(lead) + [offset if offset > 0 else -offset * n]
    flat = SliceGrad.apply(input, shape=[*lead, n * n], starts=starts, steps=[1] * len(lead) + [n + 1])
    return movedim(reshape(flat, [*lead, n, n]), [-2, -1], [a, b])


def diagflat(input: Tensor, offset: int = 0) -> Tensor:
    """The square matrix that has all elements of input as a diagonal."""
    return diag(ravel(input), offset)


def _triangle(op: str, part: Any, row: int, col: int, offset: int, dtype: Any) -> Tensor:
    if row < 0 or col < 0:
        raise ArgumentError(f"{op}: expected sizes that are not negative, got {row} and {col}")
    ones = Tensor(_C.full((row, col), 1, _C.bool, _C.device("cpu")))
    return transpose(nonzero(part(ones, offset)), 0, 1).contiguous().to(dtype or _C.int64)


def tril_indices(row: int, col: int, offset: int = 0, *, dtype: _C.dtype | None = None) -> Tensor:
    """(2, n) int64: rows and columns of what lies on and below a diagonal of a (row, col) matrix."""
    return _triangle("tril_indices", tril, row, col, offset, dtype)


def triu_indices(row: int, col: int, offset: int = 0, *, dtype: _C.dtype | None = None) -> Tensor:
    """(2, n) int64: rows and columns of what lies on and above a diagonal of a (row, col) matrix."""
    return _triangle("triu_indices", triu, row, col, offset, dtype)


# ---------------------------------------------------------------- methods alone


def sum_to_size(input: Tensor, *size: Any) -> Tensor:
    """input summed over the axes along which `size` would broadcast to its shape."""
    target = tuple(sizes_of(size))
    shape, lead = input.shape, input.ndim - len(target)
    if lead < 0 or any(n not in (1, s) for n, s in zip(target, shape[lead:], strict=True)):
        raise ShapeError(f"sum_to_size: {target} does not broadcast to {shape}")
    axes = list(range(lead)) + [lead + i for i, n in enumerate(target) if n == 1 and shape[lead + i] != 1]
    return reshape(input.sum(axes) if axes else input, list(target))


def fill_diagonal_(input: Tensor, fill_value: Any, wrap: bool = False) -> Tensor:
    """Puts a number on the main diagonal, in place; wrap: starts anew below the last row of a tall matrix."""
    shape = input.shape
    if len(shape) < 2 or (len(shape) > 2 and len(set(shape)) > 1):
        raise ShapeError(f"fill_diagonal_: expected a matrix, or more axes of one size, got shape {shape}")
    step = sum(math.prod(shape[i + 1 :]) for i in range(len(shape)))
    tall = len(shape) == 2 and shape[0] > shape[1]
    end = input.numel() if wrap and tall else min(shape) * step if min(shape) else 0
    at = Tensor(_C.arange(0, min(end, input.numel()), step, _C.int64, input.device))
    source = Tensor(_C.full(at.shape, fill_value, input.dtype, input.device))
    return input.copy_(put(input, at, source))


concatenate = cat
swapdims = transpose
