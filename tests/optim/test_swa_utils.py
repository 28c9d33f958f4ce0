"""Averages of weights against torch.optim.swa_utils and their definitions."""

import numpy as np
import pytest

import pydl
from pydl import nn
from pydl.errors import ArgumentError
from pydl.optim import EMA, swa_utils


def model(library):
    if library is pydl:
        return nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Linear(4, 2))
    own = library.nn
    return own.Sequential(own.Linear(3, 4), own.BatchNorm1d(4), own.Linear(4, 2))


def fill(target, seed):
    """The same values into the parameters and buffers of a model of either library."""
    rng = np.random.default_rng(seed)
    for name, value in target.state_dict().items():
        if "num_batches" in name:
            value.fill_(10 * seed + 3)
        else:
            made = rng.normal(size=tuple(value.shape)).astype(np.float32)
            value.copy_(type(value)(made) if not isinstance(value, pydl.Tensor) else pydl.tensor(made))


def values(target):
    return {k: np.asarray(v.detach().numpy()) for k, v in target.state_dict().items()}


WAYS = {
    "default": lambda u: {},
    "swa": lambda u: {"avg_fn": u.get_swa_avg_fn()},
    "swa, lists": lambda u: {"multi_avg_fn": u.get_swa_multi_avg_fn()},
    "ema": lambda u: {"avg_fn": u.get_ema_avg_fn(0.8)},
    "ema, lists": lambda u: {"multi_avg_fn": u.get_ema_multi_avg_fn(0.8)},
    "own": lambda u: {"avg_fn": lambda average, current, n: average * 0.5 + current * 0.5 / (n + 1)},
}


BOTH = [(way, buffers) for way in WAYS for buffers in (False, True)]
BOTH.remove(("swa, lists", True))  # PyTorch refuses the counter of the batches there


@pytest.mark.parametrize("way, use_buffers", BOTH)
def test_equals_torch(way, use_buffers):
    torch = pytest.importorskip("torch")
    a, b = model(pydl), model(torch)
    mine = swa_utils.AveragedModel(a, use_buffers=use_buffers, **WAYS[way](swa_utils))
    other = torch.optim.swa_utils.AveragedModel(b, use_buffers=use_buffers, **WAYS[way](torch.optim.swa_utils))
    for seed in range(20):
        with pydl.no_grad(), torch.no_grad():
            fill(a, seed)
            fill(b, seed)
        mine.update_parameters(a)
        other.update_parameters(b)
        got, expected = values(mine), values(other)
        assert got.keys() == expected.keys()
        for name in got:
            np.testing.assert_allclose(got[name], expected[name], rtol=1e-5, atol=1e-6, err_msg=name)
    assert mine.n_averaged.item() == 20
    x = np.ones((5, 3), np.float32)
    np.testing.assert_allclose(
        mine.eval()(pydl.tensor(x)).detach().numpy(),
        other.eval()(torch.tensor(x)).detach().numpy(),
        rtol=1e-4,
        atol=1e-5,
    )


def weights(count=30):
    """A layer of float64 weights, and the values that it goes through."""
    layer = nn.Linear(2, 2, bias=False, dtype=pydl.float64)
    return layer, np.random.default_rng(1).normal(size=(count, 2, 2))


def through(average, layer, path):
    seen = []
    for value in path:
        with pydl.no_grad():
            layer.weight.copy_(pydl.tensor(value))
        average.update_parameters(layer)
        seen.append(average.module.weight.detach().numpy().copy())
    return np.array(seen)


@pytest.mark.parametrize("decay", [0.0, 0.5, 0.9, 0.999])
def test_ema_without_bias(decay):
    layer, path = weights()
    got = through(EMA(layer, decay), layer, path)
    for t in range(1, len(path) + 1):
        shares = (1 - decay) * decay ** np.arange(t - 1, -1, -1.0)
        expected = np.tensordot(shares, path[:t], 1) / (1 - decay**t)
        np.testing.assert_allclose(got[t - 1], expected, rtol=1e-11, atol=1e-13)


def test_ema_of_a_constant_is_the_constant():
    layer, _ = weights()
    constant = np.full((9, 2, 2), 0.1)
    assert (through(EMA(layer, 0.999), layer, constant) == 0.1).all()


def test_ema_with_bias_begins_with_the_model():
    layer, path = weights()
    average = EMA(layer, 0.9, bias_correction=False)
    expected = layer.weight.detach().numpy().copy()
    for value, got in zip(path, through(average, layer, path), strict=True):
        expected = 0.9 * expected + 0.1 * value
        np.testing.assert_allclose(got, expected, rtol=1e-12)


