"""Mixing the examples of a batch, and their labels in the same parts."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

import pydl
from pydl.data.collate import default_collate
from pydl.data.transforms.draws import GeneratorLike, as_rng
from pydl.errors import ArgumentError, DtypeError, ShapeError

__all__ = ["CutMix", "MixUp"]


class _Mix:
    """Batches (x, y) -> (mixed x, (b, classes) parts of labels): each example with the one before it, the first with
    the last. Also the collate_fn of a loader, on a list of samples (x, y)."""

    def __init__(self, *, alpha: float = 1.0, num_classes: int | None = None) -> None:
        if not 0 < alpha < math.inf:
            raise ArgumentError(f"{type(self).__name__}: alpha must be > 0, got {alpha}")
        if num_classes is not None and num_classes < 1:
            raise ArgumentError(f"{type(self).__name__}: num_classes must be >= 1, got {num_classes}")
        self.alpha, self.num_classes = float(alpha), num_classes

    def __call__(self, *batch: Any, generator: GeneratorLike = None) -> tuple[pydl.Tensor, pydl.Tensor]:
        """The mixed batch.

        Args:
            batch: x (b, ...) and y, or both as one pair, or a list of samples. y is class numbers (b,) or parts of
                classes (b, classes). generator: a seed or a generator; default: that of the loader's batch, or pydl's.
        """
        if len(batch) == 1:
            batch = tuple(default_collate(batch[0]) if isinstance(batch[0], list) else batch[0])
        x, y = (pydl.as_tensor(part) for part in batch)
        if not x.is_floating_point():
            raise DtypeError(f"{type(self).__name__}: x is {x.dtype}: expected a floating dtype")
        if x.ndim < 1 or y.ndim not in (1, 2) or x.shape[0] != y.shape[0]:
            raise ShapeError(f"{type(self).__name__}: x {x.shape} and y {y.shape}: expected (b, ...) and (b,)")
        labels = self._labels(y, x.dtype)
        rng = as_rng(generator)
        x, part = self._mixed(x, float(rng.beta(self.alpha, self.alpha)), rng)
        return x, labels * part + labels.roll(1, 0) * (1 - part)

    def _labels(self, y: pydl.Tensor, dtype: Any) -> pydl.Tensor:
        if y.ndim == 2:
            return y.to(dtype)
        if self.num_classes is None:
            raise ArgumentError(f"{type(self).__name__}: class numbers need num_classes")
        return pydl.nn.functional.one_hot(y.to(pydl.int64), self.num_classes).to(dtype)

    def _mixed(self, x: pydl.Tensor, part: float, rng: np.random.Generator) -> tuple[pydl.Tensor, float]:
        """The mixed inputs, and how much of each is the example itself."""
        raise TypeError(f"{type(self).__name__}: must define _mixed")

    def __repr__(self) -> str:
        return f"{type(self).__name__}(alpha={self.alpha}, num_classes={self.num_classes})"


class MixUp(_Mix):
    """part x_i + (1 - part) x_j, and labels likewise; part ~ Beta(alpha, alpha), one for the batch.

    Args: num_classes: of labels given as numbers.
    Source: Zhang et al. 2018 (arXiv:1710.09412), equation 1.
    """

    def _mixed(self, x: pydl.Tensor, part: float, rng: np.random.Generator) -> tuple[pydl.Tensor, float]:
        return x * part + x.roll(1, 0) * (1 - part), part


class CutMix(_Mix):
    """A box of each image (b, c, h, w) comes from another image; labels are mixed by area.

    The box covers 1 - part of the image where it does not reach over the edge; part ~ Beta(alpha, alpha), and the box
    is the same for the whole batch.
    Args: num_classes: of labels given as numbers.
    Source: Yun et al. 2019 (arXiv:1905.04899), equations 1 and 2.
    """

    def _mixed(self, x: pydl.Tensor, part: float, rng: np.random.Generator) -> tuple[pydl.Tensor, float]:
        if x.ndim < 3:
            raise ShapeError(f"CutMix: x {x.shape}: expected images (b, ..., h, w)")
        h, w = x.shape[-2:]
        top, bottom = _span(h, int(rng.integers(h)), part)
        left, right = _span(w, int(rng.integers(w)), part)
        inside = np.zeros((h, w), bool)
        inside[top:bottom, left:right] = True
        mixed = pydl.where(pydl.from_numpy(inside).to(x.device), x.roll(1, 0), x)
        return mixed, 1 - (bottom - top) * (right - left) / (h * w)


def _span(size: int, centre: int, part: float) -> Sequence[int]:
    """From where to where the box reaches along an axis."""
    half = int(0.5 * math.sqrt(1 - part) * size)
    return max(centre - half, 0), min(centre + half, size)
