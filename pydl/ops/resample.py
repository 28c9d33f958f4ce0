"""Resampling: maps along the last axes, columns of windows, and images read at free places.

Maps and columns are linear, and an op and its transpose are each other's gradients. Reading at free places is linear in
the image; its derivative in the grid is a kernel too, with a plain definition for the derivatives after it.
"""

import itertools
from collections.abc import Sequence
from typing import Any

from pydl import _C
from pydl.autograd.op import Op
from pydl.ops.arithmetic import mul
from pydl.ops.compare import clamp, where
from pydl.ops.elementary import abs as absolute
from pydl.ops.index import gather
from pydl.ops.rounding import floor, round
from pydl.ops.shape import broadcast_to, stack
from pydl.ops.taps import Map
from pydl.tensor import Tensor

__all__: list[str] = []

BILINEAR, NEAREST, BICUBIC = range(3)
ZEROS, BORDER, REFLECTION = range(3)


class Resample(Op):
    """(..., n1, n2, ...) by one Map for each of the last axes."""

    uses = ()

    def kernel(x, maps):
        places, weights = zip(*(m.tables(x.device) for m in maps), strict=True)
        return _C.resample(x, list(places), list(weights), [m.facts for m in maps])

    def vjp(g, x, maps):
        return (Resample.apply(g, maps=tuple(m.transposed for m in maps)),)


def resample(x: Tensor, maps: Sequence[Map]) -> Tensor:
    """The last axes of x, one after the other, by their maps."""
    return Resample.apply(x, maps=tuple(maps))


class Unfold(Op):
    """(n, c, h, w) to columns (n, c * kernel, windows)."""

    uses = ()

    def kernel(x, kernel, dilation, padding, stride):
        return _C.unfold(x, kernel, dilation, padding, stride)

    def vjp(g, x, **window):
        return (Fold.apply(g, output=x.shape[2:], **window),)


class Fold(Op):
    """Columns (n, c * kernel, windows) summed to (n, c, *output)."""

    uses = ()

    def kernel(x, output, kernel, dilation, padding, stride):
        return _C.fold(x, output, kernel, dilation, padding, stride)

    def vjp(g, x, output, **window):
        return (Unfold.apply(g, **window),)


# ---------------------------------------------------------------- the plain definition of reading at free places
# Axes of an image count from the depth or height on; the grid's last axis counts from the width on.

Tap = tuple[Tensor, Tensor, Tensor]  # place (negative: outside), weight, its derivative in the grid: (b, m) each


def _reflected(at: Tensor, n: int, align: bool) -> tuple[Tensor, Tensor | float]:
    low, span = (0.0, float(n - 1)) if align else (-0.5, float(n))
    if span == 0:
        return at * 0, 0.0
    far = absolute(at - low)
    turns = floor(far / span)
    rest, odd = far - turns * span, turns - 2 * floor(turns / 2) == 1
    sign = where(at < low, -1.0, 1.0)
    return where(odd, span - rest, rest) + low, where(odd, -sign, sign)


def _inside(at: Tensor, n: int, padding: int, align: bool) -> tuple[Tensor, Tensor | float]:
    """A coordinate brought into the image, and the derivative of that."""
    slope: Tensor | float = 1.0
    if padding == REFLECTION:
        at, slope = _reflected(at, n, align)
    if padding != ZEROS:
        slope = where((at > 0) & (at < n - 1), slope, 0.0)
        at = clamp(at, 0, n - 1)
    return at, slope


def _cubic(t: Tensor) -> list[tuple[Tensor, Tensor]]:
    """The four weights and their derivatives, a = -0.75."""
    a, made = -0.75, []
    for k, sign in ((-1, 1.0), (0, 1.0), (1, -1.0), (2, -1.0)):
        d = (t - k) * sign
        if k in (0, 1):
            made.append((((a + 2) * d - (a + 3)) * d * d + 1, (3 * (a + 2) * d - 2 * (a + 3)) * d * sign))
        else:
            made.append((((d - 5) * d + 8) * d * a - 4 * a, ((3 * d - 10) * d + 8) * a * sign))
    return made


