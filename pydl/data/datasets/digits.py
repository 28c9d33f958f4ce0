"""The 8x8 handwritten digits that come with the package."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from pydl.data.datasets.image import ImageDataset
from pydl.errors import FileFormatError

_FILE = Path(__file__).parent.parent / "files" / "digits.npz"
_EVERY = 5


class Digits(ImageDataset):
    """1797 handwritten digits of 8x8 pixels with 17 grey levels, shipped with the package.

    Within each class, in the file's order, every fifth sample (5th, 10th, ...) is a test sample: 1442 to train and
    355 to test with the classes in proportion. Pixels 0..16 become 0..1.

    Args:
        train: the training part, or the test part.
        transform: gets the raw uint8 (8, 8) image.   target_transform: gets the label.
    Source: E. Alpaydin, C. Kaynak 1998, "Optical Recognition of Handwritten Digits", UCI Machine Learning
        Repository, https://doi.org/10.24432/C50P49, CC BY 4.0.
    """

    classes: ClassVar[list[str]] = [str(digit) for digit in range(10)]
    mean = 0.3051
    std = 0.3762
    white = 16

    def __init__(
        self,
        train: bool = True,
        transform: Callable[[Any], Any] | None = None,
        target_transform: Callable[[int], Any] | None = None,
    ) -> None:
        with np.load(_FILE, allow_pickle=False) as file:
            data, targets = file["data"], file["targets"].astype(np.int64)
        if data.shape != (1797, 8, 8) or data.dtype != np.uint8 or targets.shape != (1797,):
            raise FileFormatError(f"Digits: {_FILE} is damaged: arrays {data.dtype} {data.shape} and {targets.shape}")
        tests = np.zeros(len(targets), np.bool_)
        for label in range(10):
            tests[np.flatnonzero(targets == label)[_EVERY - 1 :: _EVERY]] = True
        keep = ~tests if train else tests
        super().__init__(data[keep], targets[keep], transform, target_transform)
        self.train = train
