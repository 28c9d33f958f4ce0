"""Projected and mirror descent."""

import math

import numpy as np
import pytest

import pydl
from pydl import optim
from pydl.errors import ArgumentError


def test_entropy_on_the_simplex_is_multiplicative_weights():
    rng = np.random.default_rng(0)
    losses, rate = rng.uniform(0, 1, (50, 6)), 0.3
    p = pydl.tensor(np.full(6, 1 / 6), requires_grad=True)
    o = optim.MirrorDescent([p], lr=rate, mirror="entropy", set="simplex")
    w = np.ones(6)
    for t, g in enumerate(losses):
        p.grad = pydl.tensor(g)
        o.step()
        w *= np.exp(-rate * g)
        np.testing.assert_allclose(p.detach().numpy(), w / w.sum(), rtol=1e-12)
        leader = np.exp(-rate * losses[: t + 1].sum(0))  # follow the leader, regularised by entropy
        np.testing.assert_allclose(p.detach().numpy(), leader / leader.sum(), rtol=1e-12)


def test_regret_is_below_its_bound():
    experts, steps = 10, 2000
    rate = math.sqrt(2 * math.log(experts) / steps)
    rng = np.random.default_rng(0)
    for kind in range(3):
        p = pydl.tensor(np.full(experts, 1 / experts), requires_grad=True)
        o = optim.MirrorDescent([p], lr=rate, mirror="entropy", set="simplex")
        paid, total = 0.0, np.zeros(experts)
        for t in range(steps):
            x = p.detach().numpy()
            if kind == 0:
                g = (x == x.max()).astype(float)  # against what is trusted most
            elif kind == 1:
                g = np.eye(experts)[t % experts]
            else:
                g = rng.integers(0, 2, experts).astype(float)
            paid += x @ g
            total += g
            p.grad = pydl.tensor(g)
            o.step()
        assert paid - total.min() <= math.sqrt(2 * steps * math.log(experts))


def test_projections():
    from pydl.optim.mirror_descent import on_simplex

    optimize = pytest.importorskip("scipy.optimize")
    rng = np.random.default_rng(0)
    x = rng.standard_normal((5, 4)) * 2
    got = on_simplex(pydl.tensor(x)).numpy()
    for row, near in zip(x, got, strict=True):
        want = optimize.minimize(
            lambda v, r=row: ((v - r) ** 2).sum(), np.full(4, 0.25), bounds=[(0, None)] * 4,
            constraints={"type": "eq", "fun": lambda v: v.sum() - 1}, method="SLSQP", tol=1e-12,
        ).x  # fmt: skip
        np.testing.assert_allclose(near, want, atol=1e-6)
    assert (got >= 0).all() and np.allclose(got.sum(1), 1)
    p = pydl.tensor([0.5, 0.5], requires_grad=True)
    for mirror in ("l2", "entropy"):
        o = optim.MirrorDescent([p], lr=10.0, mirror=mirror, set="box", low=0.1, high=0.9)
        p.grad = pydl.tensor([1.0, -1.0])
        o.step()
        np.testing.assert_allclose(p.detach().numpy(), [0.1, 0.9], rtol=1e-6)
    o = optim.MirrorDescent([p], lr=0.5, mirror="entropy", maximize=True)
    before = p.detach().numpy().copy()
    o.step()
    np.testing.assert_allclose(p.detach().numpy(), before * np.exp([0.5, -0.5]), rtol=1e-6)
    o = optim.MirrorDescent([p], lr=0.5, set="simplex")
    o.step()
    assert p.detach().numpy().sum() == pytest.approx(1)


def leaf(n=2):
    return pydl.ones(n, requires_grad=True)


@pytest.mark.parametrize(
    "make, error, text",
    [
        (lambda: optim.MirrorDescent([leaf()], mirror="kl"), ArgumentError, "got 'kl'"),
        (lambda: optim.MirrorDescent([leaf()], low=2, set="box"), ArgumentError, "low 2 is above high"),
        (lambda: optim.MirrorDescent([pydl.zeros(2)], mirror="entropy"), ArgumentError, "positive at the start"),
        (lambda: optim.MirrorDescent([pydl.ones(())], set="simplex"), ArgumentError, "no simplex"),
    ],
)
def test_errors(make, error, text):
    with pytest.raises(error, match=text):
        make()
