"""Changes of size: every output row and column is a weighted mean of input ones, so a resize is two products."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from pydl.data.transforms.draws import Draws, Floats, Ints
from pydl.data.transforms.geometry import Size, two
from pydl.data.transforms.transform import Images, Transform, stored, working
from pydl.errors import ArgumentError, ShapeError

__all__ = ["RandomResizedCrop", "Resize"]

_ATTEMPTS = 10


def check_interpolation(name: str, interpolation: str) -> str:
    """interpolation, if there is one of that name."""
    if interpolation not in ("nearest", "bilinear"):
        raise ArgumentError(f"{name}: interpolation must be 'nearest' or 'bilinear', got {interpolation!r}")
    return interpolation


def weights(size: int, out: int, start: Ints, length: Ints, interpolation: str, antialias: bool) -> Floats:
    """(n, out, size): what each of `out` pixels takes of those in start .. start + length - 1, rows summing to 1.

    'nearest' takes the pixel floor(i length / out); 'bilinear' is a triangle as wide as one pixel, or, with antialias,
    as one output pixel where that is wider.
    """
    scale = (length / out)[:, None, None]
    i, j = np.arange(out)[None, :, None], np.arange(size)[None, None, :]
    begin, end = start[:, None, None], (start + length)[:, None, None]
    if interpolation == "nearest":
        place = begin + np.floor(i * scale).astype(np.int64)
        return np.asarray(j == np.minimum(place, end - 1), np.float64)
    centre, width = begin + (i + 0.5) * scale, np.maximum(scale, 1.0) if antialias else 1.0
    triangle = np.maximum(0.0, 1 - np.abs(j + 0.5 - centre) / width) * ((j >= begin) & (j < end))
    return np.asarray(triangle / triangle.sum(-1, keepdims=True))


def resized(
    x: Images, box: tuple[Ints, Ints, Ints, Ints], size: tuple[int, int], interpolation: str, antialias: bool
) -> Images:
    """(n, c, h, w) -> (n, c, *size) from the boxes (top, left, height, width), each (n,) or (1,)."""
    top, left, height, width = box
    z = working(x)
    rows = weights(x.shape[2], size[0], top, height, interpolation, antialias).astype(z.dtype)
    columns = weights(x.shape[3], size[1], left, width, interpolation, antialias).astype(z.dtype)
    return stored(rows[:, None] @ z @ columns[:, None].swapaxes(-1, -2), x.dtype)


class Resize(Transform):
    """Another size.

    Args:
        size: (h, w), or a number (also in a list): the shorter side's, the other one in proportion.
        interpolation: 'nearest' or 'bilinear'.
        max_size: the longer side is at most this; only with one number.
        antialias: a smaller image takes the mean of all pixels under each new one.
    """

    def __init__(
        self, size: Size, interpolation: str = "bilinear", max_size: int | None = None, antialias: bool = True
    ) -> None:
        pair = two("Resize", "size", size)
        self.size: int | tuple[int, int] = pair if isinstance(size, Sequence) and len(size) == 2 else pair[0]
        self.interpolation = check_interpolation("Resize", interpolation)
        if max_size is not None and (not isinstance(self.size, int) or max_size <= self.size):
            raise ArgumentError(f"Resize: max_size {max_size} needs one number below it as size, got {size!r}")
        self.max_size, self.antialias = max_size, antialias

    def _target(self, h: int, w: int) -> tuple[int, int]:
        if not isinstance(self.size, int):
            return self.size
        short, long = self.size, int(self.size * max(h, w) / min(h, w))
        if self.max_size is not None and long > self.max_size:
            short, long = max(1, int(self.max_size * short / long)), self.max_size
        return (short, long) if h <= w else (long, short)

    def apply(self, x: Images, draws: Draws) -> Images:
        """(n, c, h, w) -> (n, c, h', w')."""
        h, w = x.shape[2:]
        if not h or not w:
            raise ShapeError(f"Resize: an image of {h}x{w} has no pixels")
        zero, box = np.zeros(1, np.int64), (np.array([h]), np.array([w]))
        return resized(x, (zero, zero, *box), self._target(h, w), self.interpolation, self.antialias)


class RandomResizedCrop(Transform):
    """A box of random size and shape, brought to one size.

    Args:
        size: of the result: a number or (h, w).
        scale: range of the box's share of the area.   ratio: range of width over height, on a logarithmic scale.
        interpolation, antialias: as in Resize.
    Ten boxes are tried; if none fits, the largest central one within the range of ratios is taken.
    Source: Szegedy et al. 2014, Going deeper with convolutions, section 6.
    """

    def __init__(
        self,
        size: Size,
        scale: Sequence[float] = (0.08, 1.0),
        ratio: Sequence[float] = (3 / 4, 4 / 3),
        interpolation: str = "bilinear",
        antialias: bool = True,
    ) -> None:
        self.size = two("RandomResizedCrop", "size", size)
        for what, pair in (("scale", scale), ("ratio", ratio)):
            if len(pair) != 2 or not 0 < pair[0] <= pair[1]:
                raise ArgumentError(f"RandomResizedCrop: {what} must be (low, high), 0 < low <= high, got {pair!r}")
        self.scale, self.ratio = tuple(scale), tuple(ratio)
        self.interpolation = check_interpolation("RandomResizedCrop", interpolation)
        self.antialias = antialias

    def boxes(self, h: int, w: int, draws: Draws) -> tuple[Ints, Ints, Ints, Ints]:
        """Of each image (top, left, height, width)."""
        u = draws.uniform(2 * _ATTEMPTS)
        area = h * w * (self.scale[0] + (self.scale[1] - self.scale[0]) * u[:, :_ATTEMPTS])
        low, high = np.log(self.ratio)
        aspect = np.exp(low + (high - low) * u[:, _ATTEMPTS:])
        width, height = np.rint(np.sqrt(area * aspect)), np.rint(np.sqrt(area / aspect))
        fits = (width > 0) & (width <= w) & (height > 0) & (height <= h)
        first = (np.arange(len(u)), fits.argmax(1))
        middle_w = min(w, max(1, round(h * self.ratio[1]))) if w / h > self.ratio[1] else w
        middle_h = min(h, max(1, round(w / self.ratio[0]))) if w / h < self.ratio[0] else h
        found = fits.any(1)
        heights = np.where(found, height[first], middle_h).astype(np.int64)
        widths = np.where(found, width[first], middle_w).astype(np.int64)
        top, left = draws.integers(0, h - heights), draws.integers(0, w - widths)
        top, left = np.where(found, top, (h - heights) // 2), np.where(found, left, (w - widths) // 2)
        return top, left, heights, widths

    def apply(self, x: Images, draws: Draws) -> Images:
        """(n, c, h, w) -> (n, c, *size)."""
        h, w = x.shape[2:]
        if not h or not w:
            raise ShapeError(f"RandomResizedCrop: an image of {h}x{w} has no pixels")
        return resized(x, self.boxes(h, w, draws), self.size, self.interpolation, self.antialias)
