"""The idx file format of MNIST and its relatives: one array of numbers, plain or in gzip.

Layout: two zero bytes, a type code, the number of axes d, d big-endian 32-bit sizes, then the values in C order, big
end first. Source: Y. LeCun, C. Cortes, C. Burges, "The MNIST database of handwritten digits", file formats.
"""

from __future__ import annotations

import gzip
import math
import os
import zlib
from pathlib import Path
from typing import IO, Any

import numpy as np
import numpy.typing as npt

from pydl.errors import FileFormatError

_TYPES = {0x08: ">u1", 0x09: ">i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}
_GZIP_MAGIC = b"\x1f\x8b"
_CHUNK = 1 << 20


def read_idx(path: str | os.PathLike[str], *, max_bytes: int = 1 << 31) -> npt.NDArray[Any]:
    """The array in an idx file, in native byte order.

    Args:
        path: plain or gzip, told apart by the first bytes.
        max_bytes: larger arrays are refused before they are read, and a file is never read far beyond what its
            header announces, so that a hostile file costs little.
    Raises: FileFormatError when the file is truncated, has another header, too few or too many bytes; OSError when it
        cannot be opened.
    """
    path = Path(path)
    with open(path, "rb") as raw:
        packed = raw.read(2) == _GZIP_MAGIC
        raw.seek(0)
        try:
            if not packed:
                return _read(raw, path, max_bytes)
            with gzip.GzipFile(fileobj=raw) as unpacked:
                return _read(unpacked, path, max_bytes)
        except (EOFError, gzip.BadGzipFile, zlib.error) as error:
            raise FileFormatError(f"read_idx: {path}: damaged gzip data ({error})") from error


def _read(file: IO[bytes] | gzip.GzipFile, path: Path, max_bytes: int) -> npt.NDArray[Any]:
    dtype, shape = _read_header(file, path)
    expected = math.prod(shape) * dtype.itemsize
    if expected > max_bytes:
        raise FileFormatError(
            f"read_idx: {path}: shape {shape} needs {expected} bytes, more than max_bytes={max_bytes}"
        )
    data = bytearray()
    while len(data) <= expected and (chunk := file.read(min(_CHUNK, expected + 1 - len(data)))):
        data += chunk
    if len(data) < expected:
        raise FileFormatError(f"read_idx: {path}: truncated: shape {shape} needs {expected} bytes, got {len(data)}")
    if len(data) > expected:
        raise FileFormatError(f"read_idx: {path}: bytes left over after the {expected} of shape {shape}")
    return np.frombuffer(data, dtype).reshape(shape).astype(dtype.newbyteorder("="), copy=False)


def _read_header(file: IO[bytes] | gzip.GzipFile, path: Path) -> tuple[np.dtype[Any], tuple[int, ...]]:
    magic = file.read(4)
    if len(magic) < 4:
        raise FileFormatError(f"read_idx: {path}: truncated: {len(magic)} bytes where a header of 4 should be")
    if magic[:2] != b"\0\0" or magic[2] not in _TYPES:
        raise FileFormatError(
            f"read_idx: {path}: not an idx file: it begins with {magic.hex(' ')}, expected 00 00, "
            f"one of {', '.join(f'{code:02x}' for code in _TYPES)} and the number of axes"
        )
    axes = magic[3]
    if not 1 <= axes <= 32:
        raise FileFormatError(f"read_idx: {path}: {axes} axes, expected 1 to 32")
    sizes = file.read(4 * axes)
    if len(sizes) < 4 * axes:
        raise FileFormatError(f"read_idx: {path}: truncated in the {axes} sizes of the header")
    return np.dtype(_TYPES[magic[2]]), tuple(int(n) for n in np.frombuffer(sizes, ">u4"))
