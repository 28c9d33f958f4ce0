"""What is there and how often: distinct elements, counts and histograms, look-up in sorted rows, combinations."""

import itertools
import math
from typing import Any, NamedTuple

import numpy as np

from pydl import _C
from pydl.autograd.mode import mode as grad_mode
from pydl.errors import ArgumentError, BoundsError, DtypeError, ShapeError
from pydl.ops.arrange import meshgrid
from pydl.ops.index import IndexSelect, gather, index_select, scatter_add
from pydl.ops.scalar import lift
from pydl.ops.shape import movedim, reshape, stack, wrap
from pydl.tensor import Tensor

__all__ = [
    "bincount",
    "bucketize",
    "cartesian_prod",
    "combinations",
    "histc",
    "histogram",
    "isin",
    "searchsorted",
    "unique",
    "unique_consecutive",
]

Number = bool | int | float


class Histogram(NamedTuple):
    """Counts (or weights, or densities) and the edges of their bins, one more."""

    hist: Tensor
    bin_edges: Tensor


# ---------------------------------------------------------------- distinct elements


def _distinct(slices: Tensor, order: Any, ordered: Any, inverse: bool, counts: bool) -> list[Tensor | None]:
    """Of slices (n, ...): the first of each run of `ordered`; which run each slice is in; how long the runs are.

    Args: order: which slice each of `ordered` is; None where they are the slices as they are.
    """
    starts = _C.run_starts(ordered)
    if slices.requires_grad and grad_mode.enabled:
        firsts = starts if order is None else _C.index_select(order, 0, starts)
        values = IndexSelect.apply(slices, Tensor(firsts), dim=0)
    else:
        values = Tensor(_C.index_select(ordered, 0, starts))
    if not inverse and not counts:
        return [values, None, None]
    runs, sizes = _C.spread_runs(starts, order, slices.shape[0])
    return [values, Tensor(runs) if inverse else None, Tensor(sizes) if counts else None]


def _found(input: Tensor, dim: int | None, made: list[Tensor | None]) -> Any:
    """The results that were asked for, in the shapes of a call with this dim."""
    values, inverse, counts = made
    assert values is not None
    if dim is not None and input.ndim:
        values = movedim(values, 0, dim)
    if inverse is not None and (dim is None or not input.ndim):
        inverse = reshape(inverse, input.shape)
    asked = [t for t in (values, inverse, counts) if t is not None]
    return tuple(asked) if len(asked) > 1 else values


def unique(
    input: Tensor,
    sorted: bool = True,
    return_inverse: bool = False,
    return_counts: bool = False,
    dim: int | None = None,
) -> Any:
    """The distinct elements in ascending order; with a dim, the distinct slices along it. Every NaN is distinct.

    Args: sorted: kept for its name; the result is in order either way.
    Returns: values; with return_inverse, also the index in values of each element; with return_counts, also how often
        each value occurs. The gradient of a value goes to its first copy.
    """
    if dim is None or not input.ndim:
        if dim is not None:
            wrap(dim, input.ndim, "unique")
        flat = reshape(input, [-1])
        ordered, order = _C.sort(flat.array, 0, False)
        return _found(input, dim, _distinct(flat, order, ordered, return_inverse, return_counts))
    at = wrap(dim, input.ndim, "unique")
    slices = movedim(input, at, 0)
    order = _C.sort_slices(slices.array)
    ordered = _C.index_select(slices.array, 0, order)
    return _found(input, at, _distinct(slices, order, ordered, return_inverse, return_counts))


def unique_consecutive(
    input: Tensor, return_inverse: bool = False, return_counts: bool = False, dim: int | None = None
) -> Any:
    """The elements (or slices along dim) that differ from the one before them; see `unique`."""
    at = None if dim is None else wrap(dim, input.ndim, "unique_consecutive")
    slices = reshape(input, [-1]) if at is None or not input.ndim else movedim(input, at, 0)
    return _found(input, at, _distinct(slices, None, slices.array, return_inverse, return_counts))


# ---------------------------------------------------------------- counts


def bincount(input: Tensor, weights: Tensor | None = None, minlength: int = 0) -> Tensor:
    """How often 0, 1, 2, ... occur in a vector of integers, int64; with weights, the sums of theirs.

    Returns: (max(minlength, largest + 1),); of weights float32 or float64, which gradients flow back to.
    Raises: ArgumentError for negative integers; DtypeError, ShapeError.
    """
    x = input
    if x.array.is_floating or x.array.dtype is _C.bool:
        raise DtypeError(f"bincount: expected integers, got {x.dtype}")
    if x.ndim != 1 or (weights is not None and weights.shape != x.shape):
        with_ = "" if weights is None else f" and weights {weights.shape}"
        raise ShapeError(f"bincount: expected a vector and weights of its size, got {x.shape}{with_}")
    if minlength < 0:
        raise ArgumentError(f"bincount: expected minlength >= 0, got {minlength}")
    bins = _C.bincount_bins(x.array, minlength)
    if weights is None:
        return Tensor(_C.bincount(x.array, bins))
    w = weights if weights.dtype is _C.float32 else weights.to(_C.float64)
    return scatter_add(Tensor(_C.full((bins,), 0, w.array.dtype, w.device)), 0, x.to(_C.int64), w)


