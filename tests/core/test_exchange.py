"""Tensors in other processes, and the exchange of memory with NumPy, PyTorch and JAX beyond the plain cases."""

import copy
import multiprocessing
import operator
import pickle
from typing import Any

import numpy as np
import pytest

import pydl
from pydl.errors import AutogradError, DeviceError, DtypeError

DTYPES = ["bool", "uint8", "int32", "int64", "float16", "bfloat16", "float32", "float64"]


def double(inbox: Any, outbox: Any) -> None:
    """What the other process does: doubles tensors until None comes."""
    while (x := inbox.get()) is not None:
        outbox.put((x + x, x.requires_grad, type(x).__name__))


@pytest.mark.parametrize("method", ["forkserver", "spawn"])
def test_queues(method: str) -> None:
    """There and back, for all dtypes and views, from processes that start anew (tests/core/test_fork.py forks)."""
    context: Any = multiprocessing.get_context(method)
    inbox, outbox = context.Queue(), context.Queue()
    process = context.Process(target=double, args=(inbox, outbox))
    process.start()
    try:
        for name in DTYPES:
            x = pydl.tensor([[0, 1, 1], [1, 0, 1]]).to(getattr(pydl, name))
            for v in (x, x.T, x[:, ::-2], x[:0], x[0, 1]):
                inbox.put(v)
                y, wants, kind = outbox.get(timeout=60)
                assert y.dtype is (v + v).dtype and y.tolist() == (v + v).tolist() and not wants and kind == "Tensor"
    finally:
        inbox.put(None)
        process.join(60)
    assert process.exitcode == 0


def test_pool() -> None:
    context: Any = multiprocessing.get_context("forkserver")
    with context.Pool(2) as pool:
        made = pool.map(operator.neg, [pydl.full((100,), float(i)) for i in range(8)])
    assert [m[0].item() for m in made] == [-float(i) for i in range(8)]


@pytest.mark.parametrize("name", DTYPES)
def test_copies(name: str) -> None:
    x = pydl.tensor([[0, 1], [1, 1]]).to(getattr(pydl, name))
    for made, shares in ((copy.copy(x), True), (copy.deepcopy(x), False), (pickle.loads(pickle.dumps(x)), False)):
        assert made.tolist() == x.tolist() and made.dtype is x.dtype
        assert (made.data_ptr() == x.data_ptr()) == shares
    with pytest.raises(AutogradError, match="detach"):
        pickle.dumps(pydl.ones(2, requires_grad=True) * 2)
    p = pydl.nn.Parameter(pydl.ones(2))
    for made in (copy.copy(p), copy.deepcopy(p), pickle.loads(pickle.dumps(p))):
        assert type(made) is pydl.nn.Parameter and made.requires_grad and made.tolist() == [1.0, 1.0]


# ---------------------------------------------------------------- DLPack


class Asked:
    """A producer that notes what it is asked for."""

    def __init__(self, device: tuple[int, int] = (1, 0)) -> None:
        self.wishes: dict[str, Any] = {}
        self.device = device

    def __dlpack__(self, **wishes: Any) -> Any:
        self.wishes = wishes
        return pydl.ones(2).__dlpack__(max_version=wishes.get("max_version"), copy=wishes.get("copy"))

    def __dlpack_device__(self) -> tuple[int, int]:
        return self.device


def test_wishes_reach_the_producer() -> None:
    producer = Asked()
    pydl.from_dlpack(producer)
    assert producer.wishes == {"max_version": (1, 0)}
    pydl.from_dlpack(producer, device="cpu", copy=False)
    assert producer.wishes == {"max_version": (1, 0), "dl_device": (1, 0), "copy": False}
    pydl.from_dlpack(producer, copy=True).fill_(3)
    assert producer.wishes["copy"] is True
    if not pydl.cuda.is_available():
        with pytest.raises(DeviceError):
            pydl.from_dlpack(producer, device="cuda")


def test_copies_on_demand() -> None:
    a = np.arange(3.0)
    shared, owned = pydl.from_dlpack(a, copy=False), pydl.from_dlpack(a, copy=True)
    a[0] = 9
    assert shared.tolist() == [9, 1, 2] and owned.tolist() == [0, 1, 2]
    x = pydl.arange(3)
    capsule = x.__dlpack__(max_version=(1, 0))
    owned = pydl.from_dlpack(capsule, copy=True)
    x.fill_(7)
    assert owned.tolist() == [0, 1, 2]
    b = np.from_dlpack(x, copy=True) if np.lib.NumpyVersion(np.__version__) >= "2.1.0" else x.numpy().copy()
    b[:] = 5
    assert x.tolist() == [7, 7, 7]


