"""A dataset seen through a transform."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from pydl.data.dataset import Dataset
from pydl.data.seeds import IntArray

__all__ = ["TransformedDataset"]


class TransformedDataset(Dataset[Any]):
    """The samples (images, ...) of a dataset, the images transformed: in a DataLoader a whole batch at once.

    Args: dataset: map style.   transform: of (c, h, w) and of (n, c, h, w) images alike.
    """

    def __init__(self, dataset: Dataset[Any], transform: Callable[[Any], Any]) -> None:
        self.dataset = dataset
        self.transform = transform

    def __getitem__(self, index: int) -> Any:
        images, *rest = self.dataset[index]
        return (self.transform(images), *rest)

    def getbatch(self, indices: Sequence[int] | IntArray) -> Any:
        """[images, ...]."""
        images, *rest = self.dataset.getbatch(indices)
        return [self.transform(images), *rest]

    def __len__(self) -> int:
        return len(self.dataset)  # type: ignore[arg-type]
