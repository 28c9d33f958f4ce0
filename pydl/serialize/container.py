"""The safetensors format: 8 bytes with the length of a header, the header, then the numbers of all entries in a row.

The header is JSON: {"name": {"dtype": "F32", "shape": [2, 3], "data_offsets": [begin, end]}, ...}, with texts of one's
own under "__metadata__". Nothing in a file is believed before it is checked, sizes against the length of the file and
entries against each other: no more memory is taken for numbers than the file is long.
Source: the format's description at github.com/huggingface/safetensors, whose limit of the header this is.
"""

import hashlib
import json
import math
import os
from collections.abc import Iterable, Mapping
from typing import IO, Any

from pydl.errors import ArgumentError, FileFormatError
from pydl.serialize.entry import SIZES, Entry

__all__ = ["DIGEST", "HEADER_LIMIT", "digest", "json_object", "read", "write"]

HEADER_LIMIT = 100_000_000
DIGEST = "pydl.sha256"  # in the metadata: `digest` of all the rest
_METADATA = "__metadata__"
_DIGITS = 19  # of the largest int64


def write(file: IO[bytes], entries: Mapping[str, Entry], metadata: Mapping[str, str]) -> None:
    """Writes entries and metadata; the widest numbers come first, so that all of them are aligned."""
    order = sorted(entries, key=lambda name: (-SIZES[entries[name].dtype], name))
    header: dict[str, Any] = {_METADATA: dict(metadata)} if metadata else {}
    end = 0
    for name in order:
        entry = entries[name]
        begin, end = end, end + entry.size
        header[name] = {"dtype": entry.dtype, "shape": list(entry.shape), "data_offsets": [begin, end]}
    text = _compact(header)
    text += b" " * (-len(text) % 8)
    if len(text) > HEADER_LIMIT:
        raise ArgumentError(f"save: names and structure take {len(text)} bytes: the format has room for {HEADER_LIMIT}")
    file.write(len(text).to_bytes(8, "little") + text)
    for name in order:
        file.write(entries[name].buffer())


def read(file: IO[bytes]) -> tuple[dict[str, str], dict[str, Entry]]:
    """Metadata and entries of a file, from where it stands to its end, verified where there is a checksum.

    Raises: FileFormatError.
    """
    text, size = _header(file)
    header = json_object(text, "the header")
    metadata = _metadata(header.get(_METADATA, {}))
    places = {name: _Place(name, fields) for name, fields in header.items() if name != _METADATA}
    order = sorted(places.values(), key=lambda place: (place.begin, place.end))
    _check_cover(order, size)
    found = {place.name: Entry.read(file, place.name, place.dtype, place.shape) for place in order}
    entries = {name: found[name] for name in places}
    if DIGEST in metadata and metadata[DIGEST] != digest(metadata, entries):
        raise FileFormatError("the checksum does not fit: the file was damaged or changed")
    if DIGEST in metadata and _compact(header) != text.rstrip(b" "):  # JSON has other ways to write the same
        raise FileFormatError("the header is not as it was written: the file was damaged or changed")
    return metadata, entries


def digest(metadata: Mapping[str, str], entries: Mapping[str, Entry]) -> str:
    """SHA-256 of the metadata without its checksum and of all entries, whatever their order in the file."""
    rest = {key: value for key, value in metadata.items() if key != DIGEST}
    found = hashlib.sha256(json.dumps(rest, sort_keys=True).encode())
    for name in sorted(entries):
        entry = entries[name]
        found.update(f"\n{len(name)} {name} {entry.dtype} {entry.shape}\n".encode())
        found.update(entry.buffer())
    return found.hexdigest()


