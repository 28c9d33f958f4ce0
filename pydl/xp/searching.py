"""Positions, order and sets."""

from collections.abc import Callable
from typing import Literal, NamedTuple

import numpy as np

from pydl import ops
from pydl.errors import ArgumentError, BoundsError, DtypeError, ShapeError
from pydl.ops.shape import wrap
from pydl.tensor import Tensor
from pydl.xp.dtypes import Scalar, checked, pair
from pydl.xp.elementwise import array, numbers

__all__ = [
    "argmax",
    "argmin",
    "argsort",
    "nonzero",
    "searchsorted",
    "sort",
    "take",
    "take_along_axis",
    "unique_all",
    "unique_counts",
    "unique_inverse",
    "unique_values",
    "where",
]


class UniqueAll(NamedTuple):
    """The different values, where each stands first, which one each element is, and how often each occurs."""

    values: Tensor
    indices: Tensor
    inverse_indices: Tensor
    counts: Tensor


class UniqueCounts(NamedTuple):
    """The different values and how often each occurs."""

    values: Tensor
    counts: Tensor


class UniqueInverse(NamedTuple):
    """The different values and which one each element is."""

    values: Tensor
    inverse_indices: Tensor


def argmax(x: Tensor, /, *, axis: int | None = None, keepdims: bool = False) -> Tensor:
    """Where the largest stands (the first of equal ones), int64; of the flat elements without axis."""
    return _extreme("argmax", ops.argmax, x, axis, keepdims)


def argmin(x: Tensor, /, *, axis: int | None = None, keepdims: bool = False) -> Tensor:
    """Where the smallest stands (the first of equal ones), int64; of the flat elements without axis."""
    return _extreme("argmin", ops.argmin, x, axis, keepdims)


def _extreme(op: str, function: Callable[..., Tensor], x: Tensor, axis: int | None, keepdims: bool) -> Tensor:
    checked(op, x, "integral", "real floating")
    if axis is not None:
        return function(x, axis, keepdims)
    y = function(x)
    return y.reshape([1] * x.ndim) if keepdims else y


def nonzero(x: Tensor, /) -> tuple[Tensor, ...]:
    """The positions of what is not 0: one array of int64 per axis."""
    if checked("nonzero", x).ndim == 0:
        raise ShapeError("nonzero: expected at least one axis")
    places: tuple[Tensor, ...] = ops.nonzero(x, as_tuple=True)
    return places


def where(condition: Tensor, x1: Tensor | Scalar, x2: Tensor | Scalar, /) -> Tensor:
    """x1 where condition is true, else x2, broadcast; one of both may be a Python number."""
    checked("where", condition, "bool")
    if not isinstance(x1, Tensor) and not isinstance(x2, Tensor):
        raise DtypeError("where: expected at least one array for x1 and x2")
    a, b, _ = pair("where", x1, x2)
    y: Tensor = ops.where(condition, a, b)
    return y


def _order(x: Tensor, axis: int, descending: bool, stable: bool) -> np.ndarray:
    values = numbers(x)
    if x.ndim == 0:
        raise ShapeError("sort: expected at least one axis")
    at = wrap(axis, x.ndim, "sort")
    kind: Literal["stable"] | None = "stable" if stable else None
    if not descending:
        return np.argsort(values, at, kind)
    backwards = np.argsort(np.flip(values, at), at, kind)  # equal ones stay in order when it is turned round
    return np.flip(values.shape[at] - 1 - backwards, at)


def argsort(x: Tensor, /, *, axis: int = -1, descending: bool = False, stable: bool = True) -> Tensor:
    """The positions that put x in order along axis, int64; NaN counts as the largest."""
    checked("argsort", x, "integral", "real floating")
    return array(np.ascontiguousarray(_order(x, axis, descending, stable)))


def sort(x: Tensor, /, *, axis: int = -1, descending: bool = False, stable: bool = True) -> Tensor:
    """x in order along axis; NaN counts as the largest."""
    return ops.gather(x, axis, argsort(x, axis=axis, descending=descending, stable=stable))


def searchsorted(
    x1: Tensor, x2: Tensor | Scalar, /, *, side: Literal["left", "right"] = "left", sorter: Tensor | None = None
) -> Tensor:
    """Where each element of x2 belongs in the sorted vector x1, int64.

    Args: side: before ('left') or after ('right') equal ones.   sorter: positions that sort x1.
    """
    checked("searchsorted", x1, "integral", "real floating")
    if x1.ndim != 1:
        raise ShapeError(f"searchsorted: expected one axis, got shape {x1.shape}")
    if side not in ("left", "right"):
        raise ArgumentError(f"searchsorted: side must be 'left' or 'right', got {side!r}")
    a, b, _ = pair("searchsorted", x1, x2)
    values = numbers(a)
    if sorter is not None:
        values = values[_places("searchsorted", sorter, len(values))]
    return array(np.asarray(np.searchsorted(values, numbers(b), side), dtype=np.int64))


def _places(op: str, indices: Tensor, size: int) -> np.ndarray:
    """Indices, checked and counted from the start."""
    places = numbers(checked(op, indices, "integral")).astype(np.int64)
    if places.size and (places.min() < -size or places.max() >= size):
        raise BoundsError(f"{op}: an index is out of range for size {size}")
    return np.where(places < 0, places + size, places)


def take(x: Tensor, indices: Tensor, /, *, axis: int | None = None) -> Tensor:
    """The slices of x at indices (of one axis) along axis, which may be left out where x has just one."""
    checked("take", x)
    if axis is None and x.ndim != 1:
        raise ShapeError(f"take: expected axis for shape {x.shape}")
    if checked("take", indices, "integral").ndim > 1:
        raise ShapeError(f"take: expected indices of one axis, got shape {indices.shape}")
    at = wrap(0 if axis is None else axis, x.ndim, "take")
    places = array(_places("take", indices, x.shape[at]).reshape(-1))
    y = ops.index_select(x, at, places)
    return y if indices.ndim else y.squeeze(at)


def take_along_axis(x: Tensor, indices: Tensor, /, *, axis: int = -1) -> Tensor:
    """out[i][j] = x[i][indices[i][j]] along axis, with the other axes broadcast."""
    checked("take_along_axis", x)
    at = wrap(axis, x.ndim, "take_along_axis")
    places = array(_places("take_along_axis", indices, x.shape[at] if x.ndim else 1))
    return ops.take_along_dim(x, places, at)


# ---------------------------------------------------------------- sets


def _unique(x: Tensor) -> tuple[np.ndarray, ...]:
    values, first, inverse, counts = np.unique(
        numbers(checked("unique", x)).reshape(-1), True, True, True, equal_nan=False
    )
    return values, first, inverse.reshape(x.shape), counts


def unique_all(x: Tensor, /) -> UniqueAll:
    """The different values in ascending order (each NaN is one), their first positions in the flat x, which one each
    element is, and how often each occurs."""
    values, first, inverse, counts = _unique(x)
    return UniqueAll(array(values).to(x.dtype), array(first), array(inverse), array(counts))


def unique_counts(x: Tensor, /) -> UniqueCounts:
    """The different values and how often each occurs; see `unique_all`."""
    made = unique_all(x)
    return UniqueCounts(made.values, made.counts)


def unique_inverse(x: Tensor, /) -> UniqueInverse:
    """The different values and which one each element is; see `unique_all`."""
    made = unique_all(x)
    return UniqueInverse(made.values, made.inverse_indices)


def unique_values(x: Tensor, /) -> Tensor:
    """The different values; see `unique_all`."""
    return unique_all(x).values
