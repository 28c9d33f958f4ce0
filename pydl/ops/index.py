"""Reading at positions, and the additions that are its gradients."""

import math
from collections.abc import Sequence
from typing import Any

from pydl import _C
from pydl.autograd.op import Op
from pydl.errors import ArgumentError, BoundsError, DtypeError, ShapeError
from pydl.ops.shape import broadcast_shape, reshape, wrap
from pydl.ops.slices import Slice
from pydl.tensor import Tensor

__all__ = [
    "argwhere",
    "gather",
    "index_add",
    "index_select",
    "masked_fill",
    "masked_select",
    "nonzero",
    "nonzero_static",
    "one_hot",
    "scatter_add",
    "take",
    "take_along_dim",
    "unravel_index",
]


class IndexSelect(Op):
    uses = (1,)

    def kernel(x, index, dim):
        return _C.index_select(x, dim, index)

    def vjp(g, x, index, dim):
        return IndexAdd.apply(g, index, dim=dim, size=x.shape[dim] if x.ndim else 1), None


class IndexAdd(Op):
    """Zeros with the input added at index."""

    uses = (1,)

    def kernel(x, index, dim, size):
        return _C.index_add(x, dim, index, size)

    def vjp(g, x, index, dim, size):
        return IndexSelect.apply(g, index, dim=dim), None


class Gather(Op):
    uses = (1,)

    def kernel(x, index, dim):
        return _C.gather(x, dim, index)

    def vjp(g, x, index, dim):
        return AddAt.apply(g.new_zeros(x.shape), index, g, dim=dim, rows=False, op="gather"), None


class AddAt(Op):
    """The first input with the last added at index; rows: the index has one entry per slice, else one per element."""

    uses = (1,)

    def kernel(y, index, x, dim, rows, op):
        return _C.place(op, "add", y, dim, index, x, rows)

    def vjp(g, y, index, x, dim, rows, op):
        return g, None, lambda: read_at(g, index, dim, rows)


def read_at(x: Tensor, index: Tensor, dim: int, rows: bool) -> Tensor:
    """What stands at index: slices, or single elements."""
    return (IndexSelect if rows else Gather).apply(x, index, dim=dim)


def last_ones(index: Tensor, size: int, dim: int | None = None) -> Tensor:
    """Which entries of index name their position last, bool in its shape; dim: of an index per element."""
    rows = dim is None
    at = 0 if dim is None else dim
    count = index.shape[at] if index.ndim else 1
    steps = Tensor(_C.arange(0, count, 1, _C.int64, index.device))
    order = reshape(steps, [count if i == at else 1 for i in range(index.ndim)]).expand(index.shape)
    shape = [size if i == at else s for i, s in enumerate(index.shape)]
    nobody = _C.full(shape, -1, _C.int64, index.device)
    _C.place_inside("index", "put", nobody, at, index.array, order.contiguous().array, rows)
    return read_at(Tensor(nobody), index, at, rows) == order


def index_select(input: Tensor, dim: int, index: Tensor) -> Tensor:
    """The slices of input at index (k,) along dim; negative indices count from the end.

    Raises: BoundsError, DtypeError unless index is int64 or int32.
    """
    return IndexSelect.apply(input, index, dim=wrap(dim, input.ndim, "index_select"))


def gather(input: Tensor, dim: int, index: Tensor) -> Tensor:
    """out[i][j][k] = input[i][index[i][j][k]][k] for dim = 1; index has as many axes as input. Returns its shape."""
    return Gather.apply(input, index, dim=wrap(dim, input.ndim, "gather"))


def take_along_dim(input: Tensor, indices: Tensor, dim: int | None = None) -> Tensor:
    """As gather, with input and indices broadcast against each other; over the flat elements where dim is None."""
    if dim is None:
        return gather(reshape(input, [-1]), 0, reshape(indices, [-1]))
    if input.ndim != indices.ndim:
        raise ShapeError(f"take_along_dim: {input.shape} and {indices.shape} do not fit: expected as many axes")
    at = wrap(dim, input.ndim, "take_along_dim")
    if not input.ndim:
        return gather(input, 0, indices)
    lead = broadcast_shape(
        "take_along_dim",
        tuple(1 if i == at else s for i, s in enumerate(input.shape)),
        tuple(1 if i == at else s for i, s in enumerate(indices.shape)),
    )
    widen = lambda x: x.expand([x.shape[at] if i == at else s for i, s in enumerate(lead)])  # noqa: E731
    return gather(widen(input), at, widen(indices))


def scatter_add(input: Tensor, dim: int, index: Tensor, src: Tensor) -> Tensor:
    """input with src added at index along dim: out[i][index[i][j][k]][k] += src[i][j][k] for dim = 1."""
    at = wrap(dim, input.ndim, "scatter_add")
    return AddAt.apply(input, index, first_part("scatter_add", src, index), dim=at, rows=False, op="scatter_add")


