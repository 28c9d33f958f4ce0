"""save_sharded: weights in several files of limited size and an index, as Hugging Face's libraries write them."""

import contextlib
import json
import math
import os
import re
import secrets
from collections.abc import Mapping
from typing import Any

from pydl.errors import ArgumentError, FileFormatError
from pydl.serialize.files import replacing
from pydl.serialize.loading import weight_map
from pydl.serialize.saving import save
from pydl.tensor import Tensor

__all__ = ["save_sharded"]

_UNITS = {"": 1, "B": 1, **{f"{u}B": 1000**i for i, u in enumerate("KMGT", 1)}}
_UNITS |= {f"{u}IB": 1024**i for i, u in enumerate("KMGT", 1)}


def save_sharded(
    tensors: Mapping[str, Any],
    folder: str | os.PathLike[str],
    max_shard_size: int | str = "5GB",
    *,
    name: str = "model",
) -> str:
    """Writes a dict of tensors, such as a `state_dict`, to model-00001-of-00003.safetensors and so on, and their index.

    Tensors keep their order; a file takes as many as fit, and one alone that is larger than a file may be. What fits
    in one file becomes model.safetensors, without an index. Each file is as `save` writes it. The index is written
    last: until then, and on any failure, what the folder held stays as it was; then the files that it replaced are
    removed. (Where files of those names exist, the new ones have a tag in theirs.)

    Args:
        folder: made if it is not there.
        max_shard_size: of the numbers in a file: bytes, or a text such as "500MB" or "2GiB".
        name: in place of "model".
    Returns: the path for `load`: the index, or the only file.
    Raises: ArgumentError for other objects, sizes or names; OSError from the file system.
    """
    if not name or set(name) & set("/\\:\0"):
        raise ArgumentError(f"save_sharded: {name!r} is no name of a file")
    parts = _parts(tensors, _bytes(max_shard_size))
    folder = os.fspath(folder)
    os.makedirs(folder, exist_ok=True)
    single, index = os.path.join(folder, f"{name}.safetensors"), os.path.join(folder, f"{name}.safetensors.index.json")
    old = _files_of(index, name)
    if len(parts) == 1:
        save(parts[0], single)
        _remove(folder, [os.path.basename(index), *old])
        return single
    names = _free_names(folder, name, len(parts))
    try:
        for part, file in zip(parts, names, strict=True):
            save(part, os.path.join(folder, file))
        with replacing(index) as target:
            target.write(_index(parts, names))
    except BaseException:
        _remove(folder, names)
        raise
    _remove(folder, [os.path.basename(single), *old])
    return index


def _bytes(size: int | str) -> int:
    """A size in bytes, also if it is a text."""
    if isinstance(size, str):
        found = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([KMGT]?I?B|)", size.strip().upper())
        limit = math.floor(float(found[1]) * _UNITS[found[2]]) if found and found[2] in _UNITS else 0
    else:
        limit = size if isinstance(size, int) and not isinstance(size, bool) else 0
    if limit < 1:
        raise ArgumentError(f"save_sharded: max_shard_size must be bytes or a text such as '5GB', got {size!r}")
    return limit


def _parts(tensors: Mapping[str, Any], limit: int) -> list[dict[str, Any]]:
    """The tensors of each file."""
    if not isinstance(tensors, Mapping):
        raise ArgumentError(f"save_sharded: expected a dict of tensors, got {type(tensors).__name__}")
    parts: list[dict[str, Any]] = [{}]
    filled = 0
    for key, value in tensors.items():
        if not isinstance(key, str) or not isinstance(value, Tensor):
            raise ArgumentError(f"save_sharded: {key!r} is a {type(value).__name__}: expected texts and tensors")
        size = value.numel() * value.dtype.itemsize
        if parts[-1] and filled + size > limit:
            parts.append({})
            filled = 0
        parts[-1][key] = value
        filled += size
    return parts


def _files_of(index: str, name: str) -> list[str]:
    """The files of an index whose names are as they are made here; none if there is no index that can be read."""
    try:
        files = dict.fromkeys(weight_map(index).values())
    except (OSError, FileFormatError):
        return []
    form = re.compile(re.escape(name) + r"(-[0-9a-f]{8})?-\d{5}-of-\d{5}\.safetensors")
    return [file for file in files if form.fullmatch(file)]


def _free_names(folder: str, name: str, count: int) -> list[str]:
    """Names of files that are not there yet."""
    for stem in (name, f"{name}-{secrets.token_hex(4)}"):
        names = [f"{stem}-{i:05}-of-{count:05}.safetensors" for i in range(1, count + 1)]
        if not any(os.path.exists(os.path.join(folder, file)) for file in names):
            break
    return names


def _index(parts: list[dict[str, Any]], names: list[str]) -> bytes:
    """The JSON that tells where each tensor is."""
    places = {key: file for part, file in zip(parts, names, strict=True) for key in part}
    total = sum(x.numel() * x.dtype.itemsize for part in parts for x in part.values())
    return json.dumps({"metadata": {"total_size": total}, "weight_map": places}, indent=2).encode() + b"\n"


def _remove(folder: str, names: list[str]) -> None:
    for file in names:
        with contextlib.suppress(OSError):
            os.unlink(os.path.join(folder, file))
