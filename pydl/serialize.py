"""save and load: trees of tensors in safetensors files, never pickle.

Tensors are the entries of the file, under their path in the tree; anything that reads safetensors reads them. The tree
itself is JSON in the metadata, beside a SHA-256 of the tree and of all entries. In the JSON a dict is
{"dict": [[key, value], ...]}, a tuple {"tuple": [...]}, a tensor {"tensor": entry}, a NumPy array {"array": entry}, a
float that JSON lacks {"float": "nan"}; the rest stands for itself.
"""

import contextlib
import ctypes
import hashlib
import json
import math
import os
import secrets
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import numpy as np

from pydl import _C
from pydl.errors import ArgumentError, FileFormatError, PydlError, require
from pydl.tensor import Tensor

__all__ = ["load", "save"]

_DEPTH = 64  # of the tree: bounds the recursion on both ways
_FORMAT, _TREE, _DIGEST = "format", "pydl.tree", "pydl.sha256"
_DTYPES = {"F32": _C.float32, "F64": _C.float64, "BF16": _C.bfloat16, "F16": _C.float16,
           "I64": _C.int64, "I32": _C.int32, "U8": _C.uint8, "BOOL": _C.bool}  # fmt: skip
_NUMPY = {"I8": "int8", "I16": "int16", "U16": "uint16", "U32": "uint32", "U64": "uint64"}
_NUMPY |= {code: dtype.name for code, dtype in _DTYPES.items() if code != "BF16"}
_WIDER = {"I8": "int32", "I16": "int32", "U16": "int32", "U32": "int64"}  # foreign entries that pydl holds as
_CODES = {name: code for code, name in _NUMPY.items()} | {"bfloat16": "BF16"}


class _Entry:
    """One block of numbers in a file: dtype code, shape and memory, which `owner` keeps alive."""

    def __init__(self, dtype: str, shape: tuple[int, ...], pointer: int, size: int, owner: Any) -> None:
        self.dtype, self.shape, self.pointer, self.size, self.owner = dtype, shape, pointer, size, owner

    @classmethod
    def of(cls, value: Any) -> "_Entry":
        if isinstance(value, Tensor):
            array = _C.contiguous(value.array)
            code = _CODES[array.dtype.name]
            return cls(code, array.shape, array.data_ptr, array.size * array.dtype.itemsize, array)
        dense = np.asarray(value, order="C")
        return cls(_CODES[dense.dtype.name], dense.shape, dense.ctypes.data, dense.nbytes, dense)

    @classmethod
    def read(cls, fields: Mapping[str, Any]) -> "_Entry":
        data = np.frombuffer(fields["data"], np.uint8)
        if math.prod(max(size, 1) for size in fields["shape"]) >= 2**63:  # empty, but its strides overflow
            raise FileFormatError(f"an entry has the shape {tuple(fields['shape'])}")
        return cls(fields["dtype"], tuple(fields["shape"]), data.ctypes.data, data.nbytes, data)

    def bytes(self) -> Any:
        """The memory as a buffer."""
        return (ctypes.c_char * self.size).from_address(self.pointer) if self.size else b""

    def spec(self, safetensors: Any) -> Any:
        """What safetensors.serialize takes: a pointer, or in versions before 0.8 a copy."""
        name = "bfloat16" if self.dtype == "BF16" else _NUMPY[self.dtype]
        if hasattr(safetensors, "TensorSpec"):
            return safetensors.TensorSpec(dtype=name, shape=list(self.shape), data_ptr=self.pointer, data_len=self.size)
        return {"dtype": name, "shape": list(self.shape), "data": bytes(self.bytes())}

    def array(self) -> np.ndarray[Any, Any]:
        """A NumPy array with a copy of the numbers."""
        made = np.empty(self.shape, _NUMPY[self.dtype])
        ctypes.memmove(made.ctypes.data, self.pointer, self.size)
        return made

    def tensor(self) -> Tensor:
        """A tensor with a copy of the numbers."""
        if self.dtype in _WIDER:
            return Tensor(_C.from_numpy(self.array().astype(_WIDER[self.dtype])))
        made = _C.empty(self.shape, _DTYPES[self.dtype], _C.device("cpu"))
        ctypes.memmove(made.data_ptr, self.pointer, self.size)
        return Tensor(made)


