"""Factorizations of matrices (..., m, n), float32 and float64, with gradients to any order.

Where factors are not unique, gradients are right for what does not depend on the choice: signs of eigenvectors and
singular vectors, columns that complete a basis, the basis of a space of equal values. Gradients through single vectors
of equal values are infinite; those through the values alone stay finite.
Sources: Giles 2008, Collected matrix derivative results; Townsend 2016, Differentiating the singular value
decomposition; Roberts & Roberts 2020 (arXiv:2009.10071) for QR; Murray 2016 (arXiv:1602.07527) for Cholesky.
"""

from typing import NamedTuple

from pydl import _C
from pydl.autograd.op import Unary
from pydl.autograd.several import Several
from pydl.errors import ArgumentError
from pydl.ops import lapack
from pydl.ops.arrange import diagonal, tril, triu
from pydl.ops.compare import where
from pydl.ops.create import eye
from pydl.ops.gemm import matmul
from pydl.ops.shape import cat, narrow, unsqueeze
from pydl.ops.solve import SolveTriangular, flipped
from pydl.ops.solve import solve as solve_equations
from pydl.tensor import Tensor


class QRResult(NamedTuple):
    """Q and R with A = Q R."""

    Q: Tensor
    R: Tensor


class SVDResult(NamedTuple):
    """U, S and Vh with A = U diag(S) Vh."""

    U: Tensor
    S: Tensor
    Vh: Tensor


class EighResult(NamedTuple):
    """Eigenvalues in ascending order and eigenvectors in columns."""

    eigenvalues: Tensor
    eigenvectors: Tensor


class EigResult(NamedTuple):
    """Eigenvalues and eigenvectors in columns."""

    eigenvalues: Tensor
    eigenvectors: Tensor


def on_diagonal(x: Tensor) -> Tensor:
    """(..., n) as diagonal matrices (..., n, n)."""
    return unsqueeze(x, -1) * eye(x.shape[-1], dtype=x.dtype)


def half_of(x: Tensor) -> Tensor:
    """The lower triangle with half of the diagonal."""
    return tril(x) * (1.0 - 0.5 * eye(x.shape[-1], dtype=x.dtype))


# ---------------------------------------------------------------- Cholesky


class Cholesky(Unary):
    kernel = lapack.cholesky
    saves_output = True
    uses = ()

    def vjp(g, a, y):
        middle = half_of(matmul(flipped(y), tril(g)))
        right = SolveTriangular.apply(flipped(y), flipped(middle), upper=True, unit=False)  # (middle L^-1)^T
        s = SolveTriangular.apply(flipped(y), flipped(right), upper=True, unit=False)
        return ((s + flipped(s)) * 0.5,)


@lapack.on_host
def cholesky(input: Tensor, upper: bool = False) -> Tensor:
    """L of A = L L^T for symmetric positive definite (..., n, n), of which the lower triangle is read; upper: L^T.

    The gradient is symmetric. Raises: LinAlgError for a matrix that is not positive definite.
    """
    lapack.matrices("cholesky", input, square=True)
    if upper:  # the upper triangle is read
        return flipped(Cholesky.apply(flipped(input)))
    return Cholesky.apply(input)


# ---------------------------------------------------------------- QR


def _mirrored(x: Tensor) -> Tensor:
    """The symmetric matrix that has the lower triangle of x."""
    return tril(x) + flipped(tril(x, -1))


def divided(x: Tensor, r: Tensor) -> Tensor:
    """x R^-T for an upper triangle R."""
    return flipped(SolveTriangular.apply(r, flipped(x), upper=True, unit=False))


def _tall_slope(gq, gr, q, r):
    """The gradient of A = Q R with at least as many rows as columns; one of gq and gr may be None."""
    m = matmul(r, flipped(gr)) if gr is not None else 0.0
    m = m - matmul(flipped(gq), q) if gq is not None else m
    turned = matmul(q, _mirrored(m))
    return divided(turned if gq is None else gq + turned, r)


