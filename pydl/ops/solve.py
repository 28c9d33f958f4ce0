"""Systems of equations, inverses and determinants. Their gradients are solutions and products again.

Shapes: A is (..., n, n) (of pinv and lstsq (..., m, n)); batch axes broadcast. float32 and float64.
"""

import math
from typing import Any, NamedTuple

import numpy as np

from pydl import _C
from pydl.autograd.op import Op, Unary
from pydl.autograd.several import Several
from pydl.errors import ArgumentError, DtypeError, ShapeError
from pydl.ops import lapack
from pydl.ops.arrange import diagonal, tril, triu
from pydl.ops.compare import where
from pydl.ops.create import eye
from pydl.ops.gemm import matmul
from pydl.ops.shape import broadcast_shape, expand, squeeze, transpose, unsqueeze
from pydl.tensor import Tensor


def flipped(x: Tensor) -> Tensor:
    """The transposes of matrices."""
    return transpose(x, -1, -2)


class Inv(Op):
    kernel = lapack.inv
    saves_output = True
    uses = ()

    def vjp(g, a, y, op):
        return (lambda: -matmul(matmul(flipped(y), g), flipped(y)),)


class Solve(Op):
    """X of A X = B."""

    kernel = lapack.solve
    saves_output = True
    uses = (0,)

    def vjp(g, a, b, x):
        right = Solve.apply(flipped(a), g)
        return lambda: -matmul(right, flipped(x)), right


class SolveTriangular(Op):
    """X of A X = B, where of A one triangle is read; unit: its diagonal counts as 1."""

    kernel = lapack.solve_triangular
    saves_output = True
    uses = (0,)

    def vjp(g, a, b, x, upper, unit):
        right = SolveTriangular.apply(flipped(a), g, upper=not upper, unit=unit)
        cut = int(unit)

        def triangle():
            whole = -matmul(right, flipped(x))
            return triu(whole, cut) if upper else tril(whole, -cut)

        return triangle, right


def _adjugate_plain(a):
    """det(A) A^-1 as a polynomial in A (Faddeev & LeVerrier), which has all derivatives, singular or not."""
    n = a.shape[-1]
    one = eye(n, dtype=a.dtype)
    y = expand(one, a.shape)
    for k in range(1, n):
        product = matmul(a, y)
        y = product - one * (diagonal(product, 0, -2, -1).sum(-1, keepdim=True) / k).unsqueeze(-1)
    return y if n % 2 else -y


class Adjugate(Unary):
    kernel = lapack.adjugate
    reference = _adjugate_plain


def _regular(a: Tensor) -> bool:
    """Whether the inverses are accurate enough to build on."""
    array: Any = a.array
    while not isinstance(array, _C.Array):  # the examples of vmap: all of them
        array = array.data
    with np.errstate(all="ignore"):
        condition = np.linalg.cond(lapack.numbers(array), 1)
    return bool((condition * (4 * np.finfo(condition.dtype).eps) < 1).all())


class Det(Unary):
    kernel = lapack.det
    saves_output = True

    def vjp(g, a, y):
        g = unsqueeze(unsqueeze(g, -1), -1)
        if a.numel() == 0 or _regular(a):
            return (g * unsqueeze(unsqueeze(y, -1), -1) * flipped(Inv.apply(a, op="det")),)
        return (g * flipped(Adjugate.apply(a)),)


class Slogdet(Several):
    kernel = lapack.slogdet

    def vjp(g, a, sign, logabsdet):
        slope = g.get(1)
        if slope is None:
            return (None,)
        return (unsqueeze(unsqueeze(slope, -1), -1) * flipped(Inv.apply(a, op="slogdet")),)


def _pinv_slope(g, a, p):
    """The gradient of A from that of its pseudo-inverse P, for a constant rank (Golub & Pereyra 1973, eq. 4.12)."""
    gt, pt = flipped(g), flipped(p)
    left, right = matmul(gt, matmul(p, pt)), matmul(matmul(pt, p), gt)
    return left - matmul(a, matmul(p, left)) + right - matmul(matmul(right, p), a) - matmul(matmul(pt, g), pt)


class Pinv(Op):
    kernel = lapack.pinv
    saves_output = True

    def vjp(g, a, p, atol, rtol, hermitian):
        return (_pinv_slope(g, a, p),)


class Lstsq(Several):
    """The solution of least squares, the rank and the singular values; gradients go through the solution."""

    kernel = lapack.lstsq

    def vjp(g, a, b, x, rank, values, rcond):
        slope = g.get(0)
        if slope is None:
            return None, None
        limits = {"atol": np.zeros(()), "rtol": np.full((), rcond)}
        p = Pinv.apply(a, **limits, hermitian=False)
        return lambda: _pinv_slope(matmul(slope, flipped(b)), a, p), lambda: matmul(flipped(p), slope)