def test_bfloat16_of_ml_dtypes() -> None:
    """NumPy has no bfloat16 and exports none; its arrays of ml_dtypes come in all the same."""
    ml_dtypes = pytest.importorskip("ml_dtypes")
    a = np.array([[1.5, -2.0], [0.25, 3.0]], dtype=ml_dtypes.bfloat16)
    for view in (a, a.T, a[::-1], a[:, 0]):
        for make in (pydl.from_dlpack, pydl.from_numpy, pydl.asarray):
            x = make(view)
            assert x.dtype is pydl.bfloat16 and x.tolist() == view.astype(float).tolist()
            assert x.data_ptr() == view.ctypes.data
    assert not np.shares_memory(pydl.from_dlpack(a, copy=True).numpy(), a)
    assert np.asarray(pydl.from_dlpack(a)).dtype == ml_dtypes.bfloat16
    with pytest.raises((BufferError, RuntimeError)):
        np.from_dlpack(pydl.from_dlpack(a))


@pytest.mark.parametrize("name", [n for n in DTYPES if n not in ("int64", "float64")])
def test_jax_in_both_directions(name: str) -> None:
    jax = pytest.importorskip("jax")
    x = pydl.arange(6).reshape(2, 3).to(getattr(pydl, name))
    j = jax.dlpack.from_dlpack(x)
    assert j.dtype.name == name and np.asarray(j, dtype=float).tolist() == x.double().tolist()
    y = pydl.from_dlpack(jax.numpy.asarray([[0, 1, 1], [1, 0, 1]]).astype(name))
    assert y.dtype is getattr(pydl, name) and y.double().tolist() == [[0, 1, 1], [1, 0, 1]]


def test_dtypes_that_there_are_none_of() -> None:
    for dtype in ("int8", "int16", "uint16", "uint32", "uint64", "complex64"):
        with pytest.raises(DtypeError, match="from_dlpack: dtype with code"):
            pydl.from_dlpack(np.zeros(2, dtype=dtype))


def test_versions() -> None:
    """A consumer that knows 1.x gets a capsule with a version, others one without."""
    x = pydl.ones(2)
    for version, name in (
        (None, "dltensor"),
        ((0, 8), "dltensor"),
        ((1, 0), "dltensor_versioned"),
        ((2, 3), "dltensor_versioned"),
    ):
        assert f'"{name}"' in repr(x.__dlpack__(max_version=version))
    assert x.__dlpack_device__() == (1, 0) and '"dltensor' in repr(x.__dlpack__(dl_device=(1, 0), stream=None))


def test_torch_sees_every_layout() -> None:
    """Strides of 0 and negative ones included: torch refuses the latter, NumPy takes both."""
    torch = pytest.importorskip("torch")
    x = pydl.arange(3.0).expand(4, 3)
    assert torch.from_dlpack(x).stride() == (0, 1) and torch.from_dlpack(x).tolist() == x.tolist()
    assert np.from_dlpack(x[::-1]).tolist() == x[::-1].tolist()
    t = torch.arange(24.0).reshape(2, 3, 4).permute(2, 0, 1)[1:, :, ::2]
    assert pydl.from_dlpack(t).tolist() == t.tolist()
    grown = pydl.from_dlpack(torch.ones(3, requires_grad=True).detach()).requires_grad_()
    (grown * 2).sum().backward()
    assert grown.grad is not None and grown.grad.tolist() == [2.0] * 3


def test_array_protocol() -> None:
    x = pydl.tensor([1.5, 2.5])
    assert np.asarray(x).dtype == np.float32 and np.asarray(x, dtype="int32").tolist() == [1, 2]
    assert not np.shares_memory(np.array(x, copy=True), x.numpy())
    with pytest.raises(ValueError, match="without a copy"):
        x.__array__(np.dtype("float64"), copy=False)
    with pytest.raises(AutogradError, match="detach"):
        np.asarray(x.requires_grad_())
