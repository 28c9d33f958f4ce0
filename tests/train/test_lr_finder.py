"""The learning-rate finder: where a quadratic stops converging is known, and nothing may stay changed."""

import math

import numpy as np
import pytest

import pydl
from pydl import nn, optim
from pydl.errors import ArgumentError
from pydl.train import find_lr


def problem():
    """Least squares with a Hessian of 2 I, so that descent converges for rates below 1; two batches that disagree."""
    x = (np.sqrt(8) * np.eye(8)).astype(np.float32)
    y = x @ np.arange(1, 9, dtype=np.float32)[:, None]
    layer = nn.Linear(8, 1, bias=False)
    return layer, [(pydl.tensor(x), pydl.tensor(y + noise)) for noise in (-1, 1)]


def mse(prediction, target):
    return ((prediction - target) ** 2).mean()


def test_finds_the_region_of_descent():
    layer, batches = problem()
    found = find_lr(layer, optim.SGD(layer.parameters(), lr=0.1), mse, batches, start=1e-5, end=100, steps=120)
    assert found.diverged
    assert 1e-3 < found.steepest < 1.0
    assert found.steepest < found.lowest < 10.0
    assert len(found.lrs) == len(found.losses) == len(found.smoothed) < 120
    ratios = np.diff(np.log(found.lrs))
    np.testing.assert_allclose(ratios, math.log(1e7) / 119, rtol=1e-9)


def test_smoothing_has_no_bias():
    layer, batches = problem()
    found = find_lr(layer, optim.SGD(layer.parameters(), lr=0.1), mse, batches, start=1e-3, end=0.2, steps=30,
                    spacing="linear", smoothing=0.9)  # fmt: skip
    assert not found.diverged and found.lrs == pytest.approx(list(np.linspace(1e-3, 0.2, 30)))
    for t in range(1, 31):
        shares = 0.9 ** np.arange(t - 1, -1, -1.0)
        assert found.smoothed[t - 1] == pytest.approx(shares @ found.losses[:t] / shares.sum(), rel=1e-9)
    assert find_lr(layer, optim.SGD(layer.parameters(), lr=0.1), mse, batches, smoothing=0, steps=5).smoothed


@pytest.mark.parametrize("fails", [False, True])
def test_puts_everything_back(fails):
    model = nn.Sequential(nn.Linear(3, 8), nn.BatchNorm1d(8), nn.Dropout(0.3), nn.Linear(8, 1)).eval()
    optimizer = optim.Adam([{"params": model[0].parameters(), "lr": 0.3}, {"params": model[3].parameters()}], lr=0.1)
    x, y = (np.random.default_rng(0).normal(size=(40, n)).astype(np.float32) for n in (3, 1))
    mse(model(pydl.tensor(x)), pydl.tensor(y)).backward()
    optimizer.step()
    calls = []

    def loss(prediction, target):
        calls.append([g["lr"] for g in optimizer.param_groups])
        if fails and len(calls) == 4:
            raise KeyboardInterrupt
        return mse(prediction, target)

    def everything():
        moments = [v for s in optimizer.state_dict()["state"].values() for v in s.values() if hasattr(v, "numpy")]
        tensors = [*model.state_dict().values(), *(p.grad for p in optimizer.param_groups[0]["params"]), *moments]
        rates = [g["lr"] for g in optimizer.param_groups]
        return [t.detach().numpy().tolist() for t in tensors], rates, model.training, pydl.get_rng_state()

    before = repr(everything())
    try:
        find_lr(model, optimizer, loss, (x, y), steps=10, batch_size=16)
    except KeyboardInterrupt:
        assert fails
    assert repr(everything()) == before
    assert len(calls) == (4 if fails else 10)
    for first, second in calls:
        assert second == pytest.approx(first / 3)


def test_goes_on_with_iterators():
    layer, batches = problem()
    found = find_lr(layer, optim.SGD(layer.parameters(), lr=0.1), mse, iter(batches * 3), steps=9, end=1e-3)
    assert len(found.lrs) == 9


def test_a_loss_that_is_not_finite_ends_it():
    layer, batches = problem()
    start = layer.weight.detach().numpy().copy()
    found = find_lr(layer, optim.SGD(layer.parameters(), lr=0.1), mse, batches, start=1e30, end=1e38, steps=9)
    assert found.diverged and all(math.isfinite(v) for v in found.losses)
    assert (layer.weight.detach().numpy() == start).all()
    with pytest.raises(ArgumentError, match="have no slope"):
        _ = found.steepest


def test_errors():
    layer, batches = problem()
    optimizer = optim.SGD(layer.parameters(), lr=0.1)
    for options, text in [
        ({"start": 0}, "expected 0 < start < end"),
        ({"start": 2, "end": 1}, "expected 0 < start < end"),
        ({"steps": 1}, "steps >= 2"),
        ({"spacing": "log"}, "spacing must be one of exp, linear"),
        ({"smoothing": 1.0}, "smoothing in"),
        ({"diverge": 1.0}, "diverge > 1"),
    ]:
        with pytest.raises(ArgumentError, match=text):
            find_lr(layer, optimizer, mse, batches, **options)
    with pytest.raises(ArgumentError, match="there is no data"):
        find_lr(layer, optimizer, mse, [])
    with pytest.raises(ArgumentError, match="expected"):
        find_lr(layer, optimizer, mse, 3)
