"""Reductions over some or all axes. dim may be one axis, several, or None for all; negative ones count from the end."""

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

from pydl import _C
from pydl.autograd.op import Op
from pydl.errors import DtypeError
from pydl.ops.compare import where
from pydl.ops.elementary import exp, log, sqrt
from pydl.ops.shape import flip, reshape, wrap
from pydl.tensor import Tensor

Dims = int | Sequence[int] | None


class Extremum(NamedTuple):
    """The largest or smallest values along an axis and where they stand."""

    values: Tensor
    indices: Tensor


def _axes(dim: Dims) -> list[int] | None:
    return [dim] if isinstance(dim, int) else None if dim is None else list(dim)


def _kept(x: Tensor, dim: list[int] | None) -> list[int]:
    """The shape of the result with its reduced axes kept as 1."""
    if not dim:
        return [1] * x.ndim
    gone = {d % (x.ndim or 1) for d in dim}
    return [1 if i in gone else s for i, s in enumerate(x.shape)]


def _count(x: Tensor, dim: list[int] | None) -> int:
    """How many elements go into each result."""
    return math.prod(s for s, kept in zip(x.shape, _kept(x, dim), strict=True) if kept == 1)


def _spread(g: Tensor, x: Tensor, dim: list[int] | None, keepdim: bool) -> Tensor:
    """g with the reduced axes back as 1, ready to broadcast over x."""
    return g if keepdim or not x.ndim else reshape(g, _kept(x, dim))


class Sum(Op):
    kernel = _C.sum
    uses = ()

    def vjp(g, x, dim=None, keepdim=False):
        return (_spread(g, x, dim, keepdim).expand(x.shape),)


def _prod_plain(x, dim=None, keepdim=False):
    """Products by halves: right to any order of derivative, also at zeros."""
    kept = _kept(x, dim)
    gone = [i for i, (s, k) in enumerate(zip(x.shape, kept, strict=True)) if k == 1]
    rest = [i for i in range(x.ndim) if i not in gone]
    y = x.permute([*gone, *rest]).reshape([-1, *[x.shape[i] for i in rest]])
    while y.shape[0] > 1:
        half = y.shape[0] // 2
        joined = y[:half] * y[half : 2 * half]
        y = joined if y.shape[0] % 2 == 0 else _cat([joined, y[2 * half :]])
    return reshape(y, kept if keepdim else [x.shape[i] for i in rest])


def _cat(parts):
    from pydl.ops.shape import cat

    return cat(parts)


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


class Cumsum(Op):
    kernel = _C.cumsum
    uses = ()

    def vjp(g, x, dim):
        return (flip(cumsum(flip(g, dim), dim), dim),)


def sum(input: Tensor, dim: Dims = None, keepdim: bool = False, *, dtype: _C.dtype | None = None) -> Tensor:
    """The sum over dim; of integers and bools as int64."""
    x = input if dtype is None else input.to(dtype)
    if dim is None and not keepdim:
        return Sum.apply(x)
    return Sum.apply(x, dim=_axes(dim), keepdim=keepdim)


def mean(input: Tensor, dim: Dims = None, keepdim: bool = False, *, dtype: _C.dtype | None = None) -> Tensor:
    """The mean over dim, of a floating tensor; NaN of nothing."""
    x = input if dtype is None else input.to(dtype)
    if not x.array.is_floating:
        raise DtypeError(f"mean: expected a floating dtype, got {x.dtype}")
    axes = _axes(dim)
    return sum(x, axes, keepdim) / _count(x, axes)


def prod(input: Tensor, dim: int | None = None, keepdim: bool = False, *, dtype: _C.dtype | None = None) -> Tensor:
    """The product over dim; of integers and bools as int64."""
    return Prod.apply(input if dtype is None else input.to(dtype), dim=_axes(dim), keepdim=keepdim)


def amax(input: Tensor, dim: Dims = None, keepdim: bool = False) -> Tensor:
    """The largest over dim; equal ones share the gradient."""
    return Amax.apply(input, dim=_axes(dim), keepdim=keepdim)


def amin(input: Tensor, dim: Dims = None, keepdim: bool = False) -> Tensor:
    """The smallest over dim; equal ones share the gradient."""
    return Amin.apply(input, dim=_axes(dim), keepdim=keepdim)


