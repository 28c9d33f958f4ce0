"""Rows of a table by index."""

import math
from typing import Any

from pydl import _C
from pydl.autograd.op import Op
from pydl.errors import ArgumentError, BoundsError, DtypeError, ShapeError
from pydl.ops import arange, ones, reshape, searchsorted, where, zeros
from pydl.ops.index import IndexAdd, index_select, nonzero
from pydl.ops.scalar import require
from pydl.sparse import SparseRows
from pydl.tensor import Tensor

__all__ = ["embedding", "embedding_bag"]


class Embedding(Op):
    """(v, d) table and (n,) indices to (n, d).

    The gradient skips the row `padding`; with `counts` it is divided by how often an index occurs; with `sparse` it
    holds the rows that were looked up.
    """

    uses = (1,)

    @staticmethod
    def kernel(weight: _C.Array, index: _C.Array, padding: int | None, counts: bool, sparse: bool) -> _C.Array:
        return _C.embedding(weight, index)

    @staticmethod
    def vjp(g: Tensor, weight: Tensor, index: Tensor, padding: int | None, counts: bool, sparse: bool) -> Any:  # type: ignore[override]
        size = weight.shape[0]
        if padding is not None and sparse:
            kept = nonzero(index != padding)[:, 0]
            g, index = index_select(g, 0, kept), index_select(index, 0, kept)
        elif padding is not None:
            g = where((index == padding).unsqueeze(1), 0.0, g)
        if counts:
            each = IndexAdd.apply(ones(index.shape, dtype=g.dtype), index, dim=0, size=size)
            g = g / index_select(each, 0, index).unsqueeze(1)
        return SparseRows.apply(g, index, size=size) if sparse else IndexAdd.apply(g, index, dim=0, size=size), None


def _renormalize(weight: Tensor, index: Tensor, max_norm: float, norm_type: float) -> None:
    """Scales the rows that are looked up down to max_norm, in place and outside the graph."""
    plain = weight.detach()
    part = index_select(plain, 0, index)
    norms = part.norm(norm_type, 1, True)
    plain[index] = where(norms > max_norm, part * (max_norm / (norms + 1e-7)), part)  # equal rows where indices are


def embedding(
    input: Tensor,
    weight: Tensor,
    padding_idx: int | None = None,
    max_norm: float | None = None,
    norm_type: float = 2.0,
    scale_grad_by_freq: bool = False,
    sparse: bool = False,
) -> Tensor:
    """The rows of weight at input.

    Args:
        input: (...,) int64 or int32, in [0, v).
        weight: (v, d).
        padding_idx: this row gets no gradient; negative counts from the end.
        max_norm: rows that are looked up and longer than this are shortened to it, in place.
        norm_type: the p of that norm.
        scale_grad_by_freq: divide each row's gradient by how often it was looked up.
        sparse: weight.grad holds the rows that were looked up and their indices (see `pydl.sparse_coo_tensor`), for
            SGD, Adagrad and SparseAdam, whose steps then leave all other rows alone. `pydl.capture` refuses it.
    Returns: (..., d). Raises: ShapeError, DtypeError, BoundsError.
    """
    if weight.ndim != 2:
        raise ShapeError(f"embedding: expected weight (v, d), got {weight.shape}")
    if input.array.dtype not in (_C.int64, _C.int32):
        raise DtypeError(f"embedding: expected int64 or int32 indices, got {input.dtype}")
    rows = weight.shape[0]
    if padding_idx is not None and not -rows <= padding_idx < rows:
        raise BoundsError(f"embedding: padding_idx {padding_idx} is out of range for {rows} rows")
    flat = reshape(input, [-1])
    if max_norm is not None:
        _C.embedding(weight.array, flat.array)  # BoundsError before anything is changed
        _renormalize(weight, flat, float(max_norm), norm_type)
    padding = None if padding_idx is None else padding_idx % rows
    y = Embedding.apply(weight, flat, padding=padding, counts=bool(scale_grad_by_freq), sparse=bool(sparse))
    return y if input.ndim == 1 else reshape(y, [*input.shape, weight.shape[1]])


def _offsets(input: Tensor, offsets: Tensor | None, include_last: bool) -> tuple[Tensor, int]:
    """The bag of each of (n,) indices, as many as there are for what lies behind the last one; and their number."""
    if input.ndim != 1 or offsets is None or offsets.ndim != 1:
        raise ShapeError(f"embedding_bag: expected indices (b, n), or (n,) with offsets (b,), got {input.shape}")
    n, starts = input.shape[0], offsets.to(_C.int64)
    bags = starts.shape[0] - include_last
    message = f"embedding_bag: offsets must rise from 0 to at most {n}"
    if bags < 0:
        raise ArgumentError(message)
    if starts.shape[0]:
        require((starts[:1] == 0) & (starts[-1:] <= n), message)
        require(starts[1:] >= starts[:-1], message)
    bag = searchsorted(starts, arange(n), right=True) - 1 if starts.shape[0] else zeros(n, dtype=_C.int64)
    return bag, bags


