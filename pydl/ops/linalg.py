"""Functions of matrices made of the factorizations and of products: powers, exponentials, norms, ranks, and the forms
that report failures as numbers in place of errors."""

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from pydl import _C
from pydl.errors import ArgumentError, DtypeError, LinAlgError, ShapeError
from pydl.ops import lapack
from pydl.ops.compare import where
from pydl.ops.create import eye
from pydl.ops.decompose import cholesky, eigvalsh, svdvals
from pydl.ops.gemm import matmul
from pydl.ops.lu import lu_factor
from pydl.ops.reduce import amax, amin, sum
from pydl.ops.reduce import norm as _norm
from pydl.ops.shape import expand, movedim, narrow, reshape, stack, unsqueeze, wrap
from pydl.ops.solve import as_columns, flipped, inv, limits, solve
from pydl.tensor import Tensor

Dims = int | Sequence[int] | None
Order = float | str | None


class CholeskyEx(NamedTuple):
    """A factor, NaN where there is none, and where it failed."""

    L: Tensor
    info: Tensor


class InvEx(NamedTuple):
    """An inverse, NaN where there is none, and where it failed."""

    inverse: Tensor
    info: Tensor


class SolveEx(NamedTuple):
    """A solution, NaN where there is none, and where it failed."""

    result: Tensor
    info: Tensor


class LUFactorEx(NamedTuple):
    """A compact LU factorization and its first pivot of 0."""

    LU: Tensor
    pivots: Tensor
    info: Tensor


# ---------------------------------------------------------------- powers and exponentials


def matrix_power(A: Tensor, n: int) -> Tensor:
    """A (..., m, m) multiplied n times by itself; negative n of the inverse. Cost: 2 log2(n) products."""
    if not isinstance(A, Tensor) or not isinstance(n, (int, np.integer)):
        raise DtypeError(f"matrix_power: expected a tensor and an integer, got {type(A).__name__} and {n!r}")
    if A.ndim < 2 or A.shape[-1] != A.shape[-2]:
        raise ShapeError(f"matrix_power: expected square matrices, got shape {A.shape}")
    if n < 0:
        return matrix_power(inv(A), -n)
    result, square = None, A
    while n:
        if n & 1:
            result = square if result is None else matmul(result, square)
        n >>= 1
        square = matmul(square, square) if n else square
    return A * 0 + eye(A.shape[-1], dtype=A.dtype, device=A.device) if result is None else result


_PADE = {  # order: (largest 1-norm for full accuracy, coefficients); Higham 2005, tables 2.1 and 2.3
    7: (3.925724783138660, (17297280, 8648640, 1995840, 277200, 25200, 1512, 56, 1)),
    13: (5.371920351148152, (64764752532480000, 32382376266240000, 7771770303897600, 1187353796428800, 129060195264000,
                             10559470521600, 670442572800, 33522128640, 1323241920, 40840800, 960960, 16380, 182, 1)),
}  # fmt: skip


@lapack.on_host
def matrix_exp(A: Tensor) -> Tensor:
    """e to the power of (..., n, n): 1 + A + A^2/2 + ...

    Padé approximants of A / 2^s, squared s times; order 7 for float32, 13 for float64. Every step is differentiable.
    Source: Higham 2005, The scaling and squaring method for the matrix exponential revisited, algorithm 2.3.
    """
    lapack.matrices("matrix_exp", A, square=True)
    if not A.numel():
        return A * 1.0
    largest, c = _PADE[7 if A.dtype is _C.float32 else 13]
    norm = float(np.abs(lapack.numbers(A.array)).sum(-2).max())
    if not math.isfinite(norm):
        return A * math.nan
    halvings = max(0, math.ceil(math.log2(norm / largest))) if norm > largest else 0
    x = A * 2.0**-halvings
    square = matmul(x, x)
    power = eye(A.shape[-1], dtype=A.dtype)
    scale = 1.0 / c[0]
    even, odd = power * 1.0, power * (c[1] * scale)
    for k in range(2, len(c), 2):
        power = square if k == 2 else matmul(power, square)
        even = even + power * (c[k] * scale) if k < len(c) else even
        odd = odd + power * (c[k + 1] * scale)
    odd = matmul(x, odd)
    y = solve(even - odd, even + odd)
    for _ in range(halvings):
        y = matmul(y, y)
    return y


# ---------------------------------------------------------------- several products


