"""The functions of matrices that PyTorch has outside of torch.linalg. What they are made of (`pydl.ops.solve`,
`decompose` and `linalg`) is imported when one is called first: importing pydl stays cheap."""

from typing import Any, NamedTuple

from pydl.errors import ShapeError
from pydl.tensor import Tensor

__all__ = [
    "chain_matmul",
    "cholesky",
    "cholesky_inverse",
    "cholesky_solve",
    "det",
    "inverse",
    "logdet",
    "lu_solve",
    "lu_unpack",
    "matrix_exp",
    "matrix_power",
    "orgqr",
    "pinverse",
    "qr",
    "slogdet",
    "svd",
    "triangular_solve",
]


class USV(NamedTuple):
    """U, S and V with A = U diag(S) V^T."""

    U: Tensor
    S: Tensor
    V: Tensor


class Solution(NamedTuple):
    """A solution and the coefficients that were used."""

    solution: Tensor
    cloned_coefficient: Tensor


def det(input: Tensor) -> Tensor:
    """The determinants (...) of (..., n, n); see `linalg.det`."""
    from pydl.ops import solve

    return solve.det(input)


def slogdet(input: Tensor) -> Any:
    """(sign, log|det|) of (..., n, n); see `linalg.slogdet`."""
    from pydl.ops import solve

    return solve.slogdet(input)


def logdet(input: Tensor) -> Tensor:
    """The logarithms (...) of the determinants of (..., n, n); NaN where negative, -inf where 0."""
    from pydl.ops import solve

    return solve.logdet(input)


def inverse(input: Tensor) -> Tensor:
    """The inverse of (..., n, n); see `linalg.inv`."""
    from pydl.ops import solve

    return solve.inv(input)


def pinverse(input: Tensor, rcond: float = 1e-15) -> Tensor:
    """The pseudo-inverse (..., n, m) of (..., m, n); see `linalg.pinv`."""
    from pydl.ops import solve

    return solve.pinv(input, rcond)


def cholesky(input: Tensor, upper: bool = False) -> Tensor:
    """L of A = L L^T for symmetric positive definite (..., n, n); upper: L^T. See `linalg.cholesky`."""
    from pydl.ops import decompose

    return decompose.cholesky(input, upper)


def cholesky_solve(B: Tensor, L: Tensor, upper: bool = False) -> Tensor:
    """X of A X = B, from the Cholesky factor of A: L L^T = A, or with upper L^T L = A.  B: (..., n, k)."""
    from pydl.ops import solve

    return solve.cholesky_solve(B, L, upper)


def cholesky_inverse(L: Tensor, upper: bool = False) -> Tensor:
    """A^-1 from the Cholesky factor of A; see `cholesky_solve`."""
    from pydl.ops import solve

    return solve.cholesky_inverse(L, upper)


def triangular_solve(
    b: Tensor, A: Tensor, upper: bool = True, transpose: bool = False, unitriangular: bool = False
) -> Any:
    """(X, A) with A X = b, or A^T X = b with transpose; the older form of `linalg.solve_triangular`."""
    from pydl.ops import lapack, solve

    lapack.matrices("triangular_solve", b, A)
    a = A.transpose(-1, -2) if transpose else A
    return Solution(solve.solve_triangular(a, b, upper=upper != transpose, unitriangular=unitriangular), A)


def qr(input: Tensor, some: bool = True) -> Any:
    """A = Q R, reduced, or complete without some; see `linalg.qr`."""
    from pydl.ops import decompose

    return decompose.qr(input, "reduced" if some else "complete")


def svd(input: Tensor, some: bool = True, compute_uv: bool = True) -> Any:
    """(U, S, V) with A = U diag(S) V^T; see `linalg.svd`. some: reduced; without compute_uv U and V are zeros."""
    from pydl.ops import decompose

    u, s, vh = decompose.svd(input, not some)
    v = vh.transpose(-1, -2)
    return USV(u, s, v) if compute_uv else USV(u.detach() * 0.0, s, v.detach() * 0.0)


def lu_solve(b: Tensor, LU_data: Tensor, LU_pivots: Tensor) -> Tensor:
    """X of A X = b, from the compact form of A; see `linalg.lu_solve`."""
    from pydl.ops import lu

    return lu.lu_solve(LU_data, LU_pivots, b)


def lu_unpack(LU_data: Tensor, LU_pivots: Tensor, unpack_data: bool = True, unpack_pivots: bool = True) -> Any:
    """P, L and U from the compact form that `linalg.lu_factor` gives; what is not asked for is empty."""
    from pydl.ops import lu

    return lu.lu_unpack(LU_data, LU_pivots, unpack_data, unpack_pivots)


def matrix_power(input: Tensor, n: int) -> Tensor:
    """(..., m, m) multiplied n times by itself; negative n of the inverse. Cost: 2 log2(n) products."""
    from pydl.ops import linalg

    return linalg.matrix_power(input, n)


def matrix_exp(input: Tensor) -> Tensor:
    """e to the power of (..., n, n); see `linalg.matrix_exp`."""
    from pydl.ops import linalg

    return linalg.matrix_exp(input)


def orgqr(input: Tensor, tau: Tensor) -> Tensor:
    """The product of Householder reflections; see `linalg.householder_product`."""
    from pydl.ops import linalg

    return linalg.householder_product(input, tau)


def chain_matmul(*matrices: Tensor) -> Tensor:
    """The product of one or more matrices in the order of fewest multiplications; see `linalg.multi_dot`."""
    from pydl.ops import linalg

    for x in matrices:
        if not isinstance(x, Tensor) or x.ndim != 2:
            raise ShapeError(f"chain_matmul: expected matrices, got {getattr(x, 'shape', type(x).__name__)}")
    return matrices[0] * 1 if len(matrices) == 1 else linalg.multi_dot(matrices)
