"""Lookahead and elastic averaging: optimizers around others."""

import copy
import pickle

import numpy as np
import pytest

import pydl
from pydl import optim
from pydl.errors import ArgumentError, ShapeError

H = np.geomspace(0.1, 2.0, 5)


def start(seed=0):
    return pydl.tensor(np.random.default_rng(seed).standard_normal(5), requires_grad=True)


def descend(o, p, steps):
    h = pydl.tensor(H)
    for _ in range(steps):
        o.zero_grad()
        ((h * p * p).sum() * 0.5).backward()
        o.step()


@pytest.mark.parametrize("k, alpha", [(5, 0.5), (3, 0.8), (1, 1.0)])
def test_lookahead_is_its_algorithm(k, alpha):
    p = start()
    x = p.detach().numpy().copy()
    slow, v = x.copy(), np.zeros(5)
    o = optim.Lookahead(optim.SGD([p], lr=0.3, momentum=0.8), k=k, alpha=alpha)
    for t in range(1, 101):
        descend(o, p, 1)
        v = 0.8 * v + H * x
        x = x - 0.3 * v
        if t % k == 0:
            slow = slow + alpha * (x - slow)
            x = slow.copy()
        np.testing.assert_allclose(p.detach().numpy(), x, rtol=1e-9, atol=1e-13)


def test_lookahead_resumes_copies_and_is_scheduled():
    p = start()
    o = optim.Lookahead(optim.Adam([p], lr=0.1), k=3)
    schedule = optim.lr_scheduler.ExponentialLR(o, 0.9)
    descend(o, p, 4)
    schedule.step()
    assert o.base.param_groups[0]["lr"] == pytest.approx(0.09)
    q = p.detach().clone().requires_grad_()
    twin = optim.Lookahead(optim.Adam([q], lr=0.5), k=3)
    twin.load_state_dict(o.state_dict())
    copies = [copy.deepcopy(o), pickle.loads(pickle.dumps(o))]
    descend(o, p, 5)
    descend(twin, q, 5)
    np.testing.assert_array_equal(p.detach().numpy(), q.detach().numpy())
    for other in copies:
        (r,) = other.param_groups[0]["params"]
        descend(other, r, 5)
        np.testing.assert_array_equal(p.detach().numpy(), r.detach().numpy())
    extra = start(3)
    o.add_param_group({"params": [extra], "lr": 0.0})
    assert o.param_groups[1]["k"] == 3 and o.base.param_groups[1]["lr"] == 0.0


@pytest.mark.parametrize("momentum, period", [(0.0, 1), (0.0, 4), (0.7, 3)])
def test_elastic_averaging_is_its_algorithm(momentum, period):
    workers = [[start(i)] for i in range(3)]
    x = np.array([w[0].detach().numpy() for w in workers])
    center, v, alpha = x.mean(0), np.zeros((3, 5)), 0.9 / 3
    o = optim.EASGD(workers, lr=0.1, period=period, momentum=momentum)
    np.testing.assert_allclose(o.center[0].numpy(), center, rtol=1e-14)
    rng = np.random.default_rng(7)
    for t in range(100):
        noise = rng.standard_normal((3, 5))
        for w, n in zip(workers, noise, strict=True):
            p = w[0]
            p.grad = pydl.tensor(H * p.detach().numpy() + 0.1 * n)
        g = H * x + 0.1 * noise  # of the point that the workers see
        o.step()
        if t > 0 and t % period == 0:
            d = x - center
            x, center = x - alpha * d, center + alpha * d.sum(0)
        v = momentum * v + g
        x = x - 0.1 * (g + momentum * v if momentum else g)
        np.testing.assert_allclose(np.array([w[0].detach().numpy() for w in workers]), x, rtol=1e-9, atol=1e-12)
        np.testing.assert_allclose(o.center[0].numpy(), center, rtol=1e-9, atol=1e-12)


def test_a_worker_alone_leaves_the_others_where_they_are():
    workers = [[start(i)] for i in range(2)]
    o = optim.EASGD(workers, lr=0.1, period=1, alpha=0.5)
    before = [w[0].detach().numpy().copy() for w in workers]
    center = o.center[0].numpy().copy()
    for _ in range(2):
        for w in workers:
            w[0].grad = pydl.ones(5, dtype=pydl.float64)
        o.step_worker(1)
    np.testing.assert_array_equal(workers[0][0].detach().numpy(), before[0])
    first = before[1] - 0.1
    np.testing.assert_allclose(workers[1][0].detach().numpy(), first - 0.5 * (first - center) - 0.1, rtol=1e-12)
    np.testing.assert_allclose(o.center[0].numpy(), center + 0.5 * (first - center), rtol=1e-12)


def test_elastic_averaging_resumes():
    workers = [[start(i)] for i in range(2)]
    o = optim.EASGD(workers, lr=0.1, momentum=0.5, period=2)

    def steps(opt, chains, n):
        for t in range(n):
            for i, w in enumerate(chains):
                w[0].grad = pydl.tensor(H * w[0].detach().numpy() + i + t)
            opt.step()

    steps(o, workers, 3)
    others = [[w[0].detach().clone().requires_grad_()] for w in workers]
    twin = optim.EASGD(others, lr=0.7)
    twin.load_state_dict(o.state_dict())
    steps(o, workers, 4)
    steps(twin, others, 4)
    for w, u in zip(workers, others, strict=True):
        np.testing.assert_array_equal(w[0].detach().numpy(), u[0].detach().numpy())
    np.testing.assert_array_equal(o.center[0].numpy(), twin.center[0].numpy())


@pytest.mark.parametrize(
    "make, error, text",
    [
        (lambda p: optim.Lookahead(optim.SGD([p]), k=0), ArgumentError, "k must be a number of steps"),
        (lambda p: optim.Lookahead(optim.SGD([p]), alpha=1.5), ArgumentError, "alpha must be between 0 and 1"),
        (lambda p: optim.Lookahead(p), ArgumentError, "expected an optimizer inside, got Tensor"),
        (lambda p: optim.EASGD([]), ArgumentError, "at least one worker"),
        (lambda p: optim.EASGD([[p], [pydl.zeros(2, requires_grad=True)]]), ShapeError, "different shapes"),
        (lambda p: optim.EASGD([[p]], alpha=2.0), ArgumentError, "alpha must be between"),
        (lambda p: optim.EASGD([[p]], period=0), ArgumentError, "period must be"),
        (lambda p: optim.EASGD([[p]]).step_worker(1), ArgumentError, "there are 1 workers"),
        (lambda p: optim.EASGD([[p]]).add_param_group({"params": []}), ArgumentError, "given at the start"),
    ],
)
def test_errors(make, error, text):
    with pytest.raises(error, match=text):
        make(start())