def _from_complement(x, gx, k):
    """The first k columns of an orthogonal x, their gradient, and with it that of the others, which complete a basis:
    any function of the space that they span is one of the first columns (dX2 = -X1 dX1^T X2)."""
    first, g = narrow(x, -1, 0, k), None if gx is None else narrow(gx, -1, 0, k)
    if gx is None or x.shape[-1] == k:
        return first, g
    rest, gr = narrow(x, -1, k, x.shape[-1] - k), narrow(gx, -1, k, x.shape[-1] - k)
    return first, g - matmul(rest, matmul(flipped(gr), first))


class QR(Several):
    """Reduced: Q (..., m, k), R (..., k, n), k = min(m, n); complete: Q (..., m, m), R (..., m, n)."""

    kernel = lapack.qr

    def vjp(g, a, q, r, complete):
        gq, gr = g.get(0), g.get(1)
        m, n = a.shape[-2:]
        if m >= n:
            q, gq = _from_complement(q, gq, n)
            gr = None if gr is None else triu(narrow(gr, -2, 0, n))
            return (_tall_slope(gq, gr, q, narrow(r, -2, 0, n)),)
        rest, ru = narrow(a, -1, m, n - m), narrow(r, -1, 0, m)
        if gr is None:
            return (cat([_tall_slope(gq, None, q, ru), rest * 0.0], -1),)
        gv = narrow(gr, -1, m, n - m)  # R = [U, Q^T rest]
        inner = matmul(rest, flipped(gv))
        gq = inner if gq is None else gq + inner
        return (cat([_tall_slope(gq, triu(narrow(gr, -1, 0, m)), q, ru), matmul(q, gv)], -1),)


@lapack.on_host
def qr(A: Tensor, mode: str = "reduced") -> QRResult:
    """A = Q R with orthonormal columns of Q and an upper triangle R.

    Args: A: (..., m, n).   mode: 'reduced': Q (..., m, k), R (..., k, n), k = min(m, n); 'complete': Q (..., m, m),
        R (..., m, n); 'r': R of the reduced form, and an empty Q.
    The gradient needs the first k columns of A to be independent. Raises: LinAlgError in it where they are not.
    """
    lapack.matrices("qr", A)
    if mode not in ("reduced", "complete", "r"):
        raise ArgumentError(f"qr: mode must be 'reduced', 'complete' or 'r', got {mode!r}")
    q, r = QR.apply(A, complete=mode == "complete")
    return QRResult(Tensor(_C.empty([0], A.dtype, A.device)) if mode == "r" else q, r)


# ---------------------------------------------------------------- eigenvalues


def _gaps(x: Tensor) -> Tensor:
    """x_j - x_i in (i, j), with 1 on the diagonal."""
    return unsqueeze(x, -2) - unsqueeze(x, -1) + eye(x.shape[-1], dtype=x.dtype)


def _off_diagonal(x: Tensor) -> Tensor:
    return x * (1.0 - eye(x.shape[-1], dtype=x.dtype))


class Eigh(Several):
    kernel = lapack.eigh

    def vjp(g, a, w, v, upper):
        gw, gv = g.get(0), g.get(1)
        middle = 0.0 if gw is None else on_diagonal(gw)
        if gv is not None:
            middle = middle + _off_diagonal(matmul(flipped(v), gv)) / _gaps(w)
        slope = matmul(matmul(v, middle), flipped(v))
        return ((slope + flipped(slope)) * 0.5,)


class Eig(Several):
    kernel = lapack.eig

    def vjp(g, a, w, v):
        gw, gv = g.get(0), g.get(1)
        middle = 0.0 if gw is None else on_diagonal(gw)
        if gv is not None:
            part = matmul(flipped(v), gv)
            unit = matmul(flipped(v), v) * unsqueeze(diagonal(part, 0, -2, -1), -2)  # columns of length 1
            middle = middle + _off_diagonal(part - unit) / _gaps(w)
        return (solve_equations(flipped(v), matmul(middle, flipped(v))),)


