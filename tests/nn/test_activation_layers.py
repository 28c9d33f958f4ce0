"""Activation modules against PyTorch and by differences; identities that they obey."""

from typing import Any

import numpy as np
import pytest
from against_torch import differences, same, torch, values

import pydl
import pydl.nn.functional as F
from pydl import nn
from pydl.errors import ArgumentError, ShapeError

CASES: list[tuple[str, tuple[Any, ...], dict[str, Any]]] = [
    ("ReLU", (), {}),
    ("ReLU", (), {"inplace": True}),
    ("LeakyReLU", (), {}),
    ("LeakyReLU", (0.2,), {"inplace": True}),
    ("PReLU", (), {}),
    ("PReLU", (), {"num_parameters": 3, "init": 0.1}),
    ("ELU", (), {}),
    ("ELU", (0.7,), {}),
    ("SELU", (), {}),
    ("CELU", (), {}),
    ("CELU", (1.5,), {}),
    ("GELU", (), {}),
    ("GELU", ("tanh",), {}),
    ("SiLU", (), {}),
    ("Mish", (), {}),
    ("Softplus", (), {}),
    ("Softplus", (2.0, 3.0), {}),
    ("Sigmoid", (), {}),
    ("LogSigmoid", (), {}),
    ("Tanh", (), {}),
    ("Hardtanh", (), {}),
    ("Hardtanh", (-2.0, 1.5), {}),
    ("ReLU6", (), {}),
    ("Hardsigmoid", (), {}),
    ("Hardswish", (), {}),
    ("Softsign", (), {}),
    ("Tanhshrink", (), {}),
    ("Softshrink", (), {}),
    ("Softshrink", (1.2,), {}),
    ("Hardshrink", (), {}),
    ("Threshold", (0.2, 1.5), {}),
    ("GLU", (), {}),
    ("GLU", (0,), {}),
    ("Softmax", (1,), {}),
    ("LogSoftmax", (0,), {}),
    ("Softmin", (-1,), {}),
    ("Softmax2d", (), {}),
]
IDS = [f"{name}{args}{kwargs}" for name, args, kwargs in CASES]


def points(name: str, dtype: str) -> np.ndarray:
    return values(np.random.default_rng(0), (2, 3, 4, 2) if name == "Softmax2d" else (4, 3, 2), dtype)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(("name", "args", "kwargs"), CASES, ids=IDS)
def test_against_torch(name: str, args: Any, kwargs: Any, dtype: str) -> None:
    ours, theirs = getattr(nn, name)(*args, **kwargs), getattr(torch.nn, name)(*args, **kwargs)
    assert repr(ours) == repr(theirs)
    x = points(name, dtype)
    if kwargs.get("inplace"):
        theirs.inplace = False  # ours never overwrites its input
    limit = 1e-7 if name == "Hardsigmoid" else None  # there torch rounds 1/6 to float32
    same(ours, theirs, [x], dtype, limit)


@pytest.mark.parametrize(("name", "args", "kwargs"), CASES, ids=IDS)
def test_differences(name: str, args: Any, kwargs: Any) -> None:
    m = getattr(nn, name)(*args, **kwargs).double()
    differences(m, [points(name, "float64")], m.parameters())


def test_inputs_are_never_overwritten() -> None:
    x = pydl.tensor([-1.0, 2.0])
    nn.ReLU(inplace=True)(x)
    F.elu(x, inplace=True)
    assert x.tolist() == [-1.0, 2.0]


def test_errors() -> None:
    with pytest.raises(ShapeError, match="expected 3 or 4 axes"):
        nn.Softmax2d()(pydl.ones(2, 3))
    with pytest.raises(ShapeError, match="does not match weight"):
        nn.PReLU(3)(pydl.ones(2, 4))
    with pytest.raises(ArgumentError, match="is larger than"):
        F.hardtanh(pydl.ones(1), 2.0, 1.0)
    with pytest.raises(ArgumentError, match="is larger than"):
        F.rrelu(pydl.ones(1), 0.5, 0.1)
    with pytest.raises(ArgumentError, match="alpha must not be 0"):
        nn.CELU(0.0)(pydl.ones(1))
    with pytest.raises(ArgumentError, match="sigma must not be negative"):
        F.nrelu(pydl.ones(1), -1.0)


@pytest.mark.parametrize("ndim", [1, 2, 3, 4])
def test_softmax_without_dim(ndim: int) -> None:
    x = values(np.random.default_rng(0), (2, 3, 2, 2)[:ndim], "float64")
    for name in ("softmax", "log_softmax", "softmin"):
        with pytest.warns(UserWarning, match="dim was not given"):
            y = getattr(F, name)(pydl.tensor(x))
        with pytest.warns(UserWarning, match="Implicit dimension choice"):
            e = getattr(torch.nn.functional, name)(torch.tensor(x))
        np.testing.assert_allclose(y.numpy(), e.numpy(), atol=1e-12)