class SlogdetResult(NamedTuple):
    """The sign of a determinant and the logarithm of its absolute value."""

    sign: Tensor
    logabsdet: Tensor


class LstsqResult(NamedTuple):
    """A least squares solution and what was found on the way."""

    solution: Tensor
    residuals: Tensor
    rank: Tensor
    singular_values: Tensor


# ---------------------------------------------------------------- equations


def as_columns(op: str, a: Tensor, b: Tensor, left: bool = True) -> tuple[Tensor, bool]:
    """b as (..., n, k) and whether it came as vectors: (n,), or (..., n) with the batch of a."""
    if not isinstance(b, Tensor):
        raise DtypeError(f"{op}: expected a tensor, got {type(b).__name__}")
    vector = b.ndim == 1 or (b.ndim == a.ndim - 1 and b.shape == a.shape[:-1])
    columns = unsqueeze(b, -1) if vector else b
    lapack.matrices(op, a, columns)
    axis = -2 if left else -1
    if columns.shape[axis] != a.shape[-2]:
        raise ShapeError(f"{op}: {b.shape} does not match {a.shape}: expected size {a.shape[-2]} in axis {axis}")
    broadcast_shape(op, a.shape[:-2], columns.shape[:-2])
    return columns, vector


@lapack.on_host
def solve(A: Tensor, B: Tensor, *, left: bool = True) -> Tensor:
    """X of A X = B (left) or X A = B.

    Args: A: (..., n, n).   B: (..., n, k), or vectors: (n,) or (..., n) of A's batch; right: (..., k, n).
    Raises: LinAlgError for a singular matrix, naming its place in the batch; ShapeError, DtypeError.
    """
    lapack.matrices("solve", A, square=True)
    b, vector = as_columns("solve", A, B, left)
    if vector and not left:
        raise ShapeError(f"solve: left=False expects B of shape (..., k, {A.shape[-1]}), got {B.shape}")
    if not left:
        return flipped(Solve.apply(flipped(A), flipped(b)))
    return squeeze(Solve.apply(A, b), -1) if vector else Solve.apply(A, b)


@lapack.on_host
def solve_columns(A: Tensor, B: Tensor) -> Tensor:
    """X of A X = B for B (..., n, k), never a batch of vectors."""
    lapack.matrices("solve", A, square=True)
    if B.ndim < 2 or B.shape[-2] != A.shape[-1]:
        raise ShapeError(f"solve: {B.shape} does not match {A.shape}: expected size {A.shape[-1]} in axis -2")
    broadcast_shape("solve", A.shape[:-2], B.shape[:-2])
    lapack.matrices("solve", A, B)
    return Solve.apply(A, B)


@lapack.on_host
def solve_triangular(A: Tensor, B: Tensor, *, upper: bool, left: bool = True, unitriangular: bool = False) -> Tensor:
    """X of A X = B (left) or X A = B, where only the upper or lower triangle of A is read.

    Args: A: (..., n, n).   B: (..., n, k); right: (..., k, n).   unitriangular: the diagonal of A counts as ones.
    Raises: LinAlgError where the diagonal has a 0; ShapeError, DtypeError.
    """
    lapack.matrices("solve_triangular", A, B, square=False)
    lapack.matrices("solve_triangular", A, square=True)
    axis = -2 if left else -1
    if B.shape[axis] != A.shape[-1]:
        raise ShapeError(
            f"solve_triangular: {B.shape} does not match {A.shape}: expected size {A.shape[-1]} in axis {axis}"
        )
    broadcast_shape("solve_triangular", A.shape[:-2], B.shape[:-2])
    if left:
        return SolveTriangular.apply(A, B, upper=upper, unit=unitriangular)
    return flipped(SolveTriangular.apply(flipped(A), flipped(B), upper=not upper, unit=unitriangular))


@lapack.on_host
def cholesky_solve(B: Tensor, L: Tensor, upper: bool = False) -> Tensor:
    """X of A X = B, from the Cholesky factor of A: L L^T = A, or with upper L^T L = A.  B: (..., n, k)."""
    lapack.matrices("cholesky_solve", B, L)
    lower = flipped(L) if upper else L
    half = solve_triangular(lower, B, upper=False)
    return solve_triangular(flipped(lower), half, upper=True)


@lapack.on_host
def cholesky_inverse(L: Tensor, upper: bool = False) -> Tensor:
    """A^-1 from the Cholesky factor of A; see `cholesky_solve`."""
    lapack.matrices("cholesky_inverse", L, square=True)
    return cholesky_solve(eye(L.shape[-1], dtype=L.dtype), L, upper)


