"""Values put at positions. Where several name one position, `put` keeps the last of them, in the order of the index."""

from collections.abc import Sequence
from typing import Any

from pydl import _C
from pydl.autograd.op import Op
from pydl.errors import ArgumentError, BoundsError, DtypeError, ShapeError
from pydl.ops.arrange import diagonal
from pydl.ops.compare import where
from pydl.ops.index import AddAt, first_part, last_ones, read_at
from pydl.ops.scalar import Number, lift
from pydl.ops.shape import broadcast_shape, broadcast_to, reshape, wrap
from pydl.ops.subscript import placed
from pydl.tensor import Tensor

__all__ = [
    "diagonal_scatter",
    "index_copy",
    "index_fill",
    "index_put",
    "index_reduce",
    "masked_scatter",
    "put",
    "scatter",
    "scatter_reduce",
    "select_scatter",
    "slice_scatter",
]


class PutAt(Op):
    """The first input with the last at index; rows: the index has one entry per slice, else one per element."""

    uses = (1,)

    def kernel(y, index, x, dim, rows, op):
        return _C.place(op, "put", y, dim, index, x, rows)

    def vjp(g, y, index, x, dim, rows, op):
        at = {"dim": dim, "rows": rows, "op": op}
        size = y.shape[dim] if y.ndim else 1
        return (
            lambda: PutAt.apply(g, index, g.new_zeros(x.shape), **at),
            None,
            lambda: _of_last(read_at(g, index, dim, rows), index, size, dim, rows),
        )


def _of_last(g: Tensor, index: Tensor, size: int, dim: int, rows: bool) -> Tensor:
    """g where the entry of index is the last to name its position, else 0."""
    if not rows:
        return where(last_ones(index, size, dim), g, False)
    stays = last_ones(reshape(index, [-1]), size)
    return where(reshape(stays, [-1 if i == dim else 1 for i in range(g.ndim)]), g, False)


class MeetAt(Op):
    """The products, largest or smallest of what stands in the first input and of what the last brings to index."""

    saves_output = True

    def kernel(y, index, x, dim, rows, op, how):
        return _C.place(op, how, y, dim, index, x, rows)

    def vjp(g, y, index, x, out, dim, rows, op, how):
        at = {"dim": dim, "rows": rows, "op": op}
        return _product_grad(g, y, index, x, at) if how == "mul" else _extreme_grad(g, y, index, x, out, at)


def _extreme_grad(g, y, index, x, out, at):
    """Equal extremes share the gradient."""
    mine, theirs = (y == out).to(g.dtype), (x == read_at(out, index, at["dim"], at["rows"])).to(g.dtype)
    share = g / AddAt.apply(mine, index, theirs, **at)
    return share * mine, None, lambda: read_at(share, index, at["dim"], at["rows"]) * theirs


def _product_grad(g, y, index, x, at):
    """The product of the other factors, right to the second order also where factors are 0.

    p: the product of the factors that are not 0; z: how many are 0; s: the sum of those, which is 0 but has a slope.
    The others of a factor v != 0 have the product p / v, times s where z = 1; those of a factor v = 0 have p where
    z = 1 and p (s - v) where z = 2.
    """
    zero_y, zero_x = y == 0, x == 0
    y1, x1 = where(zero_y, 1.0, y), where(zero_x, 1.0, x)
    p = MeetAt.apply(y1, index, x1, how="mul", **at)
    z = AddAt.apply(zero_y.to(g.dtype), index, zero_x.to(g.dtype), **at)
    s = AddAt.apply(where(zero_y, y, 0.0), index, where(zero_x, x, 0.0), **at)

    def others(v, v1, zero, p, z, s):
        among = p / v1 * where(z == 0, 1.0, where(z == 1, s, 0.0))
        return where(zero, p * where(z == 1, 1.0, where(z == 2, s - v, 0.0)), among)

    there = lambda t: read_at(t, index, at["dim"], at["rows"])  # noqa: E731
    return (
        lambda: g * others(y, y1, zero_y, p, z, s),
        None,
        lambda: there(g) * others(x, x1, zero_x, there(p), there(z), there(s)),
    )


# ---------------------------------------------------------------- an index per element


