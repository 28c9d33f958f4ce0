"""autocast and dynamic loss scaling, beside PyTorch's."""

import threading

import numpy as np
import pytest

import pydl
from pydl import amp, nn, ops, optim
from pydl.errors import ArgumentError, CheckpointError
from pydl.nn import functional as F

PRODUCTS = {
    "matmul": lambda x: x @ x,
    "vector": lambda x: x @ x[0],
    "mm": lambda x: ops.mm(x, x),
    "bmm": lambda x: ops.bmm(x[None], x[None]),
    "linear": lambda x: F.linear(x, x, x[0]),
    "addmm": lambda x: ops.addmm(x, x, x),
    "baddbmm": lambda x: ops.baddbmm(x[None], x[None], x[None]),
    "conv1d": lambda x: F.conv1d(x[None], x[:, :, None], x[0]),
    "conv2d": lambda x: F.conv2d(x[None, :, :, None], x[:, :, None, None]),
    "conv_transpose1d": lambda x: F.conv_transpose1d(x[None], x[:, :, None]),
    "attention": lambda x: F.scaled_dot_product_attention(x[None], x[None], x[None]),
}
LOSSES = {
    "cross_entropy": lambda x, t: F.cross_entropy(x, t.argmax(1)),
    "cross_entropy with soft targets": F.cross_entropy,
    "nll_loss": lambda x, t: F.nll_loss(x, t.argmax(1)),
    "mse_loss": F.mse_loss,
    "l1_loss": F.l1_loss,
    "binary_cross_entropy_with_logits": lambda x, t: F.binary_cross_entropy_with_logits(x, t),
    "binary_cross_entropy": F.binary_cross_entropy,
}


def square():
    return pydl.tensor(np.random.default_rng(0).standard_normal((4, 4)), dtype=pydl.float32)


@pytest.mark.parametrize("dtype", [pydl.bfloat16, pydl.float16])
@pytest.mark.parametrize("name", PRODUCTS)
def test_products_are_computed_in_the_narrow_dtype(name, dtype):
    x, f = square(), PRODUCTS[name]
    with pydl.autocast("cpu", dtype=dtype):
        got = f(x)
        assert f(x.to(dtype)).dtype is dtype
        if name not in ("attention",):
            assert f(x.double()).dtype is pydl.float64
    assert got.dtype is dtype and f(x).dtype is pydl.float32
    np.testing.assert_array_equal(got.float().numpy(), f(x.to(dtype)).float().numpy())


@pytest.mark.parametrize("name", LOSSES)
def test_losses_are_computed_in_float32(name):
    x, t, f = square().sigmoid(), square().t().sigmoid(), LOSSES[name]
    with pydl.autocast():
        got = f(x.to(pydl.bfloat16), t)
    assert got.dtype is pydl.float32
    np.testing.assert_allclose(got.item(), f(x.to(pydl.bfloat16).float(), t).item(), rtol=1e-6)


def test_what_is_not_a_product_keeps_its_dtype():
    x = square()
    with pydl.autocast():
        assert (x + x).dtype is x.exp().dtype is x.sum().dtype is pydl.float32


def test_nesting_decorating_threads_and_errors():
    x, seen = square(), []

    @pydl.autocast(dtype=pydl.float16)
    def inside():
        return (x @ x).dtype

    with pydl.autocast():
        assert amp.is_autocast_enabled() and amp.get_autocast_dtype() is pydl.bfloat16
        assert inside() is pydl.float16
        with amp.autocast("cpu", enabled=False):
            assert (x @ x).dtype is pydl.float32
        thread = threading.Thread(target=lambda: seen.append((x @ x).dtype))
        thread.start()
        thread.join()
        assert (x @ x).dtype is pydl.bfloat16
    assert seen == [pydl.float32] and not amp.is_autocast_enabled() and inside() is pydl.float16
    with pytest.raises(RuntimeError, match="stop"), pydl.autocast():
        raise RuntimeError("stop")
    assert not amp.is_autocast_enabled()
    with pytest.raises(ArgumentError, match="dtype must be bfloat16 or float16"):
        pydl.autocast(dtype=pydl.float32)
    with pytest.raises(ArgumentError, match="device_type must be"):
        pydl.autocast("tpu")


