"""load: what `save` wrote, weights of other libraries, and weights spread over several files."""

import json
import os
from typing import IO, Any, cast

from pydl.errors import FileFormatError, MissingExtraError, PydlError
from pydl.serialize.container import DIGEST, HEADER_LIMIT, json_object, read
from pydl.serialize.tree import unpacked

__all__ = ["load", "weight_map"]

_WRONG = (PydlError, ArithmeticError, AttributeError, LookupError, RecursionError, TypeError, ValueError)


def load(path: str | os.PathLike[str] | IO[bytes]) -> Any:
    """Reads what `save` wrote: the same tree, with tensors that do not require gradients.

    A safetensors file of another library is a dict of its tensors. (uint16 and smaller integers become int32, uint32
    int64.) The index of weights in several files, model.safetensors.index.json, gives a dict of them all. Where a file
    has a checksum of `save`, it must fit.

    Args: path: of the file or the index; or a file that is open for reading bytes and can seek, read to its end.
    Raises: FileFormatError if the file is cut off, damaged or of another kind; OSError if it cannot be read.
    """
    if hasattr(path, "readinto"):
        return _load(path, getattr(path, "name", "the open file"))
    name = os.fspath(cast("str | os.PathLike[str]", path))
    if name.endswith(".json"):
        return _load_index(name)
    with open(name, "rb") as file:
        return _load(file, name)


def _load(file: Any, name: str) -> Any:
    """A tree, or a dict of the tensors of a foreign file."""
    try:
        metadata, entries = read(file)
        if "pydl.tree" not in metadata:
            if DIGEST in metadata or metadata.get("format") == "pydl":
                raise FileFormatError("the checksum does not fit: the file was damaged or changed")
            return {key: entry.tensor(key) for key, entry in entries.items()}
        if DIGEST not in metadata:
            raise FileFormatError("the checksum is missing: the file was damaged or changed")
        return unpacked(json.loads(metadata["pydl.tree"]), entries)
    except FileFormatError as error:
        raise FileFormatError(f"load: {name}: {error}") from error.__cause__
    except MissingExtraError:
        raise
    except _WRONG as error:
        raise FileFormatError(f"load: {name}: not what save writes: {error}") from error


def weight_map(path: str) -> dict[str, str]:
    """Which file beside it an index names for each tensor. Raises: FileFormatError; OSError."""
    with open(path, "rb") as file:
        text = file.read(HEADER_LIMIT + 1)
    try:
        if len(text) > HEADER_LIMIT:
            raise FileFormatError(f"the index has more than {HEADER_LIMIT} bytes")
        places = json_object(text, "the index", fractions=True).get("weight_map")
        if not isinstance(places, dict) or not all(map(_is_plain, places.values())):
            raise FileFormatError("the index has no weight_map of names of files beside it")
    except FileFormatError as error:
        raise FileFormatError(f"load: {path}: {error}") from error.__cause__
    return places


def _load_index(path: str) -> dict[str, Any]:
    """The tensors of all files that an index names, in its order."""
    places = weight_map(path)
    found: dict[str, Any] = {}
    for part in dict.fromkeys(places.values()):
        tensors = load(os.path.join(os.path.dirname(path), part))
        names = [name for name, place in places.items() if place == part]
        missing = [name for name in names if not isinstance(tensors, dict) or name not in tensors]
        if missing:
            raise FileFormatError(f"load: {path}: {part} does not hold {missing[0]!r}")
        found |= {name: tensors[name] for name in names}
    return {name: found[name] for name in places}


def _is_plain(name: Any) -> bool:
    """Whether name is a file in the folder of the index, not a way to elsewhere."""
    return isinstance(name, str) and name.endswith(".safetensors") and not set(name) & set("/\\:\0")
