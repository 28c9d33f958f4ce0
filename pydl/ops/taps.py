"""Maps along one axis, as tables: which inputs each output reads, and with what weights.

A `Map` is a sparse matrix (out, n). Its transpose is a Map too, so that one kernel serves a map and its gradient.
Scales are those of PyTorch: the distance of neighbouring outputs in inputs. Cubic weights: Keys 1981.
"""

from collections.abc import Callable
from functools import cached_property, lru_cache
from typing import Any

import numpy as np

from pydl import _C
from pydl.errors import ArgumentError
from pydl.ops.create import from_numpy

__all__: list[str] = []

Entries = tuple[np.ndarray, np.ndarray, np.ndarray]  # output, input and weight, one per entry
_KEPT = 256  # tables that are kept for the next call


class Map:
    """y[o] = the sum of weight[k, o] * x[place[k, o]] over k with place[k, o] >= 0; see csrc/runtime/table/resample.h.

    Attributes: place: int32 (taps, out). weight: floats (taps, out). facts: n, out, lo, hi, shift, picks.
    """

    def __init__(self, n: int, out: int, entries: Entries, dtype: Any) -> None:
        self.n, self.out, self.dtype = n, out, dtype
        kept = entries[2] != 0
        order = np.argsort(entries[0][kept], kind="stable")
        self.entries = o, p, w = tuple(e[kept][order] for e in entries)
        counts = np.bincount(o, minlength=out)
        rank = np.arange(len(o)) - np.repeat(np.cumsum(counts) - counts, counts)
        taps = max(1, int(counts.max(initial=0)))
        place, weight = np.full((taps, out), -1, np.int32), np.zeros((taps, out), dtype)
        place[rank, o], weight[rank, o] = p, w
        lo, hi, shift = _run(place[0], (counts == 1) & (weight[0] == 1))
        same = n == out and (lo, hi, shift) == (0, n, 0)
        self.facts = (n, out, lo, hi, shift, int(taps == 1 and bool(np.all(w == 1))))
        self.place = from_numpy(place[:0] if same else place).array
        self.weight = from_numpy(weight[:0] if same else weight).array
        self._elsewhere: dict[str, tuple[Any, Any]] = {}

    def tables(self, device: Any) -> tuple[Any, Any]:
        """place and weight on a device, where they stay."""
        if device.type == "cpu":
            return self.place, self.weight
        name = str(device)
        if name not in self._elsewhere:
            self._elsewhere[name] = _C.to_device(self.place, device), _C.to_device(self.weight, device)
        return self._elsewhere[name]

    @cached_property
    def transposed(self) -> "Map":
        """The matrix (n, out)."""
        o, p, w = self.entries
        return Map(self.out, self.n, (p, o, w), self.dtype)


def _run(place: np.ndarray, single: np.ndarray) -> tuple[int, int, int]:
    """The longest run of outputs [lo, hi) that are single inputs, one after the other, and their distance."""
    distance = np.where(single, place - np.arange(len(place)), np.iinfo(np.int32).min)
    edges = np.flatnonzero(np.diff(distance, prepend=np.nan, append=np.nan) != 0)
    lengths = np.diff(edges) * single[edges[:-1]]
    if not lengths.size or not lengths.max():
        return 0, 0, 0
    at = int(lengths.argmax())
    return int(edges[at]), int(edges[at + 1]), int(distance[edges[at]])


def float_type(x: Any) -> Any:
    """What a tensor's tables are in."""
    return np.float64 if x.dtype == _C.float64 else np.float32


def _made(rule: Callable[..., Entries]) -> Callable[..., Map]:
    """The function that makes the Map of a rule, with its last ones kept."""

    @lru_cache(_KEPT)
    def make(n: int, out: int, *args: Any, dtype: Any) -> Map:
        return Map(n, out, rule(n, out, *args, dtype), dtype)

    return make


def _selected(place: np.ndarray) -> Entries:
    """One input of weight 1 per output; nothing where place is negative."""
    o = np.flatnonzero(place >= 0)
    return o, place[o], np.ones(len(o))


def scale_of(n: int, out: int, factor: float | None, align_corners: bool) -> float:
    """How far apart in the input neighbouring outputs are."""
    if align_corners:
        return (n - 1) / (out - 1) if out > 1 else 0.0
    return 1.0 / factor if factor else n / out


