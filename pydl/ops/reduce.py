"""Reductions over some or all axes. dim may be one axis, several, or None for all; negative ones count from the end."""

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

from pydl import _C
from pydl.autograd.op import Op, Plain, Unary, recovered
from pydl.errors import ArgumentError, DtypeError
from pydl.ops.compare import isnan, where
from pydl.ops.elementary import sqrt
from pydl.ops.shape import Expand, cat, flip, movedim, narrow, reshape, wrap
from pydl.tensor import Tensor

__all__ = [
    "all",
    "amax",
    "amin",
    "aminmax",
    "any",
    "argmax",
    "argmin",
    "count_nonzero",
    "cumprod",
    "cumsum",
    "max",
    "mean",
    "min",
    "nanmean",
    "nansum",
    "norm",
    "prod",
    "std",
    "std_mean",
    "sum",
    "var",
    "var_mean",
]

Dims = int | Sequence[int] | None


class Extremum(NamedTuple):
    """The largest or smallest values along an axis and where they stand."""

    values: Tensor
    indices: Tensor


class Range(NamedTuple):
    """The smallest and the largest."""

    min: Tensor
    max: Tensor


def _axes(dim: Dims) -> list[int] | None:
    return [dim] if isinstance(dim, int) else None if dim is None else list(dim)


def _gone(x: Tensor, dim: list[int] | None) -> set[int]:
    """The axes that are reduced."""
    return {d % (x.ndim or 1) for d in dim} if dim else set(range(x.ndim))


def _kept(x: Tensor, dim: list[int] | None) -> list[int]:
    """The shape of the result with its reduced axes kept as 1."""
    gone = _gone(x, dim)
    return [1 if i in gone else s for i, s in enumerate(x.shape)]


def _dropped(x: Tensor, dim: list[int] | None) -> list[int]:
    """The shape of the result without its reduced axes."""
    gone = _gone(x, dim)
    return [s for i, s in enumerate(x.shape) if i not in gone]


def _count(x: Tensor, dim: list[int] | None) -> int:
    """How many elements go into each result."""
    return math.prod(x.shape[i] for i in _gone(x, dim) if i < x.ndim)


def _spread(g: Tensor, x: Tensor, dim: list[int] | None, keepdim: bool) -> Tensor:
    """g with the reduced axes back as 1, ready to broadcast over x."""
    return g if keepdim or dim is None else reshape(g, _kept(x, dim))


class Sum(Op):
    kernel = _C.sum
    uses = ()

    def vjp(g, x, dim=None, keepdim=False):
        return (Expand.apply(_spread(g, x, dim, keepdim), shape=x.shape),)


class SumAll(Unary):
    """The sum of all elements: what most losses end with."""

    kernel = _C.sum
    uses = ()

    def vjp(g, x):
        return (Expand.apply(g, shape=x.shape),)


def _prod_plain(x, dim=None, keepdim=False):
    """Products by halves: right to any order of derivative, also at zeros."""
    gone, rest = _gone(x, dim), _dropped(x, dim)
    order = sorted(range(x.ndim), key=lambda i: i not in gone)
    y = x.permute(order).reshape([_count(x, dim), *rest])
    if y.shape[0] == 0:
        y = y.sum(0, keepdim=True) + 1.0
    while y.shape[0] > 1:
        half = y.shape[0] // 2
        joined = y[:half] * y[half : 2 * half]
        y = joined if y.shape[0] % 2 == 0 else cat([joined, y[2 * half :]])
    return reshape(y, _kept(x, dim) if keepdim else rest)


class Prod(Op):
    kernel = _C.prod
    reference = _prod_plain


class Extreme(Op):
    """amax and amin: equal extremes share the gradient."""

    saves_output = True

    def vjp(g, x, y, dim=None, keepdim=False):
        at = (x == _spread(y, x, dim, keepdim)).to(g.dtype)
        return (_spread(g, x, dim, keepdim) * (at / at.sum(dim, keepdim=True)),)


class Amax(Extreme):
    kernel = _C.amax


class Amin(Extreme):
    kernel = _C.amin


class Norm(Op):
    """The root of the sum of squares; its slope at 0 is 0."""

    kernel = _C.norm
    saves_output = True

    def vjp(g, x, y, dim=None, keepdim=False):
        length = _spread(y, x, dim, keepdim)
        return (x * (_spread(g, x, dim, keepdim) / where(length == 0, 1.0, length)),)


class Cumsum(Op):
    kernel = _C.cumsum
    uses = ()

    def vjp(g, x, dim):
        return (flip(cumsum(flip(g, dim), dim), dim),)


def sum(input: Tensor, dim: Dims = None, keepdim: bool = False, *, dtype: _C.dtype | None = None) -> Tensor:
    """The sum over dim; of integers and bools as int64."""
    x = input if dtype is None else input.to(dtype)
    if dim is None and not keepdim:
        return SumAll.apply(x)
    return Sum.apply(x, dim=_axes(dim), keepdim=keepdim)


