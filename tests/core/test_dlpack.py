"""DLPack with NumPy, PyTorch and JAX, in both directions, and with consumers and producers that misbehave."""

import ctypes
import gc
import weakref
from typing import Any

import numpy as np
import pytest

import pydl
from pydl.errors import ArgumentError, DeviceError, DtypeError, ShapeError

NAMES = ["bool", "uint8", "int32", "int64", "float16", "float32", "float64"]


def views(x: Any) -> list[Any]:
    return [x, x[:, ::2], x[1], x[:0], x[0, 0, 1], x.transpose(0, 2), x[..., None]]


# ---------------------------------------------------------------- other libraries


@pytest.mark.parametrize("name", [*NAMES, "bfloat16"])
def test_torch(name: str) -> None:
    torch = pytest.importorskip("torch")
    x = pydl.arange(24).reshape(2, 3, 4).to(getattr(pydl, name))
    for v in views(x):
        t = torch.from_dlpack(v)
        assert str(t.dtype) == f"torch.{name}" and t.tolist() == v.tolist() and t.stride() == tuple(v.stride())
        assert not v.numel() or t.data_ptr() == v.data_ptr()
    t = torch.arange(24).reshape(2, 3, 4).to(getattr(torch, name))
    for v in views(t):
        y = pydl.from_dlpack(v)
        assert y.dtype is getattr(pydl, name) and y.tolist() == v.tolist() and y.shape == tuple(v.shape)
        assert not v.numel() or y.data_ptr() == v.data_ptr()
    pydl.from_dlpack(t).fill_(1)
    assert (t == 1).all()


@pytest.mark.parametrize("name", NAMES)
def test_numpy(name: str) -> None:
    x = pydl.arange(24).reshape(2, 3, 4).to(getattr(pydl, name))
    for v in views(x):
        a = np.from_dlpack(v)
        assert a.dtype == name and a.tolist() == v.tolist() and (not v.numel() or a.ctypes.data == v.data_ptr())
    a = np.arange(24).reshape(2, 3, 4).astype(name)
    for w in (a, a[::-1], a[:, ::2], a.T, a[:0], np.array(a[0, 0, 1])):
        y = pydl.from_dlpack(w)
        assert y.dtype is getattr(pydl, name) and y.tolist() == w.tolist()


def test_jax() -> None:
    jax = pytest.importorskip("jax")
    x = pydl.arange(6, dtype=pydl.float32).reshape(2, 3)
    assert np.asarray(jax.dlpack.from_dlpack(x)).tolist() == x.tolist()
    j = jax.numpy.arange(6, dtype="float32").reshape(2, 3)
    assert pydl.from_dlpack(j).tolist() == np.asarray(j).tolist()


# ---------------------------------------------------------------- rights and lives


def test_read_only_travels() -> None:
    a = np.ones(3, dtype=np.float32)
    a.flags.writeable = False
    x = pydl.from_numpy(a)
    y = pydl.from_dlpack(x)
    with pytest.raises(ArgumentError, match="read-only"):
        y.fill_(0)
    with pytest.raises(BufferError, match="read-only"):
        x.__dlpack__()  # a consumer that cannot be told
    assert not np.from_dlpack(x).flags.writeable
    y = pydl.from_dlpack(a)
    with pytest.raises(ArgumentError, match="read-only"):
        y.fill_(0)


def test_arguments() -> None:
    x = pydl.ones(3)
    assert x.__dlpack_device__() == (1, 0)
    copied = pydl.from_dlpack(x.__dlpack__(max_version=(1, 0), copy=True))
    copied.fill_(5)
    assert x.tolist() == [1.0] * 3
    with pytest.raises(BufferError, match="expected cpu"):
        x.__dlpack__(dl_device=(2, 0))
    with pytest.raises(BufferError, match="detach"):
        x.requires_grad_().__dlpack__()


@pytest.mark.parametrize("version", [None, (1, 0)])
def test_capsule_never_consumed(version: Any) -> None:
    """The memory goes with the capsule."""
    pydl.ones(1)
    before = pydl.memory_stats()["active"]
    capsule = pydl.ones(1 << 16).__dlpack__(max_version=version)
    assert pydl.memory_stats()["active"] > before
    del capsule
    assert pydl.memory_stats()["active"] == before


@pytest.mark.parametrize("version", [None, (1, 0)])
def test_capsule_used_twice(version: Any) -> None:
    capsule = pydl.ones(3).__dlpack__(max_version=version)
    y = pydl.from_dlpack(capsule)
    with pytest.raises(ArgumentError, match="not been used"):
        pydl.from_dlpack(capsule)
    del capsule
    assert y.tolist() == [1.0] * 3