def _centres(n: int, out: int, factor: float | None, align_corners: bool) -> np.ndarray:
    scale, o = scale_of(n, out, factor, align_corners), np.arange(out)
    return scale * o if align_corners else scale * (o + 0.5) - 0.5


def _nearest(n: int, out: int, factor: float | None, middle: float, dtype: Any) -> Entries:
    # in the dtype, as PyTorch does: the rounding of the scale decides between neighbours
    scale = dtype(1.0 / factor) if factor else dtype(n) / dtype(max(out, 1))
    at = np.floor((np.arange(out).astype(dtype) + dtype(middle)) * scale)
    return _selected(np.minimum(at.astype(np.int64), n - 1))


def _linear(n: int, out: int, factor: float | None, align_corners: bool, dtype: Any) -> Entries:
    o = np.arange(out)
    if n == out:
        return _selected(o)
    at = np.maximum(_centres(n, out, factor, align_corners), 0)
    left = np.minimum(at.astype(np.int64), n - 1)
    t = np.clip(at - left, 0, 1)
    return np.tile(o, 2), np.concatenate([left, np.minimum(left + 1, n - 1)]), np.concatenate([1 - t, t])


def cubic_weight(t: np.ndarray, a: float) -> np.ndarray:
    """Keys' kernel at distance t."""
    t = np.abs(t)
    near, far = ((a + 2) * t - (a + 3)) * t * t + 1, (t - 1) * (t - 2) ** 2 * a
    return np.where(t < 1, near, np.where(t < 2, far, 0.0))


def _cubic(n: int, out: int, factor: float | None, align_corners: bool, dtype: Any) -> Entries:
    at = _centres(n, out, factor, align_corners)
    place = np.floor(at)[:, None] + np.arange(-1, 3)
    weight = cubic_weight(at[:, None] - place, -0.75)
    return np.repeat(np.arange(out), 4), np.clip(place, 0, n - 1).astype(np.int64).ravel(), weight.ravel()


def _smoothed(n: int, out: int, factor: float | None, align_corners: bool, reach: int, dtype: Any) -> Entries:
    """Antialiased: the kernel (linear for reach 1, cubic with a = -0.5 for 2) is stretched where the axis shrinks."""
    scale = scale_of(n, out, factor, align_corners)
    stretch = max(scale, 1.0)
    centre = scale * (np.arange(out) + 0.5)
    first = np.maximum((centre - reach * stretch + 0.5).astype(np.int64), 0)
    last = np.minimum((centre + reach * stretch + 0.5).astype(np.int64), n)
    place = first[:, None] + np.arange(int((last - first).max(initial=1)))
    t = (place - centre[:, None] + 0.5) / stretch
    weight = np.maximum(1 - np.abs(t), 0) if reach == 1 else cubic_weight(t, -0.5)
    weight = np.where(place < last[:, None], weight, 0.0)
    total = weight.sum(1, keepdims=True)
    weight = weight / np.where(total == 0, 1, total)
    return np.repeat(np.arange(out), place.shape[1]), np.minimum(place, n - 1).ravel(), weight.ravel()


nearest, linear, cubic, smoothed = map(_made, (_nearest, _linear, _cubic, _smoothed))


def padded_places(n: int, before: int, after: int, mode: str) -> np.ndarray:
    """The input that each output of a padded axis reads; -1 for none. Negative sizes cut away."""
    place = np.arange(-before, n + after)
    if mode == "circular":  # what was cut away does not come back
        lo, hi = max(-before, 0), n + min(after, 0)
        return lo + (place - lo) % max(hi - lo, 1)
    if mode == "reflect":
        return np.where(place < 0, -place, np.where(place >= n, 2 * (n - 1) - place, place))
    if mode == "replicate":
        return np.clip(place, 0, n - 1)
    return np.where((place >= 0) & (place < n), place, -1)


@lru_cache(_KEPT)
def padding(n: int, before: int, after: int, mode: str, dtype: Any) -> Map:
    """The Map of a padded axis: mode is constant (zeros), reflect, replicate or circular."""
    place = padded_places(n, before, after, mode)
    if mode == "reflect" and len(place) and not 0 <= place.min() <= place.max() < n:
        raise ArgumentError(f"pad: ({before}, {after}) reflects more than an axis of {n} has")
    return Map(n, len(place), _selected(place), dtype)
