"""Rows of a table by index."""

from typing import Any

import numpy as np

from pydl import _C
from pydl.autograd.op import Op
from pydl.errors import BoundsError, DtypeError, ShapeError
from pydl.ops import ones, reshape, where
from pydl.ops.index import IndexAdd, index_select
from pydl.tensor import Tensor

__all__ = ["embedding"]


class Embedding(Op):
    """(v, d) table and (n,) indices to (n, d).

    The gradient skips the row `padding`; with `counts` it is divided by how often an index occurs.
    """

    uses = ()

    @staticmethod
    def kernel(weight: _C.Array, index: _C.Array, padding: int | None, counts: bool) -> _C.Array:
        return _C.index_select(weight, 0, index)

    @staticmethod
    def vjp(g: Tensor, weight: Tensor, index: _C.Array, padding: int | None, counts: bool) -> Any:  # type: ignore[override]
        if padding is not None:
            g = where((Tensor(index) == padding).unsqueeze(1), 0.0, g)
        if counts:
            each = IndexAdd.apply(ones(index.shape, dtype=g.dtype), Tensor(index), dim=0, size=weight.shape[0])
            g = g / index_select(each, 0, Tensor(index)).unsqueeze(1)
        return (IndexAdd.apply(g, Tensor(index), dim=0, size=weight.shape[0]),)


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
        sparse: accepted; gradients are dense.
    Returns: (..., d). Raises: ShapeError, DtypeError, BoundsError.
    """
    if weight.ndim != 2:
        raise ShapeError(f"embedding: expected weight (v, d), got {weight.shape}")
    if input.array.dtype not in (_C.int64, _C.int32):
        raise DtypeError(f"embedding: expected int64 or int32 indices, got {input.dtype}")
    rows = weight.shape[0]
    if padding_idx is not None and not -rows <= padding_idx < rows:
        raise BoundsError(f"embedding: padding_idx {padding_idx} is out of range for {rows} rows")
    if input.array.size and int(Tensor(_C.amin(input.array))) < 0:
        raise BoundsError(f"embedding: an index is negative: expected indices in [0, {rows})")
    flat = reshape(input, [-1])
    if max_norm is not None:
        _C.index_select(weight.array, 0, flat.array)  # BoundsError before anything is changed
        _renormalize(weight, flat, float(max_norm), norm_type)
    padding = None if padding_idx is None else padding_idx % rows
    y = Embedding.apply(weight, index=flat.array, padding=padding, counts=bool(scale_grad_by_freq))
    return y if input.ndim == 1 else reshape(y, [*input.shape, weight.shape[1]])
