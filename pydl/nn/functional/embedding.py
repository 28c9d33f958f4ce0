"""Rows of a table by index."""

from typing import Any

import numpy as np

from pydl import _C
from pydl.autograd.op import Op
from pydl.errors import ArgumentError, BoundsError, DtypeError, ShapeError
from pydl.ops import from_numpy, ones, reshape, where, zeros
from pydl.ops.index import IndexAdd, index_select
from pydl.tensor import Tensor

__all__ = ["embedding", "embedding_bag"]


class Embedding(Op):
    """(v, d) table and (n,) indices to (n, d).

    The gradient skips the row `padding`; with `counts` it is divided by how often an index occurs.
    """

    uses = (1,)

    @staticmethod
    def kernel(weight: _C.Array, index: _C.Array, padding: int | None, counts: bool) -> _C.Array:
        return _C.index_select(weight, 0, index)

    @staticmethod
    def vjp(g: Tensor, weight: Tensor, index: Tensor, padding: int | None, counts: bool) -> Any:  # type: ignore[override]
        if padding is not None:
            g = where((index == padding).unsqueeze(1), 0.0, g)
        if counts:
            each = IndexAdd.apply(ones(index.shape, dtype=g.dtype), index, dim=0, size=weight.shape[0])
            g = g / index_select(each, 0, index).unsqueeze(1)
        return IndexAdd.apply(g, index, dim=0, size=weight.shape[0]), None


def _renormalize(weight: Tensor, index: Tensor, max_norm: float, norm_type: float) -> None:
    """Scales the rows that are looked up down to max_norm, in place and outside the graph."""
    plain = weight.detach()
    rows = Tensor(_C.from_numpy(np.unique(index.numpy())))
    part = index_select(plain, 0, rows)
    norms = part.norm(norm_type, 1, True)
    plain[rows] = where(norms > max_norm, part * (max_norm / (norms + 1e-7)), part)


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
        sparse: accepted; gradients are dense either way: optimizers see a row of zeros for what was not looked up.
    Returns: (..., d). Raises: ShapeError, DtypeError, BoundsError.
    """
    if weight.ndim != 2:
        raise ShapeError(f"embedding: expected weight (v, d), got {weight.shape}")
    if input.array.dtype not in (_C.int64, _C.int32):
        raise DtypeError(f"embedding: expected int64 or int32 indices, got {input.dtype}")
    rows = weight.shape[0]
    if padding_idx is not None and not -rows <= padding_idx < rows:
        raise BoundsError(f"embedding: padding_idx {padding_idx} is out of range for {rows} rows")
    if (input < 0).any():
        raise BoundsError(f"embedding: an index is negative: expected indices in [0, {rows})")
    flat = reshape(input, [-1])
    if max_norm is not None:
        _C.index_select(weight.array, 0, flat.array)  # BoundsError before anything is changed
        _renormalize(weight, flat, float(max_norm), norm_type)
    padding = None if padding_idx is None else padding_idx % rows
    y = Embedding.apply(weight, flat, padding=padding, counts=bool(scale_grad_by_freq))
    return y if input.ndim == 1 else reshape(y, [*input.shape, weight.shape[1]])


def _bags(input: Tensor, offsets: Tensor | None, include_last: bool) -> tuple[np.ndarray, np.ndarray, int]:
    """The indices in one row, the bag of each, and how many bags there are."""
    for x in (input, offsets):
        if x is not None and x.array.dtype not in (_C.int64, _C.int32):
            raise DtypeError(f"embedding_bag: expected int64 or int32 indices and offsets, got {x.dtype}")
    ids = input.numpy().astype(np.int64)
    if input.ndim == 2:
        if offsets is not None:
            raise ArgumentError("embedding_bag: offsets belong to indices of one axis: leave them out for (b, n)")
        return ids.reshape(-1), np.repeat(np.arange(ids.shape[0]), ids.shape[1]), ids.shape[0]
    if input.ndim != 1 or offsets is None or offsets.ndim != 1:
        raise ShapeError(f"embedding_bag: expected indices (b, n), or (n,) with offsets (b,), got {input.shape}")
    starts = offsets.numpy().astype(np.int64)
    bags = len(starts) - include_last
    if bags < 0 or (len(starts) and (starts[0] != 0 or starts[-1] > len(ids) or (np.diff(starts) < 0).any())):
        raise ArgumentError(f"embedding_bag: offsets must rise from 0 to at most {len(ids)}, got {starts.tolist()}")
    if include_last:
        ids, starts = ids[: starts[-1]], starts[:-1]
    return ids, np.searchsorted(starts, np.arange(len(ids)), "right") - 1, bags


def _largest(rows: Tensor, bag: np.ndarray, counts: np.ndarray) -> Tensor:
    """The largest entries of each bag's rows; 0 for an empty bag."""
    longest = int(counts.max(initial=0))
    if not longest:
        return zeros(len(counts), rows.shape[1], dtype=rows.dtype)
    slots = np.arange(longest)
    places = np.cumsum(counts)[:, None] - counts[:, None] + slots
    there = from_numpy((slots < counts[:, None])[:, :, None])
    at = from_numpy(np.minimum(places, len(bag) - 1).reshape(-1))
    padded = reshape(index_select(rows, 0, at), [len(counts), longest, rows.shape[1]])
    top = where(there, padded, -np.inf).max(1).values
    found: Tensor = where(from_numpy(counts[:, None] > 0), top, 0.0)
    return found


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
    if mode not in ("sum", "mean", "max"):
        raise ArgumentError(f"embedding_bag: mode must be 'sum', 'mean' or 'max', got {mode!r}")
    if mode == "max" and scale_grad_by_freq:
        raise ArgumentError("embedding_bag: scale_grad_by_freq does not go with mode 'max'")
    if per_sample_weights is not None and (mode != "sum" or per_sample_weights.shape != input.shape):
        raise ArgumentError("embedding_bag: per_sample_weights go with mode 'sum' and have the shape of input")
    ids, bag, bags = _bags(input, offsets, include_last_offset)
    if padding_idx is not None:
        kept = np.flatnonzero(ids != padding_idx % max(weight.shape[0], 1))
        ids, bag = ids[kept], bag[kept]
    rows = embedding(from_numpy(ids), weight, padding_idx, max_norm, norm_type, scale_grad_by_freq, sparse)
    if per_sample_weights is not None:
        factors = (
            reshape(per_sample_weights, [-1])[: len(bag)]
            if padding_idx is None
            else index_select(reshape(per_sample_weights, [-1]), 0, from_numpy(kept))
        )
        rows = rows * factors.unsqueeze(1)
    counts = np.bincount(bag, minlength=bags)
    if mode == "max":
        return _largest(rows, bag, counts)
    total = IndexAdd.apply(rows, from_numpy(bag.astype(np.int64)), dim=0, size=bags)
    if mode == "sum":
        return total
    return total / from_numpy(np.maximum(counts, 1)[:, None]).to(total.dtype)
