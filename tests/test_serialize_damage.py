"""Damaged and hostile files: a typed error, never other numbers, a crash or much memory."""

import hashlib
import io
import json
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from trees import entry, values, with_header

from pydl.errors import FileFormatError
from pydl.serialize import load, save


@pytest.fixture
def path(tmp_path):
    return tmp_path / "state.safetensors"


def small(path):
    save({"w": values("float32", (2,)), "step": 3, "flag": values("bool", (2,))}, path)
    return path.read_bytes()


def test_cut_at_every_byte(path):
    data = small(path)
    for n in range(len(data)):
        path.write_bytes(data[:n])
        with pytest.raises(FileFormatError, match=r"state\.safetensors"):
            load(path)
    path.write_bytes(data + b"\0")
    with pytest.raises(FileFormatError):
        load(path)


@pytest.mark.parametrize("flip", [0x01, 0x80, 0x20, 0x29, 0x2A, 0x2D, 0xFF])
def test_flipped_at_every_byte(path, flip):
    """0x20 changes the case of letters, 0x29, 0x2A and 0x2D a blank into another blank."""
    data = small(path)
    for n in range(len(data)):
        path.write_bytes(data[:n] + bytes([data[n] ^ flip]) + data[n + 1 :])
        with pytest.raises(FileFormatError, match=r"load: .*state\.safetensors"):
            load(path)


