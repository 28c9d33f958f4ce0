"""A hundred steps of every optimizer that PyTorch has, each library with its own gradients."""

import numpy as np
import pytest

import pydl
from pydl import nn, optim

torch = pytest.importorskip("torch")

STEPS = 100
OPTIONS = {
    "SGD": {"lr": 0.02, "momentum": 0.9, "nesterov": True},
    "ASGD": {"lr": 0.02, "lambd": 0.01, "t0": 20},
    "Adagrad": {"lr": 0.1, "lr_decay": 0.01},
    "Adadelta": {"lr": 1.0},
    "RMSprop": {"lr": 0.01, "momentum": 0.5, "centered": True},
    "Adam": {"lr": 0.02},
    "AdamW": {"lr": 0.02, "amsgrad": True},
    "Adamax": {"lr": 0.02},
    "NAdam": {"lr": 0.02},
    "RAdam": {"lr": 0.02},
    "Rprop": {"lr": 0.01},
}
DECAYING = [name for name in OPTIONS if name != "Rprop"]
CASES = [(n, {}) for n in OPTIONS] + [(n, {"weight_decay": 0.1}) for n in DECAYING]


def made(name, ours, theirs, **more):
    options = {**OPTIONS[name], **more}
    return getattr(optim, name)(ours, **options), getattr(torch.optim, name)(theirs, **options)


def error(ours, theirs):
    """The largest distance between parameters, over their largest size."""
    size = max(float(q.detach().abs().max()) for q in theirs)
    gaps = [np.abs(p.detach().numpy() - q.detach().numpy()).max() for p, q in zip(ours, theirs, strict=True)]
    return max(gaps) / size


def step(optimizer, loss):
    optimizer.zero_grad()
    loss().backward()
    optimizer.step()


@pytest.mark.parametrize("maximize", [False, True])
@pytest.mark.parametrize("name, more", CASES)
def test_quadratic(name, more, maximize):
    rng = np.random.default_rng(0)
    q, _ = np.linalg.qr(rng.standard_normal((12, 12)))
    h, start = q @ np.diag(np.geomspace(1, 30, 12)) @ q.T, rng.standard_normal(12)
    x, y = pydl.tensor(start, requires_grad=True), torch.tensor(start, requires_grad=True)
    ours, theirs = pydl.tensor(h), torch.tensor(h)
    a, b = made(name, [x], [y], maximize=maximize, **more)
    sign = -0.5 if maximize else 0.5
    for _ in range(STEPS):
        step(a, lambda: sign * (x @ (ours @ x)))
        step(b, lambda: sign * (y @ (theirs @ y)))
        assert error([x], [y]) < 1e-6


def networks():
    """The same network of three layers, the same regression."""
    torch.manual_seed(0)
    theirs = torch.nn.Sequential(
        torch.nn.Linear(5, 8), torch.nn.Tanh(), torch.nn.Linear(8, 8), torch.nn.Tanh(), torch.nn.Linear(8, 2)
    ).double()
    ours = nn.Sequential(nn.Linear(5, 8), nn.Tanh(), nn.Linear(8, 8), nn.Tanh(), nn.Linear(8, 2)).double()
    ours.load_state_dict({k: pydl.tensor(v.numpy()) for k, v in theirs.state_dict().items()})
    rng = np.random.default_rng(1)
    x, y = rng.standard_normal((40, 5)), rng.standard_normal((40, 2))
    return ours, theirs, x, y


@pytest.mark.parametrize("name, more", CASES)
def test_network_with_groups_and_absent_gradients(name, more):
    ours, theirs, x, y = networks()
    p, q = list(ours.parameters()), list(theirs.parameters())
    split = [[{"params": v[:2], "lr": 0.005}, {"params": v[2:]}] for v in (p, q)]
    a, b = made(name, *split, **more)
    for t in range(STEPS):
        rows = slice(0, 20) if t % 2 else slice(20, 40)
        a.zero_grad()
        ((ours(pydl.tensor(x[rows])) - pydl.tensor(y[rows])) ** 2).mean().backward()
        b.zero_grad()
        ((theirs(torch.tensor(x[rows])) - torch.tensor(y[rows])) ** 2).mean().backward()
        if t % 10 == 3:  # a layer that takes no part in this step
            p[2].grad = q[2].grad = p[3].grad = q[3].grad = None
        a.step()
        b.step()
        assert error(p, q) < 1e-6