# ---------------------------------------------------------------- what has no counterpart there, or is random


def test_step_and_sign() -> None:
    x = pydl.tensor([-2.0, -0.0, 0.0, 3.0]).requires_grad_()
    assert repr(nn.Step()) == "Step()" and nn.Step()(x).tolist() == [0, 1, 1, 1]
    assert nn.Sign()(x).tolist() == [-1, 0, 0, 1]
    (nn.Step()(x) + nn.Sign()(x)).sum().backward()
    assert x.grad.tolist() == [0, 0, 0, 0]


def test_noisy_relu() -> None:
    m = nn.NReLU(0.5)
    assert repr(m) == "NReLU(sigma=0.5)"
    x = pydl.full((200_000,), 10.0, dtype=pydl.float64)
    noise = m(x).numpy() - 10
    assert abs(noise.mean()) < 4 * 0.5 / np.sqrt(2e5) and abs(noise.std() - 0.5) < 0.005
    assert (m(pydl.zeros(1000)) >= 0).all() and m(pydl.zeros(1000)).numpy().std() > 0.1
    m.eval()
    assert m(pydl.tensor([-1.0, 2.0])).tolist() == [0, 2]
    own = nn.NReLU(None)(pydl.full((200_000,), 6.0, dtype=pydl.float64)).numpy()
    assert abs(own.var() - 1 / (1 + np.exp(-6))) < 0.02
    g = pydl.Generator().manual_seed(3)
    a, b = F.nrelu(x[:5], generator=g), F.nrelu(x[:5], generator=pydl.Generator().manual_seed(3))
    assert a.tolist() == b.tolist()


def test_randomised_leaky_relu() -> None:
    m = nn.RReLU(0.1, 0.3)
    assert repr(m) == repr(torch.nn.RReLU(0.1, 0.3))
    x = pydl.full((100_000,), -1.0, dtype=pydl.float64).requires_grad_()
    y = m(x)
    slopes = -y.detach().numpy()
    assert slopes.min() >= 0.1 and slopes.max() < 0.3 and abs(slopes.mean() - 0.2) < 4 * 0.2 / np.sqrt(12e5)
    y.sum().backward()
    np.testing.assert_allclose(x.grad.numpy(), slopes)
    np.testing.assert_allclose(m.eval()(x).detach().numpy(), -0.2)
    assert m(pydl.tensor([2.0])).item() == 2


# ---------------------------------------------------------------- identities


def slope(f: Any, x: np.ndarray) -> np.ndarray:
    t = pydl.tensor(x).requires_grad_()
    (g,) = pydl.autograd.grad(f(t).sum(), t)
    return np.asarray(g.numpy())


def test_slopes() -> None:
    x = np.linspace(-30, 30, 601)
    s, t = pydl.sigmoid(pydl.tensor(x)).numpy(), pydl.tanh(pydl.tensor(x)).numpy()
    np.testing.assert_allclose(slope(F.sigmoid, x), s * (1 - s), atol=1e-15)
    np.testing.assert_allclose(slope(F.tanh, x), 1 - t * t, atol=1e-15)
    np.testing.assert_allclose(slope(lambda v: F.softplus(v, threshold=1e9), x), s, atol=1e-15)
    np.testing.assert_allclose(slope(F.logsigmoid, x), 1 - s, atol=1e-15)
    np.testing.assert_allclose(t, 2 / (1 + np.exp(-2 * x)) - 1, atol=1e-15)


@pytest.mark.parametrize(("dtype", "limit"), [("float32", 1e-6), ("float64", 1e-15)])
def test_softmax_sums_to_one_at_any_size(dtype: str, limit: float) -> None:
    x = np.random.default_rng(0).standard_normal((50, 20)).astype(dtype)
    for scale in (1, 1e4):
        for shift in (0, 1e4, -1e4):
            y = F.softmax(pydl.tensor((x * scale + shift).astype(dtype)), 1).numpy()
            assert np.isfinite(y).all() and (y >= 0).all()
            np.testing.assert_allclose(y.sum(1), 1, atol=10 * limit)
    moved = F.softmax(pydl.tensor(x.astype("float64") + 1e4), 1).numpy()
    np.testing.assert_allclose(moved, F.softmax(pydl.tensor(x.astype("float64")), 1).numpy(), rtol=1e-10)


def test_old_names_of_hardtanh() -> None:
    with pytest.warns(FutureWarning, match="min_value is deprecated: its name is min_val"):
        m = nn.Hardtanh(min_value=-2.0)
    with pytest.warns(FutureWarning, match="max_value is deprecated: its name is max_val"):
        n = nn.Hardtanh(-3, max_value=0.5)
    assert (m.min_val, m.max_val, n.min_val, n.max_val) == (-2.0, 1.0, -3, 0.5)
    assert n(pydl.tensor([-9.0, 0.2, 2.0])).tolist() == pytest.approx([-3.0, 0.2, 0.5])