def mean(input: Tensor, dim: Dims = None, keepdim: bool = False, *, dtype: _C.dtype | None = None) -> Tensor:
    """The mean over dim, of a floating tensor; NaN of nothing."""
    x = input if dtype is None else input.to(dtype)
    if not x.array.is_floating:
        raise DtypeError(f"mean: expected a floating dtype, got {x.dtype}")
    axes = _axes(dim)
    return sum(x, axes, keepdim) / _count(x, axes)


def prod(input: Tensor, dim: Dims = None, keepdim: bool = False, *, dtype: _C.dtype | None = None) -> Tensor:
    """The product over dim; of integers and bools as int64."""
    return Prod.apply(input if dtype is None else input.to(dtype), dim=_axes(dim), keepdim=keepdim)


def amax(input: Tensor, dim: Dims = None, keepdim: bool = False) -> Tensor:
    """The largest over dim; equal ones share the gradient."""
    return Amax.apply(input, dim=_axes(dim), keepdim=keepdim)


def amin(input: Tensor, dim: Dims = None, keepdim: bool = False) -> Tensor:
    """The smallest over dim; equal ones share the gradient."""
    return Amin.apply(input, dim=_axes(dim), keepdim=keepdim)


_ARGMAX, _ARGMIN, _ANY, _ALL = Plain(_C.argmax), Plain(_C.argmin), Plain(_C.any), Plain(_C.all)


def _ungraphed(op: Plain, input: Tensor, dim: Any, keepdim: bool) -> Tensor:
    """A reduction that has no gradient."""
    try:
        return Tensor(op.kernel(input.array, dim, keepdim))
    except TypeError as error:
        given = input.detach() if isinstance(input, Tensor) else input
        return recovered(error, op, (given,), {"dim": dim, "keepdim": keepdim})


def argmax(input: Tensor, dim: int | None = None, keepdim: bool = False) -> Tensor:
    """Where the largest stands (the first of equal ones), int64; of all elements where dim is None."""
    return _ungraphed(_ARGMAX, input, dim, keepdim)


def argmin(input: Tensor, dim: int | None = None, keepdim: bool = False) -> Tensor:
    """Where the smallest stands (the first of equal ones), int64; of all elements where dim is None."""
    return _ungraphed(_ARGMIN, input, dim, keepdim)


def max(input: Tensor, dim: Any = None, keepdim: bool = False) -> Any:
    """The largest of all; with a dim, (values, indices) along it; with a second tensor, the larger of both."""
    if isinstance(dim, Tensor):
        from pydl.ops.arithmetic import maximum

        return maximum(input, dim)
    return amax(input) if dim is None else _extremum(input, dim, keepdim, argmax, "max")


def min(input: Tensor, dim: Any = None, keepdim: bool = False) -> Any:
    """The smallest of all; with a dim, (values, indices) along it; with a second tensor, the smaller of both."""
    if isinstance(dim, Tensor):
        from pydl.ops.arithmetic import minimum

        return minimum(input, dim)
    return amin(input) if dim is None else _extremum(input, dim, keepdim, argmin, "min")


def _extremum(x: Tensor, dim: int, keepdim: bool, where_: Any, op: str) -> Extremum:
    from pydl.ops.index import gather

    at = wrap(dim, x.ndim, op)
    if not x.ndim:
        return Extremum(x, where_(x))
    indices = where_(x, at, True)
    values = gather(x, at, indices)
    return Extremum(values, indices) if keepdim else Extremum(values.squeeze(at), indices.squeeze(at))


def any(input: Tensor, dim: Dims = None, keepdim: bool = False) -> Tensor:
    """Whether one over dim is not 0; bool."""
    return _ungraphed(_ANY, input, _axes(dim), keepdim)


def all(input: Tensor, dim: Dims = None, keepdim: bool = False) -> Tensor:
    """Whether none over dim is 0; bool."""
    return _ungraphed(_ALL, input, _axes(dim), keepdim)


def cumsum(input: Tensor, dim: int, *, dtype: _C.dtype | None = None) -> Tensor:
    """The sums of the elements up to each one along dim; of integers and bools as int64."""
    return Cumsum.apply(input if dtype is None else input.to(dtype), dim=dim)


def var(
    input: Tensor, dim: Dims = None, unbiased: bool = True, keepdim: bool = False, *, correction: float | None = None
) -> Tensor:
    """The variance over dim, in two passes: sum (x - mean)^2 / (n - correction).

    Args: correction: 1 gives the unbiased estimate (the default), 0 the population's. var(x, False) means unbiased.
    """
    return var_mean(input, dim, unbiased, keepdim, correction=correction)[0]


