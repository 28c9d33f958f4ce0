"""save and load: round trips, exchange with other libraries, damaged and hostile files, failures half-way."""

import json
import math
import os
import subprocess
import sys

import numpy as np
import pytest

import pydl
from pydl.errors import ArgumentError, FileFormatError, MissingExtraError
from pydl.serialize import load, save

safetensors = pytest.importorskip("safetensors")

DTYPES = ["float32", "float64", "bfloat16", "float16", "int64", "int32", "uint8", "bool"]


def values(dtype, shape=(2, 3)):
    numbers = np.random.default_rng(0).integers(0, 2 if dtype == "bool" else 100, shape)
    return pydl.tensor(numbers, dtype=getattr(pydl, dtype))


def same(a, b):
    if isinstance(a, pydl.Tensor):
        return isinstance(b, pydl.Tensor) and a.dtype is b.dtype and a.shape == b.shape and a.tolist() == b.tolist()
    if isinstance(a, np.ndarray):
        return isinstance(b, np.ndarray) and a.dtype == b.dtype and a.shape == b.shape and (a == b).all()
    if isinstance(a, dict):
        return type(b) is dict and list(a) == list(b) and all(same(a[k], b[k]) for k in a)
    if isinstance(a, (list, tuple)):
        return type(a) is type(b) and len(a) == len(b) and all(map(same, a, b))
    return type(a) is type(b) and (a == b or (a != a and b != b))


@pytest.fixture
def path(tmp_path):
    return tmp_path / "state.safetensors"


@pytest.mark.parametrize("shape", [(2, 3), (), (0, 4), (1,)])
@pytest.mark.parametrize("dtype", DTYPES)
def test_every_dtype(path, dtype, shape):
    x = values(dtype, shape)
    save({"x": x}, path)
    assert same(load(path), {"x": x})


TREE = {
    "model": {"fc.weight": values("float32"), "fc.bias": values("bfloat16", (3,))},
    "optimizer": {"state": {0: {"step": pydl.tensor(3.0)}, 1: {}}, "groups": [{"betas": (0.9, 0.999), "lr": 1e-3}]},
    "numbers": [0, -5, 2**80, 0.1, -0.0, 1e300, math.inf, -math.inf, math.nan, True, False, None],
    "texts": ["", "ü \n \ud800", '"quoted"', {None: 1, True: 2, 2.5: 3, "": 4}],
    "empty": [[], (), {}],
    "arrays": [np.arange(6, dtype=np.uint64).reshape(2, 3), np.array(1.5), np.zeros((0, 2), np.int8)],
}


def test_trees(path):
    save(TREE, path)
    assert same(load(path), TREE)


@pytest.mark.parametrize("obj", [None, 3, "text", (1, 2), [], {}, values("int64"), [values("bool")]], ids=str)
def test_anything_can_be_the_root(path, obj):
    save(obj, path)
    assert same(load(path), obj)


def test_numpy_numbers_become_numbers(path):
    save([np.float32(0.5), np.int64(3), np.bool_(True)], path)
    assert same(load(path), [0.5, 3, True])


def test_views_parameters_and_shared_tensors(path):
    x = pydl.tensor(np.arange(12.0).reshape(3, 4), requires_grad=True)
    save({"t": x.detach().t(), "odd": x.detach()[:, 1::2], "x": x, "again": x}, path)
    got = load(path)
    assert got["t"].tolist() == x.detach().t().tolist() and got["odd"].tolist() == x.detach()[:, 1::2].tolist()
    assert got["x"].requires_grad is False and same(got["x"], got["again"])


def test_names_that_clash(path):
    x, y, z = (values("int64", (n,)) for n in (1, 2, 3))
    tree = {"a": {"b": x}, "a/b": y, "__metadata__": z, "": x, "\ud800": y, 1: x, "1": y}
    save(tree, path)
    assert same(load(path), tree)


@pytest.mark.parametrize(
    "obj, text",
    [
        ({"a": {"b": object()}}, "save: a/b is a object: expected tensors"),
        ({"a": {1, 2}}, "save: a is a set"),
        (b"raw", "the object is a bytes"),
        ({(1, 2): 3}, r"has the key \(1, 2\)"),
        ({"x": np.array(["a"])}, "x is a ndarray"),
        ({"x": 1 + 2j}, "x is a complex"),
    ],
)
def test_what_cannot_be_saved(path, obj, text):
    with pytest.raises(ArgumentError, match=text):
        save(obj, path)
    assert os.listdir(path.parent) == []


def test_a_tree_that_contains_itself(path):
    tree = []
    tree.append(tree)
    with pytest.raises(ArgumentError, match="does it contain itself"):
        save(tree, path)


# ---- other libraries


def test_torch_reads_ours(path):
    torch = pytest.importorskip("torch")
    from safetensors.torch import load_file

    state = {d: values(d) for d in DTYPES}
    save(state, path)
    theirs = load_file(path)
    assert set(theirs) == set(state)
    for name, t in theirs.items():
        assert str(t.dtype) == f"torch.{name}" and t.tolist() == state[name].tolist()
    assert torch.is_tensor(theirs["bfloat16"])