def test_memory_outlives_the_producer() -> None:
    torch = pytest.importorskip("torch")
    gc.collect()  # what other tests left
    before = pydl.memory_stats()["active"]
    t = torch.from_dlpack(pydl.full((1000,), 3.0))
    gc.collect()
    assert float(t.sum()) == 3000 and pydl.memory_stats()["active"] > before
    del t
    assert pydl.memory_stats()["active"] == before
    a = np.ones(10)
    gone = weakref.ref(a)
    y = pydl.from_dlpack(a)[3:]
    del a
    assert gone() is not None and y.sum().item() == 7
    del y
    assert gone() is None


def test_rounds_leak_nothing() -> None:
    """A tensor through DLPack and back, many times, each holding the one before."""
    before = pydl.memory_stats()["active"]
    x = pydl.ones(1000)
    for _ in range(2000):
        x = pydl.from_dlpack(x)
    assert x.sum().item() == 1000
    del x
    assert pydl.memory_stats()["active"] == before


# ---------------------------------------------------------------- hostile producers


class DLTensor(ctypes.Structure):
    _fields_ = [
        ("data", ctypes.c_void_p),
        ("device_type", ctypes.c_int32),
        ("device_id", ctypes.c_int32),
        ("ndim", ctypes.c_int32),
        ("code", ctypes.c_uint8),
        ("bits", ctypes.c_uint8),
        ("lanes", ctypes.c_uint16),
        ("shape", ctypes.POINTER(ctypes.c_int64)),
        ("strides", ctypes.POINTER(ctypes.c_int64)),
        ("byte_offset", ctypes.c_uint64),
        ("context", ctypes.c_void_p),
        ("deleter", ctypes.c_void_p),
    ]


MEMORY = (ctypes.c_float * 16)(*range(16))


def produce(shape: list[int], data: int | None = 0, **fields: int) -> tuple[Any, Any]:
    """A capsule of the plain kind without a deleter, and what must outlive it."""
    sizes = (ctypes.c_int64 * 16)(*shape)
    managed = DLTensor(None if data is None else ctypes.addressof(MEMORY) + data, 1, 0, len(shape), 2, 32, 1, sizes)
    for name, value in fields.items():
        setattr(managed, name, value)
    new = ctypes.pythonapi.PyCapsule_New
    new.restype, new.argtypes = ctypes.py_object, [ctypes.c_void_p, ctypes.c_char_p, ctypes.c_void_p]
    return new(ctypes.addressof(managed), b"dltensor", None), (managed, sizes)


def test_dense_strides_may_be_left_out() -> None:
    capsule, kept = produce([2, 3], byte_offset=4)
    assert pydl.from_dlpack(capsule).tolist() == [[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]]
    capsule, kept = produce([0, 3], data=None)
    empty = pydl.from_dlpack(capsule)
    assert empty.shape == (0, 3) and (empty + 1).tolist() == [] and kept


@pytest.mark.parametrize(
    ("arguments", "error", "text"),
    [
        ({"shape": [-1]}, ShapeError, "not one of an array"),
        ({"shape": [1 << 40, 1 << 40]}, ShapeError, "not one of an array"),
        ({"shape": [0, 1 << 40, 1 << 40]}, ShapeError, "not one of an array"),
        ({"shape": [1] * 9}, ShapeError, "at most 8"),
        ({"shape": [2], "ndim": -1}, ShapeError, "at most 8"),
        ({"shape": [2], "data": None}, ArgumentError, "missing"),
        ({"shape": [2], "data": 1}, ArgumentError, "aligned"),
        ({"shape": [2], "bits": 24}, DtypeError, "not supported"),
        ({"shape": [2], "lanes": 4}, DtypeError, "not supported"),
        ({"shape": [2], "code": 5}, DtypeError, "not supported"),
        ({"shape": [2], "device_type": 2}, DeviceError, "not available"),
    ],
)
def test_hostile_capsules(arguments: Any, error: type[Exception], text: str) -> None:
    capsule, kept = produce(**arguments)
    with pytest.raises(error, match=text):
        pydl.from_dlpack(capsule)
    assert kept


def test_producers_of_the_old_kind() -> None:
    """An object whose __dlpack__ takes no arguments."""

    class Old:
        def __dlpack__(self) -> Any:
            return pydl.ones(2).__dlpack__()

        def __dlpack_device__(self) -> tuple[int, int]:
            return (1, 0)

    assert pydl.from_dlpack(Old()).tolist() == [1.0, 1.0]