def var_mean(
    input: Tensor, dim: Dims = None, unbiased: bool = True, keepdim: bool = False, *, correction: float | None = None
) -> tuple[Tensor, Tensor]:
    """The variance and the mean over dim; see `var`."""
    if isinstance(dim, bool):
        dim, unbiased = None, dim
    axes = _axes(dim)
    less = (1.0 if unbiased else 0.0) if correction is None else correction
    middle = mean(input, axes, True)
    centred = input - middle
    free = _count(input, axes) - less
    total = sum(centred * centred, axes, keepdim)
    spread = total / (free if free > 0 else 0.0)
    return spread, middle if keepdim else reshape(middle, _dropped(input, axes))


def std_mean(
    input: Tensor, dim: Dims = None, unbiased: bool = True, keepdim: bool = False, *, correction: float | None = None
) -> tuple[Tensor, Tensor]:
    """The standard deviation and the mean over dim; see `var`."""
    spread, middle = var_mean(input, dim, unbiased, keepdim, correction=correction)
    return sqrt(spread), middle


def std(
    input: Tensor, dim: Dims = None, unbiased: bool = True, keepdim: bool = False, *, correction: float | None = None
) -> Tensor:
    """The square root of `var`."""
    return sqrt(var(input, dim, unbiased, keepdim, correction=correction))


def norm(
    input: Tensor,
    p: float | str | None = "fro",
    dim: Dims = None,
    keepdim: bool = False,
    *,
    dtype: _C.dtype | None = None,
) -> Tensor:
    """(sum |x|^p)^(1/p) over dim; the slope at 0 is 0.

    Args: p: a number, inf, -inf, 0 (how many are not 0), 'fro' (2) or 'nuc' (the sum of the singular values of a
        matrix, or over two dims).
    """
    x, axes = input if dtype is None else input.to(dtype), _axes(dim)
    if not x.array.is_floating:
        raise DtypeError(f"norm: expected a floating dtype, got {x.dtype}")
    if p == "nuc":
        return _nuclear(x, axes, keepdim)
    if isinstance(p, str) and p != "fro":
        raise ArgumentError(f"norm: p must be a number, 'fro' or 'nuc', got {p!r}")
    power = 2.0 if p is None or isinstance(p, str) else float(p)
    if power == 2:
        return Norm.apply(x, dim=axes, keepdim=keepdim)
    if math.isinf(power):
        return (amax if power > 0 else amin)(x.abs(), axes, keepdim)
    if power == 0:
        return sum((x != 0).to(x.dtype), axes, keepdim)
    if power == 1:
        return sum(x.abs(), axes, keepdim)
    total = sum(x.abs() ** power, axes, keepdim)
    zero = total == 0
    return where(zero, 0.0, where(zero, 1.0, total) ** (1 / power))


def _nuclear(x: Tensor, axes: list[int] | None, keepdim: bool) -> Tensor:
    from pydl.linalg import svdvals

    pair = list(range(x.ndim)) if axes is None else axes
    if len(pair) != 2:
        raise ArgumentError(f"norm: 'nuc' needs two dims, got dim {axes} of shape {x.shape}")
    total = sum(svdvals(movedim(x, pair, [-2, -1])), -1)
    return reshape(total, _kept(x, pair)) if keepdim else total


def count_nonzero(input: Tensor, dim: Dims = None) -> Tensor:
    """How many elements over dim are not 0; int64."""
    return sum(input != 0, dim)


def nansum(input: Tensor, dim: Dims = None, keepdim: bool = False, *, dtype: _C.dtype | None = None) -> Tensor:
    """The sum over dim of what is not NaN."""
    return sum(where(isnan(input), False, input), dim, keepdim, dtype=dtype)


def nanmean(input: Tensor, dim: Dims = None, keepdim: bool = False, *, dtype: _C.dtype | None = None) -> Tensor:
    """The mean over dim of what is not NaN."""
    x = input if dtype is None else input.to(dtype)
    return nansum(x, dim, keepdim) / sum((~isnan(x)).to(x.dtype), dim, keepdim)


def aminmax(input: Tensor, *, dim: int | None = None, keepdim: bool = False) -> tuple[Tensor, Tensor]:
    """(min, max): the smallest and the largest, of all or along dim."""
    return Range(amin(input, dim, keepdim), amax(input, dim, keepdim))


def _cumprod_plain(x: Tensor, dim: int) -> Tensor:
    """Products by doubling distances: right to any order of derivative, also at zeros.

    Source: Hillis & Steele 1986, Data parallel algorithms.
    """
    at = wrap(dim, x.ndim, "cumprod")
    y, size, step = x, (x.shape[at] if x.ndim else 1), 1
    while step < size:
        later = narrow(y, at, step, size - step) * narrow(y, at, 0, size - step)
        y = cat([narrow(y, at, 0, step), later], at)
        step *= 2
    return y.clone() if y is x else y


class Cumprod(Op):
    kernel = _C.cumprod
    reference = _cumprod_plain


def cumprod(input: Tensor, dim: int, *, dtype: _C.dtype | None = None) -> Tensor:
    """The products of the elements up to each one along dim; of integers and bools as int64."""
    return Cumprod.apply(input if dtype is None else input.to(dtype), dim=dim)
