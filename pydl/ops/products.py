"""Products beyond matmul: over chosen axes, of Kronecker, distances between rows, and sums with a product."""

import math
from typing import Any

from pydl import _C
from pydl.errors import ArgumentError, DtypeError, ShapeError
from pydl.ops.compare import where
from pydl.ops.elementary import sqrt
from pydl.ops.gemm import added, bmm, matmul, mv, outer
from pydl.ops.index import index_select
from pydl.ops.reduce import norm, sum
from pydl.ops.shape import broadcast_shape, expand, narrow, permute, reshape, transpose, unsqueeze, wrap
from pydl.tensor import Tensor

__all__ = [
    "addbmm",
    "addmv",
    "addr",
    "cdist",
    "cross",
    "dist",
    "ger",
    "kron",
    "pdist",
    "tensordot",
    "vander",
    "vdot",
    "vecdot",
]


MOST_AXES = 8  # of an array


def tensordot(a: Tensor, b: Tensor, dims: Any = 2) -> Tensor:
    """The sums of products over pairs of axes; the other axes of a, then those of b.

    Args: dims: how many of the last axes of a meet the first of b, or two lists: the axes of a and of b.
    """
    if isinstance(dims, Tensor):
        dims = dims.tolist()
    if isinstance(dims, int):
        if not 0 <= dims <= min(a.ndim, b.ndim):
            raise ArgumentError(f"tensordot: dims {dims} does not fit {a.shape} and {b.shape}")
        dims = (range(a.ndim - dims, a.ndim), range(dims))
    left, right = ([d] if isinstance(d, int) else list(d) for d in dims)
    left, right = [wrap(d, a.ndim, "tensordot") for d in left], [wrap(d, b.ndim, "tensordot") for d in right]
    if len(left) != len(right) or len(set(left)) != len(left) or len(set(right)) != len(right):
        raise ArgumentError(f"tensordot: dims {left} and {right} do not pair up")
    for i, j in zip(left, right, strict=True):
        if a.shape[i] != b.shape[j] and 1 not in (a.shape[i], b.shape[j]):
            raise ShapeError(f"tensordot: axis {i} of {a.shape} does not match axis {j} of {b.shape}")
        if a.shape[i] != b.shape[j]:  # 1 meets n: the other is summed first
            a, b = (sum(a, i, True).to(a.dtype), b) if b.shape[j] == 1 else (a, sum(b, j, True).to(b.dtype))
    rows = [i for i in range(a.ndim) if i not in left]
    columns = [j for j in range(b.ndim) if j not in right]
    inner = math.prod(a.shape[i] for i in left)
    x = reshape(permute(a, rows + left), [math.prod(a.shape[i] for i in rows), inner])
    y = reshape(permute(b, right + columns), [inner, math.prod(b.shape[j] for j in columns)])
    return reshape(matmul(x, y), [a.shape[i] for i in rows] + [b.shape[j] for j in columns])


