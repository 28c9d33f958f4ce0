"""MNIST, and how a data set in its four-file form is found, fetched and checked."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from pydl.data.datasets.image import ImageDataset
from pydl.data.download import cache_dir, fetch, find_file
from pydl.data.idx import read_idx
from pydl.data.seeds import IntArray
from pydl.errors import FileFormatError


class MNIST(ImageDataset):
    """Handwritten digits, 28x28 pixels: 60000 to train, 10000 to test.

    The four gzip files (or their unpacked forms) are looked for in $PYDL_DATA/mnist, then below `root` (as root/mnist,
    as torchvision's root/MNIST/raw, in root itself), or without a root in the user's cache directory. Missing ones are
    downloaded to root/mnist (or the cache) through pooch and compared with their sha256.

    Args:
        root: directory for the files.
        train: the training part, or the test part.
        transform: gets the raw uint8 (28, 28) image.   target_transform: gets the label.
        download: fetch missing files.
    Raises: FileFormatError for damaged or unsuitable files; FileNotFoundError when missing and download=False;
        MissingExtraError when pooch is needed and absent; ConnectionError when no server gives the file.
    Source: Y. LeCun, L. Bottou, Y. Bengio, P. Haffner 1998, "Gradient-based learning applied to document recognition";
        commonly listed as CC BY-SA 3.0.
    """

    folder: ClassVar[str] = "mnist"
    urls: ClassVar[tuple[str, ...]] = (
        "https://ossci-datasets.s3.amazonaws.com/mnist/",
        "https://storage.googleapis.com/cvdf-datasets/mnist/",
        "http://yann.lecun.com/exdb/mnist/",
    )
    checksums: ClassVar[dict[str, str]] = {
        "train-images-idx3-ubyte.gz": "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609",
        "train-labels-idx1-ubyte.gz": "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c",
        "t10k-images-idx3-ubyte.gz": "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6",
        "t10k-labels-idx1-ubyte.gz": "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6",
    }
    classes: ClassVar[list[str]] = [str(digit) for digit in range(10)]
    mean = 0.1307
    std = 0.3081

    def __init__(
        self,
        root: str | os.PathLike[str] | None = None,
        train: bool = True,
        transform: Callable[[npt.NDArray[np.uint8]], Any] | None = None,
        target_transform: Callable[[int], Any] | None = None,
        download: bool = True,
    ) -> None:
        part = "train" if train else "t10k"
        images = self._file(root, f"{part}-images-idx3-ubyte.gz", download)
        labels = self._file(root, f"{part}-labels-idx1-ubyte.gz", download)
        data, targets = read_images(images, labels, len(self.classes))
        super().__init__(data, targets, transform, target_transform)
        self.root, self.train = root, train

    def _file(self, root: str | os.PathLike[str] | None, name: str, download: bool) -> Path:
        home = cache_dir() if root is None else Path(root)
        folders = [home / self.folder, home / type(self).__name__ / "raw", home]
        if shared := os.environ.get("PYDL_DATA"):
            folders.insert(0, Path(shared) / self.folder)
        found = find_file(folders, name)
        if found is not None:
            return found
        if not download:
            raise FileNotFoundError(
                f"{type(self).__name__}: no {name} in {', '.join(map(str, folders))}: pass download=True"
            )
        return fetch([url + name for url in self.urls], folders[-3], name, self.checksums[name])


def read_images(images: Path, labels: Path, num_classes: int) -> tuple[npt.NDArray[np.uint8], IntArray]:
    """Images uint8 (n, 28, 28) and labels int64 (n,) from two idx files that fit, else FileFormatError."""
    data, targets = read_idx(images), read_idx(labels)
    if data.dtype != np.uint8 or data.ndim != 3 or data.shape[1:] != (28, 28):
        raise FileFormatError(f"{images}: expected images uint8 (n, 28, 28), got {data.dtype} {data.shape}")
    if targets.dtype != np.uint8 or targets.shape != data.shape[:1]:
        raise FileFormatError(f"{labels}: expected labels uint8 ({len(data)},), got {targets.dtype} {targets.shape}")
    if targets.size and targets.max() >= num_classes:
        raise FileFormatError(f"{labels}: label {targets.max()} out of range, expected 0 to {num_classes - 1}")
    return data, targets.astype(np.int64)