def networks():
    torch = pytest.importorskip("torch")
    torch.manual_seed(0)
    theirs = torch.nn.Sequential(
        torch.nn.Conv2d(1, 4, 3), torch.nn.ReLU(), torch.nn.Flatten(), torch.nn.Linear(4 * 36, 10)
    )
    ours = nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 36, 10))
    ours.load_state_dict({k: pydl.tensor(v.numpy()) for k, v in theirs.state_dict().items()})
    rng = np.random.default_rng(0)
    return torch, ours, theirs, rng.standard_normal((8, 1, 8, 8)).astype(np.float32), rng.integers(0, 10, 8)


def test_gradients_are_float32_and_as_near_as_torchs():
    torch, ours, theirs, x, y = networks()
    with pydl.autocast("cpu", dtype=pydl.bfloat16):
        F.cross_entropy(ours(pydl.tensor(x)), pydl.tensor(y)).backward()
    exact = [g.grad.numpy().copy() for g in _exact(torch, theirs, x, y)]
    theirs.zero_grad()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        out = theirs(torch.tensor(x))
    torch.nn.functional.cross_entropy(out.float(), torch.tensor(y)).backward()
    for p, q, g in zip(ours.parameters(), theirs.parameters(), exact, strict=True):
        assert p.grad.dtype is pydl.float32
        mine, other = np.abs(p.grad.numpy() - g).max(), np.abs(q.grad.numpy() - g).max()
        assert mine < 2 * other + 1e-3 * np.abs(g).max()


def _exact(torch, model, x, y):
    model.zero_grad()
    torch.nn.functional.cross_entropy(model(torch.tensor(x)), torch.tensor(y)).backward()
    return list(model.parameters())


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_training_in_mixed_precision_learns(dtype):
    pydl.manual_seed(0)
    rng = np.random.default_rng(0)
    x = rng.standard_normal((256, 10)).astype(np.float32)
    y = (x @ rng.standard_normal((10, 3)).astype(np.float32)).argmax(1)
    model = nn.Sequential(nn.Linear(10, 32), nn.ReLU(), nn.Linear(32, 3))
    o, scaler = optim.AdamW(model.parameters(), lr=0.02), amp.GradScaler(growth_interval=20)
    for _ in range(100):
        o.zero_grad()
        with pydl.autocast("cpu", dtype=getattr(pydl, dtype)):
            loss = F.cross_entropy(model(pydl.tensor(x)), pydl.tensor(y))
        scaler.scale(loss).backward()
        scaler.step(o)
        scaler.update()
    assert loss.item() < 0.1
    assert all(p.dtype is pydl.float32 for p in model.parameters())


# ---------------------------------------------------------------- GradScaler


def test_scaler_goes_as_torchs():
    torch = pytest.importorskip("torch")
    options = {"init_scale": 8.0, "growth_factor": 3.0, "backoff_factor": 0.25, "growth_interval": 3}
    p, q = pydl.ones(3, requires_grad=True), torch.ones(3, requires_grad=True)
    a, b = optim.SGD([p], lr=0.1), torch.optim.SGD([q], lr=0.1)
    ours, theirs = amp.GradScaler(**options), torch.amp.GradScaler("cpu", **options)
    for t in range(20):
        bad = {4: np.inf, 5: np.nan, 13: -np.inf}.get(t, 1.0)
        a.zero_grad()
        b.zero_grad()
        ours.scale((p * pydl.tensor([1.0, bad, 2.0])).sum()).backward()
        theirs.scale((q * torch.tensor([1.0, bad, 2.0])).sum()).backward()
        if t % 2:
            ours.unscale_(a)
            theirs.unscale_(b)
            np.testing.assert_allclose(p.grad.numpy(), q.grad.numpy(), rtol=1e-6)
        ours.step(a)
        theirs.step(b)
        ours.update()
        theirs.update()
        assert ours.get_scale() == theirs.get_scale()
        np.testing.assert_allclose(p.detach().numpy(), q.detach().numpy(), rtol=1e-6)
    assert ours.state_dict() == theirs.state_dict()
    fresh = amp.GradScaler()
    fresh.load_state_dict(theirs.state_dict())
    assert fresh.state_dict() == ours.state_dict()


