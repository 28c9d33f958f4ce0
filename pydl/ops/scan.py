"""Running extremes and running sums in other forms, along one axis."""

from pydl import _C
from pydl.errors import DtypeError, ShapeError
from pydl.ops.arithmetic import logaddexp
from pydl.ops.reduce import cumsum, sum
from pydl.ops.shape import cat, narrow, reshape, wrap
from pydl.ops.sort import Ranked, taken
from pydl.tensor import Tensor

__all__ = ["cummax", "cummin", "cumulative_trapezoid", "logcumsumexp", "trapezoid", "trapz"]


def cummax(input: Tensor, dim: int) -> Ranked:
    """The largest of the elements up to each one along dim, and its index: the last of equal ones; NaN stays."""
    at = wrap(dim, input.ndim, "cummax")
    return taken(input, at, _C.cummax(input.array, at))


def cummin(input: Tensor, dim: int) -> Ranked:
    """The smallest of the elements up to each one along dim, and its index: the last of equal ones; NaN stays."""
    at = wrap(dim, input.ndim, "cummin")
    return taken(input, at, _C.cummin(input.array, at))


def logcumsumexp(input: Tensor, dim: int) -> Tensor:
    """log of the sums of exp(x) up to each element along dim, without overflow.

    Source: Hillis & Steele 1986, Data parallel algorithms: log2(n) passes, each over twice the distance.
    """
    if not input.array.is_floating:
        raise DtypeError(f"logcumsumexp: expected a floating dtype, got {input.dtype}")
    at = wrap(dim, input.ndim, "logcumsumexp")
    half = input.dtype is _C.float16 or input.dtype is _C.bfloat16
    y = input.to(_C.float32) if half else input
    size, step = (input.shape[at] if input.ndim else 1), 1
    while step < size:
        later = logaddexp(narrow(y, at, step, size - step), narrow(y, at, 0, size - step))
        y = cat([narrow(y, at, 0, step), later], at)
        step *= 2
    return y.to(input.dtype) if half else y.clone() if y is input else y


# ---------------------------------------------------------------- the trapezoidal rule


def _trapezoids(op: str, y: Tensor, x: Tensor | None, dx: float | None, dim: int) -> tuple[Tensor, int]:
    """The areas between neighbours of y along an axis, and which one that is."""
    at = wrap(dim, y.ndim, op)
    if not y.ndim:
        raise ShapeError(f"{op}: expected at least one axis, got shape ()")
    if not y.array.is_floating:
        y = y.to(_C.default_dtype())
    if x is not None and dx is not None:
        raise DtypeError(f"{op}: expected x or dx, got both")
    size = y.shape[at]
    if x is None:
        left, right = _neighbours(y, at)
        return (left + right) * (0.5 * (1.0 if dx is None else dx)), at
    if x.ndim == 1:
        x = reshape(x, [-1, *[1] * (y.ndim - 1 - at)])
    axis = x.ndim - (y.ndim - at)
    if axis < 0 or x.shape[axis] != size:
        raise ShapeError(f"{op}: x {x.shape} does not match y {y.shape}: expected {size} points along dim {dim}")
    (before, after), (left, right) = _neighbours(x, axis), _neighbours(y, at)
    areas = (after - before) * (left + right) * 0.5
    return areas, areas.ndim - (y.ndim - at)


def _neighbours(x: Tensor, dim: int) -> tuple[Tensor, Tensor]:
    size = max(x.shape[dim] - 1, 0)
    return narrow(x, dim, 0, size), narrow(x, dim, min(1, x.shape[dim]), size)


def trapezoid(y: Tensor, x: Tensor | None = None, *, dx: float | None = None, dim: int = -1) -> Tensor:
    """The integral of y along dim by trapezoids between the points x, or dx (1) apart.

    Args: x: a vector of as many points as dim has, or a tensor that broadcasts with y.
    """
    areas, at = _trapezoids("trapezoid", y, x, dx, dim)
    return sum(areas, at)


def cumulative_trapezoid(y: Tensor, x: Tensor | None = None, *, dx: float | None = None, dim: int = -1) -> Tensor:
    """The integrals of y up to each point but the first; see `trapezoid`."""
    areas, at = _trapezoids("cumulative_trapezoid", y, x, dx, dim)
    return cumsum(areas, at)


trapz = trapezoid
