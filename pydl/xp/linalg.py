"""The extension `linalg` of the standard, and the products of the main namespace."""

from collections.abc import Sequence
from typing import Any

from pydl import _C, ops
from pydl.errors import ShapeError
from pydl.ops import decompose
from pydl.ops import linalg as functions
from pydl.ops import solve as equations
from pydl.ops.decompose import EighResult, QRResult, SVDResult
from pydl.ops.shape import broadcast_shape, expand, transpose, unsqueeze
from pydl.ops.solve import SlogdetResult
from pydl.tensor import Tensor
from pydl.xp.dtypes import checked, pair
from pydl.xp.statistics import sum

__all__ = [
    "cholesky",
    "cross",
    "det",
    "diagonal",
    "eigh",
    "eigvalsh",
    "inv",
    "matmul",
    "matrix_norm",
    "matrix_power",
    "matrix_rank",
    "matrix_transpose",
    "outer",
    "pinv",
    "qr",
    "slogdet",
    "solve",
    "svd",
    "svdvals",
    "tensordot",
    "trace",
    "vecdot",
    "vector_norm",
]

NUMERIC = ("integral", "real floating")
Dtype = _C.dtype | None


def matmul(x1: Tensor, x2: Tensor, /) -> Tensor:
    """(..., m, k) by (..., k, n); a vector is a row on the left and a column on the right."""
    a, b, _ = pair("matmul", checked("matmul", x1), checked("matmul", x2), *NUMERIC)
    return ops.matmul(a, b)


def matrix_transpose(x: Tensor, /) -> Tensor:
    """The last two axes exchanged."""
    if checked("matrix_transpose", x).ndim < 2:
        raise ShapeError(f"matrix_transpose: expected at least 2 axes, got shape {x.shape}")
    return transpose(x, -1, -2)


def tensordot(x1: Tensor, x2: Tensor, /, *, axes: int | tuple[Sequence[int], Sequence[int]] = 2) -> Tensor:
    """The sums of products over pairs of axes: the last of x1 with the first of x2, or two lists of axes."""
    a, b, _ = pair("tensordot", checked("tensordot", x1), checked("tensordot", x2), *NUMERIC)
    return ops.tensordot(a, b, axes)


def vecdot(x1: Tensor, x2: Tensor, /, *, axis: int = -1) -> Tensor:
    """The sums of products along axis, broadcast over the others. axis is negative: it counts from the end."""
    a, b, _ = pair("vecdot", checked("vecdot", x1), checked("vecdot", x2), *NUMERIC)
    return ops.vecdot(a, b, dim=axis)


def outer(x1: Tensor, x2: Tensor, /) -> Tensor:
    """(m,) and (n,) to (m, n)."""
    a, b, _ = pair("outer", checked("outer", x1), checked("outer", x2), *NUMERIC)
    return ops.outer(a, b)


def cross(x1: Tensor, x2: Tensor, /, *, axis: int = -1) -> Tensor:
    """The cross products of vectors of 3 along axis, broadcast."""
    a, b, _ = pair("cross", checked("cross", x1), checked("cross", x2), *NUMERIC)
    n = max(a.ndim, b.ndim)
    for x in (a, b):
        if x.ndim == 0 or not -x.ndim <= axis < n or x.shape[axis - n if axis >= 0 else axis] != 3:
            raise ShapeError(f"cross: expected size 3 of axis {axis}, got {x1.shape} and {x2.shape}")
    shape = broadcast_shape("cross", a.shape, b.shape)
    return ops.cross(expand(a, shape), expand(b, shape), axis)


def trace(x: Tensor, /, *, offset: int = 0, dtype: Dtype = None) -> Tensor:
    """The sums of a diagonal of each matrix; of integers as int64."""
    return sum(diagonal(x, offset=offset), axis=-1, dtype=dtype)


def diagonal(x: Tensor, /, *, offset: int = 0) -> Tensor:
    """A diagonal of each matrix, as the last axis; offset > 0 lies above the main one."""
    return ops.diagonal(checked("diagonal", x), offset, -2, -1)


def cholesky(x: Tensor, /, *, upper: bool = False) -> Tensor:
    """L of x = L L^T for symmetric positive definite matrices; upper: L^T."""
    return decompose.cholesky(x, upper)


def det(x: Tensor, /) -> Tensor:
    """The determinants."""
    return equations.det(x)


def slogdet(x: Tensor, /) -> SlogdetResult:
    """(sign, logabsdet) of the determinants."""
    return equations.slogdet(x)


def inv(x: Tensor, /) -> Tensor:
    """The inverses."""
    return equations.inv(x)


def pinv(x: Tensor, /, *, rtol: Any = None) -> Tensor:
    """The pseudo-inverses; singular values up to rtol times the largest count as 0."""
    return equations.pinv(x, rtol=rtol)


def solve(x1: Tensor, x2: Tensor, /) -> Tensor:
    """The solutions of x1 y = x2; x2 of one axis is a vector, else a stack of matrices."""
    a, b, _ = pair("solve", checked("solve", x1), checked("solve", x2), "real floating")
    return equations.solve(a, unsqueeze(b, -1)).squeeze(-1) if b.ndim == 1 else equations.solve_columns(a, b)


def eigh(x: Tensor, /) -> EighResult:
    """(eigenvalues, eigenvectors) of symmetric matrices, in ascending order."""
    return decompose.eigh(x)


def eigvalsh(x: Tensor, /) -> Tensor:
    """The eigenvalues of symmetric matrices, in ascending order."""
    return decompose.eigvalsh(x)


def qr(x: Tensor, /, *, mode: str = "reduced") -> QRResult:
    """(Q, R) with x = Q R; mode: 'reduced' or 'complete'."""
    return decompose.qr(x, mode)


def svd(x: Tensor, /, *, full_matrices: bool = True) -> SVDResult:
    """(U, S, Vh) with x = U diag(S) Vh."""
    return decompose.svd(x, full_matrices)


def svdvals(x: Tensor, /) -> Tensor:
    """The singular values, in descending order."""
    return decompose.svdvals(x)


def matrix_norm(x: Tensor, /, *, keepdims: bool = False, ord: float | str | None = "fro") -> Tensor:
    """The norms of matrices: 'fro', 'nuc', 1, -1, 2, -2, inf or -inf."""
    return functions.matrix_norm(x, "fro" if ord is None else ord, keepdim=keepdims)


def matrix_power(x: Tensor, n: int, /) -> Tensor:
    """Matrices multiplied n times by themselves; negative n of the inverse."""
    return functions.matrix_power(x, n)


def matrix_rank(x: Tensor, /, *, rtol: Any = None) -> Tensor:
    """How many singular values lie above rtol times the largest; int64."""
    return functions.matrix_rank(x, rtol=rtol)


def vector_norm(
    x: Tensor, /, *, axis: int | tuple[int, ...] | None = None, keepdims: bool = False, ord: float = 2
) -> Tensor:
    """(sum |x|^ord)^(1/ord) over axis, of all elements where that is None."""
    return functions.vector_norm(checked("vector_norm", x, "real floating"), ord, axis, keepdims)
