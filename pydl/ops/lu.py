"""LU factorization with row exchanges, (..., m, n) of float32 and float64. numpy.linalg has none: lapack.py
eliminates by panels. Which rows are exchanged is found outside the graph; the gradient is of the
factors for that order."""

from typing import NamedTuple

import numpy as np

from pydl import _C
from pydl.autograd.mode import mode
from pydl.autograd.several import Several
from pydl.errors import ArgumentError, DtypeError, ShapeError
from pydl.ops import lapack
from pydl.ops.arrange import tril, triu
from pydl.ops.create import eye
from pydl.ops.decompose import divided
from pydl.ops.gemm import matmul
from pydl.ops.index import gather
from pydl.ops.shape import cat, narrow
from pydl.ops.solve import SolveTriangular, flipped, solve_triangular
from pydl.tensor import Tensor


class LUResult(NamedTuple):
    """P, L and U with A = P L U."""

    P: Tensor
    L: Tensor
    U: Tensor


class LUFactors(NamedTuple):
    """L (without its ones) and U in one matrix, and the exchanges of rows, counted from 1."""

    LU: Tensor
    pivots: Tensor


class SquareLU(Several):
    """L and U of matrices whose rows are in order; `packed` holds both."""

    def kernel(a, packed):
        both = packed[..., : a.shape[-2], : a.shape[-1]]
        lower = np.tril(both, -1) + np.eye(both.shape[-1], dtype=both.dtype)
        return lapack.array(lower), lapack.array(np.triu(both))

    def vjp(g, a, lower, upper, packed):
        gl, gu = g.get(0), g.get(1)
        middle = 0.0
        if gl is not None:
            middle = tril(matmul(flipped(lower), gl), -1)
        if gu is not None:
            middle = middle + triu(matmul(gu, flipped(upper)))
        left = SolveTriangular.apply(flipped(lower), middle, upper=True, unit=True)
        return (divided(left, upper),)


def _factors(a: Tensor, pivot: bool) -> tuple[np.ndarray, np.ndarray, Tensor, Tensor]:
    """The exchanges, where each row comes from, L and U; differentiable, as the leading square and what follows it."""
    packed, pivots = lapack.lu(a.array, pivot)
    m, n = a.shape[-2:]
    k = min(m, n)
    order = lapack.permutation(pivots, m)
    places = Tensor(lapack.array(np.ascontiguousarray(np.broadcast_to(order[..., None], a.shape))))
    rows = gather(a, -2, places) if a.numel() else a
    lower, upper = SquareLU.apply(narrow(narrow(rows, -2, 0, k), -1, 0, k), packed=packed)
    if n > k:
        rest = narrow(narrow(rows, -2, 0, k), -1, k, n - k)
        upper = cat([upper, solve_triangular(lower, rest, upper=False, unitriangular=True)], -1)
    if m > k:
        below = narrow(narrow(rows, -2, k, m - k), -1, 0, k)
        lower = cat([lower, _below(packed, upper, below, k)], -2)
    return pivots, order, lower, upper


def _below(packed: np.ndarray, upper: Tensor, below: Tensor, k: int) -> Tensor:
    """The rows of L below the square: below U^-1; as they were found where U is singular and nothing is recorded."""
    if not (below.requires_grad or upper.requires_grad):
        return Tensor(lapack.array(np.ascontiguousarray(packed[..., k:, :k])))
    return solve_triangular(upper, below, upper=True, left=False)


@lapack.on_host
def lu(A: Tensor, *, pivot: bool = True) -> LUResult:
    """A = P L U: a permutation (..., m, m), L (..., m, k) with ones on its diagonal, U (..., k, n), k = min(m, n).

    Args: pivot: exchange rows so that the largest element comes first; without, P is empty.
    The gradient needs the leading k columns of A to be independent. Cost: 2/3 n^3 flop.
    """
    lapack.matrices("lu", A)
    _, order, lower, upper = _factors(A, pivot)
    if not pivot:
        return LUResult(Tensor(_C.empty([0], A.dtype, A.device)), lower, upper)
    m = A.shape[-2]
    p = (np.arange(m)[:, None] == order[..., None, :]).astype(A.dtype.name)  # (P x)_order[i] = x_i
    return LUResult(Tensor(lapack.array(p)), lower, upper)


