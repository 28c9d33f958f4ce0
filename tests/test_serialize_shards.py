"""save_sharded: what it writes, who reads it, and what stays when it fails."""

import json
import os
from pathlib import Path

import numpy as np
import pytest
from trees import same, values

import pydl
from pydl.errors import ArgumentError, FileFormatError
from pydl.serialize import load, save_sharded, saving, shards

STATE = {
    "embed.weight": values("float32", (10, 4)),
    "head.bias": values("bfloat16", (3,)),
    "head.weight": values("float64", (4, 5)),
    "steps": values("int64", ()),
    "empty": values("float32", (0, 2)),
}


def files(folder):
    return sorted(path.name for path in folder.iterdir())


def index_of(path):
    return json.loads(Path(path).read_text())


def test_round_trip_and_sizes(tmp_path):
    path = save_sharded(STATE, tmp_path / "new" / "folder", 170)
    folder = tmp_path / "new" / "folder"
    assert path == str(folder / "model.safetensors.index.json")
    assert files(folder) == [
        "model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors", "model.safetensors.index.json",
    ]  # fmt: skip
    index = json.loads((folder / "model.safetensors.index.json").read_text())
    assert index["metadata"] == {"total_size": 160 + 6 + 160 + 8}
    assert list(index["weight_map"]) == list(STATE)
    assert list(index["weight_map"].values()) == [f"model-0000{i}-of-00002.safetensors" for i in (1, 1, 2, 2, 2)]
    got = load(path)
    assert list(got) == list(STATE) and same(got, STATE)


@pytest.mark.parametrize(
    "size, count", [(1, 5), ("0.1kB", 4), ("170 B", 2), ("1 KiB", 1), ("5GB", 1), (334, 1), (333, 2)]
)
def test_how_many_files(tmp_path, size, count):
    path = save_sharded(STATE, tmp_path, size, name="weights")
    assert len([name for name in files(tmp_path) if name.endswith(".safetensors")]) == count
    assert os.path.basename(path) == ("weights.safetensors" if count == 1 else "weights.safetensors.index.json")
    assert same(load(path), STATE)


def test_hugging_faces_reader(tmp_path):
    """Every file opens with the safetensors package, and the index leads to all tensors."""
    safe_open = pytest.importorskip("safetensors").safe_open
    state = {"a": values("float32", (6, 5)), "b": values("float64"), "c": values("int64", (7,))}
    index = index_of(save_sharded(state, tmp_path, 100))
    assert len(set(index["weight_map"].values())) == 3
    for key, name in index["weight_map"].items():
        with safe_open(tmp_path / name, "np") as file:
            assert file.metadata()["format"] == "pt"
            np.testing.assert_array_equal(file.get_tensor(key), state[key].numpy())


def test_a_model_goes_on(tmp_path):
    model = pydl.nn.Sequential(pydl.nn.Linear(4, 8), pydl.nn.BatchNorm1d(8), pydl.nn.Linear(8, 2))
    other = pydl.nn.Sequential(pydl.nn.Linear(4, 8), pydl.nn.BatchNorm1d(8), pydl.nn.Linear(8, 2))
    other.load_state_dict(load(save_sharded(model.state_dict(), tmp_path, 200)))
    assert same(dict(other.state_dict()), dict(model.state_dict()))


def test_what_is_replaced_goes_and_the_rest_stays(tmp_path):
    (tmp_path / "notes.txt").write_text("kept")
    save_sharded(STATE, tmp_path / "else", 1)
    for size in (100, 100, "5GB", 100, 170):
        changed = {k: v + 1 if v.dtype == pydl.float32 else v for k, v in STATE.items()}
        path = save_sharded(changed, tmp_path, size)
        assert same(load(path), changed)
        named = set(index_of(path)["weight_map"].values()) if path.endswith("json") else set()
        assert set(files(tmp_path)) == named | {os.path.basename(path), "notes.txt", "else"}


@pytest.mark.parametrize("at", [0, 1, 3])
@pytest.mark.parametrize("size", [100, 170])
def test_the_old_files_survive_a_failure(tmp_path, monkeypatch, at, size):
    """A full disk at any file, the index included: what was there still loads, and nothing else is left."""
    path, before = save_sharded(STATE, tmp_path, 100), None
    before = files(tmp_path)
    changed, real, calls = {k: v * 2 for k, v in STATE.items()}, saving.replacing, []

    def full(target):
        calls.append(target)
        if len(calls) > at:
            raise OSError(28, "No space left on device")
        return real(target)

    monkeypatch.setattr(saving, "replacing", full)
    monkeypatch.setattr(shards, "replacing", full)
    if at == 3 and size == 170:
        save_sharded(changed, tmp_path, size)
        return
    with pytest.raises(OSError, match="No space"):
        save_sharded(changed, tmp_path, size)
    assert files(tmp_path) == before and same(load(path), STATE)


def test_files_of_two_checkpoints_are_not_mixed(tmp_path):
    """New files never take the names of those that the old index still needs, and old indices do not delete others'."""
    path = save_sharded(STATE, tmp_path, 100)
    old = index_of(path)
    save_sharded(STATE, tmp_path, 100)
    assert not set(old["weight_map"].values()) & set(index_of(path)["weight_map"].values())
    old["weight_map"]["x"] = "precious.safetensors"
    (tmp_path / "precious.safetensors").write_bytes(b"mine")
    (tmp_path / "model.safetensors.index.json").write_text(json.dumps(old))
    save_sharded(STATE, tmp_path, 100)
    assert (tmp_path / "precious.safetensors").read_bytes() == b"mine"


def test_a_flipped_byte_is_an_error(tmp_path):
    path = save_sharded(STATE, tmp_path, 100)
    part = tmp_path / "model-00001-of-00004.safetensors"
    data = bytearray(part.read_bytes())
    data[-3] ^= 1
    part.write_bytes(data)
    with pytest.raises(FileFormatError, match="checksum does not fit"):
        load(path)


@pytest.mark.parametrize(
    "tensors, options, text",
    [
        ([1], {}, "expected a dict of tensors, got list"),
        ({"a": 3}, {}, "'a' is a int: expected texts and tensors"),
        ({1: STATE["steps"]}, {}, "expected texts"),
        (STATE, {"max_shard_size": 0}, "must be bytes or a text such as '5GB', got 0"),
        (STATE, {"max_shard_size": "5XB"}, "got '5XB'"),
        (STATE, {"max_shard_size": 1.5}, "got 1.5"),
        (STATE, {"max_shard_size": True}, "got True"),
        (STATE, {"name": "../model"}, "is no name of a file"),
        (STATE, {"name": ""}, "is no name of a file"),
    ],
)
def test_errors(tmp_path, tensors, options, text):
    with pytest.raises(ArgumentError, match=text):
        save_sharded(tensors, tmp_path / "folder", **options)
    assert not (tmp_path / "folder").exists()


def test_folders_that_cannot_be_written(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match="file"):
        save_sharded(STATE, tmp_path / "file")
