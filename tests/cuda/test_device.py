"""Tensors on a CUDA device (or the emulation of one): moving them, memory, streams, events, errors."""

import gc
from typing import Any

import numpy as np
import pytest

import pydl
from pydl import nn
from pydl.errors import ArgumentError, DeviceError, LinAlgError, ShapeError
from pydl.ops.loss import PairLoss
from pydl.ops.softmax import CrossEntropy

pytestmark = pytest.mark.skipif(not pydl.cuda.is_available(), reason="no CUDA device")

X = np.arange(12, dtype=np.float32).reshape(3, 4)
several = pytest.mark.skipif(pydl.cuda.device_count() < 2, reason="one device")


class TestMoving:
    """To a device and back."""

    @pytest.mark.parametrize("dtype", ["float32", "float64", "float16", "bfloat16", "int64", "int32", "uint8", "bool"])
    def test_round_trip(self, dtype: str) -> None:
        x = pydl.tensor(X).to(getattr(pydl, dtype))
        y = x.cuda()
        assert (y.device.type, y.dtype, y.shape) == ("cuda", x.dtype, x.shape)
        assert y.cpu().device.type == "cpu"
        assert y.tolist() == x.tolist()

    def test_strides_and_dtype(self) -> None:
        x = pydl.tensor(X)
        np.testing.assert_array_equal(x.T.to("cuda").numpy(), X.T)
        np.testing.assert_array_equal(x.cuda().T[1:, ::2].cpu().numpy(), X.T[1:, ::2])
        y = x.to("cuda:0", pydl.float64)
        assert (y.dtype, str(y.device)) == (pydl.float64, "cuda:0")
        assert y.to(x).device.type == "cpu" and y.to(x).dtype is pydl.float32

    def test_itself(self) -> None:
        y = pydl.tensor(X).cuda()
        assert y.cuda() is y and y.to("cuda") is y
        assert y.to("cuda", copy=True).data_ptr() != y.data_ptr()

    def test_empty_and_number(self) -> None:
        assert pydl.zeros(0, 3).cuda().numpy().shape == (0, 3)
        assert pydl.tensor(2.5).cuda().item() == 2.5
        assert pydl.tensor(2**62 + 1, device="cuda").item() == 2**62 + 1

    def test_gradient_comes_back(self) -> None:
        x = pydl.tensor(X, requires_grad=True)
        (x.cuda() * 3).square().sum().backward()
        assert x.grad is not None and x.grad.device.type == "cpu"
        np.testing.assert_allclose(x.grad.numpy(), 18 * X)

    def test_numpy_is_a_copy(self) -> None:
        y = pydl.tensor(X).cuda()
        y.numpy()[:] = 7
        np.testing.assert_array_equal(y.numpy(), X)

    def test_text(self) -> None:
        assert repr(pydl.tensor([1.0, 2.0]).cuda()) == "tensor([1., 2.], device='cuda:0')"

    def test_numbers(self) -> None:
        """A device by its number, alone or beside its type, as PyTorch takes them."""
        last = pydl.cuda.device_count() - 1
        x, there = pydl.tensor(X), pydl.device(f"cuda:{last}")
        for same in (last, np.int64(last), np.array([last])[0]):
            assert pydl.device(same) == pydl.device("cuda", same) == pydl.device(type="cuda", index=same) == there
        assert pydl.device(there) == pydl.device(device=there) == there and there.index == last
        made = [
            x.cuda(last), x.to(last), x.to(last, pydl.float32), x.to(device=last), x.cuda(there, True),
            pydl.tensor(X, device=last), pydl.zeros(2, device=last), pydl.zeros_like(x, device=last),
        ]  # fmt: skip
        for y in made:
            assert y.device == there
        for move in (lambda net: net.cuda(last), lambda net: net.to(last), lambda net: net.to(last, pydl.float64)):
            assert move(nn.Linear(2, 2)).weight.device == there
        with pytest.raises(ArgumentError, match="cuda: expected a CUDA device, got 'cpu'"):
            x.cuda("cpu")
        with pytest.raises(ArgumentError, match="'cuda:0' has a number"):
            pydl.device("cuda:0", 0)

    @several
    def test_between_devices(self) -> None:
        y = pydl.tensor(X).to("cuda:0").to("cuda:1")
        assert str(y.device) == "cuda:1"
        np.testing.assert_array_equal((y + 1).numpy(), X + 1)

    def test_dlpack(self) -> None:
        y = pydl.tensor(X).cuda()
        assert y.__dlpack_device__() == (2, 0)
        z = pydl.from_dlpack(y)
        assert (z.device, z.data_ptr()) == (y.device, y.data_ptr())
        np.testing.assert_array_equal((z + 1).numpy(), X + 1)


