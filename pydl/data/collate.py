"""From a list of samples to one batch."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

import pydl
from pydl.errors import DtypeError, KeyMissingError, ShapeError


def default_convert(data: Any) -> Any:
    """NumPy arrays and scalars inside `data` become tensors, everything else stays as it is (no batch axis added)."""
    if isinstance(data, np.ndarray):
        return data if data.dtype.kind in "SUO" else _from_numpy(data)
    if isinstance(data, np.generic):
        return data if data.dtype.kind in "SUO" else pydl.from_numpy(np.array(data))
    if isinstance(data, Mapping):
        return _like_mapping(data, {k: default_convert(v) for k, v in data.items()})
    if isinstance(data, tuple) and hasattr(data, "_fields"):
        return type(data)(*(default_convert(v) for v in data))
    if isinstance(data, tuple):
        return [default_convert(v) for v in data]
    if isinstance(data, Sequence) and not isinstance(data, str | bytes):
        return _like_sequence(data, [default_convert(v) for v in data])
    return data


def default_collate(batch: Sequence[Any]) -> Any:
    """A list of b samples as one batch, with a new first axis of length b.

    Tensors and NumPy arrays of one shape s: tensor (b, *s). Python floats: float64 (b,). Integers: int64 (b,).
    Bools: bool (b,). Strings and bytes: the list. Mappings: the same mapping of batches. Named tuples: the same named
    tuple of batches. Tuples and lists: a list of batches.

    Raises: ShapeError when the samples differ in shape or length; KeyMissingError when in keys; DtypeError for other
    types and for samples of different kinds.
    """
    if len(batch) == 0:
        raise ShapeError("default_collate: the batch is empty")
    first = batch[0]
    if isinstance(first, pydl.Tensor):
        _same_kind(batch, pydl.Tensor)
        _same_shapes([tuple(x.shape) for x in batch])
        return pydl.stack(list(batch))
    for kind, collate in _COLLATE:
        if isinstance(first, kind):
            _same_kind(batch, _NUMBERS if issubclass(type(first), _NUMBERS) else kind)
            return collate(batch, first)
    raise DtypeError(
        "default_collate: a batch must contain tensors, numpy arrays, numbers, strings, dicts, tuples or lists, "
        f"got {type(first).__name__}"
    )


def _from_numpy(array: np.ndarray[Any, Any]) -> pydl.Tensor:
    return pydl.from_numpy(array if array.flags.writeable else array.copy())


def _same_shapes(shapes: Sequence[tuple[int, ...]]) -> None:
    for i, shape in enumerate(shapes):
        if shape != shapes[0]:
            raise ShapeError(
                f"default_collate: sample {i} has shape {shape}, sample 0 has {shapes[0]}: expected equal shapes "
                "(pass a collate_fn that pads)"
            )


def _same_kind(batch: Sequence[Any], kind: Any) -> None:
    for i, x in enumerate(batch):
        if not isinstance(x, kind):
            raise DtypeError(
                f"default_collate: sample {i} is a {type(x).__name__}, sample 0 a {type(batch[0]).__name__}: expected "
                "one kind"
            )


def _arrays(batch: Sequence[Any], first: Any) -> Any:
    arrays = [np.asarray(x) for x in batch]
    if arrays[0].dtype.kind in "SUO":
        raise DtypeError(f"default_collate: numpy arrays must hold numbers, got dtype {arrays[0].dtype}")
    _same_shapes([x.shape for x in arrays])
    return pydl.from_numpy(np.stack(arrays))


def _floats(batch: Sequence[Any], first: Any) -> Any:
    return pydl.from_numpy(np.array(batch, np.float64))


def _bools(batch: Sequence[Any], first: Any) -> Any:
    array = np.array(batch)
    return pydl.from_numpy(array if array.dtype == np.bool_ else array.astype(np.int64))


def _ints(batch: Sequence[Any], first: Any) -> Any:
    array = np.array(batch)
    return pydl.from_numpy(array.astype(np.int64 if array.dtype.kind in "biu" else np.float64, copy=False))


def _strings(batch: Sequence[Any], first: Any) -> Any:
    return list(batch)


def _mappings(batch: Sequence[Any], first: Any) -> Any:
    for i, sample in enumerate(batch):
        missing = [k for k in first if k not in sample]
        if missing:
            raise KeyMissingError(f"default_collate: sample {i} has no {missing[0]!r}, which sample 0 has")
    return _like_mapping(first, {k: default_collate([sample[k] for sample in batch]) for k in first})


def _sequences(batch: Sequence[Any], first: Any) -> Any:
    lengths = {len(sample) for sample in batch}
    if len(lengths) != 1:
        raise ShapeError(f"default_collate: each sample must have the same number of parts, got {sorted(lengths)}")
    parts = [default_collate(part) for part in zip(*batch, strict=True)]
    if isinstance(first, tuple):
        return type(first)(*parts) if hasattr(first, "_fields") else parts
    return _like_sequence(first, parts)


def _like_mapping(model: Mapping[Any, Any], values: dict[Any, Any]) -> Any:
    if type(model) is dict:
        return values
    try:
        return type(model)(values)  # type: ignore[call-arg]
    except TypeError:  # a mapping that is not built from a dict
        return values


def _like_sequence(model: Sequence[Any], values: list[Any]) -> Any:
    if type(model) is list:
        return values
    try:
        return type(model)(values)  # type: ignore[call-arg]
    except TypeError:  # a sequence that is not built from a list (range, for one)
        return values


_NUMBERS = (bool, int, float, np.generic, np.ndarray, pydl.Tensor)
_COLLATE: tuple[tuple[Any, Callable[[Sequence[Any], Any], Any]], ...] = (
    ((np.ndarray, np.generic), _arrays),
    (bool, _bools),
    (float, _floats),
    (int, _ints),
    ((str, bytes), _strings),
    (Mapping, _mappings),
    (Sequence, _sequences),
)
