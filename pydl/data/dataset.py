"""Datasets: things with a length and an index (map style), or a stream (iterable style), and ways to combine them."""

from __future__ import annotations

import bisect
import math
import operator
import warnings
from collections.abc import Iterable, Iterator, Sequence
from itertools import accumulate
from typing import Any, Generic, TypeVar

import numpy as np

import pydl
from pydl.data.collate import default_collate
from pydl.data.seeds import GeneratorLike, IntArray, as_seeds, permutation
from pydl.errors import ArgumentError, BoundsError, DtypeError, ShapeError

T_co = TypeVar("T_co", covariant=True)


def places(name: str, indices: Sequence[int] | IntArray, length: int) -> IntArray:
    """(b,) indices of samples, counted from the end where they are negative, as places in [0, length).

    Raises: DtypeError, BoundsError.
    """
    rows = np.asarray(indices)
    if rows.size and rows.dtype.kind not in "iu":
        raise DtypeError(f"{name}: indices must be integers, got {rows.dtype}")
    rows = rows.astype(np.int64, copy=False)
    outside = (rows < -length) | (rows >= length)
    if outside.any():
        raise BoundsError(f"{name}: index {rows[outside][0]} is out of range for length {length}")
    return np.where(rows < 0, rows + length, rows)


class Dataset(Generic[T_co]):
    """Map style: define `__getitem__` and `__len__`.

    A dataset that can make a whole batch at once overrides `getbatch`; the loader uses it in place of a loop over
    samples whenever no collate_fn was given.
    """

    def __getitem__(self, index: int) -> T_co:
        raise TypeError(f"{type(self).__name__}: a dataset must define __getitem__")

    def getbatch(self, indices: Sequence[int] | IntArray) -> Any:
        """The samples at `indices`, collated."""
        picks = indices.tolist() if isinstance(indices, np.ndarray) else list(indices)
        if hasattr(self, "__getitems__"):
            return default_collate(self.__getitems__(picks))
        return default_collate([self[i] for i in picks])

    def __add__(self, other: Dataset[Any]) -> ConcatDataset[Any]:
        return ConcatDataset([self, other])


class IterableDataset(Dataset[T_co]):
    """Iterable style: define `__iter__`. Every worker iterates; `get_worker_info` tells which share is its own."""

    def __iter__(self) -> Iterator[T_co]:
        raise TypeError(f"{type(self).__name__}: an iterable dataset must define __iter__")

    def __add__(self, other: Dataset[Any]) -> ChainDataset:  # type: ignore[override]
        return ChainDataset([self, other])


class TensorDataset(Dataset[tuple[Any, ...]]):
    """Sample i is `(t[i] for t in tensors)`.

    Args:
        tensors: each (n, ...). Plain CPU tensors are read through NumPy without a copy, so a batch is one `take` each.
    Raises: ShapeError when the first sizes differ.
    """

    def __init__(self, *tensors: pydl.Tensor) -> None:
        if not tensors:
            raise ShapeError("TensorDataset: expected at least one tensor")
        sizes = [tuple(t.shape) for t in tensors]
        if any(len(s) == 0 or s[0] != sizes[0][0] for s in sizes):
            raise ShapeError(f"TensorDataset: tensors must have the same first size, got shapes {sizes}")
        self.tensors = tensors

    def __getitem__(self, index: Any) -> tuple[Any, ...]:
        return tuple(t[index] for t in self.tensors)

    def getbatch(self, indices: Sequence[int] | IntArray) -> Any:
        if type(self).__getitem__ is not TensorDataset.__getitem__:
            return super().getbatch(indices)
        rows = places("TensorDataset", indices, len(self))
        return [_take(t, rows) for t in self.tensors]

    def __len__(self) -> int:
        return int(self.tensors[0].shape[0])


def _take(t: pydl.Tensor, rows: IntArray) -> pydl.Tensor:
    """(n, ...) at (b,) -> (b, ...): NumPy's take, except where a graph, device or dtype needs the tensor's own."""
    if t.requires_grad or t.device.type != "cpu" or t.dtype == pydl.bfloat16:
        return t[pydl.from_numpy(rows)]
    return pydl.from_numpy(t.numpy().take(rows, axis=0))