def multi_dot(tensors: Sequence[Tensor]) -> Tensor:
    """The product of two or more matrices in the order of fewest multiplications; the ends may be vectors.

    Source: Cormen et al., Introduction to Algorithms, section 15.2.
    """
    chain = list(tensors)
    if len(chain) < 2:
        raise ArgumentError(f"multi_dot: expected at least 2 tensors, got {len(chain)}")
    for i, x in enumerate(chain):
        if not isinstance(x, Tensor):
            raise DtypeError(f"multi_dot: expected tensors, got {type(x).__name__}")
        if x.ndim != 2 and not (x.ndim == 1 and i in (0, len(chain) - 1)):
            raise ShapeError(f"multi_dot: expected matrices, and vectors only at the ends, got shape {x.shape}")
    row, column = chain[0].ndim == 1, chain[-1].ndim == 1
    chain[0] = unsqueeze(chain[0], 0) if row else chain[0]
    chain[-1] = unsqueeze(chain[-1], 1) if column else chain[-1]
    for a, b in zip(chain, chain[1:], strict=False):
        if a.shape[1] != b.shape[0]:
            raise ShapeError(f"multi_dot: {a.shape} does not match {b.shape}: expected equal inner sizes")
    y = _in_order(chain, _splits([x.shape[0] for x in chain] + [chain[-1].shape[1]]), 0, len(chain) - 1)
    return reshape(y, [n for n, gone in zip(y.shape, (row, column), strict=True) if not gone])


def _splits(sizes: list[int]) -> dict[tuple[int, int], int]:
    """Where to cut each part i..j of the chain."""
    n = len(sizes) - 1
    cost = {(i, i): 0 for i in range(n)}
    cut = {}
    for length in range(1, n):
        for i in range(n - length):
            j = i + length
            tried = {k: cost[i, k] + cost[k + 1, j] + sizes[i] * sizes[k + 1] * sizes[j + 1] for k in range(i, j)}
            cut[i, j] = min(tried, key=tried.__getitem__)
            cost[i, j] = tried[cut[i, j]]
    return cut


def _in_order(chain: list[Tensor], cut: dict[tuple[int, int], int], i: int, j: int) -> Tensor:
    if i == j:
        return chain[i]
    k = cut[i, j]
    return matmul(_in_order(chain, cut, i, k), _in_order(chain, cut, k + 1, j))


@lapack.on_host
def householder_product(A: Tensor, tau: Tensor) -> Tensor:
    """The first n columns of H_1 ... H_k, H_i = 1 - tau_i v_i v_i^T; v_i is column i of A below a 1 on the diagonal.

    Args: A: (..., m, n) with m >= n.   tau: (..., k) with k <= n.
    """
    lapack.matrices("householder_product", A, unsqueeze(tau, -1) if tau.ndim else A)
    (m, n), k = A.shape[-2:], tau.shape[-1] if tau.ndim else -1
    if not 0 <= k <= n <= m or tau.shape[:-1] != A.shape[:-2]:
        raise ShapeError(f"householder_product: A {A.shape} and tau {tau.shape} do not fit: expected k <= n <= m")
    y = expand(eye(m, n, dtype=A.dtype), A.shape)
    column = Tensor(_C.arange(0, m, 1, _C.int64, A.device))
    for i in reversed(range(k)):
        v = where(column > i, A[..., i], where(column == i, 1.0, A[..., i] * 0.0))
        v = unsqueeze(v, -1)
        y = y - tau[..., i : i + 1].unsqueeze(-1) * matmul(v, matmul(flipped(v), y))
    return y


# ---------------------------------------------------------------- norms


def vector_norm(
    x: Tensor, ord: float = 2, dim: Dims = None, keepdim: bool = False, *, dtype: _C.dtype | None = None
) -> Tensor:
    """(sum |x|^ord)^(1/ord) over dim, of all elements where that is None; ord may be inf, -inf or 0 (how many are not
    0). The slope at 0 is 0."""
    if isinstance(ord, str) or not isinstance(ord, (int, float)):
        raise ArgumentError(f"vector_norm: expected a number for ord, got {ord!r}")
    y = x if dtype is None else x.to(dtype)
    if dim is None and keepdim:
        return reshape(_norm(y, ord), [1] * x.ndim)
    return _norm(y, ord, dim, keepdim)


