"""Trees of tensors as JSON.

A dict is {"dict": [[key, value], ...]}, a tuple {"tuple": [...]}, a tensor {"tensor": entry}, a NumPy array
{"array": entry}, a float that JSON lacks {"float": "nan"}; the rest stands for itself.
"""

import math
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import numpy as np

from pydl.errors import ArgumentError, FileFormatError
from pydl.serialize.entry import Entry

__all__ = ["packed", "unpacked"]

_DEPTH = 64  # of the tree: bounds the recursion on both ways


def packed(value: Any, path: tuple[str, ...], entries: dict[str, Entry]) -> Any:
    """value, which stands at `path`, as JSON; its tensors go into entries. Raises: ArgumentError."""
    if len(path) > _DEPTH:
        raise ArgumentError(f"save: the tree is nested more than {_DEPTH} deep (does it contain itself?)")
    if isinstance(value, np.generic):
        value = value.item()
    if value is None or isinstance(value, (bool, str)):
        return value
    if isinstance(value, int):
        return int(value)
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else {"float": repr(float(value))}
    if Entry.fits(value):
        name = _entry_name(path, entries)
        entries[name] = Entry.of(value)
        return {"array" if isinstance(value, np.ndarray) else "tensor": name}
    if isinstance(value, (list, tuple)):
        items = [packed(v, (*path, str(i)), entries) for i, v in enumerate(value)]
        return items if isinstance(value, list) else {"tuple": items}
    if isinstance(value, Mapping):
        return {"dict": [[_key(k, path), packed(v, (*path, str(k)), entries)] for k, v in value.items()]}
    hint = " (save its state_dict())" if hasattr(value, "state_dict") else ""
    raise ArgumentError(
        f"save: {'/'.join(path) or 'the object'} is a {type(value).__name__}{hint}: expected tensors, numbers, "
        "strings, None, lists, tuples and dicts"
    )


def unpacked(tree: Any, entries: dict[str, Entry], depth: int = 0) -> Any:
    """What `packed` packed. Each entry is given out once. Raises: FileFormatError, and what a wrong tree may raise."""
    if depth > _DEPTH:
        raise FileFormatError(f"the tree is nested more than {_DEPTH} deep")
    if isinstance(tree, list):
        return list(_items(tree, entries, depth))
    if not isinstance(tree, dict):
        return tree
    ((kind, content),) = tree.items()
    if kind == "dict":
        values = _items((value for _, value in content), entries, depth)
        return dict(zip((key for key, _ in content), values, strict=True))
    if kind == "tuple":
        return tuple(_items(content, entries, depth))
    if kind == "float":
        return float(content)
    if kind not in ("array", "tensor"):
        raise FileFormatError(f"the tree has a {kind!r}")
    entry = entries.pop(content)
    return entry.array() if kind == "array" else entry.tensor(content)


def _items(tree: Iterable[Any], entries: dict[str, Entry], depth: int) -> Iterator[Any]:
    return (unpacked(value, entries, depth + 1) for value in tree)


def _key(key: Any, path: tuple[str, ...]) -> Any:
    if isinstance(key, np.generic):
        key = key.item()
    if key is None or isinstance(key, (str, int)) or (isinstance(key, float) and math.isfinite(key)):
        return key
    raise ArgumentError(f"save: {'/'.join(path) or 'the object'} has the key {key!r}: expected strings and numbers")


def _entry_name(path: tuple[str, ...], entries: Mapping[str, Entry]) -> str:
    """The path, or where that cannot be or is taken already a name made of it."""
    wanted = name = "/".join(path).encode("utf-8", "replace").decode()
    while name in entries or name in ("", "__metadata__"):
        name = f"{wanted}~{len(entries)}"
        wanted += "~"
    return name