def _largest(rows: Tensor, bag: Tensor, kept: Tensor | None, bags: int) -> Tensor:
    """The largest entries of each bag's rows; 0 for an empty bag."""
    if kept is not None:
        rows = where(kept.unsqueeze(1), rows, -math.inf)
    index = bag.unsqueeze(1).expand(rows.shape)
    top = zeros(bags + 1, rows.shape[1], dtype=rows.dtype).scatter_reduce(0, index, rows, "amax", include_self=False)
    count = _counts(bag, kept, bags)
    found: Tensor = where(count.unsqueeze(1) > 0, top[:bags], 0.0)
    return found


def _counts(bag: Tensor, kept: Tensor | None, bags: int) -> Tensor:
    """How many rows count in each bag."""
    ones_ = ones(bag.shape, dtype=_C.int64) if kept is None else kept.to(_C.int64)
    return Tensor(_C.index_add(ones_.array, 0, bag.array, bags + 1))[:bags]


def _check_bags(
    input: Tensor, offsets: Tensor | None, mode: str, by_frequency: bool, sparse: bool, factors: Tensor | None
) -> None:
    """Raises what `embedding_bag` raises for arguments that do not go together."""
    if mode not in ("sum", "mean", "max"):
        raise ArgumentError(f"embedding_bag: mode must be 'sum', 'mean' or 'max', got {mode!r}")
    if mode == "max" and (by_frequency or sparse):
        raise ArgumentError("embedding_bag: scale_grad_by_freq and sparse do not go with mode 'max'")
    if factors is not None and (mode != "sum" or factors.shape != input.shape):
        raise ArgumentError("embedding_bag: per_sample_weights go with mode 'sum' and have the shape of input")
    for x in (input, offsets):
        if x is not None and x.array.dtype not in (_C.int64, _C.int32):
            raise DtypeError(f"embedding_bag: expected int64 or int32 indices and offsets, got {x.dtype}")
    if input.ndim == 2 and offsets is not None:
        raise ArgumentError("embedding_bag: offsets belong to indices of one axis: leave them out for (b, n)")


def embedding_bag(
    input: Tensor,
    weight: Tensor,
    offsets: Tensor | None = None,
    max_norm: float | None = None,
    norm_type: float = 2,
    scale_grad_by_freq: bool = False,
    mode: str = "mean",
    sparse: bool = False,
    per_sample_weights: Tensor | None = None,
    include_last_offset: bool = False,
    padding_idx: int | None = None,
) -> Tensor:
    """The sum, mean or maximum of the rows of weight at the indices of each bag; 0 for an empty bag.

    Args:
        input: (b, n) indices, a row per bag; or (n,) with `offsets`.
        weight: (v, d).
        offsets: (b,) where each bag begins.
        mode: 'sum', 'mean' or 'max'.
        per_sample_weights: of the shape of input, factors of the rows; only with 'sum'.
        include_last_offset: the last offset is the end of the last bag.
        padding_idx: this index counts for nothing and its row gets no gradient.
        max_norm, norm_type, scale_grad_by_freq, sparse: as of `embedding`.
    Returns: (b, d). Raises: ShapeError, DtypeError, BoundsError, ArgumentError.
    """
    _check_bags(input, offsets, mode, scale_grad_by_freq, sparse, per_sample_weights)
    if offsets is None and input.ndim == 2:
        bags, each = input.shape
        bag = arange(bags).unsqueeze(1).expand(bags, each).reshape(bags * each)
    else:
        bag, bags = _offsets(input, offsets, include_last_offset)
    ids = reshape(input, [-1])
    kept = None if padding_idx is None else ids != padding_idx % max(weight.shape[0], 1)
    rows = embedding(ids, weight, padding_idx, max_norm, norm_type, scale_grad_by_freq, sparse)
    if mode == "max":
        return _largest(rows, bag, kept, bags)
    if per_sample_weights is not None:
        rows = rows * reshape(per_sample_weights, [-1]).unsqueeze(1)
    if kept is not None:
        rows = where(kept.unsqueeze(1), rows, 0.0)
    total = IndexAdd.apply(rows, bag, dim=0, size=bags + 1)[:bags]
    return total if mode == "sum" else total / _counts(bag, kept, bags).clamp(min=1).unsqueeze(1).to(total.dtype)
