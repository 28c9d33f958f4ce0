"""LAPACK through numpy.linalg, on arrays of float32 or float64 of shape (..., m, n): what the rules of decompose.py and
solve.py are written around. A failure names the operation and the matrix of the batch. Matrices on a GPU make the way
by the CPU."""

import functools
import itertools
from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar

import numpy as np

from pydl import _C
from pydl.errors import DeviceError, DtypeError, LinAlgError, ShapeError
from pydl.ops.convert import to
from pydl.tensor import Tensor

P = ParamSpec("P")
R = TypeVar("R")
_cpu = _C.device("cpu")

LEAF = 64  # size of the triangles that are solved directly
PANEL = 32  # columns that an LU factorization eliminates one by one
LARGE = 128  # rows from which on our own products make up for more calls than LAPACK's


def matrices(op: str, *tensors: Tensor, square: bool = False) -> None:
    """Raises unless all hold matrices (square ones) of one dtype, float32 or float64."""
    for x in tensors:
        if not isinstance(x, Tensor):
            raise DtypeError(f"{op}: expected a tensor, got {type(x).__name__}")
        if x.dtype not in (_C.float32, _C.float64):
            raise DtypeError(f"{op}: expected float32 or float64, got {x.dtype}")
        if x.dtype is not tensors[0].dtype:
            raise DtypeError(f"{op}: expected one dtype, got {tensors[0].dtype} and {x.dtype}")
        if x.ndim < 2:
            raise ShapeError(f"{op}: expected at least 2 axes, got shape {x.shape}")
        if square and x.shape[-1] != x.shape[-2]:
            raise ShapeError(f"{op}: expected square matrices, got shape {x.shape}")


def on_host(function: Callable[P, R]) -> Callable[P, R]:
    """The function of matrices on a GPU too: they are copied to the CPU, and the tensors that it makes back.

    Copies are operations: gradients of all orders come back to the GPU. The host waits for the device.
    Raises: DeviceError for tensors on different devices; single numbers may stay on the CPU.
    """

    @functools.wraps(function)
    def run(*args: P.args, **kwargs: P.kwargs) -> R:
        if not any(isinstance(x, Tensor) and x.device.type != "cpu" for x in (*args, *kwargs.values())):
            return function(*args, **kwargs)
        given = [x for x in (*args, *kwargs.values()) if isinstance(x, Tensor) and (x.ndim or x.device.type != "cpu")]
        places = {str(x.device): x.device for x in given}
        if len(places) > 1:
            raise DeviceError(f"{function.__name__}: expected all tensors on one device, got {' and '.join(places)}")
        (where,) = places.values()
        here: Any = function(*[_moved(x, _cpu) for x in args], **{k: _moved(x, _cpu) for k, x in kwargs.items()})
        made = type(here)(*[_moved(x, where) for x in here]) if isinstance(here, tuple) else _moved(here, where)
        return made

    return run


def _moved(x: Any, device: _C.device) -> Any:
    return to(x, device=device) if isinstance(x, Tensor) else x


def numbers(a: _C.Array) -> np.ndarray:
    """The NumPy array on a's memory."""
    return _C.to_numpy(a)


def array(x: Any) -> _C.Array:
    """An Array on the memory of a NumPy array."""
    return _C.from_numpy(np.asarray(x))


def where_it_failed(batch: tuple[int, ...], index: tuple[int, ...]) -> str:
    """' (batch index i, j)', or nothing where there is no batch."""
    return f" (batch index {', '.join(map(str, index))})" if batch else ""


def attempt(op: str, what: str, function: Callable[..., Any], *arrays: np.ndarray, **options: Any) -> Any:
    """function(*arrays), whose LinAlgError becomes ours and names the first matrix of the batch that fails."""
    with np.errstate(all="ignore"):
        try:
            return function(*arrays, **options)
        except np.linalg.LinAlgError:
            pass
        batch = np.broadcast_shapes(*[a.shape[:-2] for a in arrays])
        spread = [np.broadcast_to(a, batch + a.shape[-2:]) for a in arrays]
        for index in itertools.product(*map(range, batch)):
            try:
                function(*[a[index] for a in spread], **options)
            except np.linalg.LinAlgError:
                raise LinAlgError(f"{op}: {what}{where_it_failed(batch, index)}") from None
    raise LinAlgError(f"{op}: {what}")