def matrix_norm(
    A: Tensor,
    ord: Order = "fro",
    dim: Sequence[int] = (-2, -1),
    keepdim: bool = False,
    *,
    dtype: _C.dtype | None = None,
) -> Tensor:
    """The norms of matrices: 'fro'; 'nuc' (sum of singular values); 2, -2 (largest, smallest of them); 1, -1 (largest,
    smallest sum of a column); inf, -inf (of a row)."""
    x = A if dtype is None else A.to(dtype)
    if x.ndim < 2 or len(dim) != 2:
        raise ShapeError(f"matrix_norm: expected at least 2 axes and two for dim, got shape {A.shape} and dim {dim}")
    rows, columns = (wrap(d, x.ndim, "matrix_norm") for d in dim)
    if rows == columns:
        raise ArgumentError(f"matrix_norm: expected two different axes, got dim {dim}")
    if ord == "fro":
        return _norm(x, 2.0, [rows, columns], keepdim)
    moved = movedim(x, [rows, columns], [-2, -1])
    if ord in ("nuc", 2, -2):
        values = svdvals(moved)
        y = sum(values, -1) if ord == "nuc" else amax(values, -1) if ord == 2 else amin(values, -1)
    elif ord in (1, -1, math.inf, -math.inf):
        sums = _norm(moved, 1, -2 if abs(ord) == 1 else -1)
        y = amax(sums, -1) if ord > 0 else amin(sums, -1)
    else:
        raise ArgumentError(f"matrix_norm: ord must be 'fro', 'nuc', inf, -inf, 1, -1, 2 or -2, got {ord!r}")
    if not keepdim:
        return y
    return reshape(y, [1 if i in (rows, columns) else n for i, n in enumerate(x.shape)])


def norm(
    A: Tensor, ord: Order = None, dim: Dims = None, keepdim: bool = False, *, dtype: _C.dtype | None = None
) -> Tensor:
    """A vector norm where dim is one axis (or A has one), a matrix norm where it is two; without ord the square root of
    the sum of squares. See `vector_norm` and `matrix_norm`."""
    if ord is None:
        return vector_norm(A, 2, dim, keepdim, dtype=dtype)
    axes = list(range(A.ndim)) if dim is None else [dim] if isinstance(dim, int) else list(dim)
    if len(axes) == 1:
        if isinstance(ord, str):
            raise ArgumentError(f"norm: ord {ord!r} is one of matrices, got shape {A.shape} and dim {dim}")
        return vector_norm(A, ord, axes, keepdim, dtype=dtype)
    if len(axes) != 2:
        raise ShapeError(f"norm: with ord expected one or two axes, got shape {A.shape} and dim {dim}")
    return matrix_norm(A, ord, axes, keepdim, dtype=dtype)


@lapack.on_host
def cond(A: Tensor, p: Order = None) -> Tensor:
    """The condition numbers (...): |A| |A^-1| in a matrix norm p, by singular values for None, 2 and -2.

    Infinite for a singular matrix.
    """
    lapack.matrices("cond", A, square=p not in (None, 2, -2))
    if p in (None, 2, -2):
        values = svdvals(A)
        if not values.shape[-1]:
            return sum(values, -1)
        largest, smallest = values[..., 0], values[..., -1]
        return smallest / largest if p == -2 else largest / smallest
    if p not in ("fro", "nuc", 1, -1, math.inf, -math.inf):
        raise ArgumentError(f"cond: p must be None, 'fro', 'nuc', inf, -inf, 1, -1, 2 or -2, got {p!r}")
    inverse, info = inv_ex(A)
    y = matrix_norm(A, p) * matrix_norm(inverse, p)
    return where(info == 0, y, math.inf)


@lapack.on_host
def matrix_rank(A: Tensor, tol: Any = None, hermitian: bool = False, *, atol: Any = None, rtol: Any = None) -> Tensor:
    """How many singular values (...) lie above max(atol, rtol * the largest); int64.

    Args: atol, rtol: numbers or tensors; rtol is eps * max(m, n) where neither is given. tol is another name of atol.
    """
    lapack.matrices("matrix_rank", A, square=hermitian)
    low, share = limits("matrix_rank", A, atol if tol is None else tol, rtol)
    values = eigvalsh(A.detach()) if hermitian else svdvals(A.detach())
    return Tensor(lapack.array(lapack.above(values.numpy(), low, share).sum(-1)))


# ---------------------------------------------------------------- failures as numbers


def _valid(op: str, A: Tensor, info: np.ndarray, check: bool, what: str) -> tuple[Tensor, Tensor, Tensor]:
    """A with the identity where it failed, which matrices are good, and the numbers as a tensor."""
    if check and info.any():
        index = tuple(np.argwhere(info)[0]) if info.ndim else ()
        raise LinAlgError(f"{op}: {what}{lapack.where_it_failed(A.shape[:-2], index)}")
    good = Tensor(lapack.array(info == 0))
    safe = where(unsqueeze(unsqueeze(good, -1), -1), A, eye(A.shape[-1], dtype=A.dtype)) if info.any() else A
    return safe, unsqueeze(unsqueeze(good, -1), -1), Tensor(lapack.array(info))