class StackDataset(Dataset[Any]):
    """Sample i joins sample i of each dataset: a tuple for positional datasets, a dict for keyword ones."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        if bool(args) == bool(kwargs):
            raise ArgumentError("StackDataset: expected datasets either all by position or all by keyword")
        self.datasets: Any = args or kwargs
        parts = args or tuple(kwargs.values())
        lengths = [len(d) for d in parts]
        if len(set(lengths)) != 1:
            raise ShapeError(f"StackDataset: datasets must have the same length, got {lengths}")
        self._length = lengths[0]

    def __getitem__(self, index: int) -> Any:
        if isinstance(self.datasets, dict):
            return {k: d[index] for k, d in self.datasets.items()}
        return tuple(d[index] for d in self.datasets)

    def __len__(self) -> int:
        return self._length


class ConcatDataset(Dataset[T_co]):
    """The given map-style datasets, one behind the other."""

    def __init__(self, datasets: Iterable[Dataset[T_co]]) -> None:
        self.datasets = list(datasets)
        if not self.datasets:
            raise ArgumentError("ConcatDataset: expected at least one dataset")
        if any(isinstance(d, IterableDataset) for d in self.datasets):
            raise ArgumentError("ConcatDataset: iterable datasets have no index; use ChainDataset")
        self.cumulative_sizes = list(accumulate(len(d) for d in self.datasets))  # type: ignore[arg-type]

    def __getitem__(self, index: int) -> T_co:
        i = index + len(self) if index < 0 else index
        if not 0 <= i < len(self):
            raise BoundsError(f"ConcatDataset: index {index} is out of range for length {len(self)}")
        part = bisect.bisect_right(self.cumulative_sizes, i)
        return self.datasets[part][i - (self.cumulative_sizes[part - 1] if part else 0)]

    def __len__(self) -> int:
        return self.cumulative_sizes[-1]


class ChainDataset(IterableDataset[Any]):
    """The given iterable datasets, one behind the other."""

    def __init__(self, datasets: Iterable[Dataset[Any]]) -> None:
        self.datasets = list(datasets)
        if not all(isinstance(d, IterableDataset) for d in self.datasets):
            raise ArgumentError("ChainDataset: expected iterable datasets only; use ConcatDataset for the others")

    def __iter__(self) -> Iterator[Any]:
        for dataset in self.datasets:
            yield from dataset  # type: ignore[misc]

    def __len__(self) -> int:
        return sum(len(d) for d in self.datasets)  # type: ignore[arg-type,misc]


class Subset(Dataset[T_co]):
    """The samples of `dataset` at `indices`, in that order."""

    def __init__(self, dataset: Dataset[T_co], indices: Sequence[int] | IntArray) -> None:
        self.dataset = dataset
        self.indices = indices

    def __getitem__(self, index: Any) -> T_co:
        if isinstance(index, list):
            return self.dataset[[self.indices[i] for i in index]]  # type: ignore[index]
        return self.dataset[operator.index(self.indices[index])]

    def getbatch(self, indices: Sequence[int] | IntArray) -> Any:
        if type(self).__getitem__ is not Subset.__getitem__ or not isinstance(self.dataset, Dataset):
            return super().getbatch(indices)
        return self.dataset.getbatch(np.asarray(self.indices, np.int64)[np.asarray(indices, np.int64)])

    def __len__(self) -> int:
        return len(self.indices)


def random_split(
    dataset: Dataset[T_co], lengths: Sequence[int | float], generator: GeneratorLike = None
) -> list[Subset[T_co]]:
    """Disjoint random subsets that together make the dataset.

    Args:
        lengths: sample counts that sum to len(dataset), or fractions that sum to 1 (rounded down, the remainder dealt
            out one by one from the first).
        generator: pydl.Generator, np.random.Generator or None (pydl's default generator).
    Raises: ArgumentError when the lengths do not fit.
    """
    n = len(dataset)  # type: ignore[arg-type]
    counts = _split_counts(n, lengths)
    order = permutation(as_seeds(generator).draw(), n)
    ends = list(accumulate(counts))
    return [Subset(dataset, order[end - count : end].tolist()) for count, end in zip(counts, ends, strict=True)]


def _split_counts(n: int, lengths: Sequence[int | float]) -> list[int]:
    if math.isclose(sum(lengths), 1) and sum(lengths) <= 1:
        if any(not 0 <= f <= 1 for f in lengths):
            raise ArgumentError(f"random_split: fractions must be between 0 and 1, got {list(lengths)}")
        counts = [math.floor(n * f) for f in lengths]
        for i in range(n - sum(counts)):
            counts[i % len(counts)] += 1
        for i, count in enumerate(counts):
            if count == 0:
                warnings.warn(f"random_split: part {i} of {list(lengths)} is empty", stacklevel=3)
        return counts
    if any((isinstance(c, float) and not c.is_integer()) or c < 0 for c in lengths) or sum(lengths) != n:
        raise ArgumentError(
            f"random_split: lengths must sum to the dataset's length {n} (or, as fractions, to 1), got {list(lengths)}"
        )
    return [int(c) for c in lengths]
