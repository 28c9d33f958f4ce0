"""Batches from what `fit`, `evaluate` and `predict` take, and the place in them."""

from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Any

import numpy as np

from pydl.data import DataLoader, Dataset, TensorDataset
from pydl.errors import ArgumentError
from pydl.ops import as_tensor
from pydl.tensor import Tensor


def as_loader(data: Any, batch_size: int, shuffle: bool, name: str) -> Iterable[Any]:
    """Batches of data.

    Args:
        data: a tuple of arrays or tensors with the same first axis, or a dataset, of which a DataLoader is made; else
            an iterable of batches that can be iterated over once per epoch, taken as it is.
        shuffle: a fresh random order each epoch, drawn from the default generator; without, nothing is drawn.
    """
    if isinstance(data, tuple) and data and all(isinstance(part, (np.ndarray, Tensor)) for part in data):
        data = TensorDataset(*[as_tensor(part) for part in data])
    if isinstance(data, Dataset):
        return DataLoader(data, batch_size, shuffle=True) if shuffle else DataLoader(data, batch_size, seed=0)
    if not isinstance(data, Iterable) or isinstance(data, (np.ndarray, Tensor, str, dict)):
        raise ArgumentError(f"{name}: expected (x, y), a dataset or batches, got {type(data).__name__}")
    return data


def length(loader: Iterable[Any]) -> int | None:
    """Batches per epoch, None where nobody knows."""
    try:
        return len(loader)  # type: ignore[arg-type]
    except TypeError:
        return None


def cursor(loader: Iterable[Any]) -> Any:
    """Where the epoch stands, if the loader knows; see `DataLoader.state_dict`."""
    return loader.state_dict() if hasattr(loader, "state_dict") else None


def resumed(loader: Iterable[Any], state: Any, batch: int, exhausted: bool) -> Iterator[Any]:
    """The batches of the epoch that were still to come. Args: exhausted: none, and the loader knows that already."""
    if state is not None and hasattr(loader, "load_state_dict"):
        loader.load_state_dict(state)
        return iter(()) if exhausted else iter(loader)
    return islice(iter(loader), batch, None)


def size_of(batch: Any) -> int:
    """The number of examples in a batch."""
    part = batch
    while isinstance(part, (list, tuple, dict)):
        part = next(iter(part.values() if isinstance(part, dict) else part))
    return int(part.shape[0])