class TestFactories:
    """device= where tensors are made."""

    def test_all(self) -> None:
        made = [
            pydl.zeros(2, 3, device="cuda"), pydl.ones(2, 3, device="cuda"), pydl.full((2, 3), 4.5, device="cuda"),
            pydl.arange(6, device="cuda"), pydl.linspace(0, 1, 5, device="cuda"), pydl.eye(3, device="cuda"),
            pydl.tensor([[1, 2], [3, 4]], device="cuda"), pydl.asarray(X, device="cuda"),
        ]  # fmt: skip
        like = [
            pydl.zeros(2, 3), pydl.ones(2, 3), pydl.full((2, 3), 4.5), pydl.arange(6), pydl.linspace(0, 1, 5),
            pydl.eye(3), pydl.tensor([[1, 2], [3, 4]]), pydl.asarray(X),
        ]  # fmt: skip
        for y, x in zip(made, like, strict=True):
            assert y.device.type == "cuda" and y.dtype is x.dtype
            np.testing.assert_array_equal(y.numpy(), x.numpy())
        assert pydl.empty(3, device="cuda").shape == (3,)

    def test_like(self) -> None:
        y = pydl.tensor(X).cuda()
        for make in (pydl.zeros_like, pydl.ones_like, pydl.empty_like):
            assert make(y).device == y.device
            assert make(y, device="cpu").device.type == "cpu"
        assert pydl.full_like(y, 3).tolist() == np.full(X.shape, 3.0).tolist()

    def test_copy_from_anywhere(self) -> None:
        y = pydl.zeros(3, 4, device="cuda")
        assert y.copy_(pydl.tensor(X)) is y
        x = pydl.zeros(3, 4)
        x.copy_(y)
        np.testing.assert_array_equal(x.numpy(), X)

    def test_in_place(self) -> None:
        y = pydl.zeros(3, 4, device="cuda")
        y[1] = 2.0
        y[:, 1::2] = pydl.ones(3, 2, device="cuda")
        y.copy_(y + 1)
        expected = np.zeros((3, 4))
        expected[1] = 2
        expected[:, 1::2] = 1
        np.testing.assert_array_equal(y.numpy(), expected + 1)


class TestModule:
    """Modules move with their parameters."""

    def test_there_and_back(self) -> None:
        net = nn.Linear(3, 2)
        before = net.weight
        values = before.detach().numpy().copy()
        assert net.cuda() is net
        assert net.weight is before and all(p.device.type == "cuda" for p in net.parameters())
        net.to("cpu", pydl.float64)
        assert net.weight.dtype is pydl.float64 and net.weight.device.type == "cpu"
        np.testing.assert_array_equal(net.weight.detach().numpy(), values)


class TestErrors:
    """Wrong devices and what there is no kernel for."""

    def test_two_devices(self) -> None:
        x, y = pydl.tensor(X), pydl.tensor(X).cuda()
        with pytest.raises(DeviceError, match="add: expected all tensors on one device, got cpu and cuda:0"):
            x + y
        with pytest.raises(DeviceError, match="expected all tensors on one device"):
            pydl.index_select(x, 0, pydl.tensor([0, 1]).cuda())
        with pytest.raises(DeviceError, match="expected all tensors on one device"):
            pydl.matmul(x, y.T)
        np.testing.assert_array_equal((x + 1).numpy(), X + 1)

    def test_numbers_of_the_cpu(self) -> None:
        y = pydl.tensor(X).cuda()
        np.testing.assert_array_equal((y * pydl.tensor(2.0)).numpy(), 2 * X)
        np.testing.assert_array_equal((pydl.tensor(2.0) - y).numpy(), 2 - X)

    def test_no_such_device(self) -> None:
        with pytest.raises(DeviceError, match="cuda:99 is not there: this machine has"):
            pydl.zeros(2, device="cuda:99")
        for bad in ("cuda:", "cuda:x", "cuda:-1", "gpu", ""):
            with pytest.raises(ArgumentError, match="is not a device"):
                pydl.device(bad)

    def test_too_much_memory(self) -> None:
        with pytest.raises(DeviceError, match="cuda:0 is out of memory: asked for"):
            pydl.empty(1 << 45, device="cuda")
        assert pydl.ones(3, device="cuda").sum().item() == 3

    def test_division_by_zero(self) -> None:
        y = pydl.tensor([1, 2]).cuda()
        with pytest.raises(ArgumentError, match="division by zero"):
            y // pydl.tensor([1, 0]).cuda()


class TestMemory:
    """Counts of bytes, and reuse."""

    def test_counts(self) -> None:
        gc.collect()
        before = pydl.cuda.memory_allocated()
        pydl.cuda.reset_peak_memory_stats()
        y = pydl.empty(1 << 20, device="cuda")
        assert pydl.cuda.memory_allocated() - before == 4 << 20
        assert pydl.cuda.max_memory_allocated() - before == 4 << 20
        del y
        assert pydl.cuda.memory_allocated() == before
        assert pydl.cuda.memory_reserved() >= 4 << 20
        pydl.cuda.empty_cache()
        assert pydl.cuda.memory_reserved() == pydl.cuda.memory_allocated()
        free, total = pydl.cuda.mem_get_info()
        assert 0 < free <= total

    def test_reuse(self) -> None:
        y = pydl.empty(1000, device="cuda")
        place = y.data_ptr()
        del y
        assert pydl.empty(1000, device="cuda").data_ptr() == place

    def test_properties(self) -> None:
        found = pydl.cuda.get_device_properties()
        assert found["name"] == pydl.cuda.get_device_name() and found["total_memory"] > 0
        assert pydl.cuda.get_device_capability() == (found["major"], found["minor"])


