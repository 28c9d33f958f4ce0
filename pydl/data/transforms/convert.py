"""From raw pixels to tensors, and to the scale that networks like."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

import pydl
from pydl.data.transforms.draws import Draws, GeneratorLike
from pydl.data.transforms.transform import Images, Transform, as_array, working
from pydl.errors import ArgumentError, DtypeError, ShapeError

__all__ = ["Normalize", "ToTensor"]


class ToTensor(Transform):
    """Arrays with the channels last to a tensor with the channels first, uint8 to float32 in [0, 1].

    (h, w) -> (1, h, w); (h, w, c) -> (c, h, w); (n, h, w, c) -> (n, c, h, w). Floating values keep value and dtype.
    Args: white: the number that becomes 1; other than 255 for Digits, where it is 16.
    """

    def __init__(self, white: float = 255.0) -> None:
        if not white > 0:
            raise ArgumentError(f"ToTensor: white must be > 0, got {white}")
        self.white = white

    def __call__(self, images: Any, generator: GeneratorLike = None) -> pydl.Tensor:
        """The tensor, with memory of its own."""
        x = as_array(images, "ToTensor")
        x = x[..., None] if x.ndim == 2 else x
        return pydl.from_numpy(self._scaled(np.moveaxis(x, -1, -3)))

    def _scaled(self, x: Images) -> Images:
        if x.dtype == np.uint8:
            return np.ascontiguousarray(np.divide(x, np.float32(self.white), dtype=np.float32))
        return np.array(x, order="C")

    def apply(self, x: Images, draws: Draws) -> Images:
        """(n, c, h, w) with its channels in place: the scale alone."""
        return self._scaled(x)


class Normalize(Transform):
    """(x - mean) / std, channel by channel.

    Args: mean, std: one number for each channel, or one for all.
    Raises: DtypeError for integers: scale them first, as ToTensor does.
    """

    def __init__(self, mean: float | Sequence[float], std: float | Sequence[float]) -> None:
        self.mean, self.std = np.atleast_1d(np.asarray(mean, float)), np.atleast_1d(np.asarray(std, float))
        if self.mean.ndim != 1 or self.std.ndim != 1:
            raise ShapeError("Normalize: mean and std must be numbers, or one number for each channel")
        if not np.all(self.std > 0):
            raise ArgumentError(f"Normalize: std must be > 0, got {self.std.tolist()}")

    def apply(self, x: Images, draws: Draws) -> Images:
        """(n, c, h, w) -> the same."""
        if x.dtype == np.uint8:
            raise DtypeError("Normalize: images are uint8: expected floating ones; put ToTensor before it")
        if {len(self.mean), len(self.std)} - {1, x.shape[1]}:
            raise ShapeError(
                f"Normalize: {len(self.mean)} means and {len(self.std)} deviations for {x.shape[1]} channels: "
                f"expected {x.shape[1]} or 1"
            )
        z = working(x)
        mean, std = (v.astype(z.dtype)[:, None, None] for v in (self.mean, self.std))
        return np.asarray((z - mean) / std, x.dtype)
