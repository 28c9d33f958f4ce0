"""Sorting and selection along one axis. NaN counts as larger than every number, and equal elements keep their order.

Where values come out they are those that `gather` takes at the indices, so their gradients are those of gather.
"""

import math
from typing import Any, NamedTuple

from pydl import _C
from pydl.autograd.mode import mode as grad_mode
from pydl.errors import ArgumentError, DtypeError, ShapeError
from pydl.ops.compare import isnan, where
from pydl.ops.index import Gather, gather
from pydl.ops.reduce import sum
from pydl.ops.rounding import ceil, floor, round
from pydl.ops.scalar import require
from pydl.ops.shape import movedim, reshape, squeeze, unsqueeze, wrap
from pydl.tensor import Tensor

__all__ = [
    "argsort",
    "kthvalue",
    "median",
    "mode",
    "msort",
    "nanmedian",
    "nanquantile",
    "quantile",
    "sort",
    "topk",
]

INTERPOLATIONS = ("linear", "lower", "higher", "midpoint", "nearest")


class Ranked(NamedTuple):
    """Elements along an axis and where they came from."""

    values: Tensor
    indices: Tensor


def taken(input: Tensor, dim: int, made: tuple[Any, Any], keepdim: bool = True) -> Ranked:
    """Values that a kernel took from input at indices along dim: in the graph, gather took them."""
    values, places = made
    recorded = None
    if input.requires_grad and grad_mode.enabled:
        recorded = Gather.record(values, (input, Tensor(places)), (), {"dim": dim})
    if keepdim or not input.ndim:
        return Ranked(Tensor(values) if recorded is None else recorded, Tensor(places))
    shape = [s for i, s in enumerate(input.shape) if i != dim]
    places = Tensor(_C.reshape(places, shape))
    return Ranked(Tensor(_C.reshape(values, shape)) if recorded is None else reshape(recorded, shape), places)


def sort(input: Tensor, dim: int = -1, descending: bool = False, stable: bool = False) -> Ranked:
    """The elements along dim in ascending order, and the index of each. Always stable; NaN last, descending first.

    Cost: O(n) per row: a radix sort; rows of up to 64 elements by a network, as many at a time as a vector has lanes.
    Source: Batcher 1968, Sorting networks and their applications (the network).
    """
    at = wrap(dim, input.ndim, "sort")
    return taken(input, at, _C.sort(input.array, at, descending))


def argsort(input: Tensor, dim: int = -1, descending: bool = False, stable: bool = False) -> Tensor:
    """The indices that sort input along dim, int64; see `sort`."""
    return Tensor(_C.sort(input.array, wrap(dim, input.ndim, "argsort"), descending)[1])


def msort(input: Tensor) -> Tensor:
    """The elements in ascending order along the first axis."""
    return sort(input, 0).values


def topk(input: Tensor, k: int, dim: int = -1, largest: bool = True, sorted: bool = True) -> Ranked:
    """The k largest (or smallest) elements along dim, the best first, and their indices; the first of equal ones.

    Args: sorted: kept for its name; the result is in order either way.
    Raises: BoundsError unless 0 <= k <= the size of dim.
    """
    at = wrap(dim, input.ndim, "topk")
    return taken(input, at, _C.topk(input.array, k, at, largest))


def kthvalue(input: Tensor, k: int, dim: int = -1, keepdim: bool = False) -> Ranked:
    """The k-th smallest element along dim (k counts from 1) and its index, that of the same rank in a stable sort.

    Raises: BoundsError unless 1 <= k <= the size of dim.
    """
    at = wrap(dim, input.ndim, "kthvalue")
    return taken(input, at, _C.kthvalue(input.array, k, at), keepdim)


def mode(input: Tensor, dim: int = -1, keepdim: bool = False) -> Ranked:
    """The most frequent element along dim, the smallest of equally frequent ones, and the index of its last copy."""
    at = wrap(dim, input.ndim, "mode")
    values, order = _C.sort(input.array, at, False)
    end = _C.longest_run(values, at)
    found = _C.gather(values, at, end), _C.gather(order, at, end)
    return taken(input, at, found, keepdim)


def _middle(op: str, input: Tensor, dim: int | None, keepdim: bool) -> Any:
    skips = op == "nanmedian"
    if dim is None:
        flat = reshape(input, [-1])
        if not flat.numel() and input.array.is_floating:
            return Tensor(_C.full((), math.nan, input.array.dtype, input.device))
        return taken(flat, 0, _C.median(flat.array, 0, skips), False).values
    at = wrap(dim, input.ndim, op)
    return taken(input, at, _C.median(input.array, at, skips), keepdim)


