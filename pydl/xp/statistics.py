"""Sums, products, extremes and moments, over some or all axes; the axes keep the standard's names and defaults."""

from pydl import _C, ops
from pydl.errors import DtypeError, ShapeError
from pydl.ops.shape import wrap
from pydl.tensor import Tensor
from pydl.xp.dtypes import checked, kind_of, promoted

__all__ = [
    "all",
    "any",
    "count_nonzero",
    "cumulative_prod",
    "cumulative_sum",
    "diff",
    "max",
    "mean",
    "min",
    "prod",
    "std",
    "sum",
    "var",
]

Axes = int | tuple[int, ...] | None
Dtype = _C.dtype | None


def _over(x: Tensor, axis: Axes) -> list[int]:
    """The axes as a list; all where none is given."""
    return list(range(x.ndim)) if axis is None else [axis] if isinstance(axis, int) else list(axis)


def _ready(op: str, x: Tensor, dtype: Dtype) -> Tensor:
    """x in the dtype in which it is summed: integers in int64."""
    checked(op, x, "integral", "real floating")
    return x.to(dtype or (x.dtype if x.array.is_floating else _C.int64))


def sum(x: Tensor, /, *, axis: Axes = None, dtype: Dtype = None, keepdims: bool = False) -> Tensor:
    """The sums over axis; of integers as int64."""
    y, axes = _ready("sum", x, dtype), _over(x, axis)
    return ops.sum(y, axes, keepdims).to(y.dtype) if axes else y.clone()


def prod(x: Tensor, /, *, axis: Axes = None, dtype: Dtype = None, keepdims: bool = False) -> Tensor:
    """The products over axis; of integers as int64."""
    y, axes = _ready("prod", x, dtype), _over(x, axis)
    return ops.prod(y, axes, keepdims).to(y.dtype) if axes else y.clone()


def max(x: Tensor, /, *, axis: Axes = None, keepdims: bool = False) -> Tensor:
    """The largest over axis; NaN wins."""
    axes = _over(checked("max", x, "integral", "real floating"), axis)
    return ops.amax(x, axes, keepdims) if axes else x.clone()


def min(x: Tensor, /, *, axis: Axes = None, keepdims: bool = False) -> Tensor:
    """The smallest over axis; NaN wins."""
    axes = _over(checked("min", x, "integral", "real floating"), axis)
    return ops.amin(x, axes, keepdims) if axes else x.clone()


def mean(x: Tensor, /, *, axis: Axes = None, keepdims: bool = False) -> Tensor:
    """The means over axis."""
    axes = _over(checked("mean", x, "real floating"), axis)
    return ops.mean(x, axes, keepdims) if axes else x.clone()


def var(x: Tensor, /, *, axis: Axes = None, correction: float = 0.0, keepdims: bool = False) -> Tensor:
    """The variances over axis: squared distances to the mean, over n - correction."""
    axes = _over(checked("var", x, "real floating"), axis)
    if not axes:
        return (x - x) / (1.0 - correction)
    return ops.var(x, axes, keepdim=keepdims, correction=correction)


def std(x: Tensor, /, *, axis: Axes = None, correction: float = 0.0, keepdims: bool = False) -> Tensor:
    """The square roots of `var`."""
    return var(x, axis=axis, correction=correction, keepdims=keepdims).sqrt()


def all(x: Tensor, /, *, axis: Axes = None, keepdims: bool = False) -> Tensor:
    """Whether none over axis is 0; bool."""
    axes = _over(checked("all", x), axis)
    return ops.all(x, axes, keepdims) if axes else x != 0


def any(x: Tensor, /, *, axis: Axes = None, keepdims: bool = False) -> Tensor:
    """Whether one over axis is not 0; bool."""
    axes = _over(checked("any", x), axis)
    return ops.any(x, axes, keepdims) if axes else x != 0


def count_nonzero(x: Tensor, /, *, axis: Axes = None, keepdims: bool = False) -> Tensor:
    """How many over axis are not 0; int64."""
    axes, hit = _over(checked("count_nonzero", x), axis), (x != 0).to(_C.int64)
    return ops.sum(hit, axes, keepdims) if axes else hit


def _running_axis(op: str, x: Tensor, axis: int | None) -> int:
    if x.ndim == 0:
        raise ShapeError(f"{op}: expected at least one axis")
    if axis is None and x.ndim > 1:
        raise ShapeError(f"{op}: expected axis for shape {x.shape}: only of one axis may it be left out")
    return wrap(0 if axis is None else axis, x.ndim, op)


def _with_initial(y: Tensor, axis: int, value: float) -> Tensor:
    first = tuple([1 if i == axis else n for i, n in enumerate(y.shape)])
    return ops.cat([Tensor(_C.full(first, value, y.dtype, y.device)), y], axis)


def cumulative_sum(
    x: Tensor, /, *, axis: int | None = None, dtype: Dtype = None, include_initial: bool = False
) -> Tensor:
    """The sums of the elements up to each one along axis; include_initial: with a 0 in front."""
    y = _ready("cumulative_sum", x, dtype)
    at = _running_axis("cumulative_sum", x, axis)
    y = ops.cumsum(y, at).to(y.dtype)
    return _with_initial(y, at, 0) if include_initial else y


def cumulative_prod(
    x: Tensor, /, *, axis: int | None = None, dtype: Dtype = None, include_initial: bool = False
) -> Tensor:
    """The products of the elements up to each one along axis; include_initial: with a 1 in front."""
    y = _ready("cumulative_prod", x, dtype)
    at = _running_axis("cumulative_prod", x, axis)
    y = ops.cumprod(y, at).to(y.dtype)
    return _with_initial(y, at, 1) if include_initial else y


def diff(
    x: Tensor, /, *, axis: int = -1, n: int = 1, prepend: Tensor | None = None, append: Tensor | None = None
) -> Tensor:
    """The differences between neighbours along axis, n times over, of x with what is put before and after it."""
    at = _running_axis("diff", checked("diff", x, "integral", "real floating"), axis)
    parts = [p for p in (prepend, x, append) if p is not None]
    d = x.dtype
    for part in parts:
        if kind_of(part.dtype) != kind_of(d):
            raise DtypeError(f"diff: {d} and {part.dtype} do not promote: expected dtypes of one kind")
        d = promoted("diff", d, part.dtype)
    whole = ops.cat([p.to(d) for p in parts], at) if len(parts) > 1 else x
    return ops.diff(whole, n, at)