def test_every_single_bit(path):
    save(values("uint8", (1,)), path)
    data = path.read_bytes()
    for n in range(8 * len(data)):
        path.write_bytes(data[: n // 8] + bytes([data[n // 8] ^ (1 << n % 8)]) + data[n // 8 + 1 :])
        with pytest.raises(FileFormatError):
            load(path)


@pytest.mark.parametrize(
    "data", [b"", b"\x80\x04N.", b"PK\3\4" + b"\0" * 40, b"text " * 10, b"\0" * 100, b"\xff" * 100]
)
def test_files_of_other_kinds(path, data):
    path.write_bytes(data)
    with pytest.raises(FileFormatError, match=r"load: .*state\.safetensors: not a whole safetensors file"):
        load(path)


GOOD = b'{"a":{"dtype":"F32","shape":[4],"data_offsets":[0,16]}'
HOSTILE = {
    "length beyond the file": (2**40).to_bytes(8, "little") + b"{}",
    "length of 2^64": b"\xff" * 8 + b"{}",
    "deep lists": with_header(b"[" * 50_000),
    "deep dicts": with_header(b'{"a":' * 50_000),
    "not a dict": with_header([1, 2]),
    "not text": with_header(b"\xff\xfe{}"),
    "overlap": with_header({"a": entry(), "b": entry(8, 16, (2,))}),
    "hole": with_header({"a": entry(0, 8, (2,))}),
    "outside": with_header({"a": entry(0, 32, (8,))}),
    "backwards": with_header({"a": entry(16, 0)}),
    "negative": with_header({"a": entry(-16, 0)}),
    "shape does not fit": with_header({"a": entry(shape=(5,))}),
    "negative shape": with_header({"a": entry(shape=(-4,))}),
    "shape overflows": with_header({"a": entry(shape=(2**62, 4))}),
    "empty shape overflows": with_header({"a": entry(0, 0, (0, 2**62, 2**62))}, b""),
    "many axes": with_header({"a": entry(shape=(1,) * 30 + (4,))}),
    "offsets of booleans": with_header({"a": {"dtype": "U8", "shape": [True], "data_offsets": [False, True]}}, b"1"),
    "offsets of fractions": with_header({"a": {"dtype": "U8", "shape": [1.0], "data_offsets": [0.0, 1.0]}}, b"1"),
    "three offsets": with_header({"a": {"dtype": "U8", "shape": [1], "data_offsets": [0, 1, 1]}}, b"1"),
    "shape of texts": with_header({"a": {"dtype": "U8", "shape": ["1"], "data_offsets": [0, 1]}}, b"1"),
    "shape that is a number": with_header({"a": {"dtype": "U8", "shape": 1, "data_offsets": [0, 1]}}, b"1"),
    "a number of a million digits": with_header(b'{"a":' + b"9" * 1_000_000 + b"}", b""),
    "not a number": with_header(b'{"a":NaN}', b""),
    "one entry twice the size": with_header({"a": entry(0, 16, (8,))}),
    "more than is said": with_header({"a": entry(dtype="I8", shape=(16,)), "b": entry(4, 4, (0,))}),
    "dtype that is a list": with_header({"a": entry(dtype=["F32"])}),
    "more fields": with_header({"a": {**entry(), "strides": [1]}}),
    "metadata twice": with_header(b'{"__metadata__":{},"__metadata__":{}}', b""),
    "metadata that is a list": with_header({"__metadata__": [], "a": entry()}),
    "blank first": with_header(b" {}", b""),
    "something after the header": with_header(b"{}{}", b""),
    "unknown dtype": with_header({"a": entry(dtype="F7")}),
    "no dtype": with_header({"a": {"shape": [4], "data_offsets": [0, 16]}}),
    "twice the same": with_header(GOOD + b"," + GOOD[1:] + b"}"),
    "metadata of numbers": with_header({"a": entry(), "__metadata__": {"x": 1}}),
    "bool of twos": with_header({"a": entry(0, 16, (16,), "BOOL")}, b"\2" * 16),
    "format without checksum": with_header({"a": entry(), "__metadata__": {"format": "pydl"}}),
    "checksum alone": with_header({"a": entry(), "__metadata__": {"pydl.sha256": "0"}}),
    "tree alone": with_header({"a": entry(), "__metadata__": {"pydl.tree": '{"tensor":"a"}'}}),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_headers(path, name):
    path.write_bytes(HOSTILE[name])
    with pytest.raises(FileFormatError):
        load(path)


def forged(tree):
    """A file whose checksum fits a tree that save would not write."""
    metadata = {"format": "pydl", "pydl.tree": tree if isinstance(tree, str) else json.dumps(tree)}
    metadata["pydl.sha256"] = hashlib.sha256(json.dumps(metadata, sort_keys=True).encode()).hexdigest()
    return with_header(json.dumps({"__metadata__": metadata}, separators=(",", ":")).encode(), b"")


@pytest.mark.parametrize(
    "tree",
    [
        "", "{", "[" * 100_000, "[" * 200 + "]" * 200, {}, {"tensor": "missing"}, {"tensor": 3}, {"array": ["a"]},
        {"dict": 3}, {"dict": [[1]]}, {"dict": [[[1], 2]]}, {"tuple": None}, {"float": "x"}, {"float": []},
        {"other": 1}, {"tuple": [], "dict": []},
    ],
    ids=lambda t: str(t)[:20],
)  # fmt: skip
def test_forged_trees(path, tree):
    path.write_bytes(forged([1]))
    assert load(path) == [1]
    path.write_bytes(forged(tree))
    with pytest.raises(FileFormatError):
        load(path)


def test_random_bytes_after_a_good_beginning(path):
    data = small(path)
    rng = np.random.default_rng(0)
    for _ in range(300):
        n = int(rng.integers(8, len(data)))
        path.write_bytes(data[:n] + rng.bytes(len(data) - n))
        with pytest.raises(FileFormatError):
            load(path)


# ---- fuzzing


NAMES = st.sampled_from(["a", "b", "__metadata__", "", "ü", "pydl.tree"])
NUMBERS = st.one_of(st.integers(-2, 20), st.sampled_from([2**31, 2**62, 2**63, 2**64, -(2**63), 10**30]), st.floats())
ENTRIES = st.fixed_dictionaries(
    {
        "dtype": st.one_of(st.sampled_from(["F32", "U8", "BOOL", "BF16", "I8", "U64", "F8_E4M3", "x"]), NUMBERS),
        "shape": st.lists(NUMBERS, max_size=4),
        "data_offsets": st.lists(NUMBERS, min_size=1, max_size=3),
    },
    optional={"more": st.none()},
)
HEADERS = st.dictionaries(NAMES, st.one_of(ENTRIES, st.dictionaries(NAMES, st.text(max_size=3)), NUMBERS), max_size=3)


def opened(data):
    """What load makes of bytes, None for an error, which must be typed; and it must not take much memory."""
    tracemalloc.start()
    try:
        return load(io.BytesIO(data))
    except FileFormatError as error:
        assert str(error).startswith("load: ")
        return None
    finally:
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak < 2_000_000 + 40 * len(data)


@settings(max_examples=150, deadline=None)
@given(HEADERS, st.binary(max_size=24))
def test_made_up_headers(header, data):
    got = opened(with_header(header, data))
    if got is not None:  # then the header was right after all
        assert isinstance(got, dict)
        assert sum(t.nbytes for t in got.values()) >= len(data) and set(got) == set(header) - {"__metadata__"}


@settings(max_examples=100, deadline=None)
@given(st.binary(max_size=200), st.booleans())
def test_made_up_bytes(data, measured):
    opened(len(data).to_bytes(8, "little") + data if measured else data)


@settings(max_examples=100, deadline=None)
@given(st.data())
def test_edited_files(data):
    """Pieces cut out, doubled and put in, in a file with a checksum: an error, or the very same bytes."""
    buffer = io.BytesIO()
    save({"w": values("float32", (3,)), "deep": [{"b": values("bool", (2,))}, 1.5]}, buffer)
    good = buffer.getvalue()
    a, b = sorted(data.draw(st.tuples(*[st.integers(0, len(good))] * 2)))
    put = data.draw(st.one_of(st.just(b""), st.binary(max_size=9), st.just(good[a:b] * 2)))
    edited = good[:a] + put + good[b:]
    assert opened(edited) is None or edited == good


def test_a_header_that_says_it_is_huge(path):
    with open(path, "wb") as file:
        file.write((100_000_001).to_bytes(8, "little") + b"{}")
        file.truncate(200_000_000)  # a hole: no bytes on disk
    with pytest.raises(FileFormatError, match="not a whole safetensors file"):
        load(path)


@pytest.mark.skipif(not Path("/dev/zero").exists(), reason="there is no /dev/zero")
def test_endless_files():
    with pytest.raises(FileFormatError):
        load("/dev/zero")
