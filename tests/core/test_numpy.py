"""NumPy's arrays and ours on one memory."""

import gc
import sys
import weakref
from typing import Any

import numpy as np
import pytest

import pydl
from pydl.errors import ArgumentError, AutogradError, DtypeError

NAMES = ["bool", "uint8", "int32", "int64", "float16", "float32", "float64"]


@pytest.mark.parametrize("name", NAMES)
def test_both_ways_without_a_copy(name: str) -> None:
    a = np.arange(24).reshape(2, 3, 4).astype(name)
    for view in (a, a[::-1], a[:, ::2], a.T, a[1], a[:0], a[..., None], np.array(a[0, 0, 1])):
        x = pydl.from_numpy(view)
        b = x.numpy()
        assert b.dtype == view.dtype and b.shape == view.shape and x.data_ptr() == view.ctypes.data
        np.testing.assert_array_equal(b, view)
        assert not view.size or np.shares_memory(b, view)
    a[0, 0, 0] = 1
    x = pydl.from_numpy(a)
    x[1, 2, 3] = 0
    assert a[1, 2, 3] == 0 and x[0, 0, 0].item() == 1


def test_memory_outlives_its_makers() -> None:
    """The array lives while the tensor does, the tensor's memory while the array does."""
    a = np.ones(1000, dtype=np.float32)
    gone = weakref.ref(a)
    x = pydl.from_numpy(a)[10:20]
    del a
    gc.collect()
    assert gone() is not None and x.sum().item() == 10.0
    del x
    gc.collect()
    assert gone() is None
    b = (pydl.ones(1000) * 2).numpy()[500:]
    pydl.empty_cache()
    for _ in range(10):
        pydl.zeros(1000)
    assert (b == 2).all() and b.flags.writeable


def test_borrowed_memory_is_counted_right() -> None:
    a = np.ones(10)
    before = sys.getrefcount(a)
    xs = [pydl.from_numpy(a) for _ in range(5)] + [pydl.from_numpy(a)[2:].T for _ in range(5)]
    assert sys.getrefcount(a) == before + 10
    del xs
    assert sys.getrefcount(a) == before


WRITES: list[Any] = [
    lambda x: x.copy_(1.0),
    lambda x: x.fill_(1.0),
    lambda x: x.zero_(),
    lambda x: x.add_(1.0),
    lambda x: x.__setitem__(0, 1.0),
    lambda x: x.__setitem__(pydl.tensor([0]), 1.0),
    lambda x: x[1:].zero_(),
    lambda x: x.T.mul_(2.0),
    lambda x: x.normal_(),
    lambda x: x.detach().uniform_(),
    lambda x: pydl._C.scale([x.array], 2.0),
]


@pytest.mark.parametrize("write", WRITES)
def test_read_only_memory_is_never_written(write: Any) -> None:
    a = np.ones((3, 2), dtype=np.float32)
    a.flags.writeable = False
    x = pydl.from_numpy(a)
    with pytest.raises(ValueError, match="read-only"):
        write(x)
    assert (a == 1).all() and not x.numpy().flags.writeable
    assert not x.T.numpy().flags.writeable and (x * 2).numpy().flags.writeable and x.clone().numpy().flags.writeable
    with pytest.raises(ValueError, match=r"read-only|share memory"):
        write(pydl.from_numpy(np.broadcast_to(np.float32(1), (3, 2))))


def test_refused_arrays() -> None:
    """What our dtypes or kernels cannot hold."""
    for dtype in ("int8", "int16", "uint16", "uint64", "complex64", ">f4", "U3", "object", "datetime64[s]"):
        with pytest.raises(DtypeError, match="not supported"):
            pydl.from_numpy(np.zeros(3, dtype=dtype))
    packed = np.zeros(4, dtype=np.dtype([("a", "u1"), ("b", "<f4"), ("c", "u1", 3)]))["b"]
    with pytest.raises(ArgumentError, match="aligned"):
        pydl.from_numpy(packed)
    odd = np.zeros(4, dtype=np.dtype([("a", "<f4"), ("b", "u1")]))["a"]
    with pytest.raises(ArgumentError, match="strides"):
        pydl.from_numpy(odd)
    assert pydl.tensor(packed).tolist() == pydl.tensor(odd).tolist() == [0.0] * 4


def test_tensor_copies_and_converts() -> None:
    a = np.arange(4, dtype=np.int16)
    x = pydl.tensor(a)
    a[0] = 9
    assert x.dtype is pydl.int32 and x.tolist() == [0, 1, 2, 3]
    assert pydl.tensor(np.arange(3, dtype=">f8")).tolist() == [0.0, 1.0, 2.0]
    assert pydl.tensor(np.float32(2.5)).dtype is pydl.float32 and pydl.tensor(np.int64(3)).item() == 3
    assert pydl.tensor([np.float32(1), 2]).tolist() == [1.0, 2.0]
    assert pydl.tensor(np.ones(3)[::-1]).is_contiguous()


def test_array_protocol() -> None:
    x = pydl.arange(6, dtype=pydl.float32).reshape(2, 3)
    assert np.shares_memory(np.asarray(x), x.numpy()) and not np.shares_memory(np.array(x), x.numpy())
    assert np.asarray(x, dtype=np.float64).dtype == np.float64
    assert not np.shares_memory(x.__array__(copy=True), x.numpy())
    assert np.shares_memory(x.__array__(np.float32, copy=False), x.numpy())
    with pytest.raises(ValueError, match="without a copy"):
        x.__array__(np.float64, copy=False)
    assert np.concatenate([x, x]).shape == (4, 3)
    assert isinstance(np.ones((2, 3), np.float32) * x, pydl.Tensor)
    np.testing.assert_allclose(x, [[0, 1, 2], [3, 4, 5]])
    with pytest.raises(AutogradError, match="detach"):
        np.asarray(x.requires_grad_())


def test_bfloat16() -> None:
    x = pydl.tensor([1.5, -2.0]).bfloat16()
    assert x.tolist() == [1.5, -2.0]
    ml_dtypes = pytest.importorskip("ml_dtypes")
    a = x.numpy()
    assert a.dtype == ml_dtypes.bfloat16 and np.shares_memory(pydl.from_numpy(a).numpy(), a)


def test_writes_of_numpy_are_seen() -> None:
    x = pydl.zeros(3)
    x.numpy()[:] = [1, 2, 3]
    assert x.tolist() == [1.0, 2.0, 3.0]
    memoryview(x.numpy())[0] = 7.0
    assert x[0].item() == 7.0