def argmax(input: Tensor, dim: int | None = None, keepdim: bool = False) -> Tensor:
    """Where the largest stands (the first of equal ones), int64; of all elements where dim is None."""
    return Tensor(_C.argmax(input.array, dim, keepdim))


def argmin(input: Tensor, dim: int | None = None, keepdim: bool = False) -> Tensor:
    """Where the smallest stands (the first of equal ones), int64; of all elements where dim is None."""
    return Tensor(_C.argmin(input.array, dim, keepdim))


def max(input: Tensor, dim: Any = None, keepdim: bool = False) -> Any:
    """The largest of all; with a dim, (values, indices) along it; with a second tensor, the larger of both."""
    if isinstance(dim, Tensor):
        from pydl.ops.arithmetic import maximum

        return maximum(input, dim)
    return amax(input) if dim is None else _extremum(input, dim, keepdim, argmax)


def min(input: Tensor, dim: Any = None, keepdim: bool = False) -> Any:
    """The smallest of all; with a dim, (values, indices) along it; with a second tensor, the smaller of both."""
    if isinstance(dim, Tensor):
        from pydl.ops.arithmetic import minimum

        return minimum(input, dim)
    return amin(input) if dim is None else _extremum(input, dim, keepdim, argmin)


def _extremum(x: Tensor, dim: int, keepdim: bool, where_: Any) -> Extremum:
    from pydl.ops.index import gather

    at = wrap(dim, x.ndim, "max")
    if not x.ndim:
        return Extremum(x, where_(x))
    indices = where_(x, at, True)
    values = gather(x, at, indices)
    return Extremum(values, indices) if keepdim else Extremum(values.squeeze(at), indices.squeeze(at))


def any(input: Tensor, dim: Dims = None, keepdim: bool = False) -> Tensor:
    """Whether one over dim is not 0; bool."""
    return Tensor(_C.any(input.array, _axes(dim), keepdim))


def all(input: Tensor, dim: Dims = None, keepdim: bool = False) -> Tensor:
    """Whether none over dim is 0; bool."""
    return Tensor(_C.all(input.array, _axes(dim), keepdim))


def cumsum(input: Tensor, dim: int) -> Tensor:
    """The sums of the elements up to each one along dim."""
    return Cumsum.apply(input, dim=dim)


def var(
    input: Tensor, dim: Dims = None, unbiased: bool = True, keepdim: bool = False, *, correction: float | None = None
) -> Tensor:
    """The variance over dim, in two passes: sum (x - mean)^2 / (n - correction).

    Args: correction: 1 gives the unbiased estimate (the default), 0 the population's.
    """
    axes = _axes(dim)
    less = (1.0 if unbiased else 0.0) if correction is None else correction
    centred = input - mean(input, axes, True)
    free = _count(input, axes) - less
    total = sum(centred * centred, axes, keepdim)
    return total / (free if free > 0 else 0.0)


def std(
    input: Tensor, dim: Dims = None, unbiased: bool = True, keepdim: bool = False, *, correction: float | None = None
) -> Tensor:
    """The square root of `var`."""
    return sqrt(var(input, dim, unbiased, keepdim, correction=correction))


def logsumexp(input: Tensor, dim: Dims, keepdim: bool = False) -> Tensor:
    """log(sum(exp(x))) over dim, without overflow."""
    axes = _axes(dim)
    top = amax(input.detach(), axes, True)
    top = where(top.isfinite(), top, 0.0)
    y = log(sum(exp(input - top), axes, True)) + top
    return y if keepdim else reshape(y, sum(input.detach(), axes).shape)


def norm(input: Tensor, p: float | str | None = 2.0, dim: Dims = None, keepdim: bool = False) -> Tensor:
    """(sum |x|^p)^(1/p) over dim; p may be inf, -inf, 0 (how many are not 0) or 'fro' (2). The slope at 0 is 0."""
    axes = _axes(dim)
    power = 2.0 if p in (None, "fro") else float(p)  # type: ignore[arg-type]
    if math.isinf(power):
        return (amax if power > 0 else amin)(input.abs(), axes, keepdim)
    if power == 0:
        return sum((input != 0).to(input.dtype), axes, keepdim)
    if power == 1:
        return sum(input.abs(), axes, keepdim)
    total = sum(input * input if power == 2 else input.abs() ** power, axes, keepdim)
    zero = total == 0
    root = where(zero, 1.0, total)
    return where(zero, 0.0, sqrt(root) if power == 2 else root ** (1 / power))