@lapack.on_host
def lu_factor(A: Tensor, *, pivot: bool = True) -> LUFactors:
    """The compact form of `lu`: (LU (..., m, n), pivots (..., k) int32, counted from 1)."""
    lapack.matrices("lu_factor", A)
    if not (A.requires_grad and mode.enabled):
        packed, exchanges = lapack.lu(A.array, pivot)
        return LUFactors(Tensor(lapack.array(packed)), Tensor(lapack.array((exchanges + 1).astype(np.int32))))
    pivots, _, lower, upper = _factors(A, pivot)
    m, n = A.shape[-2:]
    k = min(m, n)
    square = tril(narrow(lower, -2, 0, k), -1) + narrow(upper, -1, 0, k)
    both = cat([square, narrow(upper, -1, k, n - k)], -1) if n > k else square
    both = cat([both, narrow(lower, -2, k, m - k)], -2) if m > k else both
    return LUFactors(both, Tensor(lapack.array((pivots + 1).astype(np.int32))))


def _order_of(op: str, packed: Tensor, pivots: Tensor) -> np.ndarray:
    """(..., m): where each row of the permuted matrix comes from."""
    k = min(packed.shape[-2:])
    if pivots.dtype is not _C.int32 or pivots.shape != (*packed.shape[:-2], k):
        raise DtypeError(
            f"{op}: expected int32 pivots of shape {(*packed.shape[:-2], k)}, got {pivots.dtype} {pivots.shape}"
        )
    steps = lapack.numbers(pivots.array).astype(np.int64) - 1
    if steps.size and (steps.min() < 0 or steps.max() >= packed.shape[-2]):
        raise ArgumentError(f"{op}: expected pivots in [1, {packed.shape[-2]}]")
    return lapack.permutation(steps, packed.shape[-2])


@lapack.on_host
def lu_unpack(LU_data: Tensor, LU_pivots: Tensor, unpack_data: bool = True, unpack_pivots: bool = True) -> LUResult:
    """P, L and U from the compact form that `lu_factor` gives; what is not asked for is empty."""
    lapack.matrices("lu_unpack", LU_data)
    m, n = LU_data.shape[-2:]
    k = min(m, n)
    nothing = Tensor(_C.empty([0], LU_data.dtype, LU_data.device))
    p = lower = upper = nothing
    if unpack_pivots:
        order = _order_of("lu_unpack", LU_data, LU_pivots)
        p = Tensor(lapack.array((np.arange(m)[:, None] == order[..., None, :]).astype(LU_data.dtype.name)))
    if unpack_data:
        lower = tril(narrow(LU_data, -1, 0, k), -1) + eye(m, k, dtype=LU_data.dtype)
        upper = triu(narrow(LU_data, -2, 0, k))
    return LUResult(p, lower, upper)


@lapack.on_host
def lu_solve(LU: Tensor, pivots: Tensor, B: Tensor, *, left: bool = True, adjoint: bool = False) -> Tensor:
    """X of A X = B (left) or X A = B, from `lu_factor` of A; adjoint: of A^T.

    Raises: LinAlgError for a singular A.
    """
    lapack.matrices("lu_solve", LU, B)
    lapack.matrices("lu_solve", LU, square=True)
    if not left:  # X A = B is A^T X^T = B^T
        return flipped(lu_solve(LU, pivots, flipped(B), adjoint=not adjoint))
    if B.shape[-2] != LU.shape[-1]:
        raise ShapeError(f"lu_solve: {B.shape} does not match {LU.shape}: expected size {LU.shape[-1]} in axis -2")
    p = lu_unpack(LU, pivots, unpack_data=False).P
    if adjoint:
        half = solve_triangular(flipped(LU), B, upper=False)
        return matmul(p, solve_triangular(flipped(LU), half, upper=True, unitriangular=True))
    half = solve_triangular(LU, matmul(flipped(p), B), upper=False, unitriangular=True)
    return solve_triangular(LU, half, upper=True)