def json_object(text: bytes, what: str, fractions: bool = False) -> dict[str, Any]:
    """A JSON object in which no name stands twice; whole numbers only, or fractions too. Raises: FileFormatError."""
    try:
        found = json.loads(
            text.decode(),
            object_pairs_hook=_without_duplicates,
            parse_int=_integer,
            parse_float=float if fractions else _no_number,
            parse_constant=_no_number,
        )
    except FileFormatError as error:
        raise FileFormatError(f"{what}: {error}") from None
    except (ValueError, RecursionError) as error:
        raise FileFormatError(f"{what} is not JSON: {error}") from error
    if not isinstance(found, dict):
        raise FileFormatError(f"{what} is not a JSON object")
    return found


class _Place:
    """What the header says of an entry, checked by itself."""

    def __init__(self, name: str, fields: Any) -> None:
        if not isinstance(fields, dict) or set(fields) != {"dtype", "shape", "data_offsets"}:
            raise FileFormatError(f"the entry {name!r} does not have just a dtype, a shape and data_offsets")
        self.name, self.dtype = name, fields["dtype"]
        shape, offsets = fields["shape"], fields["data_offsets"]
        if not isinstance(self.dtype, str) or self.dtype not in SIZES:
            raise FileFormatError(f"{name!r} has the dtype {self.dtype!r}, which pydl does not have")
        if not _sizes(shape) or not _sizes(offsets) or len(offsets) != 2:
            raise FileFormatError(f"{name!r} has the shape {shape} and the offsets {offsets}")
        if math.prod(max(size, 1) for size in shape) >= 2**60:  # empty ones too: their strides overflow
            raise FileFormatError(f"{name!r} has the shape {tuple(shape)}: too large")
        self.shape, (self.begin, self.end) = tuple(shape), offsets
        if self.end - self.begin != math.prod(shape) * SIZES[self.dtype]:
            raise FileFormatError(f"{name!r}: {self.dtype} of shape {self.shape} does not fit the offsets {offsets}")


def _header(file: IO[bytes]) -> tuple[bytes, int]:
    """The text of the header, and how many bytes of numbers follow it."""
    start = file.tell()
    size = file.seek(0, os.SEEK_END) - start
    file.seek(start)
    length = int.from_bytes(file.read(8), "little")
    if size < 10 or not 2 <= length <= min(size - 8, HEADER_LIMIT):
        raise FileFormatError("not a whole safetensors file: it is cut off or of another kind")
    text = file.read(length)
    if len(text) != length or not text.startswith(b"{"):
        raise FileFormatError("not a whole safetensors file: it has no header")
    return text, size - 8 - length


def _metadata(value: Any) -> dict[str, str]:
    if not isinstance(value, dict) or not all(isinstance(text, str) for text in value.values()):
        raise FileFormatError("the metadata are not texts")
    return value


def _check_cover(places: Iterable[_Place], size: int) -> None:
    """Entries in the order of their offsets: no byte is nobody's, none is two's."""
    end = 0
    for place in places:
        if place.begin != end:
            raise FileFormatError(f"{place.name!r} begins at byte {place.begin}: expected {end}")
        end = place.end
    if end != size:
        raise FileFormatError(f"not a whole safetensors file: {size} bytes of numbers: expected {end}")


def _sizes(values: Any) -> bool:
    return isinstance(values, list) and all(type(value) is int and value >= 0 for value in values)


def _compact(header: Mapping[str, Any]) -> bytes:
    return json.dumps(header, ensure_ascii=False, separators=(",", ":")).encode()


def _without_duplicates(pairs: Iterable[tuple[str, Any]]) -> dict[str, Any]:
    made: dict[str, Any] = {}
    for key, value in pairs:
        if key in made:
            raise FileFormatError(f"the name {key!r} stands twice")
        made[key] = value
    return made


def _integer(digits: str) -> int:
    if len(digits) > _DIGITS:  # int() takes quadratic time
        raise FileFormatError(f"a number has {len(digits)} digits")
    return int(digits)


def _no_number(digits: str) -> Any:
    raise FileFormatError(f"{digits[:40]} is not a whole number")