SINGULAR = "the matrix is singular"
NO_END = "the iteration did not converge: expected finite elements"


def cholesky(a: _C.Array) -> _C.Array:
    return array(attempt("cholesky", "the matrix is not positive definite", np.linalg.cholesky, numbers(a)))


def inv(a: _C.Array, op: str) -> _C.Array:
    x = numbers(a)
    if x.shape[-1] < LARGE:
        return array(attempt(op, SINGULAR, np.linalg.inv, x))
    return array(_solved(op, a, np.broadcast_to(np.eye(x.shape[-1], dtype=x.dtype), x.shape)))


def solve(a: _C.Array, b: _C.Array) -> _C.Array:
    x, y = numbers(a), numbers(b)
    if x.shape[-1] < LARGE or x.shape[:-2] != y.shape[:-2]:
        return array(attempt("solve", SINGULAR, np.linalg.solve, x, y))
    return array(_solved("solve", a, y))


def _solved(op: str, a: _C.Array, y: np.ndarray) -> np.ndarray:
    """A^-1 y of (..., n, n) and (..., n, k) by the factors of A."""
    packed, pivots = lu(a, True)
    zero = (np.diagonal(packed, axis1=-2, axis2=-1) == 0).any(-1)
    if zero.any():
        raise LinAlgError(f"{op}: {SINGULAR}{where_it_failed(zero.shape, tuple(np.argwhere(zero)[0]))}")
    out = np.take_along_axis(y, permutation(pivots, y.shape[-2])[..., None], -2)
    flat, factors = out.reshape(-1, *out.shape[-2:]), packed.reshape(-1, *packed.shape[-2:])
    with np.errstate(all="ignore"):
        _substitute(factors, flat, False, True)
        _substitute(factors, flat, True, False)
    return flat.reshape(out.shape)


def det(a: _C.Array) -> _C.Array:
    x = numbers(a)
    with np.errstate(all="ignore"):
        if x.shape[-1] < LARGE:
            return array(np.linalg.det(x))
        sign, logarithm = _log_of_steps(a)
        return array((sign * np.exp(logarithm)).astype(x.dtype))


def slogdet(a: _C.Array) -> tuple[_C.Array, _C.Array]:
    x = numbers(a)
    with np.errstate(all="ignore"):
        sign, logarithm = np.linalg.slogdet(x) if x.shape[-1] < LARGE else _log_of_steps(a)
    return array(sign.astype(x.dtype)), array(logarithm.astype(x.dtype))


def _log_of_steps(a: _C.Array) -> tuple[np.ndarray, np.ndarray]:
    """Sign and logarithm of the determinant (...), float64: of the diagonal of U, and of the exchanges."""
    packed, pivots = lu(a, True)
    steps = np.diagonal(packed, axis1=-2, axis2=-1).astype(np.float64)
    moved = (pivots != np.arange(pivots.shape[-1])).sum(-1)
    return np.sign(steps).prod(-1) * (1 - 2 * (moved % 2)), np.log(np.abs(steps)).sum(-1)


def adjugate(a: _C.Array) -> _C.Array:
    """det(A) A^-1 by singular values, right for singular matrices too: V (products of the other values) U^T."""
    x = numbers(a)
    u, s, vh = attempt("det", NO_END, np.linalg.svd, x)
    n = s.shape[-1]
    rest = np.stack([np.prod(np.delete(s, i, -1), axis=-1) for i in range(n)], -1) if n else s
    sign = np.linalg.det(u) * np.linalg.det(vh)
    return array((np.swapaxes(vh, -1, -2) * (rest * sign[..., None])[..., None, :]) @ np.swapaxes(u, -1, -2))


def qr(a: _C.Array, complete: bool) -> tuple[_C.Array, _C.Array]:
    return tuple(map(array, np.linalg.qr(numbers(a), mode="complete" if complete else "reduced")))