def median(input: Tensor, dim: int | None = None, keepdim: bool = False) -> Any:
    """The median, of two middle elements the lower; NaN where there is one.

    Returns: the median of all elements; with a dim, (values, indices) along it.
    """
    return _middle("median", input, dim, keepdim)


def nanmedian(input: Tensor, dim: int | None = None, keepdim: bool = False) -> Any:
    """The median of what is not NaN; NaN where there is nothing else. See `median`."""
    return _middle("nanmedian", input, dim, keepdim)


# ---------------------------------------------------------------- quantiles


def _fractions(op: str, input: Tensor, q: Any) -> Tensor:
    """q as float64 in [0, 1], of one axis or none."""
    if not input.array.is_floating:
        raise DtypeError(f"{op}: expected a floating dtype, got {input.dtype}")
    if isinstance(q, Tensor):
        if q.ndim > 1 or not q.array.is_floating:
            raise ArgumentError(f"{op}: expected q to be a number or a floating vector, got {q.dtype} {q.shape}")
        wanted = q.detach().to(input.device, _C.float64)
    else:
        wanted = Tensor(_C.scalar(float(q), _C.float64, input.device))
    got = "" if isinstance(q, Tensor) else f", got {q}"
    require((wanted >= 0) & (wanted <= 1), f"{op}: expected q in [0, 1]{got}")
    return wanted


def _between(ordered: Tensor, position: Tensor, interpolation: str) -> Tensor:
    """The values at fractional positions (..., q) of sorted rows (..., n)."""
    place = {"lower": floor, "higher": ceil, "nearest": round}.get(interpolation)
    if place is not None:
        return gather(ordered, -1, place(position).to(_C.int64))
    below, above = floor(position), ceil(position)
    a, b = gather(ordered, -1, below.to(_C.int64)), gather(ordered, -1, above.to(_C.int64))
    share = (position - below).to(ordered.dtype) if interpolation == "linear" else (above - below).to(a.dtype) * 0.5
    return where(a == b, a, a + share * (b - a))  # the same infinity twice has no difference


def _quantile(op: str, input: Tensor, q: Any, dim: int | None, keepdim: bool, interpolation: str) -> Tensor:
    wanted = _fractions(op, input, q)
    if interpolation not in INTERPOLATIONS:
        raise ArgumentError(f"{op}: interpolation must be one of {INTERPOLATIONS}, got {interpolation!r}")
    at = 0 if dim is None else wrap(dim, input.ndim, op)
    rows = reshape(input, [-1]) if dim is None or not input.ndim else movedim(input, at, -1)
    n = rows.shape[-1]
    if n == 0:
        raise ShapeError(f"{op}: axis of shape {input.shape} is empty: expected at least one element")
    ordered = sort(rows).values
    nans = isnan(ordered.detach())
    last = (
        (n - sum(nans, -1, True) - 1).clamp(0)
        if op == "nanquantile"
        else Tensor(_C.scalar(n - 1, _C.int64, input.device))
    )
    position = (reshape(wanted, [-1]) * last.to(_C.float64)).expand([*rows.shape[:-1], wanted.numel()])
    made = _between(ordered, position, interpolation)
    if op == "quantile":
        made = where(nans[..., -1:], math.nan, made)
    made = movedim(made, -1, 0)
    if keepdim:
        made = (
            reshape(made, [-1, *[1] * input.ndim]) if dim is None else unsqueeze(made, at + 1) if input.ndim else made
        )
    return made if wanted.ndim else squeeze(made, 0)


def quantile(
    input: Tensor,
    q: float | Tensor,
    dim: int | None = None,
    keepdim: bool = False,
    *,
    interpolation: str = "linear",
) -> Tensor:
    """The q-th quantiles along dim, of all elements where dim is None; NaN where there is one.

    Args:
        q: a number in [0, 1] or a vector of them; no gradient flows to it.
        interpolation: between the two nearest elements: linear, lower, higher, midpoint or nearest (half to even).
    Returns: the shape of a reduction, behind an axis of len(q) if q is a vector.
    """
    return _quantile("quantile", input, q, dim, keepdim, interpolation)


def nanquantile(
    input: Tensor,
    q: float | Tensor,
    dim: int | None = None,
    keepdim: bool = False,
    *,
    interpolation: str = "linear",
) -> Tensor:
    """The q-th quantiles of what is not NaN; NaN where there is nothing else. See `quantile`."""
    return _quantile("nanquantile", input, q, dim, keepdim, interpolation)