class TestStreams:
    """Streams and events."""

    def test_stream(self) -> None:
        s = pydl.cuda.Stream()
        main = pydl.cuda.current_stream()
        assert main == pydl.cuda.default_stream() and s != main
        x = pydl.tensor(X).cuda()
        s.wait_stream(main)
        with pydl.cuda.stream(s):
            assert pydl.cuda.current_stream() == s
            y = x * 2
        main.wait_stream(s)
        np.testing.assert_array_equal((y + x).numpy(), 3 * X)
        s.synchronize()
        assert s.query() and pydl.cuda.current_stream() == main

    def test_events(self) -> None:
        start, end = pydl.cuda.Event(enable_timing=True), pydl.cuda.Event(enable_timing=True)
        with pytest.raises(ArgumentError, match="expected two recorded events"):
            start.elapsed_time(end)
        start.record()
        pydl.ones(1000, device="cuda").sum()
        end.record()
        assert start.elapsed_time(end) >= 0
        end.synchronize()
        assert end.query() and pydl.cuda.Event().query()

    @several
    def test_device_context(self) -> None:
        assert pydl.cuda.current_device() == 0
        with pydl.cuda.device(1):
            assert pydl.cuda.current_device() == 1
            assert str(pydl.zeros(2, device="cuda").device) == "cuda:1"
        assert str(pydl.zeros(2, device="cuda").device) == "cuda:0"
        pydl.cuda.synchronize(1)


FACTORS: dict[str, Any] = {
    "cholesky": lambda a, b: pydl.linalg.cholesky(a @ a.mT + 1),
    "inv": lambda a, b: pydl.linalg.inv(a),
    "svd": lambda a, b: pydl.linalg.svd(a[:, :2])[1],
    "lu": lambda a, b: pydl.linalg.lu(a),
    "qr": lambda a, b: pydl.linalg.qr(a[:, :2]),
    "eigh": lambda a, b: pydl.linalg.eigh(a + a.mT)[0],
    "det": lambda a, b: pydl.linalg.det(a),
    "solve": lambda a, b: pydl.linalg.solve(a, b),
    "lstsq": lambda a, b: pydl.linalg.lstsq(a[:, :2], b)[0],
    "matrix_exp": lambda a, b: pydl.linalg.matrix_exp(a),
    "nuclear norm": lambda a, b: pydl.linalg.norm(a, "nuc"),
    "power": lambda a, b: pydl.linalg.matrix_power(a, 0) + pydl.linalg.matrix_power(a, -2),
}


class TestFactors:
    """Factorizations are made on the CPU, of tensors that come from a device and go back there."""

    @pytest.mark.parametrize("name", FACTORS)
    def test_values(self, name: str) -> None:
        """Values and gradients are those of the CPU, on the device."""
        rng = np.random.default_rng(0)
        given = [np.eye(3) * 4 + rng.standard_normal((3, 3)), rng.standard_normal((3, 2))]
        found = []
        for device in ("cpu", "cuda"):
            a, b = (pydl.tensor(x, device=device, requires_grad=True) for x in given)
            made = FACTORS[name](a, b)
            parts = [t for t in (made if isinstance(made, tuple) else (made,)) if t.numel()]
            pydl.stack([(t * t.cos()).sum() for t in parts if t.requires_grad]).sum().backward()
            parts += [t for t in (a.grad, b.grad) if t is not None]
            assert all(t.device.type == device for t in parts)
            found.append([t.detach().numpy() for t in parts])
        for here, there in zip(*found, strict=True):
            np.testing.assert_allclose(there, here, rtol=1e-11, atol=1e-11)

    def test_errors(self) -> None:
        """Those of the CPU; tensors of two devices are refused."""
        x = pydl.zeros(2, 2, device="cuda")
        with pytest.raises(LinAlgError, match="inv: the matrix is singular"):
            pydl.linalg.inv(x)
        with pytest.raises(DeviceError, match="solve: expected all tensors on one device, got cuda:0 and cpu"):
            pydl.linalg.solve(x, x.cpu())
        with pytest.raises(ShapeError, match="expected square matrices"):
            pydl.linalg.det(x[:1])


class TestMissing:
    """What has no kernel but a reference made of kernels runs that."""

    def test_references_run(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Also of operations with an apply of their own."""

        def refuse(*args: object) -> None:
            raise DeviceError("there is no kernel for cuda:0")

        x, t = pydl.tensor(X), pydl.tensor([3, 0, 2])
        for op, call, target in (
            (CrossEntropy, nn.functional.cross_entropy, t),
            (PairLoss, nn.functional.smooth_l1_loss, x + 0.5),
        ):
            expected = call(x, target)
            monkeypatch.setattr(op, "kernel", refuse)
            made = call(x.cuda(), target.cuda())
            assert made.device.type == "cuda" and made.item() == pytest.approx(expected.item())