@lapack.on_host
def lstsq(A: Tensor, B: Tensor, rcond: float | None = None, *, driver: str | None = None) -> LstsqResult:
    """The X of least norm that minimises |A X - B|.

    Args:
        A: (..., m, n).   B: (..., m, k), or vectors: (m,) or (..., m) of A's batch.
        rcond: singular values below rcond times the largest count as 0. Default: eps * max(m, n).
        driver: None, 'gelsd', 'gelsy', 'gelss' or 'gels': all are computed by gelsd.
    Returns: solution (..., n, k); residuals (..., k), the squared errors, empty unless m > n and all ranks are n; rank;
        singular_values. Gradients go through solution and residuals, for a rank that does not change nearby.
    """
    if driver not in (None, "gelsd", "gelsy", "gelss", "gels"):
        raise ArgumentError(f"lstsq: driver must be None, 'gelsd', 'gelsy', 'gelss' or 'gels', got {driver!r}")
    lapack.matrices("lstsq", A)
    b, vector = as_columns("lstsq", A, B)
    batch = broadcast_shape("lstsq", A.shape[:-2], b.shape[:-2])
    m, n = A.shape[-2:]
    cut = float(np.finfo(A.dtype.name).eps) * max(m, n) if rcond is None else float(rcond)
    a, b = expand(A, (*batch, m, n)), expand(b, (*batch, m, b.shape[-1]))
    x, rank, values = Lstsq.apply(a, b, rcond=cut)
    full = m > n and bool((rank == n).all())
    residuals = ((matmul(a, x) - b) ** 2).sum(-2) if full else Tensor(_C.empty([0], A.dtype, A.device))
    return LstsqResult(squeeze(x, -1) if vector else x, residuals, rank, values.detach())


# ---------------------------------------------------------------- inverses


@lapack.on_host
def inv(A: Tensor) -> Tensor:
    """The inverse of (..., n, n). Raises: LinAlgError for a singular matrix, naming its place in the batch."""
    lapack.matrices("inv", A, square=True)
    return Inv.apply(A, op="inv")


def limits(op: str, x: Tensor, atol: Any, rtol: Any) -> tuple[np.ndarray, np.ndarray]:
    """Below what singular values count as 0: rtol is eps * max(m, n) where neither is given, 0 where atol is."""
    given = [v.detach().numpy() if isinstance(v, Tensor) else v for v in (atol, rtol)]
    standard = np.finfo(x.dtype.name).eps * max(x.shape[-2:])
    low = np.asarray(0.0 if given[0] is None else given[0])
    share = np.asarray(given[1] if given[1] is not None else np.where(low > 0, 0.0, standard))
    for v in (low, share):
        if v.dtype.kind not in "fiu" or (v < 0).any():
            raise ArgumentError(f"{op}: expected tolerances that are not negative, got {v}")
        broadcast_shape(op, v.shape, x.shape[:-2])
    return low, share


@lapack.on_host
def pinv(A: Tensor, rcond: Any = None, hermitian: bool = False, *, atol: Any = None, rtol: Any = None) -> Tensor:
    """The pseudo-inverse (..., n, m) of (..., m, n).

    Args: atol, rtol: singular values up to max(atol, rtol * the largest) count as 0; numbers or tensors that broadcast
        to the batch. rcond is another name of rtol.   hermitian: A is symmetric, which is faster.
    Gradients hold for a rank that does not change nearby.
    """
    lapack.matrices("pinv", A, square=hermitian)
    low, share = limits("pinv", A, atol, rcond if rtol is None else rtol)
    return Pinv.apply(A, atol=low, rtol=share, hermitian=hermitian)


# ---------------------------------------------------------------- determinants


@lapack.on_host
def det(A: Tensor) -> Tensor:
    """The determinants (...) of (..., n, n). The gradient is the cofactors, of singular matrices too."""
    lapack.matrices("det", A, square=True)
    return Det.apply(A)


@lapack.on_host
def slogdet(A: Tensor) -> SlogdetResult:
    """(sign, log|det|) of (..., n, n); (0, -inf) of a singular matrix, whose gradient raises LinAlgError."""
    lapack.matrices("slogdet", A, square=True)
    return SlogdetResult(*Slogdet.apply(A))


@lapack.on_host
def logdet(A: Tensor) -> Tensor:
    """The logarithms (...) of the determinants; NaN where negative, -inf where 0."""
    lapack.matrices("logdet", A, square=True)
    sign, logarithm = slogdet(A)
    return where(sign < 0, math.nan, logarithm)
