"""The idx reader: every type, and files that are damaged or lie."""

import gzip
import struct

import numpy as np
import pytest

from pydl.data import read_idx
from pydl.errors import FileFormatError

CODES = {"u1": 8, "i1": 9, "i2": 11, "i4": 12, "f4": 13, "f8": 14}


def idx_bytes(array):
    code = CODES[array.dtype.str[1:]]
    head = struct.pack(f">BBBB{array.ndim}I", 0, 0, code, array.ndim, *array.shape)
    return head + array.astype(array.dtype.newbyteorder(">")).tobytes()


@pytest.fixture
def write(tmp_path):
    def write(data, packed=False):
        path = tmp_path / "file"
        path.write_bytes(gzip.compress(data) if packed else data)
        return path

    return write


@pytest.mark.parametrize("code", CODES)
@pytest.mark.parametrize("shape", [(3,), (2, 3, 4), (0, 5), (1, 1, 1, 2)])
@pytest.mark.parametrize("packed", [False, True])
def test_round_trip(write, code, shape, packed):
    array = (np.random.default_rng(0).random(shape) * 200 - 60).astype(code)
    got = read_idx(write(idx_bytes(array), packed))
    assert got.dtype == array.dtype and got.dtype.isnative and got.flags.writeable
    np.testing.assert_array_equal(got, array)


@pytest.mark.parametrize("packed", [False, True])
def test_every_truncation(write, packed):
    data = idx_bytes(np.arange(24, dtype=np.uint8).reshape(2, 3, 4))
    for n in range(len(data)):
        with pytest.raises(FileFormatError, match="truncated"):
            read_idx(write(data[:n], packed))


def test_every_truncation_of_the_gzip_stream(write):
    data = gzip.compress(idx_bytes(np.arange(24, dtype=np.uint8).reshape(2, 3, 4)))
    for n in range(len(data)):
        with pytest.raises(FileFormatError):
            read_idx(write(data[:n]))


def test_every_flipped_header_byte(write):
    good = idx_bytes(np.zeros((2, 3), np.uint8))
    for i in range(12):
        for flip in (0x01, 0x80, 0xFF):
            bad = bytearray(good)
            bad[i] ^= flip
            if bad[2] == 0x09:  # int8, as good a type
                continue
            with pytest.raises(FileFormatError):
                read_idx(write(bytes(bad)))


@pytest.mark.parametrize(
    "data, text",
    [
        (b"\x89PNG\r\n\x1a\n" + bytes(20), "not an idx file"),
        (b"\x00\x00\x0a\x01" + bytes(4), "not an idx file"),
        (b"\x01\x00\x08\x01" + bytes(4), "not an idx file"),
        (b"\x00\x00\x08\x00", "0 axes"),
        (b"\x00\x00\x08\xff" + bytes(255 * 4), "255 axes"),
        (b"\x00\x00\x08\x01\x00\x00\x00\x02abc", "bytes left over"),
        (b"\x00\x00\x08\x03" + b"\xff" * 12, "more than max_bytes"),
        (b"\x00\x00\x0e\x01\x10\x00\x00\x01", "more than max_bytes"),
        (b"\x00\x00\x08\x01\x70\x00\x00\x00abc", "truncated"),
    ],
)
@pytest.mark.parametrize("packed", [False, True])
def test_hostile_files(write, data, text, packed):
    with pytest.raises(FileFormatError, match=text):
        read_idx(write(data, packed))


def test_damaged_gzip(write):
    packed = gzip.compress(idx_bytes(np.zeros(1000, np.uint8)))
    with pytest.raises(FileFormatError, match="damaged gzip"):
        read_idx(write(packed[:-8] + b"\0\0\0\0" + packed[-4:]))  # checksum
    with pytest.raises(FileFormatError, match="damaged gzip"):
        read_idx(write(packed + b"garbage"))
    with pytest.raises(FileFormatError, match="damaged gzip"):
        read_idx(write(packed[:10] + b"\xff" * 20 + packed[30:]))


def test_a_gzip_bomb_is_not_unpacked(write):
    bomb = gzip.compress(idx_bytes(np.zeros(10, np.uint8)) + bytes(1 << 24))
    with pytest.raises(FileFormatError, match="bytes left over"):
        read_idx(write(bomb))
    with pytest.raises(FileFormatError, match="max_bytes=5"):
        read_idx(write(idx_bytes(np.zeros(6, np.uint8))), max_bytes=5)


def test_no_such_file(tmp_path):
    with pytest.raises(FileNotFoundError):
        read_idx(tmp_path / "nothing")
    with pytest.raises(OSError):
        read_idx(tmp_path)