def _limits(op: str, x: Tensor, low: float, high: float, margin: float) -> tuple[float, float]:
    """The range of a histogram: that of the data where it is empty, and by a margin more where that is empty too."""
    if low == high and x.numel():
        low, high = float(x.min()), float(x.max())
    if low == high:
        low, high = low - margin, high + margin
    if not (math.isfinite(low) and math.isfinite(high) and low < high):
        raise ArgumentError(f"{op}: expected a finite range with min <= max, got [{low}, {high}]")
    return low, high


def _bins(op: str, bins: int) -> int:
    if not 0 < bins < 2**31:
        raise ArgumentError(f"{op}: expected bins in [1, 2^31), got {bins}")
    return bins


def _wide(op: str, x: Tensor) -> Tensor:
    """x detached, flat, and in float32 if it is of half precision."""
    if not x.array.is_floating:
        raise DtypeError(f"{op}: expected a floating dtype, got {x.dtype}")
    wide = x.detach() if x.dtype is _C.float64 else x.detach().to(_C.float32)
    return reshape(wide, [-1])


def histc(input: Tensor, bins: int = 100, min: float = 0, max: float = 0) -> Tensor:
    """How many elements lie in each of `bins` equal parts of [min, max], (bins,) in the dtype of input.

    Elements outside and NaN are not counted; the last part includes max. Where min and max are equal, they are those
    of the data.
    """
    x, count = _wide("histc", input), _bins("histc", bins)
    low, high = _limits("histc", x, float(min), float(max), 1.0)
    inside = (x >= low) & (x <= high)
    place = ((x - low) * count / (high - low)).where(inside, float(count)).to(_C.int64)
    place = place.clamp(0, count - 1).where(inside, count)
    return bincount(place, minlength=count + 1)[:count].to(input.dtype)


def histogram(
    input: Tensor,
    bins: int | Tensor,
    *,
    range: tuple[float, float] | None = None,
    weight: Tensor | None = None,
    density: bool = False,
) -> Histogram:
    """How many elements lie between the edges of bins; each bin has its left edge, the last both.

    Args:
        bins: how many equal bins there are in range (that of the data where left out), or their ascending edges.
        weight: what each element counts for, in the shape of input; gradients flow to it.
        density: divide by the total and the width of each bin, so that the integral is 1.
    """
    x = _wide("histogram", input)
    if isinstance(bins, Tensor):
        if bins.ndim != 1 or bins.numel() < 2 or range is not None:
            raise ArgumentError(f"histogram: expected a vector of at least 2 edges and no range, got {bins.shape}")
        edges = bins.detach().to(x.dtype)
    else:
        low, high = (0.0, 0.0) if range is None else map(float, range)
        low, high = _limits("histogram", x if range is None else x[:0], low, high, 0.5)
        edges = Tensor(_C.from_numpy(np.linspace(low, high, _bins("histogram", bins) + 1))).to(x.device, x.dtype)
    count = edges.numel() - 1
    if weight is not None and weight.shape != input.shape:
        raise ShapeError(f"histogram: weight {weight.shape} does not match input {input.shape}")
    inside = (x >= edges[0]) & (x <= edges[-1])
    place = (searchsorted(edges, x, right=True) - 1).clamp(0, count - 1).where(inside, count)
    weights = None if weight is None else reshape(weight, [-1]).to(x.dtype)
    hist = bincount(place, weights, minlength=count + 1)[:count].to(input.dtype)
    if density:
        hist = hist / (hist.sum() * (edges[1:] - edges[:-1]).to(input.dtype))
    return Histogram(hist, edges.to(input.dtype))


# ---------------------------------------------------------------- look-up in sorted rows


def _sorter(sorted_sequence: Tensor, sorter: Tensor | None) -> Any:
    """The array of an order that is one: indices in range, one per element."""
    if sorter is None:
        return None
    if sorter.dtype is not _C.int64 or sorter.shape != sorted_sequence.shape:
        raise ShapeError(
            f"searchsorted: sorter {sorter.dtype} {sorter.shape} does not match sorted_sequence "
            f"{sorted_sequence.shape}: expected int64 of that shape"
        )
    if sorter.numel() and not 0 <= int(sorter.min()) <= int(sorter.max()) < sorter.shape[-1]:
        raise BoundsError(f"searchsorted: sorter has an index out of range for size {sorter.shape[-1]}")
    return sorter.array