def first_part(op: str, src: Tensor, index: Tensor) -> Tensor:
    """What an index per element takes from src: the part of its shape. ShapeError where src is too small."""
    if not isinstance(src, Tensor) or not isinstance(index, Tensor):
        raise DtypeError(f"{op}: expected tensors for index and src, got {type(index).__name__}, {type(src).__name__}")
    shape = index.shape
    if src.shape == shape:
        return src
    if src.ndim != len(shape) or any(s > n for s, n in zip(shape, src.shape, strict=True)):
        raise ShapeError(f"{op}: index of shape {shape} does not fit src {src.shape}: expected no larger size")
    return Slice.apply(src, starts=[0] * len(shape), sizes=shape, steps=[1] * len(shape))


def index_add(input: Tensor, dim: int, index: Tensor, source: Tensor, *, alpha: float = 1) -> Tensor:
    """input with alpha * source added at the slices index (k,) along dim."""
    at = wrap(dim, input.ndim, "index_add")
    terms = source if isinstance(alpha, int) and alpha == 1 else (source * alpha).to(source.dtype)
    return AddAt.apply(input, index, terms, dim=at, rows=True, op="index_add")


def nonzero(input: Tensor, *, as_tuple: bool = False) -> Any:
    """The positions of what is not 0, (n, ndim) int64; as_tuple: one vector per axis."""
    found = Tensor(_C.nonzero(input.array))
    return tuple(found[:, i] for i in range(input.ndim)) if as_tuple else found


def argwhere(input: Tensor) -> Tensor:
    """The positions of what is not 0, (n, ndim) int64: `nonzero` by NumPy's name."""
    return nonzero(input)


def nonzero_static(input: Tensor, *, size: int, fill_value: int = -1) -> Tensor:
    """(size, ndim) int64: the first positions of what is not 0, and fill_value where there are fewer."""
    if size < 0:
        raise ArgumentError(f"nonzero_static: expected a size that is not negative, got {size}")
    from pydl.ops.shape import cat

    found = nonzero(input)[:size]
    rest = Tensor(_C.full((size - found.shape[0], input.ndim), fill_value, _C.int64, input.device))
    return cat([found, rest], 0)


def unravel_index(indices: Tensor, shape: int | Sequence[int]) -> tuple[Tensor, ...]:
    """Flat positions in a tensor of this shape as one index per axis, each in the shape of indices.

    Raises: BoundsError for a position outside the shape.
    """
    sizes = [shape] if isinstance(shape, int) else list(shape)
    count = math.prod(sizes)
    if not isinstance(indices, Tensor) or indices.dtype not in (_C.int64, _C.int32):
        raise DtypeError("unravel_index: expected a tensor of int64 or int32")
    if any(s < 0 for s in sizes):
        raise ArgumentError(f"unravel_index: expected sizes that are not negative, got {tuple(sizes)}")
    rest = Tensor(_C.merge_indices("unravel_index", [indices.array], [count]))
    parts: list[Tensor] = []
    for size in reversed(sizes):
        parts.insert(0, rest % size if count else rest)
        rest = rest // size if count else rest
    return tuple(p.reshape(indices.shape) for p in parts)


def take(input: Tensor, index: Tensor) -> Tensor:
    """The elements at index of the flat input, in the shape of index."""
    if isinstance(index, Tensor) and index.dtype not in (_C.int64, _C.int32):
        raise DtypeError(f"take: index must be int64 or int32, got {index.dtype}")
    try:
        found = IndexSelect.apply(reshape(input, [-1]), reshape(index, [-1]), dim=0)
    except BoundsError as error:
        raise BoundsError(str(error).replace("index_select", "take", 1)) from None
    return reshape(found, index.shape)


def masked_select(input: Tensor, mask: Tensor) -> Tensor:
    """The elements where mask is true, in one vector; both are broadcast."""
    if mask.dtype is not _C.bool:
        raise DtypeError(f"masked_select: mask must be bool, got {mask.dtype}")
    shape = broadcast_shape("masked_select", input.shape, mask.shape)
    flat = Tensor(_C.nonzero(reshape(mask.expand(shape), [-1]).array))
    return IndexSelect.apply(reshape(input.expand(shape), [-1]), reshape(flat, [-1]), dim=0)


def masked_fill(input: Tensor, mask: Tensor, value: Any) -> Tensor:
    """value where mask is true, else input, broadcast; in the dtype of input."""
    from pydl.ops.compare import where

    fill = value.to(input.dtype) if isinstance(value, Tensor) else Tensor(_C.scalar(value, input.dtype, input.device))
    return where(mask, fill, input)


def one_hot(input: Tensor, num_classes: int = -1) -> Tensor:
    """(...,) int64 -> (..., num_classes) int64, 1 at each index; -1: as many classes as the largest index needs."""
    if input.array.dtype is not _C.int64:
        raise DtypeError(f"one_hot: expected int64, got {input.dtype}")
    if input.numel() and int(input.min()) < 0:
        raise BoundsError("one_hot: class indices must not be negative")
    top = int(input.max()) + 1 if input.numel() else 0
    classes = max(top, 1) if num_classes == -1 else num_classes
    if top > classes:
        raise BoundsError(f"one_hot: index {top - 1} is out of range for {classes} classes")
    steps = Tensor(_C.arange(0, classes, 1, _C.int64, input.device))
    return (input.unsqueeze(-1) == steps).to(_C.int64)