@pytest.mark.parametrize("n", [1, 7, 31, 33, 8191, 8193, 20000])
@pytest.mark.parametrize("dtype", ["float32", "float64", "bfloat16", "float16"])
def test_one_infinity_anywhere_is_found(n, dtype):
    def found(*tensors, scale=2.0):
        flag = pydl.zeros(1, dtype=pydl.float64)
        pydl._C.unscale([t.array for t in tensors], pydl.tensor([scale], dtype=pydl.float64).array, flag.array)
        return flag.item() != 0

    clean = pydl.ones(n, dtype=getattr(pydl, dtype))
    assert not found(clean)
    assert (clean.float().numpy() == 0.5).all()
    for place in {0, n // 2, n - 1}:
        for value in (np.inf, -np.inf, np.nan):
            x = np.ones(n)
            x[place] = value
            assert found(pydl.ones(3), pydl.tensor(x).to(getattr(pydl, dtype)))
    assert not found()
    assert not found(pydl.tensor([3e38]), scale=1.0)


def test_scale_takes_lists_and_a_new_scale():
    scaler = amp.GradScaler(init_scale=4.0)
    a, (b, c) = scaler.scale([pydl.ones(2), (pydl.ones(1), pydl.ones(()))])
    assert a.tolist() == [4, 4] and b.tolist() == [4] and c.item() == 4
    scaler.update(16.0)
    assert scaler.get_scale() == 16.0


def test_a_scaler_that_is_off():
    p = pydl.ones(2, requires_grad=True)
    o, scaler = optim.SGD([p], lr=1.0), amp.GradScaler(enabled=False)
    loss = scaler.scale((p * np.inf).sum())
    loss.backward()
    scaler.unscale_(o)
    scaler.step(o)
    scaler.update()
    assert scaler.get_scale() == 1.0 and scaler.state_dict() == {} and not scaler.is_enabled()
    assert np.isinf(p.detach().numpy()).all()


def test_errors():
    p = pydl.ones(2, requires_grad=True)
    o, scaler = optim.SGD([p], lr=1.0), amp.GradScaler()
    with pytest.raises(ArgumentError, match="needs a step"):
        scaler.update()
    p.grad = pydl.ones(2)
    scaler.unscale_(o)
    with pytest.raises(ArgumentError, match="are unscaled"):
        scaler.unscale_(o)
    with pytest.raises(ArgumentError, match="no closure"):
        scaler.step(o, lambda: None)
    scaler.step(o)
    with pytest.raises(ArgumentError, match="since the last update"):
        scaler.step(o)
    with pytest.raises(ArgumentError, match="comes before step"):
        scaler.unscale_(o)
    scaler.update()
    half = pydl.ones(2, dtype=pydl.float16, requires_grad=True)
    half.grad = pydl.ones(2, dtype=pydl.float16)
    with pytest.raises(ArgumentError, match="float16 cannot be unscaled"):
        scaler.step(optim.SGD([half]))
    with pytest.raises(CheckpointError, match="lacks _growth_tracker, backoff_factor"):
        scaler.load_state_dict({"scale": 1.0, "growth_factor": 2.0, "growth_interval": 1})
    for bad in ({"growth_factor": 1}, {"backoff_factor": 1}, {"growth_interval": 0}, {"init_scale": 0}):
        with pytest.raises(ArgumentError, match=next(iter(bad))):
            amp.GradScaler(**bad)
    with pytest.raises(ArgumentError, match="takes tensors, got int"):
        scaler.scale(3)