def eigh(a: _C.Array, upper: bool) -> tuple[_C.Array, _C.Array]:
    return tuple(map(array, attempt("eigh", NO_END, np.linalg.eigh, numbers(a), UPLO="U" if upper else "L")))


def eig(a: _C.Array) -> tuple[_C.Array, _C.Array]:
    x = numbers(a)
    values, vectors = attempt("eig", NO_END, np.linalg.eig, x)
    if values.dtype.kind == "c" and values.imag.any():
        index = tuple(np.argwhere(values.imag != 0)[0])
        raise LinAlgError(
            f"eig: an eigenvalue is complex, {values[index]:.4g}{where_it_failed(x.shape[:-2], index[:-1])}, and there "
            "is no complex dtype: expected matrices with real eigenvalues (eigh is for symmetric ones)"
        )
    return array(values.real.astype(x.dtype)), array(vectors.real.astype(x.dtype))


def svd(a: _C.Array, full: bool) -> tuple[_C.Array, _C.Array, _C.Array]:
    return tuple(map(array, attempt("svd", NO_END, np.linalg.svd, numbers(a), full_matrices=full)))


def pinv(a: _C.Array, atol: np.ndarray, rtol: np.ndarray, hermitian: bool) -> _C.Array:
    """V S^-1 U^T over the singular values above max(atol, rtol * the largest)."""
    x = numbers(a)
    if hermitian:
        values, v = attempt("pinv", NO_END, np.linalg.eigh, x)
        u, vh = v, np.swapaxes(v, -1, -2)
    else:
        u, values, vh = attempt("pinv", NO_END, np.linalg.svd, x, full_matrices=False)
    kept = above(values, atol, rtol)
    inverse = np.where(kept, 1 / np.where(kept, values, 1), 0).astype(x.dtype)
    return array((np.swapaxes(vh, -1, -2) * inverse[..., None, :]) @ np.swapaxes(u, -1, -2))


def above(values: np.ndarray, atol: Any, rtol: Any) -> np.ndarray:
    """Which singular values count: those larger than max(atol, rtol * the largest)."""
    size = np.abs(values)
    largest = size.max(-1, initial=0.0)
    return size > np.maximum(atol, rtol * largest)[..., None]


def lstsq(a: _C.Array, b: _C.Array, rcond: float) -> tuple[_C.Array, _C.Array, _C.Array]:
    """(solution, rank, singular values) of every matrix of the batch; a and b have the same batch."""
    x, y = numbers(a), numbers(b)
    batch, (m, n) = x.shape[:-2], x.shape[-2:]
    solution, rank = np.zeros((*batch, n, y.shape[-1]), x.dtype), np.zeros(batch, np.int64)
    values = np.zeros((*batch, min(m, n)), x.dtype)
    for index in itertools.product(*map(range, batch)):
        try:
            solution[index], _, rank[index], values[index] = np.linalg.lstsq(x[index], y[index], rcond=rcond)
        except np.linalg.LinAlgError:
            raise LinAlgError(f"lstsq: {NO_END}{where_it_failed(batch, index)}") from None
    return array(solution), array(rank), array(values)


def solve_triangular(a: _C.Array, b: _C.Array, upper: bool, unit: bool) -> _C.Array:
    """X of A X = B for a triangle A, by halves: products do most of it."""
    x, y = numbers(a), numbers(b)
    steps = np.diagonal(x, axis1=-2, axis2=-1)
    if not unit and (steps == 0).any():
        index = tuple(np.argwhere((steps == 0).any(-1))[0]) if x.ndim > 2 else ()
        raise LinAlgError(f"solve_triangular: {SINGULAR}{where_it_failed(x.shape[:-2], index)}: its diagonal has a 0")
    batch = np.broadcast_shapes(x.shape[:-2], y.shape[:-2])
    out = np.array(np.broadcast_to(y, batch + y.shape[-2:]), order="C")
    if out.size:
        triangles = np.broadcast_to(x, batch + x.shape[-2:]).reshape(-1, *x.shape[-2:])
        with np.errstate(all="ignore"):
            _substitute(triangles, out.reshape(-1, *y.shape[-2:]), upper, unit)
    return array(out)