def test_polyak_is_the_mean():
    layer, path = weights()
    got = through(swa_utils.PolyakAverage(layer), layer, path)
    np.testing.assert_allclose(got, np.cumsum(path, 0) / np.arange(1, 31)[:, None, None], rtol=1e-11, atol=1e-14)


def test_polyak_with_eta_forgets_the_start():
    """With eta = 1 iterate k has the weight k."""
    layer, path = weights()
    got = through(swa_utils.PolyakAverage(layer, eta=1.0), layer, path)
    k = np.arange(1.0, 31)
    np.testing.assert_allclose(got[-1], np.tensordot(k, path, 1) / k.sum(), rtol=1e-11)


def test_polyak_has_less_noise_than_the_last_iterate():
    """Ruppert's averages of noisy steps on a quadratic, with steps t^-0.6."""
    rng = np.random.default_rng(0)
    layer = nn.Linear(200, 1, bias=False, dtype=pydl.float64)
    average = swa_utils.PolyakAverage(layer)
    theta = np.zeros((1, 200))
    for t in range(1, 1001):
        theta = theta - t**-0.6 * (theta + rng.normal(size=(1, 200)))
        with pydl.no_grad():
            layer.weight.copy_(pydl.tensor(theta))
        average.update_parameters(layer)
    variance = float((average.module.weight.detach() ** 2).mean().item()) * 1000
    assert variance == pytest.approx(1.0, abs=0.35)  # the best there is, 1 / n; 200 samples are known to 0.1
    assert float((theta**2).mean()) * 1000 > 3 * variance


def test_goes_on_from_a_state():
    layer, path = weights()
    whole = through(swa_utils.AveragedModel(layer), layer, path)
    part = swa_utils.AveragedModel(layer)
    through(part, layer, path[:12])
    fresh = swa_utils.AveragedModel(layer)
    fresh.load_state_dict(part.state_dict())
    assert (through(fresh, layer, path[12:]) == whole[12:]).all()


def test_lists_of_all_kinds():
    """Mixed dtypes, other memory orders and whole numbers in one list."""
    f = swa_utils.get_ema_multi_avg_fn(0.75)
    ones = [pydl.ones(3), pydl.ones(2, dtype=pydl.float64), pydl.ones(2, dtype=pydl.bfloat16), pydl.ones(4, 2).t()]
    averages = [*ones, pydl.tensor([8])]
    f(averages, [*(pydl.zeros_like(a) for a in ones), pydl.tensor([5])], 1)
    for a in averages[:4]:
        assert (a == 0.75).all()
    assert averages[4].item() == 7  # 7.25
    f([], [], 1)


def test_batch_statistics():
    torch = pytest.importorskip("torch")
    a, b = model(pydl), model(torch)
    with pydl.no_grad(), torch.no_grad():
        fill(a, 1)
        fill(b, 1)
    batches = [np.random.default_rng(i).normal(i, 1, (8, 3)).astype(np.float32) for i in range(5)]
    a.eval()
    b.eval()
    swa_utils.update_bn([(pydl.tensor(x), None) for x in batches], a)
    torch.optim.swa_utils.update_bn([torch.tensor(x) for x in batches], b)
    for name, expected in values(b).items():
        np.testing.assert_allclose(values(a)[name], expected, rtol=1e-5, atol=1e-6, err_msg=name)
    assert not a.training and a[1].momentum == 0.1
    assert a[1].num_batches_tracked.item() == 5


def test_batch_statistics_where_there_are_none():
    swa_utils.update_bn(iter(()), nn.Linear(2, 2))  # nothing is read


def test_errors():
    layer, _ = weights()
    average = swa_utils.get_swa_avg_fn()
    for make, text in [
        (lambda: swa_utils.get_ema_avg_fn(1.1), r"get_ema_avg_fn: decay must be between 0 and 1, got 1\.1"),
        (lambda: swa_utils.get_ema_multi_avg_fn(-1), "get_ema_multi_avg_fn: decay"),
        (lambda: EMA(layer, 1.0), "EMA: decay must be between 0 and 1, below it"),
        (lambda: swa_utils.PolyakAverage(layer, -1), "eta must be >= 0"),
        (lambda: swa_utils.AveragedModel(layer, None, average, average), "got both"),
        (lambda: EMA(layer).update_parameters(nn.Linear(3, 3)), "other parameters"),
    ]:
        with pytest.raises(ArgumentError, match=text):
            make()
