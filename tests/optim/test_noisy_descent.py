"""Entropy-SGD and gradient noise."""

import math

import numpy as np
import pytest

import pydl
from pydl import optim
from pydl.errors import ArgumentError


def test_gradient_of_the_local_entropy_of_a_quadratic():
    """gamma H (H + gamma I)^-1 x, within the error of the sampling."""
    pydl.manual_seed(0)
    h, gamma, n = np.array([0.5, 1.0, 4.0]), 2.0, 4000
    x = np.tile([1.0, -2.0, 0.5], (n, 1))
    p = pydl.tensor(x.copy(), requires_grad=True)
    weights = pydl.tensor(h)
    o = optim.EntropySGD([p], lr=0.0, L=60, gamma0=gamma, gamma1=0.0, noise=math.sqrt(2), inner_lr=0.05, ema=0.9)

    def closure():
        o.zero_grad()
        loss = (0.5 * weights * p * p).sum()
        loss.backward()
        return loss

    loss = o.step(closure)
    assert loss.item() == pytest.approx((0.5 * h * x * x).sum())
    np.testing.assert_array_equal(p.detach().numpy(), x)
    got, want = p.grad.numpy(), gamma * h / (h + gamma) * x[0]
    spread = got.std(0) / math.sqrt(n)
    assert (np.abs(got.mean(0) - want) < 4 * spread + 0.02 * np.abs(want)).all()


def test_entropy_sgd_is_its_algorithm_without_noise():
    h = np.geomspace(0.1, 2, 4)
    start = np.random.default_rng(0).standard_normal(4)
    p, weights = pydl.tensor(start, requires_grad=True), pydl.tensor(h)
    o = optim.EntropySGD([p], lr=3.0, L=7, gamma0=0.3, gamma1=0.02, noise=0.0, inner_lr=0.2, ema=0.6, momentum=0.5)

    def closure():
        o.zero_grad()
        loss = (0.5 * weights * p * p).sum()
        loss.backward()
        return loss

    x, v = start.copy(), 0.0
    for t in range(100):
        o.step(closure)
        gamma, y, mean = 0.3 * 1.02**t, x.copy(), x.copy()
        for _ in range(7):
            y = y - 0.2 * (h * y - gamma * (x - y))
            mean = 0.6 * mean + 0.4 * y
        v = 0.5 * v + gamma * (x - mean)
        x = x - 3.0 * v
        np.testing.assert_allclose(p.detach().numpy(), x, rtol=1e-8, atol=1e-12)
    q = p.detach().clone().requires_grad_()
    assert o.gamma(o.param_groups[0]) == pytest.approx(0.3 * 1.02**100)
    twin = optim.EntropySGD([q], lr=1.0, L=7)
    twin.load_state_dict(o.state_dict())
    assert twin.gamma(twin.param_groups[0]) == o.gamma(o.param_groups[0])


# ---------------------------------------------------------------- gradient noise


def test_variance_of_gradient_noise():
    pydl.manual_seed(0)
    p = pydl.zeros(100_000, dtype=pydl.float64, requires_grad=True)
    o, noise = optim.SGD([p], lr=1.0), optim.noise.GaussianGradNoise(eta=0.3, gamma=0.55)
    handle = noise.attach(o)
    for t in (0, 10, 1000):
        noise.t = t
        p.grad = pydl.zeros(100_000, dtype=pydl.float64)
        before = p.detach().numpy().copy()
        o.step()
        assert abs((p.detach().numpy() - before).var() / (0.3 / (1 + t) ** 0.55) - 1) < 0.03
        assert noise.state_dict() == {"t": t + 1}
    handle.remove()
    p.grad = pydl.zeros(100_000, dtype=pydl.float64)
    before = p.detach().numpy().copy()
    o.step()
    np.testing.assert_array_equal(p.detach().numpy(), before)


def test_gradient_noise_comes_after_a_closure():
    p = pydl.zeros(1000, requires_grad=True)
    o = optim.SGD([p], lr=1.0)
    optim.noise.GaussianGradNoise(1.0, generator=pydl.Generator().manual_seed(0)).attach(o)

    def closure():
        o.zero_grad()
        loss = (p * 0).sum() + 7
        loss.backward()
        return loss

    assert o.step(closure).item() == 7
    assert 0.9 < p.detach().numpy().std() < 1.1


# ---------------------------------------------------------------- errors


def leaf(n=2):
    return pydl.ones(n, requires_grad=True)


@pytest.mark.parametrize(
    "make, error, text",
    [
        (lambda: optim.EntropySGD([leaf()]).step(), ArgumentError, "needs a closure"),
        (lambda: optim.EntropySGD([leaf()], L=0), ArgumentError, "L must be"),
        (lambda: optim.EntropySGD([leaf()], ema=1.0), ArgumentError, "ema must be"),
        (lambda: optim.EntropySGD([leaf()], gamma0=-1), ArgumentError, "gamma0 must be >= 0"),
        (lambda: optim.noise.GaussianGradNoise(-1), ArgumentError, "must be >= 0"),
    ],
)
def test_errors(make, error, text):
    with pytest.raises(error, match=text):
        make()