def searchsorted(
    sorted_sequence: Tensor,
    input: Tensor | Number,
    *,
    out_int32: bool = False,
    right: bool = False,
    side: str | None = None,
    sorter: Tensor | None = None,
) -> Tensor:
    """Where each value would be put into the sorted rows to keep them sorted: before its equals, or after (right).

    Args:
        sorted_sequence: (m,), or (..., m) with the leading axes of input.
        input: (..., k), or a number.
        side: "left" or "right", in place of right.
        sorter: the indices that sort each row of sorted_sequence, which then need not be sorted.
    Returns: the shape of input, int64 or int32.
    """
    if side not in (None, "left", "right") or (side == "left" and right):
        raise ArgumentError(f"searchsorted: side must be 'left' or 'right' as right says, got {side!r}, right={right}")
    edges, x = sorted_sequence, lift(input, sorted_sequence, "searchsorted")
    if not isinstance(input, Tensor) and x.dtype is not edges.dtype:
        edges, x = edges.to(_C.float64), Tensor(_C.scalar(float(input), _C.float64, edges.device))
    if x.dtype is not edges.dtype:
        raise DtypeError(f"searchsorted: expected sorted_sequence and input of one dtype, got {edges.dtype}, {x.dtype}")
    fits = edges.ndim == 1 or (edges.ndim > 1 and x.ndim == edges.ndim and x.shape[:-1] == edges.shape[:-1])
    if not fits:
        raise ShapeError(
            f"searchsorted: sorted_sequence {edges.shape} and input {x.shape} do not fit: expected a vector, or the "
            "same leading axes"
        )
    if out_int32 and edges.shape[-1] >= 2**31:
        raise ArgumentError(f"searchsorted: {edges.shape[-1]} elements are too many for out_int32")
    order = _sorter(sorted_sequence, sorter)
    return Tensor(_C.search(edges.array, x.array, right or side == "right", out_int32, order))


def bucketize(input: Tensor | Number, boundaries: Tensor, *, out_int32: bool = False, right: bool = False) -> Tensor:
    """Which bucket between the ascending boundaries (m,) each element falls into, 0 to m.

    Element x in bucket i: boundaries[i-1] < x <= boundaries[i]; with right, boundaries[i-1] <= x < boundaries[i].
    """
    if boundaries.ndim != 1:
        raise ShapeError(f"bucketize: expected boundaries of one axis, got shape {boundaries.shape}")
    return searchsorted(boundaries, input, out_int32=out_int32, right=right)


_FEW = 8  # elements that are compared one by one


def isin(
    elements: Tensor | Number,
    test_elements: Tensor | Number,
    *,
    assume_unique: bool = False,
    invert: bool = False,
) -> Tensor:
    """Whether each element is (with invert: is not) one of test_elements; bool in the shape of elements."""
    if isinstance(elements, Tensor):
        x, tests = elements, lift(test_elements, elements, "isin")
    elif isinstance(test_elements, Tensor):
        x, tests = lift(elements, test_elements, "isin"), test_elements
    else:
        raise DtypeError("isin: expected at least one tensor, got two numbers")
    dtype = _C.promote_types(x.dtype, tests.dtype)
    x, tests = x.detach().to(dtype), reshape(tests.detach().to(dtype), [-1])
    if tests.numel() <= _FEW:
        found = Tensor(_C.full(x.shape, 0, _C.bool, x.device))
        for i in range(tests.numel()):
            found = found | (x == tests[i])
    else:
        ordered = Tensor(_C.sort(tests.array, 0, False)[0])
        flat = reshape(x, [-1])
        at = searchsorted(ordered, flat).clamp(max=ordered.numel() - 1)
        found = reshape(gather(ordered, 0, at) == flat, x.shape)
    return ~found if invert else found


# ---------------------------------------------------------------- combinations


def cartesian_prod(*tensors: Tensor) -> Tensor:
    """All ways to take one element of each vector, (n1 * n2 * ..., number of vectors); of one vector, itself."""
    if not tensors or any(t.ndim != 1 for t in tensors):
        raise ShapeError(f"cartesian_prod: expected vectors, got shapes {[t.shape for t in tensors]}")
    if len(tensors) == 1:
        return tensors[0]
    return stack([reshape(g, [-1]) for g in meshgrid(*tensors, indexing="ij")], 1)


def combinations(input: Tensor, r: int = 2, with_replacement: bool = False) -> Tensor:
    """All ways to take r elements of a vector without regard to order, (how many, r), in the order of itertools."""
    if input.ndim != 1 or r < 0:
        raise ArgumentError(f"combinations: expected a vector and r >= 0, got shape {input.shape} and r {r}")
    if r == 0:
        return Tensor(_C.full((0,), 0, input.array.dtype, input.device))
    n = input.shape[0]
    count = math.comb(n + r - 1, r) if with_replacement and n else 0 if r > n else math.comb(n, r)
    if count * r >= 2**31:
        raise ArgumentError(f"combinations: {count} of {r} elements are too many")
    ways = (itertools.combinations_with_replacement if with_replacement else itertools.combinations)(range(n), r)
    places = np.fromiter(itertools.chain.from_iterable(ways), np.int64, count * r)
    return reshape(index_select(input, 0, Tensor(_C.from_numpy(places)).to(input.device)), [count, r])
