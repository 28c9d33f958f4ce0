"""Hiding parts of images."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from pydl.data.transforms.draws import Draws, Ints
from pydl.data.transforms.geometry import Fill, Size, fill_values, two
from pydl.data.transforms.transform import Images, Transform, check_p, stored
from pydl.errors import ArgumentError

__all__ = ["Cutout", "RandomErasing"]

_ATTEMPTS = 10


def inside(x: Images, top: Ints, left: Ints, height: Ints, width: Ints) -> npt.NDArray[np.bool_]:
    """(n, 1, h, w): whether a pixel lies in its image's box."""
    row, column = np.arange(x.shape[2])[None, :, None], np.arange(x.shape[3])[None, None, :]
    t, k, h, w = (v[:, None, None] for v in (top, left, height, width))
    return ((row >= t) & (row < t + h) & (column >= k) & (column < k + w))[:, None]


class Cutout(Transform):
    """Fills squares around random pixels, which may reach over the edge.

    Args:
        size: side of a square, or (h, w).   holes: how many in each image.
        value: what they are filled with: a number, or one for each channel.
    Source: DeVries & Taylor 2017, Improved regularization of convolutional neural networks with cutout.
    """

    def __init__(self, size: Size, holes: int = 1, value: Fill = 0) -> None:
        self.size = two("Cutout", "size", size)
        if not isinstance(holes, int) or holes < 1:
            raise ArgumentError(f"Cutout: holes must be a positive number, got {holes!r}")
        self.holes, self.value = holes, value

    def apply(self, x: Images, draws: Draws) -> Images:
        """(n, c, h, w) -> the same."""
        value = fill_values("Cutout", self.value, x)
        height, width = (np.full(len(x), s) for s in self.size)
        for _ in range(self.holes):
            top = draws.integers(0, x.shape[2] - 1) - self.size[0] // 2
            left = draws.integers(0, x.shape[3] - 1) - self.size[1] // 2
            x = np.where(inside(x, top, left, height, width), value, x)
        return x


class RandomErasing(Transform):
    """Fills a box of random size, shape and place with probability p.

    Args:
        scale: range of its share of the area.   ratio: range of height over width, on a logarithmic scale.
        value: a number, one for each channel, or 'random': normal noise in each pixel.
    Ten boxes are tried; if all are too large, the image stays as it is.
    Source: Zhong et al. 2017, Random erasing data augmentation, algorithm 1.
    """

    def __init__(
        self,
        p: float = 0.5,
        scale: Sequence[float] = (0.02, 0.33),
        ratio: Sequence[float] = (0.3, 3.3),
        value: Fill | str = 0,
    ) -> None:
        self.p = check_p("RandomErasing", p)
        if len(scale) != 2 or not 0 <= scale[0] <= scale[1] <= 1:
            raise ArgumentError(f"RandomErasing: scale must be (low, high) between 0 and 1, got {scale!r}")
        if len(ratio) != 2 or not 0 < ratio[0] <= ratio[1]:
            raise ArgumentError(f"RandomErasing: ratio must be (low, high), 0 < low <= high, got {ratio!r}")
        if isinstance(value, str) and value != "random":
            raise ArgumentError(f"RandomErasing: value must be numbers or 'random', got {value!r}")
        self.scale, self.ratio, self.value = tuple(scale), tuple(ratio), value

    def boxes(self, h: int, w: int, draws: Draws) -> tuple[Ints, Ints, Ints, Ints]:
        """Of each image (top, left, height, width); height and width 0 where nothing is erased."""
        chosen, u = draws.chance(self.p), draws.uniform(2 * _ATTEMPTS)
        area = h * w * (self.scale[0] + (self.scale[1] - self.scale[0]) * u[:, :_ATTEMPTS])
        low, high = np.log(self.ratio)
        aspect = np.exp(low + (high - low) * u[:, _ATTEMPTS:])
        height, width = np.rint(np.sqrt(area * aspect)), np.rint(np.sqrt(area / aspect))
        fits = (height < h) & (width < w)
        first, found = (np.arange(len(u)), fits.argmax(1)), fits.any(1) & chosen
        heights, widths = (np.where(found, v[first], 0).astype(np.int64) for v in (height, width))
        return draws.integers(0, h - heights), draws.integers(0, w - widths), heights, widths

    def apply(self, x: Images, draws: Draws) -> Images:
        """(n, c, h, w) -> the same."""
        mask = inside(x, *self.boxes(x.shape[2], x.shape[3], draws))
        if not isinstance(self.value, str):
            return np.where(mask, fill_values("RandomErasing", self.value, x), x)
        noise = draws.normal(x.shape[1] * x.shape[2] * x.shape[3]).reshape(x.shape)
        return np.where(mask, stored(noise, x.dtype), x)
