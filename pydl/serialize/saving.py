"""save: a tree of tensors to a safetensors file."""

import json
import os
from collections.abc import Mapping
from typing import IO, Any, TypeGuard

from pydl.serialize.container import DIGEST, digest, write
from pydl.serialize.entry import Entry
from pydl.serialize.files import replacing
from pydl.serialize.tree import packed
from pydl.tensor import Tensor

__all__ = ["save"]


def save(obj: Any, path: str | os.PathLike[str] | IO[bytes]) -> None:
    """Writes a tree to a safetensors file: all of it, or nothing.

    Tensors are the entries of the file, under their path in the tree ("model/fc.weight"); a dict of tensors, such as a
    `state_dict`, has its own keys for names, and PyTorch, JAX and NumPy read it by the safetensors package. The tree
    itself is JSON in the metadata, beside a SHA-256 of everything, which `load` compares.

    Args:
        obj: a tensor, a number, a string, None, a NumPy array, or a list, tuple or dict of such, nested at will. The
            keys of dicts are strings, numbers or None. Subclasses come back as the plain type.
        path: replaced once the new file is safely on disk; until then, and on any failure, it stays as it was. Or a
            file that is open for writing bytes.
    Raises: ArgumentError for other objects; OSError from the file system.
    """
    entries: dict[str, Entry] = {}
    tree = json.dumps(packed(obj, (), entries), separators=(",", ":"))
    # readers of model weights look for "pt", which says that names and layouts are PyTorch's
    metadata = {"format": "pt" if _is_flat(obj) else "pydl", "pydl.tree": tree}
    metadata[DIGEST] = digest(metadata, entries)
    if _is_open(path):
        write(path, entries, metadata)
        return
    with replacing(path) as file:  # type: ignore[arg-type]
        write(file, entries, metadata)


def _is_flat(obj: Any) -> bool:
    """Whether obj is a dict of tensors, and these have its keys for names."""
    return isinstance(obj, Mapping) and all(isinstance(k, str) and isinstance(v, Tensor) for k, v in obj.items())


def _is_open(path: Any) -> TypeGuard[IO[bytes]]:
    return hasattr(path, "write")