@lapack.on_host
def eigh(A: Tensor, UPLO: str = "L") -> EighResult:
    """A = V diag(w) V^T for symmetric (..., n, n), of which the lower or upper triangle is read.

    Returns: eigenvalues (..., n) in ascending order, eigenvectors (..., n, n) in columns. The gradient is symmetric.
    """
    lapack.matrices("eigh", A, square=True)
    if UPLO not in ("L", "U", "l", "u"):
        raise ArgumentError(f"eigh: UPLO must be 'L' or 'U', got {UPLO!r}")
    return EighResult(*Eigh.apply(A, upper=UPLO in "Uu"))


def eigvalsh(A: Tensor, UPLO: str = "L") -> Tensor:
    """The eigenvalues (..., n) of symmetric (..., n, n), ascending; see `eigh`."""
    return eigh(A, UPLO).eigenvalues


@lapack.on_host
def eig(A: Tensor) -> EigResult:
    """A V = V diag(w) for (..., n, n) whose eigenvalues are real: there is no complex dtype.

    Returns: eigenvalues (..., n) in no order, eigenvectors (..., n, n) in columns of length 1.
    Raises: LinAlgError for complex eigenvalues, naming the matrix in the batch.
    """
    lapack.matrices("eig", A, square=True)
    return EigResult(*Eig.apply(A))


def eigvals(A: Tensor) -> Tensor:
    """The eigenvalues (..., n) of (..., n, n), where they are real; see `eig`."""
    return eig(A).eigenvalues


# ---------------------------------------------------------------- singular values


class SVD(Several):
    kernel = lapack.svd

    def vjp(g, a, u, s, vh, full):
        k = s.shape[-1]
        gu, gs, gvh = g.get(0), g.get(1), g.get(2)
        if full:
            u, gu = _from_complement(u, gu, k)
            v, gv = _from_complement(flipped(vh), None if gvh is None else flipped(gvh), k)
            vh, gvh = flipped(v), None if gv is None else flipped(gv)
        row, middle = unsqueeze(s, -2), 0.0 if gs is None else on_diagonal(gs)
        if gu is not None or gvh is not None:
            gaps = _gaps(s) * (unsqueeze(s, -2) + unsqueeze(s, -1))  # s_j^2 - s_i^2
            gaps = where(eye(k, dtype=s.dtype) > 0, 1.0, gaps)
        if gu is not None:
            turn = matmul(flipped(u), gu)
            middle = middle + (turn - flipped(turn)) / gaps * row
        if gvh is not None:
            turn = matmul(vh, flipped(gvh))
            middle = middle + unsqueeze(s, -1) * ((turn - flipped(turn)) / gaps)
        slope = matmul(matmul(u, middle), vh)
        m, n = a.shape[-2:]
        if gu is not None and m > k:
            outside = gu / row
            slope = slope + matmul(outside - matmul(u, matmul(flipped(u), outside)), vh)
        if gvh is not None and n > k:
            outside = gvh / unsqueeze(s, -1)
            slope = slope + matmul(u, outside - matmul(matmul(outside, flipped(vh)), vh))
        return (slope,)


@lapack.on_host
def svd(A: Tensor, full_matrices: bool = True, *, driver: str | None = None) -> SVDResult:
    """A = U diag(S) Vh.

    Args: A: (..., m, n).   full_matrices: U (..., m, m) and Vh (..., n, n), else U (..., m, k) and Vh (..., k, n),
        k = min(m, n).   driver: None, 'gesvd', 'gesvdj' or 'gesvda': all are computed by gesdd.
    Returns: U, S (..., k) in descending order, Vh. Raises: LinAlgError.
    """
    if driver not in (None, "gesvd", "gesvdj", "gesvda"):
        raise ArgumentError(f"svd: driver must be None, 'gesvd', 'gesvdj' or 'gesvda', got {driver!r}")
    lapack.matrices("svd", A)
    return SVDResult(*SVD.apply(A, full=full_matrices))


def svdvals(A: Tensor, *, driver: str | None = None) -> Tensor:
    """The singular values (..., min(m, n)) of (..., m, n), descending; see `linalg.svd`."""
    return svd(A, False, driver=driver).S
