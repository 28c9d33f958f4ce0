"""What small grey-image data sets share: arrays in memory, samples, whole batches, everything at once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

import pydl
from pydl.data.dataset import Dataset
from pydl.data.seeds import IntArray


class ImageDataset(Dataset[Any]):
    """n grey images of h x w pixels with class labels.

    Sample i is (image, label): the image a float32 tensor (1, h, w) with values in [0, 1], the label an int. A
    `transform` gets the raw image instead, a uint8 array (h, w), and gives what takes its place; `target_transform`
    gets the label. Without them a batch, (b, 1, h, w) and int64 (b,), is one index operation.

    Attributes:
        data: uint8 (n, h, w).   targets: int64 (n,).   classes: the names of the labels 0, 1, ...
        mean, std: of the training pixels, scaled to [0, 1].
    """

    classes: ClassVar[list[str]]
    mean: ClassVar[float]
    std: ClassVar[float]
    white: ClassVar[int] = 255  # the pixel value that becomes 1.0

    def __init__(
        self,
        data: npt.NDArray[np.uint8],
        targets: IntArray,
        transform: Callable[[npt.NDArray[np.uint8]], Any] | None = None,
        target_transform: Callable[[int], Any] | None = None,
    ) -> None:
        self.data = data
        self.targets = targets
        self.transform = transform
        self.target_transform = target_transform

    @property
    def class_to_idx(self) -> dict[str, int]:
        """Class name -> label."""
        return {name: i for i, name in enumerate(self.classes)}

    def __len__(self) -> int:
        return len(self.data)

    def __getitem__(self, index: int) -> tuple[Any, Any]:
        raw, label = self.data[index], int(self.targets[index])
        image = self.transform(raw) if self.transform else pydl.from_numpy(self._scaled(raw[None]))
        return image, self.target_transform(label) if self.target_transform else label

    def getbatch(self, indices: Sequence[int] | IntArray) -> Any:
        if self.transform or self.target_transform or type(self).__getitem__ is not ImageDataset.__getitem__:
            return super().getbatch(indices)
        rows = np.asarray(indices, np.int64)
        images = self._scaled(self.data.take(rows, axis=0)[:, None])
        return [pydl.from_numpy(images), pydl.from_numpy(self.targets.take(rows))]

    def tensors(self, *, flatten: bool = False, normalize: bool = False) -> tuple[pydl.Tensor, pydl.Tensor]:
        """Everything at once (transforms are not applied).

        Args:
            flatten: images as rows.
            normalize: (x - mean) / std with the training set's two numbers, instead of values in [0, 1].
        Returns: x float32 (n, 1, h, w), or (n, h w) when flattened; y int64 (n,).
        """
        x = self._scaled(self.data)
        if normalize:
            x -= np.float32(self.mean)
            x /= np.float32(self.std)
        n, h, w = x.shape
        x = x.reshape((n, h * w) if flatten else (n, 1, h, w))
        return pydl.from_numpy(x), pydl.from_numpy(self.targets.copy())

    def _scaled(self, raw: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
        return np.divide(raw, np.float32(self.white), dtype=np.float32)

    def __repr__(self) -> str:
        n, h, w = self.data.shape
        return f"{type(self).__name__}({n} images of {h}x{w}, {len(self.classes)} classes)"
