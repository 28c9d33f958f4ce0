"""save and load: round trips, what cannot be saved, failures half-way."""

import io
import math
import os
import subprocess
import sys

import numpy as np
import pytest
from trees import DTYPES, same, values

import pydl
from pydl.errors import ArgumentError, MissingExtraError
from pydl.serialize import load, save


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
        (pydl.nn.Linear(1, 1), r"the object is a Linear \(save its state_dict\(\)\)"),
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


def test_optimizer_state(path):
    p = pydl.tensor([1.0, 2.0], requires_grad=True)
    o = pydl.optim.Adam([p])
    p.grad = pydl.ones(2)
    o.step()
    save(o.state_dict(), path)
    assert same(load(path), o.state_dict())


def test_open_files(path):
    with open(path, "wb") as file:
        save(TREE, file)
    with open(path, "rb") as file:
        assert same(load(file), TREE)
    buffer = io.BytesIO()
    buffer.write(b"before")
    save([1, values("int32")], buffer)
    buffer.seek(6)
    assert same(load(buffer), [1, values("int32")])


def test_arrays_of_other_byte_orders_and_layouts(path):
    x = np.arange(6.0).reshape(2, 3)
    save({"big": x.astype(">f4"), "columns": np.asfortranarray(x), "cut": x[:, ::-2], np.int64(3): np.True_}, path)
    got = load(path)
    assert got["big"].dtype == np.float32 and got["big"].tolist() == got["columns"].tolist() == x.tolist()
    assert got["cut"].tolist() == [[2, 0], [5, 3]] and got[3] is True


def test_numpys_bfloat16(path, monkeypatch):
    small = pytest.importorskip("ml_dtypes").bfloat16
    save([np.array([1.5, -2.0], small)], path)
    (got,) = load(path)
    assert got.dtype == small and got.tolist() == [1.5, -2.0]
    monkeypatch.setitem(sys.modules, "ml_dtypes", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'pydl\[bfloat16\]'"):
        load(path)


def test_what_is_loaded_is_ones_own(path):
    save({"x": values("float32"), "a": np.zeros(3)}, path)
    first, second = load(path), load(path)
    first["x"].zero_()
    first["a"][:] = 1
    assert second["x"].tolist() == values("float32").tolist() and second["a"].tolist() == [0, 0, 0]


def test_weights_shared_between_threads_of_large_files(path):
    """Entries larger than one read."""
    x = pydl.arange(3_000_000, dtype=pydl.float32)
    save({"x": x}, path)
    assert bool((load(path)["x"] == x).all())


def test_no_optional_package_is_needed(path):
    program = (
        "import sys\n"
        "for name in ('safetensors', 'ml_dtypes'): sys.modules[name] = None\n"
        "from pydl.serialize import load, save\n"
        "import pydl\n"
        "save({'x': pydl.ones(2).bfloat16()}, sys.argv[1])\n"
        "assert load(sys.argv[1])['x'].tolist() == [1, 1]\n"
    )
    subprocess.run([sys.executable, "-c", program, path], check=True)