def test_we_read_torchs(path):
    torch = pytest.importorskip("torch")
    from safetensors.torch import save_file

    theirs = {d: torch.arange(4).reshape(2, 2).to(getattr(torch, d)) for d in DTYPES}
    save_file(theirs, path, metadata={"format": "pt"})
    ours = load(path)
    assert set(ours) == set(theirs)
    for name, t in ours.items():
        assert t.dtype is getattr(pydl, name) and t.tolist() == theirs[name].tolist()


def test_we_read_numpys_small_integers(path):
    from safetensors.numpy import save_file

    save_file({d: np.array([1, 2], d) for d in ("int8", "int16", "uint16", "uint32")}, path)
    got = load(path)
    assert {k: str(v.dtype) for k, v in got.items()} == {
        "int8": "pydl.int32", "int16": "pydl.int32", "uint16": "pydl.int32", "uint32": "pydl.int64"
    }  # fmt: skip
    assert all(v.tolist() == [1, 2] for v in got.values())
    save_file({"x": np.array([1], np.uint64)}, path)
    with pytest.raises(FileFormatError, match="'x' is a tensor of dtype U64, which pydl does not have"):
        load(path)


# ---- damage


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


@pytest.mark.parametrize("flip", [0x01, 0x80, 0x2A])
def test_flipped_at_every_byte(path, flip):
    """An error, or (for a blank after the header that became another blank) the very same tree."""
    data = small(path)
    expected = load(path)
    survived = 0
    for n in range(len(data)):
        path.write_bytes(data[:n] + bytes([data[n] ^ flip]) + data[n + 1 :])
        try:
            got = load(path)
        except FileFormatError:
            continue
        assert same(got, expected)
        survived += 1
    assert survived < 8


@pytest.mark.parametrize(
    "data", [b"", b"\x80\x04N.", b"PK\3\4" + b"\0" * 40, b"text " * 10, b"\0" * 100, b"\xff" * 100]
)
def test_files_of_other_kinds(path, data):
    path.write_bytes(data)
    with pytest.raises(FileFormatError, match=r"load: .*state\.safetensors: not a whole safetensors file"):
        load(path)


def with_header(header, data=b"\0" * 16):
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + data


def entry(begin=0, end=16, shape=(4,), dtype="F32"):
    return {"dtype": dtype, "shape": list(shape), "data_offsets": [begin, end]}


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
    import hashlib

    text = tree if isinstance(tree, str) else json.dumps(tree)
    metadata = {"format": "pydl", "pydl.tree": text, "pydl.sha256": hashlib.sha256(text.encode()).hexdigest()}
    return with_header({"__metadata__": metadata}, b"")


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


# ---- failures of the system


def test_missing_files_and_directories(path):
    with pytest.raises(FileNotFoundError):
        load(path)
    with pytest.raises(FileNotFoundError):
        save({}, path.parent / "none" / "x.safetensors")
    with pytest.raises(IsADirectoryError):
        save({}, path.parent)
    assert os.listdir(path.parent) == [] and path.parent.is_dir()


@pytest.mark.parametrize("call", ["replace", "fsync"])
def test_the_old_file_survives_a_failure(path, monkeypatch, call):
    save({"x": 1}, path)

    def fail(*args):
        raise OSError("no")

    monkeypatch.setattr(os, call, fail)
    with pytest.raises(OSError, match="no"):
        save({"x": 2}, path)
    monkeypatch.undo()
    assert load(path) == {"x": 1} and os.listdir(path.parent) == [path.name]


def test_the_old_file_survives_a_kill(path):
    save({"x": 1}, path)
    program = (
        "import os, sys, signal\n"
        "from pydl.serialize import save\n"
        "os.replace = lambda *a: os.kill(os.getpid(), signal.SIGKILL)\n"
        "save({'x': 2}, sys.argv[1])\n"
    )
    done = subprocess.run([sys.executable, "-c", program, path], check=False)
    assert done.returncode == -9 and load(path) == {"x": 1}


def test_links_stay_links(path):
    link = path.parent / "latest"
    save({"x": 1}, path)
    link.symlink_to(path.name)
    save({"x": 2}, link)
    assert link.is_symlink() and load(path) == {"x": 2}


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write everywhere")
def test_unwritable_directory(path):
    path.parent.chmod(0o500)
    with pytest.raises(PermissionError):
        save({}, path)
    path.parent.chmod(0o700)


def test_without_safetensors(path, monkeypatch):
    monkeypatch.setitem(sys.modules, "safetensors", None)
    with pytest.raises(MissingExtraError, match=r"save needs safetensors: pip install 'pydl\[checkpoint\]'"):
        save({}, path)
    with pytest.raises(MissingExtraError, match="load needs safetensors"):
        load(path)


def test_optimizer_state(path):
    p = pydl.tensor([1.0, 2.0], requires_grad=True)
    o = pydl.optim.Adam([p])
    p.grad = pydl.ones(2)
    o.step()
    save(o.state_dict(), path)
    assert same(load(path), o.state_dict())
