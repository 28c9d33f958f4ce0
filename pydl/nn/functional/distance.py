"""Distances and normalisation to unit length."""

from collections.abc import Sequence

import numpy as np

from pydl import ops
from pydl.errors import ArgumentError, ShapeError
from pydl.tensor import Tensor

__all__ = ["bilinear", "cosine_similarity", "normalize", "pairwise_distance", "pdist"]


def normalize(input: Tensor, p: float = 2.0, dim: int | Sequence[int] = 1, eps: float = 1e-12) -> Tensor:
    """x / max(norm of x over dim, eps)."""
    return input / ops.clamp(ops.norm(input, p, dim, True), min=eps)


def cosine_similarity(x1: Tensor, x2: Tensor, dim: int = 1, eps: float = 1e-8) -> Tensor:
    """The cosine of the angle between x1 and x2 along dim; both are broadcast.

    Each length counts as at least eps.
    """
    if x1.ndim != x2.ndim:
        shape = np.broadcast_shapes(x1.shape, x2.shape)
        x1, x2 = ops.broadcast_to(x1, shape), ops.broadcast_to(x2, shape)
    a = x1 / ops.clamp(ops.norm(x1, 2.0, dim, True), min=eps)
    b = x2 / ops.clamp(ops.norm(x2, 2.0, dim, True), min=eps)
    return ops.sum(a * b, dim)


def pairwise_distance(x1: Tensor, x2: Tensor, p: float = 2.0, eps: float = 1e-6, keepdim: bool = False) -> Tensor:
    """The p-norm of x1 - x2 + eps over the last axis."""
    return ops.norm(x1 - x2 + eps, p, -1, keepdim)


def pdist(input: Tensor, p: float = 2.0) -> Tensor:
    """The p-norms of the differences of all pairs of rows i < j of (n, d), as (n (n - 1) / 2,), in order of (i, j)."""
    if input.ndim != 2:
        raise ShapeError(f"pdist: expected (n, d), got shape {input.shape}")
    if not p >= 0:
        raise ArgumentError(f"pdist: p must not be negative, got {p}")
    first, second = (ops.from_numpy(i.astype(np.int64)).to(input.device) for i in np.triu_indices(input.shape[0], 1))
    return ops.norm(ops.index_select(input, 0, first) - ops.index_select(input, 0, second), p, -1)


def bilinear(input1: Tensor, input2: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """input1^T weight[k] input2 + bias[k] for each k.

    Args: input1: (..., i). input2: (..., j). weight: (k, i, j). bias: (k,).
    Returns: (..., k).
    """
    if weight.ndim != 3 or input1.shape[:-1] != input2.shape[:-1]:
        raise ShapeError(f"bilinear: {input1.shape}, {input2.shape} and weight {weight.shape} do not fit")
    k, i, j = weight.shape
    if input1.shape[-1:] != (i,) or input2.shape[-1:] != (j,):
        raise ShapeError(
            f"bilinear: inputs {input1.shape} and {input2.shape} do not match weight {weight.shape}: "
            f"expected last dimensions {i} and {j}"
        )
    left = ops.matmul(input1, weight.permute(1, 0, 2).reshape(i, k * j)).reshape(*input1.shape[:-1], k, j)
    y = ops.matmul(left, input2.unsqueeze(-1)).squeeze(-1)
    return y if bias is None else y + bias