def _taps(g: Tensor, n: int, mode: int, padding: int, align: bool) -> list[Tap]:
    """The taps along an axis of n for coordinates g (b, m)."""
    g = where(g == g, g, -1.0)
    at, scale = ((g + 1) / 2 * (n - 1), (n - 1) / 2) if align else (((g + 1) * n - 1) / 2, n / 2)
    slope: Tensor | float = scale
    if mode != BICUBIC:
        at, turned = _inside(at, n, padding, align)
        slope = turned * scale
    if mode == NEAREST:
        return [(_place(round(at), n), at * 0 + 1, at * 0)]
    first = floor(at).detach()
    t = at - first
    if mode == BILINEAR:
        return [(_place(first, n), 1 - t, t * 0 - slope), (_place(first + 1, n), t, t * 0 + slope)]
    places = [_inside(first + k, n, padding, align)[0] for k in (-1, 0, 1, 2)]
    return [(_place(p, n), w, d * scale) for p, (w, d) in zip(places, _cubic(t), strict=True)]


def _place(at: Tensor, n: int) -> Tensor:
    return where((at >= 0) & (at < n), at, -1.0).detach().to(_C.int64)


def _grid_taps(x: Tensor, grid: Tensor, mode: int, padding: int, align: bool) -> list[tuple[Tensor, tuple[Tap, ...]]]:
    """The values (b, c, m) of x read by each combination of the axes' taps."""
    b, c, *size = x.shape
    points = grid.reshape(b, -1, len(size))
    along = [_taps(points.select(2, len(size) - 1 - a), n, mode, padding, align) for a, n in enumerate(size)]
    flat, read = x.reshape(b, c, -1), []
    for taps in itertools.product(*along):
        place, outside = taps[0][0], taps[0][0] < 0
        for (p, _, _), n in zip(taps[1:], size[1:], strict=True):
            place, outside = place * n + p, outside | (p < 0)
        at = broadcast_to(where(outside, 0, place).unsqueeze(1), (b, c, points.shape[1]))
        read.append((where(outside.unsqueeze(1), 0.0, gather(flat, 2, at)), taps))
    return read


def _weight(taps: tuple[Tap, ...], axis: int = -1) -> Tensor:
    """(b, 1, m): the product of the weights, that of `axis` replaced by its derivative."""
    factors = [tap[2] if a == axis else tap[1] for a, tap in enumerate(taps)]
    made = factors[0]
    for factor in factors[1:]:
        made = mul(made, factor)
    return made.unsqueeze(1)


def grid_sample_plain(x: Tensor, grid: Tensor, mode: int, padding: int, align_corners: bool) -> Tensor:
    """grid_sample in plain operations."""
    read = _grid_taps(x, grid, mode, padding, align_corners)
    y: Any = 0
    for values, taps in read:
        y = y + values * _weight(taps)
    return y.reshape(*x.shape[:2], *grid.shape[1:-1])  # type: ignore[no-any-return]


def _move_plain(x: Tensor, grid: Tensor, g: Tensor, mode: int, padding: int, align_corners: bool) -> Tensor:
    """The derivative in the grid."""
    read = _grid_taps(x, grid, mode, padding, align_corners)
    g, axes = g.reshape(*x.shape[:2], -1), x.ndim - 2
    moves: list[Any] = [0] * axes
    for values, taps in read:
        for a in range(axes):
            moves[a] = moves[a] + (g * values * _weight(taps, a)).sum(1)
    return stack(moves[::-1], -1).reshape(grid.shape)


# ---------------------------------------------------------------- and its kernels


class GridSample(Op):
    """x (b, c, spatial...) read at grid (b, outputs..., axes)."""

    reference = grid_sample_plain

    def kernel(x, grid, mode, padding, align_corners):
        return _C.grid_sample(x, grid, mode, padding, align_corners)

    def vjp(g, x, grid, **how):
        return (
            lambda: GridSampleBack.apply(g, grid, shape=x.shape, **how),
            lambda: GridSampleMove.apply(x, grid, g, **how),
        )


class GridSampleBack(Op):
    """The transpose of GridSample in its image of this shape."""

    def kernel(g, grid, shape, mode, padding, align_corners):
        return _C.grid_sample_back(g, grid, shape, mode, padding, align_corners)

    def vjp(gg, g, grid, shape, **how):
        return lambda: GridSample.apply(gg, grid, **how), lambda: GridSampleMove.apply(gg, grid, g, **how)


class GridSampleMove(Op):
    """The gradient of GridSample in its grid, for a gradient g of its output."""

    reference = _move_plain

    def kernel(x, grid, g, mode, padding, align_corners):
        return _C.grid_sample_move(x, grid, g, mode, padding, align_corners)