def scatter(
    input: Tensor,
    dim: int,
    index: Tensor,
    src: Tensor | Number | None = None,
    *,
    value: Number | None = None,
    reduce: str | None = None,
) -> Tensor:
    """input with src put at index along dim: out[i][index[i][j][k]][k] = src[i][j][k] for dim = 1.

    Args: src: a tensor at least as large as index, or a number (also by the name value); reduce: 'add' or 'multiply'
        in place of putting.
    Raises: BoundsError, DtypeError, ShapeError, before anything is written.
    """
    if (src is None) == (value is None):
        raise ArgumentError("scatter: expected either src or value")
    given = value if src is None else src
    at = wrap(dim, input.ndim, "scatter")
    if isinstance(given, Tensor):
        source = first_part("scatter", given, index)
    else:
        source = broadcast_to(lift(given, input, "scatter").to(input.dtype), index.shape)
    if reduce is None:
        return PutAt.apply(input, index, source, dim=at, rows=False, op="scatter")
    if reduce not in ("add", "multiply"):
        raise ArgumentError(f"scatter: reduce must be 'add' or 'multiply', got {reduce!r}")
    if reduce == "add":
        return AddAt.apply(input, index, source, dim=at, rows=False, op="scatter")
    return MeetAt.apply(input, index, source, dim=at, rows=False, op="scatter", how="mul")


def scatter_reduce(
    input: Tensor, dim: int, index: Tensor, src: Tensor, reduce: str, *, include_self: bool = True
) -> Tensor:
    """input in which the elements of src are combined at index along dim, as `scatter_add` adds them.

    Args: reduce: 'sum', 'prod', 'mean', 'amax' or 'amin'; include_self: whether what stood in input takes part.
    Means of integers are rounded down. Equal extremes share the gradient.
    """
    at = wrap(dim, input.ndim, "scatter_reduce")
    source = first_part("scatter_reduce", src, index)
    return _reduced("scatter_reduce", input, index, source, at, False, reduce, include_self)


def index_reduce(
    input: Tensor, dim: int, index: Tensor, source: Tensor, reduce: str, *, include_self: bool = True
) -> Tensor:
    """As `scatter_reduce`, with one index (k,) for the k slices of source along dim."""
    at = wrap(dim, input.ndim, "index_reduce")
    return _reduced("index_reduce", input, index, source, at, True, reduce, include_self)


_HOW = {"sum": "add", "mean": "add", "prod": "mul", "amax": "amax", "amin": "amin"}


def _identity(how: str, dtype: _C.dtype) -> Any:
    """What changes nothing that it meets."""
    if how in ("add", "mul"):
        return int(how == "mul")
    if dtype.is_floating_point:
        return float("-inf") if how == "amax" else float("inf")
    bits = {_C.bool: (0, 1), _C.uint8: (0, 255), _C.int32: (-(2**31), 2**31 - 1)}
    low, high = bits.get(dtype, (-(2**63), 2**63 - 1))
    return low if how == "amax" else high