def _substitute(a: np.ndarray, x: np.ndarray, upper: bool, unit: bool) -> None:
    """Solves a (b, n, n) with x (b, n, k) in place: one half, its product taken off the other, the other half."""
    n = a.shape[-1]
    if n <= LEAF:
        _C.substitute(array(a), array(x), upper, unit)
        return
    half = n // 2
    first, last = (slice(half, n), slice(half)) if upper else (slice(half), slice(half, n))
    _substitute(a[:, first, first], x[:, first], upper, unit)
    _C.take_product(array(x[:, last]), array(a[:, last, first]), array(x[:, first]))
    _substitute(a[:, last, last], x[:, last], upper, unit)


def lu(a: _C.Array, pivot: bool) -> tuple[np.ndarray, np.ndarray]:
    """L and U in one (..., m, n), and the row (0-based) that each of the min(m, n) steps exchanged with its own.

    By halves of the columns; with pivot the largest element of a column comes first. A column of zeros is left so.
    """
    y = np.array(numbers(a), order="C")
    *batch, m, n = y.shape
    steps = min(m, n)
    y = y.reshape(-1, m, n) if y.size else np.zeros((0, m, n), y.dtype)
    pivots = np.zeros((len(y), steps), np.int64)
    with np.errstate(all="ignore"):
        if len(y):
            _eliminate(y, pivots, 0, steps, pivot)
        if len(y) and steps < n:
            _substitute(y[:, :steps, :steps], y[:, :steps, steps:], False, True)
    if not len(y):
        return np.zeros((*batch, m, n), y.dtype), np.zeros((*batch, steps), np.int64)
    return y.reshape(*batch, m, n), pivots.reshape(*batch, steps)


def _eliminate(y: np.ndarray, pivots: np.ndarray, start: int, stop: int, pivot: bool) -> None:
    """Columns [start, stop): one half, what it takes off the other, the other half."""
    if stop - start <= PANEL:
        _C.lu_panel(array(y), start, stop, pivot, array(pivots))
        return
    middle = start + (stop - start + PANEL) // (2 * PANEL) * PANEL
    _eliminate(y, pivots, start, middle, pivot)
    left, right = y[:, :, start:middle], y[:, :, middle:stop]
    _substitute(left[:, start:middle], right[:, start:middle], False, True)
    _C.take_product(array(right[:, middle:]), array(left[:, middle:]), array(right[:, start:middle]))
    _eliminate(y, pivots, middle, stop, pivot)


def permutation(pivots: np.ndarray, m: int) -> np.ndarray:
    """(..., m): where row i of the permuted matrix comes from, of (..., k) exchanges."""
    *batch, k = pivots.shape
    flat = pivots.reshape(-1, k) if pivots.size else np.zeros((int(np.prod(batch)), k), np.int64)
    every = np.empty((len(flat), m), np.int64)
    for own, steps in zip(every, flat.tolist(), strict=True):
        order = list(range(m))
        for j, other in enumerate(steps):
            order[j], order[other] = order[other], order[j]
        own[:] = order
    return every.reshape(*batch, m)


def infos(a: _C.Array, function: Callable[..., Any], first: Callable[[np.ndarray], int]) -> np.ndarray:
    """(...) int32: 0 where function takes the matrix, else what `first` says of it."""
    x = numbers(a)
    out = np.zeros(x.shape[:-2], np.int32)
    with np.errstate(all="ignore"):
        for index in itertools.product(*map(range, out.shape)):
            try:
                function(x[index])
            except np.linalg.LinAlgError:
                out[index] = first(x[index])
    return out


def first_indefinite(a: np.ndarray) -> int:
    """The order of the first leading part that is not positive definite."""
    low, high = 0, len(a)  # part `low` is, part `high` is not
    while high - low > 1:
        middle = (low + high) // 2
        try:
            np.linalg.cholesky(a[:middle, :middle])
            low = middle
        except np.linalg.LinAlgError:
            high = middle
    return high


def first_zero_pivot(a: np.ndarray) -> int:
    """The first step, counted from 1, at which LU finds a 0; the last where rounding hides it."""
    zero = np.flatnonzero(np.diagonal(lu(array(a), True)[0]) == 0)
    return int(zero[0]) + 1 if len(zero) else len(a)