# ---- writing


def save(obj: Any, path: str | os.PathLike[str]) -> None:
    """Writes a tree to a safetensors file: all of it, or nothing.

    Args:
        obj: a tensor, a number, a string, None, a NumPy array, or a list, tuple or dict of such, nested at will. The
            keys of dicts are strings, numbers or None.
        path: replaced once the new file is safely on disk; until then, and on any failure, it stays as it was.
    Raises: ArgumentError for other objects; MissingExtraError without safetensors; OSError from the file system.
    """
    safetensors: Any = require("safetensors", "checkpoint", "save")
    entries: dict[str, _Entry] = {}
    tree = json.dumps(_packed(obj, (), entries), separators=(",", ":"))
    metadata = {_FORMAT: "pydl", _TREE: tree, _DIGEST: _digest(tree, entries)}
    specs = {name: entry.spec(safetensors) for name, entry in entries.items()}
    _write(os.path.realpath(path), safetensors.serialize(specs, metadata))


def _packed(value: Any, path: tuple[str, ...], entries: dict[str, _Entry]) -> Any:
    """value as JSON; its tensors go into entries."""
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
    if isinstance(value, Tensor) or (isinstance(value, np.ndarray) and value.dtype.name in _CODES):
        name = _entry_name(path, entries)
        entries[name] = _Entry.of(value)
        return {"tensor" if isinstance(value, Tensor) else "array": name}
    if isinstance(value, (list, tuple)):
        packed = [_packed(v, (*path, str(i)), entries) for i, v in enumerate(value)]
        return packed if isinstance(value, list) else {"tuple": packed}
    if isinstance(value, Mapping):
        pairs = [[_key(k, path), _packed(v, (*path, str(k)), entries)] for k, v in value.items()]
        return {"dict": pairs}
    raise ArgumentError(
        f"save: {'/'.join(path) or 'the object'} is a {type(value).__name__}: expected tensors, numbers, strings, "
        "None, lists, tuples and dicts"
    )


def _key(key: Any, path: tuple[str, ...]) -> Any:
    if key is None or isinstance(key, (str, int)) or (isinstance(key, float) and math.isfinite(key)):
        return key
    raise ArgumentError(f"save: {'/'.join(path) or 'the object'} has the key {key!r}: expected strings and numbers")


def _entry_name(path: tuple[str, ...], entries: dict[str, _Entry]) -> str:
    """The path, or where that cannot be or is taken already a name made of it."""
    wanted = name = "/".join(path).encode("utf-8", "replace").decode()
    while name in entries or name in ("", "__metadata__"):
        name = f"{wanted}~{len(entries)}"
        wanted += "~"
    return name


def _digest(tree: str, entries: Mapping[str, _Entry]) -> str:
    """SHA-256 of the tree and of all entries, whatever their order in the file."""
    digest = hashlib.sha256(tree.encode())
    for name in sorted(entries):
        entry = entries[name]
        digest.update(f"\n{len(name)} {name} {entry.dtype} {entry.shape}\n".encode())
        digest.update(entry.bytes())
    return digest.hexdigest()