def _reduced(
    op: str, x: Tensor, index: Tensor, source: Tensor, dim: int, rows: bool, reduce: str, include_self: bool
) -> Tensor:
    if reduce not in _HOW:
        raise ArgumentError(f"{op}: reduce must be one of {', '.join(map(repr, _HOW))}, got {reduce!r}")
    how, base = _HOW[reduce], x
    at = {"dim": dim, "rows": rows, "op": op}
    touched = None
    if not include_self:
        hits = Tensor(_C.full(source.shape, 1, _C.bool, x.device))
        touched = PutAt.apply(Tensor(_C.full(x.shape, 0, _C.bool, x.device)), index, hits, **at)
        base = where(touched, Tensor(_C.scalar(_identity(how, x.dtype), x.dtype, x.device)), x)
    if how != "add":
        return MeetAt.apply(base, index, source, how=how, **at)
    total = AddAt.apply(base, index, source, **at)
    if reduce == "sum":
        return total
    counted = _C.float32 if x.dtype.is_floating_point else _C.int64  # float32 counts up to 2^24
    start = Tensor(_C.full(x.shape, 1, counted, x.device))
    count = start if touched is None else where(touched, 0, 1).to(counted)
    count = AddAt.apply(count, index, Tensor(_C.full(source.shape, 1, counted, x.device)), **at)
    return total / count.to(x.dtype) if x.dtype.is_floating_point else (total // count).to(x.dtype)


# ---------------------------------------------------------------- an index per slice


def index_copy(input: Tensor, dim: int, index: Tensor, source: Tensor) -> Tensor:
    """input with the slices of source (k of them) at index (k,) along dim."""
    return PutAt.apply(input, index, source, dim=wrap(dim, input.ndim, "index_copy"), rows=True, op="index_copy")


def index_fill(input: Tensor, dim: int, index: Tensor, value: Number | Tensor) -> Tensor:
    """input with value in the slices index (k,) along dim; in the dtype of input."""
    at = wrap(dim, input.ndim, "index_fill")
    size = input.shape[at] if input.ndim else 1
    fill = lift(value, input, "index_fill")
    if fill.ndim:
        raise ShapeError(f"index_fill: value must be one number without axes, got shape {fill.shape}")
    flags = Tensor(_C.full((size,), 0, _C.bool, input.device))
    hits = Tensor(_C.full((index.numel(),), 1, _C.bool, input.device))
    hit = PutAt.apply(flags, reshape(index, [-1]), hits, dim=0, rows=True, op="index_fill")
    mask = reshape(hit, [size if i == at else 1 for i in range(input.ndim)])
    return where(mask, fill.to(input.dtype), input)


# ---------------------------------------------------------------- flat positions


def index_put(input: Tensor, indices: Sequence[Tensor | None], values: Tensor, accumulate: bool = False) -> Tensor:
    """input with values at input[indices], broadcast; accumulate adds them instead, also where positions repeat.

    Args: indices: int64, int32 or bool tensors, as in input[...]; None stands for a whole axis.
    """
    from pydl.ops.subscript import added

    if len(indices) > input.ndim:
        raise BoundsError(f"index_put: {len(indices)} indices for shape {input.shape}: expected at most {input.ndim}")
    if values.dtype is not input.dtype:
        raise DtypeError(f"index_put: expected values of dtype {input.dtype}, got {values.dtype}")
    key = tuple(slice(None) if k is None else k for k in indices)
    return (added if accumulate else placed)(input, key, values, "index_put")


def put(input: Tensor, index: Tensor, source: Tensor, accumulate: bool = False) -> Tensor:
    """input with the elements of source at index of the flat input; accumulate adds them instead."""
    if source.numel() != index.numel():
        raise ShapeError(f"put: source {source.shape} does not match index {index.shape}: expected as many elements")
    kind = AddAt if accumulate else PutAt
    flat = kind.apply(reshape(input, [-1]), reshape(index, [-1]), reshape(source, [-1]), dim=0, rows=True, op="put")
    return reshape(flat, input.shape)


def masked_scatter(input: Tensor, mask: Tensor, source: Tensor) -> Tensor:
    """input with the elements of source, in order, where mask is true."""
    if mask.dtype is not _C.bool:
        raise DtypeError(f"masked_scatter: mask must be bool, got {mask.dtype}")
    shape = broadcast_shape("masked_scatter", input.shape, mask.shape)
    flat = reshape(Tensor(_C.nonzero(reshape(mask.expand(shape), [-1]).array)), [-1])
    count = flat.numel()
    if count > source.numel():
        raise ShapeError(f"masked_scatter: source {source.shape} has too few elements: expected {count} or more")
    taken = reshape(source, [-1])[:count]
    made = PutAt.apply(reshape(input.expand(shape), [-1]), flat, taken, dim=0, rows=True, op="masked_scatter")
    return reshape(made, shape)


# ---------------------------------------------------------------- parts


def select_scatter(input: Tensor, src: Tensor, dim: int, index: int) -> Tensor:
    """input with src in place of select(input, dim, index)."""
    at = wrap(dim, input.ndim, "select_scatter")
    return _in_place_of("select_scatter", input, (slice(None),) * at + (int(index),), src)


def slice_scatter(
    input: Tensor, src: Tensor, dim: int = 0, start: int | None = None, end: int | None = None, step: int = 1
) -> Tensor:
    """input with src in place of its elements start, start + step, ... below end along dim."""
    if step < 1:
        raise ArgumentError(f"slice_scatter: expected a step of at least 1, got {step}")
    at = wrap(dim, input.ndim, "slice_scatter")
    return _in_place_of("slice_scatter", input, (slice(None),) * at + (slice(start, end, step),), src)


def diagonal_scatter(input: Tensor, src: Tensor, offset: int = 0, dim1: int = 0, dim2: int = 1) -> Tensor:
    """input with src in place of diagonal(input, offset, dim1, dim2)."""
    numbers = reshape(Tensor(_C.arange(0, input.numel(), 1, _C.int64, input.device)), input.shape)
    places = diagonal(numbers, offset, dim1, dim2)
    if src.shape != places.shape:
        raise ShapeError(f"diagonal_scatter: src {src.shape} does not fit: expected shape {places.shape}")
    return put(input, places, src)


def _in_place_of(op: str, x: Tensor, key: Any, src: Tensor) -> Tensor:
    from pydl.ops.subscript import spot_of

    expected = tuple(spot_of(key, x).shape)
    if src.shape != expected:
        raise ShapeError(f"{op}: src {src.shape} does not fit: expected shape {expected}")
    return placed(x, key, src.to(x.dtype), op)