def kron(input: Tensor, other: Tensor) -> Tensor:
    """The Kronecker product: blocks input[i, j] * other; the shorter shape gets axes of 1 in front."""
    n = max(input.ndim, other.ndim)
    a = reshape(input, [1] * (n - input.ndim) + list(input.shape))
    b = reshape(other, [1] * (n - other.ndim) + list(other.shape))
    if 2 * n <= MOST_AXES:
        y = reshape(a, [s for m in a.shape for s in (m, 1)]) * reshape(b, [s for m in b.shape for s in (1, m)])
        return reshape(y, [p * q for p, q in zip(a.shape, b.shape, strict=True)])
    for i, (p, q) in enumerate(zip(a.shape, b.shape, strict=True)):  # twice the axes are more than an array may have
        places = Tensor(_C.arange(0, p * q, 1, _C.int64, a.device))
        a, b = index_select(a, i, places // max(q, 1)), index_select(b, i, places % max(q, 1))
    return a * b


def vdot(input: Tensor, other: Tensor) -> Tensor:
    """The inner product of two vectors."""
    for x in (input, other):
        if x.ndim != 1:
            raise ShapeError(f"vdot: expected 1 axes, got shape {x.shape}")
    return matmul(input, other)


def vecdot(x: Tensor, y: Tensor, *, dim: int = -1) -> Tensor:
    """The sums of products along dim, broadcast over the others."""
    shape = broadcast_shape("vecdot", x.shape, y.shape)
    at = wrap(dim, len(shape), "vecdot") - len(shape)
    if not shape or any(a.ndim < -at or a.shape[at] != shape[at] for a in (x, y)):
        raise ShapeError(f"vecdot: {x.shape} does not match {y.shape}: expected equal sizes of dim {dim}")
    a, b = (expand(t, shape) if at != -1 else t for t in (x, y))
    a, b = transpose(a, at, -1), transpose(b, at, -1)
    y = reshape(matmul(unsqueeze(a, -2), unsqueeze(b, -1)), [*broadcast_shape("vecdot", a.shape[:-1], b.shape[:-1])])
    return y if at == -1 else _put_back(y, at, len(shape))


def _put_back(y: Tensor, at: int, n: int) -> Tensor:
    """The axes of what a transpose(at, -1) left without its last axis, in their first order."""
    order = list(range(n))
    order[at], order[-1] = order[-1], order[at]
    kept = [order.index(i) for i in range(n) if i != n + at]
    return permute(y, kept)


def cross(input: Tensor, other: Tensor, dim: int | None = None) -> Tensor:
    """The cross products of vectors of 3 along dim, broadcast; dim is the first of size 3 where it is left out."""
    shape = broadcast_shape("cross", input.shape, other.shape)
    if input.ndim != other.ndim:
        raise ShapeError(f"cross: expected as many axes, got {input.shape} and {other.shape}")
    if dim is None:
        dim = next((i for i, n in enumerate(shape) if n == 3), None)
        if dim is None:
            raise ShapeError(f"cross: no axis of size 3 in {shape}")
    at = wrap(dim, len(shape), "cross")
    if not shape or input.shape[at] != 3 or other.shape[at] != 3:
        raise ShapeError(f"cross: expected size 3 of dim {dim}, got {input.shape} and {other.shape}")
    places = Tensor(_C.arange(0, 3, 1, _C.int64, input.device))
    turned = [(places + step) % 3 for step in (1, 2)]
    a1, a2 = (index_select(input, at, places) for places in turned)
    b1, b2 = (index_select(other, at, places) for places in turned)
    return a1 * b2 - a2 * b1


def ger(input: Tensor, vec2: Tensor) -> Tensor:
    """(m,) and (n,) to (m, n); another name of `outer`."""
    return outer(input, vec2)


def vander(x: Tensor, N: int | None = None, increasing: bool = False) -> Tensor:
    """(n,) to (n, N): the powers of each element, the largest first, or increasing; N is n where it is left out."""
    if x.ndim != 1:
        raise ShapeError(f"vander: expected 1 axes, got shape {x.shape}")
    columns = x.shape[0] if N is None else N
    if columns < 0:
        raise ArgumentError(f"vander: N must not be negative, got {N}")
    powers = Tensor(_C.arange(0, columns, 1, _C.int64, x.device))
    powers = powers if increasing else columns - 1 - powers
    kind = x.dtype if x.array.is_floating else _C.int64
    return unsqueeze(x, -1).to(kind) ** powers.to(kind)


# ---------------------------------------------------------------- sums with a product


def addmv(input: Tensor, mat: Tensor, vec: Tensor, *, beta: float = 1, alpha: float = 1) -> Tensor:
    """beta * input + alpha * mat vec.  input: broadcasts to (m,).   mat: (m, k).   vec: (k,)."""
    return added("addmv", input, mv(mat, vec), beta, alpha)


def addr(input: Tensor, vec1: Tensor, vec2: Tensor, *, beta: float = 1, alpha: float = 1) -> Tensor:
    """beta * input + alpha * outer(vec1, vec2).  input: broadcasts to (m, n)."""
    return added("addr", input, outer(vec1, vec2), beta, alpha)


def addbmm(input: Tensor, batch1: Tensor, batch2: Tensor, *, beta: float = 1, alpha: float = 1) -> Tensor:
    """beta * input + alpha * the sum of the products of all pairs.  batch1: (b, m, k).   batch2: (b, k, n)."""
    product = bmm(batch1, batch2)
    return added("addbmm", input, sum(product, 0).to(product.dtype), beta, alpha)


# ---------------------------------------------------------------- distances


def _p_norm(gap: Tensor, p: float) -> Tensor:
    """The p-norms over the last axis, with slope 0 wherever a difference is 0."""
    if p in (0, 1, 2) or (math.isinf(p) and gap.shape[-1]):
        return norm(gap, p, -1)
    none = gap == 0
    total = sum(where(none, 0.0, where(none, 1.0, gap.abs()) ** p), -1)
    zero = total == 0
    return where(zero, 0.0, where(zero, 1.0, total) ** (1 / p))


def _check_p(op: str, p: float, *tensors: Tensor) -> float:
    if not isinstance(p, (int, float)) or not p >= 0:
        raise ArgumentError(f"{op}: p must not be negative, got {p!r}")
    for x in tensors:
        if not x.array.is_floating:
            raise DtypeError(f"{op}: expected a floating dtype, got {x.dtype}")
    return float(p)


_MODES = ("use_mm_for_euclid_dist_if_necessary", "use_mm_for_euclid_dist", "donot_use_mm_for_euclid_dist")


def cdist(x1: Tensor, x2: Tensor, p: float = 2.0, compute_mode: str = _MODES[0]) -> Tensor:
    """The p-norm distances between all rows: (..., n, d) and (..., m, d) to (..., n, m). At distance 0 the slope is 0.

    Args: compute_mode: for p = 2, whether |a|^2 + |b|^2 - 2 a b is used: one matrix product in place of n m d
        differences, less exact for rows that are close. By default it is where n or m is above 25.
    """
    power = _check_p("cdist", p, x1, x2)
    if x1.ndim < 2 or x2.ndim < 2 or x1.shape[-1] != x2.shape[-1]:
        raise ShapeError(f"cdist: {x1.shape} does not match {x2.shape}: expected matrices with equal last sizes")
    if compute_mode not in _MODES:
        raise ArgumentError(f"cdist: compute_mode must be one of {_MODES}, got {compute_mode!r}")
    large = max(x1.shape[-2], x2.shape[-2]) > 25
    if power == 2 and (compute_mode == _MODES[1] or (compute_mode == _MODES[0] and large)):
        left, right = sum(x1 * x1, -1, True), sum(x2 * x2, -1, True)
        square = left + transpose(right, -1, -2) - matmul(x1, transpose(x2, -1, -2)) * 2.0
        zero = square <= 0
        return where(zero, 0.0, sqrt(where(zero, 1.0, square)))
    return _p_norm(unsqueeze(x1, -2) - unsqueeze(x2, -3), power)


def pdist(input: Tensor, p: float = 2.0) -> Tensor:
    """The p-norm distances between all pairs of rows i < j of (n, d), in order: n (n - 1) / 2 of them."""
    power = _check_p("pdist", p, input)
    if input.ndim != 2:
        raise ShapeError(f"pdist: expected 2 axes, got shape {input.shape}")
    n = input.shape[0]
    rows = Tensor(_C.arange(0, n, 1, _C.int64, input.device))
    later = (unsqueeze(rows, 1) < unsqueeze(rows, 0)).nonzero()
    first, second = (narrow(later, 1, i, 1).reshape(-1) for i in range(2))
    return _p_norm(index_select(input, 0, first) - index_select(input, 0, second), power)


def dist(input: Tensor, other: Tensor, p: float = 2.0) -> Tensor:
    """The p-norm of input - other, broadcast."""
    return norm(input - other, p)