@lapack.on_host
def cholesky_ex(A: Tensor, *, upper: bool = False, check_errors: bool = False) -> CholeskyEx:
    """As `cholesky`, with info (...) int32: 0, or the order of the first leading part that is not positive definite.

    The factor is NaN there. With check_errors it raises LinAlgError instead.
    """
    lapack.matrices("cholesky_ex", A, square=True)
    read = flipped(A).array if upper else A.array
    info = lapack.infos(read, np.linalg.cholesky, lapack.first_indefinite)
    safe, good, info = _valid("cholesky_ex", A, info, check_errors, "the matrix is not positive definite")
    return CholeskyEx(where(good, cholesky(safe, upper), math.nan), info)


@lapack.on_host
def inv_ex(A: Tensor, *, check_errors: bool = False) -> InvEx:
    """As `inv`, with info (...) int32: 0, or the first step of elimination that found a 0; the inverse is NaN there."""
    lapack.matrices("inv_ex", A, square=True)
    info = lapack.infos(A.array, np.linalg.inv, lapack.first_zero_pivot)
    safe, good, info = _valid("inv_ex", A, info, check_errors, lapack.SINGULAR)
    return InvEx(where(good, inv(safe), math.nan), info)


@lapack.on_host
def solve_ex(A: Tensor, B: Tensor, *, left: bool = True, check_errors: bool = False) -> SolveEx:
    """As `solve`, with info (...) int32: 0, or the first step of elimination that found a 0; X is NaN there."""
    lapack.matrices("solve_ex", A, square=True)
    _, vector = as_columns("solve_ex", A, B, left)
    info = lapack.infos(A.array, np.linalg.inv, lapack.first_zero_pivot)
    safe, good, info = _valid("solve_ex", A, info, check_errors, lapack.SINGULAR)
    return SolveEx(where(good.squeeze(-1) if vector else good, solve(safe, B, left=left), math.nan), info)


@lapack.on_host
def lu_factor_ex(A: Tensor, *, pivot: bool = True, check_errors: bool = False) -> LUFactorEx:
    """As `lu_factor`, with info (...) int32: 0, or the first pivot, counted from 1, that is 0."""
    packed, pivots = lu_factor(A, pivot=pivot)
    zero = np.diagonal(packed.detach().numpy(), axis1=-2, axis2=-1) == 0
    info = np.asarray(np.where(zero.any(-1), zero.argmax(-1) + 1, 0) if zero.shape[-1] else zero.any(-1), np.int32)
    if check_errors and info.any():
        raise LinAlgError(f"lu_factor_ex: {lapack.SINGULAR}")
    return LUFactorEx(packed, pivots, Tensor(lapack.array(info)))


# ---------------------------------------------------------------- more axes


def tensorinv(A: Tensor, ind: int = 2) -> Tensor:
    """The B of shape A.shape[ind:] + A.shape[:ind] with tensordot(B, tensordot(A, X, A.ndim - ind), ind) = X."""
    if ind <= 0:
        raise ArgumentError(f"tensorinv: expected a positive ind, got {ind}")
    first, rest = A.shape[:ind], A.shape[ind:]
    if math.prod(first) != math.prod(rest):
        raise ShapeError(f"tensorinv: {A.shape} does not split into two parts of one size at axis {ind}")
    return reshape(inv(reshape(A, [math.prod(first), math.prod(rest)])), [*rest, *first])


def tensorsolve(A: Tensor, B: Tensor, dims: Sequence[int] | None = None) -> Tensor:
    """The X with tensordot(A, X, X.ndim) = B. dims: axes of A that are moved to its end first."""
    if dims is not None:
        A = movedim(A, list(dims), list(range(A.ndim - len(dims), A.ndim)))
    shape = A.shape[B.ndim :]
    if math.prod(shape) != B.numel() or math.prod(A.shape[: B.ndim]) != B.numel():
        raise ShapeError(f"tensorsolve: A {A.shape} and B {B.shape} do not fit: expected {B.numel()} unknowns")
    return reshape(solve(reshape(A, [B.numel(), B.numel()]), reshape(B, [-1])), shape)


def vander(x: Tensor, N: int | None = None) -> Tensor:
    """(..., n) to (..., n, N): the powers 0 to N - 1 of each element; N is n where it is left out."""
    if not x.ndim:
        raise ShapeError("vander: expected at least one axis")
    columns = x.shape[-1] if N is None else N
    if columns <= 0 and N is not None:
        raise ArgumentError(f"vander: expected a positive N, got {N}")
    powers = [x * 0 + 1]
    for _ in range(columns - 1):
        powers.append(powers[-1] * x)
    return narrow(stack(powers, -1), -1, 0, max(columns, 0))
