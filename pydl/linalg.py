"""Linear algebra under torch.linalg's names. Matrices are the last two axes, the others a batch; float32 and float64.

Factorizations go through LAPACK (numpy.linalg); all are differentiable to any order. Matrices on a GPU are copied to
the CPU for them, and what they make back. A matrix that is singular, not positive definite, or has complex eigenvalues
raises LinAlgError, which names its place in the batch.
"""

from pydl.errors import LinAlgError
from pydl.ops.arrange import diagonal as _diagonal
from pydl.ops.decompose import cholesky as _cholesky
from pydl.ops.decompose import eig, eigh, eigvals, eigvalsh, qr, svd, svdvals
from pydl.ops.gemm import matmul
from pydl.ops.linalg import (
    cholesky_ex,
    cond,
    householder_product,
    inv_ex,
    lu_factor_ex,
    matrix_exp,
    matrix_norm,
    matrix_power,
    matrix_rank,
    multi_dot,
    norm,
    solve_ex,
    tensorinv,
    tensorsolve,
    vander,
    vector_norm,
)
from pydl.ops.lu import lu, lu_factor, lu_solve, lu_unpack
from pydl.ops.products import cross as _cross
from pydl.ops.products import vecdot
from pydl.ops.solve import (
    cholesky_inverse,
    cholesky_solve,
    det,
    inv,
    logdet,
    lstsq,
    pinv,
    slogdet,
    solve,
    solve_triangular,
)
from pydl.tensor import Tensor

__all__ = [
    "LinAlgError",
    "cholesky",
    "cholesky_ex",
    "cholesky_inverse",
    "cholesky_solve",
    "cond",
    "cross",
    "det",
    "diagonal",
    "eig",
    "eigh",
    "eigvals",
    "eigvalsh",
    "householder_product",
    "inv",
    "inv_ex",
    "logdet",
    "lstsq",
    "lu",
    "lu_factor",
    "lu_factor_ex",
    "lu_solve",
    "lu_unpack",
    "matmul",
    "matrix_exp",
    "matrix_norm",
    "matrix_power",
    "matrix_rank",
    "multi_dot",
    "norm",
    "pinv",
    "qr",
    "slogdet",
    "solve",
    "solve_ex",
    "solve_triangular",
    "svd",
    "svdvals",
    "tensorinv",
    "tensorsolve",
    "vander",
    "vecdot",
    "vector_norm",
]


def cholesky(A: Tensor, *, upper: bool = False) -> Tensor:
    """L of A = L L^T for symmetric positive definite (..., n, n), of which the lower triangle is read.

    Args: upper: L^T instead, from the upper triangle.
    The gradient is symmetric. Raises: LinAlgError for a matrix that is not positive definite.
    """
    return _cholesky(A, upper)


def diagonal(A: Tensor, *, offset: int = 0, dim1: int = -2, dim2: int = -1) -> Tensor:
    """A diagonal of each matrix, as the last axis; offset > 0 lies above the main one."""
    return _diagonal(A, offset, dim1, dim2)


def cross(input: Tensor, other: Tensor, *, dim: int = -1) -> Tensor:
    """The cross products of vectors of 3 along dim, broadcast."""
    return _cross(input, other, dim)
