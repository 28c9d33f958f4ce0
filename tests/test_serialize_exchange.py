"""Safetensors files that PyTorch, JAX and NumPy write and read."""

import json

import numpy as np
import pytest
from trees import DTYPES, values

import pydl
from pydl.errors import FileFormatError
from pydl.serialize import load, save

pytest.importorskip("safetensors")


@pytest.fixture
def path(tmp_path):
    return tmp_path / "state.safetensors"


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


# ---- weights of PyTorch's modules


def networks(nn):
    """The same layers from PyTorch or from here."""
    return nn.Sequential(
        nn.Embedding(7, 4),
        nn.Conv1d(5, 6, 3, groups=1, bias=False),
        nn.BatchNorm1d(6),
        nn.Flatten(),
        nn.Linear(12, 3),
    )


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_weights_of_pytorch_modules(path, dtype):
    torch = pytest.importorskip("torch")
    from safetensors.torch import load_file, save_file

    torch.manual_seed(0)
    theirs, ours = networks(torch.nn).to(getattr(torch, dtype)), networks(pydl.nn).to(getattr(pydl, dtype))
    words = np.arange(10).reshape(2, 5) % 7
    theirs(torch.tensor(words))  # moves the running statistics
    save_file(theirs.state_dict(), path)
    ours.load_state_dict(load(path))
    theirs.eval(), ours.eval()
    want = theirs(torch.tensor(words)).detach().numpy()
    np.testing.assert_allclose(ours(pydl.tensor(words)).detach().numpy(), want, rtol=1e-5, atol=1e-6)
    ours.train()(pydl.tensor(words))
    save(ours.state_dict(), path)
    assert list(load_file(path)) and theirs.load_state_dict(load_file(path), strict=True)
    for name, tensor in ours.state_dict().items():
        assert theirs.state_dict()[name].tolist() == tensor.tolist(), name


def test_jax_reads_and_writes(path):
    jnp = pytest.importorskip("jax.numpy")
    from safetensors.flax import load_file, save_file

    save({"w": values("bfloat16"), "b": values("float32", (3,))}, path)
    theirs = load_file(path)
    assert theirs["w"].dtype == jnp.bfloat16 and theirs["w"].tolist() == values("bfloat16").tolist()
    save_file({"x": jnp.arange(6, dtype=jnp.bfloat16).reshape(2, 3)}, path)
    assert load(path)["x"].dtype is pydl.bfloat16 and load(path)["x"].tolist() == [[0, 1, 2], [3, 4, 5]]


def test_numpy_reads_ours(path):
    from safetensors.numpy import load_file

    state = {d: values(d) for d in DTYPES if d != "bfloat16"} | {
        "scalar": values("int64", ()),
        "none": values("bool", (0, 3)),
    }
    save(state, path)
    theirs = load_file(path)
    assert set(theirs) == set(state)
    for name, array in theirs.items():
        assert array.tolist() == state[name].tolist() and array.shape == state[name].shape


def test_what_they_say_of_our_files(path):
    from safetensors import safe_open

    save({"layer": {"weight": values("float32")}, "step": 3}, path)
    with safe_open(path, "np") as file:
        assert list(file.keys()) == ["layer/weight"] and file.metadata()["format"] == "pydl"
    save({"layer.weight": values("float32")}, path)
    with safe_open(path, "np") as file:
        assert list(file.keys()) == ["layer.weight"] and file.metadata()["format"] == "pt"


def test_a_copy_made_by_others_keeps_its_checksum(path):
    """The same entries and metadata, in the order and with the blanks of another writer; then one number changed."""
    from safetensors import safe_open
    from safetensors.numpy import load_file, save_file

    save({"b": values("float32"), "a": values("uint8"), "ü": "\x1f\u2028"}, path)
    with safe_open(path, "np") as file:
        metadata = file.metadata()
    arrays = load_file(path)
    save_file(arrays, path, metadata=metadata)
    assert load(path)["b"].tolist() == values("float32").tolist()
    arrays["a"][0, 0] += 1
    save_file(arrays, path, metadata=metadata)
    with pytest.raises(FileFormatError, match="checksum does not fit"):
        load(path)


# ---- weights in several files


def shards(folder):
    """Two files and their index, as Hugging Face's libraries write them."""
    from safetensors.numpy import save_file

    a, b, c = np.ones((2, 2), np.float32), np.arange(3), np.zeros(1, np.float16)
    save_file({"a": a, "c": c}, folder / "model-00001-of-00002.safetensors", metadata={"format": "pt"})
    save_file({"b": b}, folder / "model-00002-of-00002.safetensors", metadata={"format": "pt"})
    places = {"b": 2, "a": 1, "c": 1}
    names = {name: f"model-0000{n}-of-00002.safetensors" for name, n in places.items()}
    index = folder / "model.safetensors.index.json"
    index.write_text(json.dumps({"metadata": {"total_size": 42.0}, "weight_map": names}, indent=2))
    return index, names


def test_several_files(tmp_path):
    index, _ = shards(tmp_path)
    got = load(index)
    assert list(got) == ["b", "a", "c"]
    assert got["a"].tolist() == [[1, 1], [1, 1]] and got["b"].tolist() == [0, 1, 2] and got["c"].tolist() == [0]


@pytest.mark.parametrize(
    "text, error",
    [
        (b"", "the index is not JSON"),
        (b"[" * 100_000, "the index is not JSON"),
        (b"[]", "the index is not a JSON object"),
        (b"{}", "no weight_map"),
        (b'{"weight_map": []}', "no weight_map"),
        (b'{"weight_map": {"a": 1}}', "no weight_map"),
        (b'{"weight_map": {"a": "../model-00001-of-00002.safetensors"}}', "no weight_map"),
        (b'{"weight_map": {"a": "/etc/passwd"}}', "no weight_map"),
        (b'{"weight_map": {"a": "model.safetensors.index.json"}}', "no weight_map"),
        (b'{"weight_map": {}, "weight_map": {}}', "'weight_map' stands twice"),
        (b'{"weight_map": {"x": "model-00001-of-00002.safetensors"}}', "does not hold 'x'"),
    ],
)
def test_wrong_indices(tmp_path, text, error):
    index, _ = shards(tmp_path)
    index.write_bytes(text)
    with pytest.raises(FileFormatError, match=error):
        load(index)


def test_a_missing_or_damaged_part(tmp_path):
    index, names = shards(tmp_path)
    part = tmp_path / names["b"]
    part.write_bytes(part.read_bytes()[:-1])
    with pytest.raises(FileFormatError, match="model-00002-of-00002"):
        load(index)
    part.unlink()
    with pytest.raises(FileNotFoundError):
        load(index)
