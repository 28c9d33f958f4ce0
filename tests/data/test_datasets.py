"""Digits, MNIST, Fashion-MNIST: contents, splits, search order, damage, downloads without a network."""

import builtins
import gzip
import hashlib
import logging
import os
import struct
import sys
import types
from pathlib import Path

import numpy as np
import pytest

import pydl
from pydl.data import MNIST, DataLoader, Digits, FashionMNIST
from pydl.data.download import cache_dir
from pydl.errors import FileFormatError

SHARED = os.environ.get("PYDL_DATA")
needs_data = pytest.mark.skipif(not SHARED, reason="PYDL_DATA is not set: no copy of MNIST and Fashion-MNIST")


def write_part(folder, images, labels, part="train", packed=True):
    folder.mkdir(parents=True, exist_ok=True)
    files = {
        f"{part}-images-idx3-ubyte": struct.pack(">I3I", 0x803, *images.shape) + images.tobytes(),
        f"{part}-labels-idx1-ubyte": struct.pack(">II", 0x801, len(labels)) + bytes(labels),
    }
    for name, data in files.items():
        (folder / (name + ".gz" * packed)).write_bytes(gzip.compress(data) if packed else data)


@pytest.fixture
def alone(monkeypatch, tmp_path):
    """Neither shared data nor a filled cache."""
    monkeypatch.delenv("PYDL_DATA", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path


def small(n=3, value=255):
    return np.full((n, 28, 28), value, np.uint8), list(range(n))


def test_digits_are_those_of_scikit_learn():
    source = pytest.importorskip("sklearn.datasets").load_digits()
    train, test = Digits(), Digits(train=False)
    assert (len(train), len(test)) == (1442, 355)
    assert np.bincount(test.targets).tolist() == [35, 36, 35, 36, 36, 36, 36, 35, 34, 36]
    rows = {(im.tobytes(), int(t)) for part in (train, test) for im, t in zip(part.data, part.targets, strict=True)}
    expected = {(im.astype(np.uint8).tobytes(), int(t)) for im, t in zip(source.images, source.target, strict=True)}
    assert rows == expected
    fives = np.flatnonzero(source.target == 5)
    np.testing.assert_array_equal(test.data[test.targets == 5], source.images[fives[4::5]])


def test_digits_samples_and_batches():
    data = Digits()
    assert data.data.dtype == np.uint8 and data.targets.dtype == np.int64 and data.classes[3] == "3"
    image, label = data[7]
    assert image.dtype == pydl.float32 and tuple(image.shape) == (1, 8, 8) and type(label) is int
    np.testing.assert_array_equal(image.numpy()[0] * 16, data.data[7])
    x, y = next(iter(DataLoader(data, 5, sampler=[7, 0, -1])))
    assert tuple(x.shape) == (3, 1, 8, 8) and y.dtype == pydl.int64 and y.tolist()[0] == label
    np.testing.assert_array_equal(x.numpy()[0], image.numpy())
    all_x, all_y = data.tensors()
    assert tuple(all_x.shape) == (1442, 1, 8, 8) and float(all_x.max()) == 1 and float(all_x.min()) == 0
    np.testing.assert_array_equal(all_y.numpy(), data.targets)
    flat, _ = data.tensors(flatten=True, normalize=True)
    assert tuple(flat.shape) == (1442, 64)
    values = flat.numpy().astype(np.float64)
    assert abs(values.mean()) < 1e-3 and abs(values.std() - 1) < 1e-3
    all_y.numpy()[0] = 99
    assert data.targets[0] != 99
    assert repr(data) == "Digits(1442 images of 8x8, 10 classes)" and data.class_to_idx["9"] == 9


def test_transforms():
    data = Digits(transform=lambda raw: raw.astype(np.float64).sum(), target_transform=lambda t: -t)
    total, label = data[0]
    assert total == data.data[0].sum() and label == -data.targets[0]
    x, y = next(iter(DataLoader(data, 4)))
    assert x.tolist() == data.data[:4].sum((1, 2)).tolist() and y.tolist() == (-data.targets[:4]).tolist()
    seen = []
    Digits(transform=lambda raw: seen.append((raw.dtype, raw.shape)))[0]
    assert seen == [(np.uint8, (8, 8))]


@needs_data
@pytest.mark.parametrize("kind, per_class", [(MNIST, None), (FashionMNIST, 1)])
def test_the_real_files(kind, per_class):
    for train, n in ((True, 60000), (False, 10000)):
        data = kind(train=train, download=False)
        assert data.data.shape == (n, 28, 28) and data.targets.shape == (n,) and data.train is train
        if per_class:
            assert np.bincount(data.targets).tolist() == [n // 10] * 10
        if train:
            assert abs(data.data.mean() / 255 - kind.mean) < 5e-5 and abs(data.data.std() / 255 - kind.std) < 5e-5
    names = [data.classes[t] for t in data.targets[:3]]
    assert names == (["7", "2", "1"] if kind is MNIST else ["Ankle boot", "Pullover", "Trouser"])
    x, y = next(iter(DataLoader(data, 256, shuffle=True, num_workers=2)))
    assert tuple(x.shape) == (256, 1, 28, 28) and tuple(y.shape) == (256,)


@needs_data
@pytest.mark.parametrize("kind", [MNIST, FashionMNIST])
def test_checksums(kind):
    for name, expected in kind.checksums.items():
        assert hashlib.sha256((Path(SHARED) / kind.folder / name).read_bytes()).hexdigest() == expected


def test_search_order(alone, monkeypatch):
    places = [alone / "root", alone / "root" / "MNIST" / "raw", alone / "root" / "mnist", alone / "shared" / "mnist"]
    monkeypatch.setenv("PYDL_DATA", str(alone / "shared"))
    for value, place in enumerate(places):
        write_part(place, *small(value=value), packed=value % 2 == 0)
        data = MNIST(alone / "root", download=False)
        assert (data.data == value).all() and data.targets.tolist() == [0, 1, 2]
    monkeypatch.delenv("PYDL_DATA")
    assert cache_dir() == alone / "cache" / "pydl" or sys.platform != "linux"
    write_part(cache_dir() / "fashion-mnist", *small(), part="t10k")
    assert len(FashionMNIST(train=False, download=False)) == 3
    with pytest.raises(FileNotFoundError, match=r"no train-images-idx3-ubyte\.gz in .*download=True"):
        FashionMNIST(download=False)


@pytest.mark.parametrize(
    "images, labels, text",
    [
        (np.zeros((3, 28, 28), np.uint8), [0, 1], r"expected labels uint8 \(3,\)"),
        (np.zeros((2, 28, 27), np.uint8), [0, 1], r"expected images uint8 \(n, 28, 28\)"),
        (np.zeros((2, 28, 28), np.uint8), [0, 10], "label 10 out of range"),
    ],
)
def test_files_that_do_not_fit(alone, images, labels, text):
    write_part(alone, images, labels)
    with pytest.raises(FileFormatError, match=text):
        MNIST(alone, download=False)


def test_swapped_files(alone):
    write_part(alone, *small())
    names = [alone / f"train-{kind}-ubyte.gz" for kind in ("images-idx3", "labels-idx1")]
    content = [name.read_bytes() for name in names]
    for name, data in zip(names, reversed(content), strict=True):
        name.write_bytes(data)
    with pytest.raises(FileFormatError, match="expected images"):
        MNIST(alone, download=False)


def test_an_empty_part(alone):
    write_part(alone, np.zeros((0, 28, 28), np.uint8), [])
    assert len(MNIST(alone, download=False)) == 0


class FakePooch(types.ModuleType):
    """Answers from a table: URL -> bytes, with the checksum compared as pooch does."""

    def __init__(self, table):
        super().__init__("pooch")
        self.get_logger = lambda: logging.getLogger("fake")
        self.table, self.asked = table, []

    def retrieve(self, url, known_hash, fname, path, progressbar):
        self.asked.append(url)
        if url not in self.table:
            raise OSError("no route")
        data = self.table[url]
        if known_hash != "sha256:" + hashlib.sha256(data).hexdigest():
            raise ValueError("hash of downloaded file does not match")
        path.mkdir(parents=True, exist_ok=True)
        (path / fname).write_bytes(data)
        return str(path / fname)


def test_download_tries_every_mirror(alone, monkeypatch):
    write_part(alone / "server", *small())
    served = {p.name: p.read_bytes() for p in (alone / "server").iterdir()}
    second = MNIST.urls[1]
    pooch = FakePooch({second + name: data for name, data in served.items()})
    pooch.table[MNIST.urls[0] + "train-images-idx3-ubyte.gz"] = b"an error page"
    monkeypatch.setitem(sys.modules, "pooch", pooch)
    monkeypatch.setattr(MNIST, "checksums", {n: hashlib.sha256(d).hexdigest() for n, d in served.items()})
    assert len(MNIST(alone / "root")) == 3
    assert pooch.asked == [url + name for name in sorted(served) for url in MNIST.urls[:2]]
    pooch.asked.clear()
    assert len(MNIST(alone / "root")) == 3 and pooch.asked == []
    with pytest.raises(ConnectionError, match=r"t10k-images-idx3-ubyte\.gz: could not be downloaded:(\n.*no route){3}"):
        monkeypatch.setattr(MNIST, "checksums", {"t10k-images-idx3-ubyte.gz": "0" * 64})
        MNIST(alone / "root", train=False)


def test_without_pooch(alone, monkeypatch):
    real = builtins.__import__

    def no_pooch(name, *args, **kw):
        if name.split(".")[0] == "pooch":
            raise ImportError(name)
        return real(name, *args, **kw)

    monkeypatch.setitem(sys.modules, "pooch", None)
    monkeypatch.setattr(builtins, "__import__", no_pooch)
    with pytest.raises(ImportError, match="needs pooch: pip install") as caught:
        MNIST(alone)
    assert "\n" not in str(caught.value)