def _write(path: str, data: bytes) -> None:
    """Puts data into a new file, which replaces path when it is on disk."""
    temporary = f"{path}.{secrets.token_hex(8)}.tmp"
    try:
        with open(temporary, "xb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(temporary)
        raise
    _sync_directory(os.path.dirname(path))


def _sync_directory(path: str) -> None:
    """Makes a rename in the directory last, where the system has a way to."""
    if hasattr(os, "O_DIRECTORY"):
        descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
        try:
            with contextlib.suppress(OSError):  # not every file system can; the file itself is safe
                os.fsync(descriptor)
        finally:
            os.close(descriptor)


# ---- reading


def load(path: str | os.PathLike[str]) -> Any:
    """Reads what `save` wrote: the same tree, with tensors that do not require gradients.

    A safetensors file of another library is a dict of its tensors. (uint16 and smaller integers become int32, uint32
    int64.)
    Raises: FileFormatError if the file is cut off, damaged or of another kind; OSError if it cannot be read;
        MissingExtraError without safetensors.
    """
    safetensors: Any = require("safetensors", "checkpoint", "load")
    with open(path, "rb") as file:
        data = file.read()
    try:
        header, entries = _parsed(data, safetensors)
        metadata = header.pop("__metadata__", {})
        if metadata.get(_FORMAT) == "pydl" or _TREE in metadata or _DIGEST in metadata:
            return _verified(metadata, entries)
        return {name: _node({"tensor": name}, entries) for name in header}
    except FileFormatError as error:
        raise FileFormatError(f"load: {os.fspath(path)}: {error}") from error.__cause__
    except (PydlError, ArithmeticError, AttributeError, LookupError, RecursionError, TypeError, ValueError) as error:
        raise FileFormatError(f"load: {os.fspath(path)}: not what save writes: {error}") from error


def _parsed(data: bytes, safetensors: Any) -> tuple[dict[str, Any], dict[str, _Entry]]:
    """The header and the entries, checked against each other by safetensors."""
    try:
        listed = safetensors.deserialize(data)
    except safetensors.SafetensorError as error:
        raise FileFormatError(f"not a whole safetensors file: {error}") from error
    header = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")], object_pairs_hook=_without_duplicates)
    return header, {name: _Entry.read(fields) for name, fields in listed}


def _without_duplicates(pairs: Iterable[tuple[str, Any]]) -> dict[str, Any]:
    made: dict[str, Any] = {}
    for key, value in pairs:
        if key in made:
            raise FileFormatError(f"the header has two entries {key!r}")
        made[key] = value
    return made


def _verified(metadata: Mapping[str, str], entries: Mapping[str, _Entry]) -> Any:
    """The tree, if the checksum says that it is as it was written."""
    if metadata.get(_FORMAT) != "pydl" or _digest(metadata.get(_TREE, ""), entries) != metadata.get(_DIGEST):
        raise FileFormatError("the checksum does not fit: the file was damaged or changed")
    return _node(json.loads(metadata[_TREE]), entries)


def _node(packed: Any, entries: Mapping[str, _Entry], depth: int = 0) -> Any:
    """What `_packed` packed."""
    if depth > _DEPTH:
        raise FileFormatError(f"the tree is nested more than {_DEPTH} deep")
    if isinstance(packed, list):
        return list(_nodes(packed, entries, depth))
    if not isinstance(packed, dict):
        return packed
    ((kind, content),) = packed.items()
    if kind == "dict":
        values = _nodes((value for _, value in content), entries, depth)
        return dict(zip((key for key, _ in content), values, strict=True))
    if kind == "tuple":
        return tuple(_nodes(content, entries, depth))
    if kind == "float":
        return float(content)
    entry = entries[content]
    known = _NUMPY if kind == "array" else {**_DTYPES, **_WIDER}
    if entry.dtype not in known or kind not in ("array", "tensor"):
        raise FileFormatError(f"{content!r} is a {kind} of dtype {entry.dtype}, which pydl does not have")
    if entry.dtype == "BOOL" and (np.frombuffer(entry.bytes(), np.uint8) > 1).any():
        raise FileFormatError(f"{content!r} is bool, but holds other numbers than 0 and 1")
    return entry.array() if kind == "array" else entry.tensor()


def _nodes(packed: Iterable[Any], entries: Mapping[str, _Entry], depth: int) -> Iterator[Any]:
    return (_node(value, entries, depth + 1) for value in packed)
