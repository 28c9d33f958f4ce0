"""Langevin dynamics and replica exchange."""

import copy
import math

import numpy as np
import pytest

import pydl
from pydl import optim
from pydl.errors import ArgumentError, ShapeError


def chains(n, start=0.0):
    return pydl.tensor(np.full(n, start), requires_grad=True)


def descend(o, potential, steps, seen=None, skip=0, every=1):
    def closure():
        o.zero_grad()
        total = potential().sum()
        total.backward()
        return total

    for t in range(steps):
        o.step(closure)
        if seen is not None and t >= skip and t % every == 0:
            seen.append(o.param_groups[0]["params"][0].detach().numpy().copy())


def total_variation(samples, potential, temperature, edges):
    """Between the histogram of samples and exp(-V / T) / Z."""
    fine = np.linspace(edges[0], edges[-1], 20001)
    density = np.exp(-potential(fine) / temperature)
    cumulative = np.concatenate([[0], np.cumsum((density[1:] + density[:-1]) / 2)])
    want = np.diff(np.interp(edges, fine, cumulative / cumulative[-1]))
    got = np.histogram(samples, edges)[0] / len(samples)
    return 0.5 * np.abs(got - want).sum() + 0.5 * (1 - got.sum())


# ---------------------------------------------------------------- SGLD


def test_variance_on_a_quadratic():
    pydl.manual_seed(0)
    k, temperature, rate = 2.0, 0.5, 0.05
    p, seen = chains(20_000), []
    o = optim.SGLD([p], lr=rate, temperature=temperature)
    descend(o, lambda: 0.5 * k * p * p, 400, seen, skip=200, every=10)
    variance = np.concatenate(seen).var()
    assert abs(variance / (temperature / (k * (1 - rate * k / 2))) - 1) < 0.02
    assert abs(variance / (temperature / k) - 1) < 0.08


def test_histogram_of_a_double_well():
    pydl.manual_seed(1)
    p, seen = chains(2000), []
    o = optim.SGLD([p], lr=0.01, temperature=0.5)
    descend(o, lambda: (p * p - 1) ** 2, 2000, seen, skip=1000, every=20)
    edges = np.linspace(-2.2, 2.2, 45)
    assert total_variation(np.concatenate(seen), lambda x: (x * x - 1) ** 2, 0.5, edges) < 0.05


def test_noise_repeats_with_a_generator_and_is_none_at_zero():
    def run(temperature, seed):
        p = chains(5, 1.0)
        o = optim.SGLD([p], lr=0.1, temperature=temperature, generator=pydl.Generator().manual_seed(seed))
        descend(o, lambda: p * p, 10)
        return p.detach().numpy()

    np.testing.assert_array_equal(run(1.0, 3), run(1.0, 3))
    assert (run(1.0, 3) != run(1.0, 4)).all()
    np.testing.assert_allclose(run(0.0, 3), 0.8**10)


@pytest.mark.slow
def test_histogram_of_a_double_well_of_one_chain_in_time():
    """The time average of few chains, as in practice, at the accuracy of the ensemble."""
    pydl.manual_seed(2)
    p, seen = chains(64), []
    o = optim.SGLD([p], lr=0.02, temperature=1.0)
    descend(o, lambda: (p * p - 1) ** 2, 40_000, seen, skip=1000, every=5)
    edges = np.linspace(-2.6, 2.6, 53)
    assert total_variation(np.concatenate(seen), lambda x: (x * x - 1) ** 2, 1.0, edges) < 0.05


# ---------------------------------------------------------------- replica exchange


BARRIER = 8.0  # in units of the cold temperature


def well(x):
    return BARRIER * (x * x - 1) ** 2


def first_passage(o, p, potentials, most=20_000):
    """(n,): the step at which each chain of p is first on the right, most where it never is."""
    when = np.full(p.numel(), most)

    def closure():
        o.zero_grad()
        values = potentials()
        sum(v.sum() for v in values).backward()
        return values

    for t in range(most):
        o.step(closure)
        arrived = (p.detach().numpy() > 0.5) & (when == most)
        when[arrived] = t + 1
        if (when < most).all():
            break
    return when


@pytest.mark.slow
def test_exchange_crosses_barriers_ten_times_faster_and_keeps_both_laws():
    pydl.manual_seed(0)
    rate, n = 2e-3, 300
    alone = chains(n, -1.0)
    o = optim.SGLD([alone], lr=rate, temperature=1.0)
    slow = first_passage(o, alone, lambda: [well(alone)], most=60_000).mean()  # a bound from below where cut off
    cold, hot = chains(n, -1.0), chains(n, -1.0)
    both = optim.ReplicaExchangeLangevin([[cold], [hot]], lr=rate, temps=(1.0, 8.0), a=1.0)
    fast = first_passage(both, cold, lambda: [well(cold), well(hot)]).mean()
    assert slow >= 10 * fast and both.swaps[0] > 0
    seen = [[], []]

    def closure():
        both.zero_grad()
        values = [well(cold), well(hot)]
        (values[0].sum() + values[1].sum()).backward()
        return values

    for t in range(8000):
        both.step(closure)
        if t > 2000 and t % 10 == 0:
            seen[0].append(cold.detach().numpy().copy())
            seen[1].append(hot.detach().numpy().copy())
    edges = np.linspace(-2.2, 2.2, 45)
    for samples, temperature in zip(seen, (1.0, 8.0), strict=True):
        assert total_variation(np.concatenate(samples), well, temperature, edges) < 0.05


@pytest.mark.slow
def test_escape_time_grows_as_the_exponential_of_the_barrier():
    pydl.manual_seed(0)
    inverse = np.array([0.4, 0.5, 0.6, 0.7])  # 1 / T with the barrier 8: time grows tenfold
    times = []
    for beta in inverse:
        p = chains(300, -1.0)
        o = optim.SGLD([p], lr=2e-3, temperature=1 / beta)
        times.append(first_passage(o, p, lambda p=p: [well(p)], most=200_000).mean())
    slope = np.polyfit(inverse, np.log(times), 1)[0]
    assert abs(slope / BARRIER - 1) < 0.15


def test_exchange_by_its_probability():
    pydl.manual_seed(0)
    n = 20_000
    a, b = pydl.zeros(n, dtype=pydl.float64, requires_grad=True), pydl.ones(n, dtype=pydl.float64, requires_grad=True)
    o = optim.ReplicaExchangeLangevin([[a], [b]], lr=0.0, temps=(1.0, 2.0), a=0.8)

    def closure():
        o.zero_grad()
        values = [pydl.zeros(n, dtype=pydl.float64) + 0 * a, pydl.ones(n, dtype=pydl.float64) * 0.6 + 0 * b]
        (values[0] + values[1]).sum().backward()
        return values

    o.step(closure)
    moved = a.detach().numpy()
    assert set(np.unique(moved)) == {0.0, 1.0} and (moved + b.detach().numpy() == 1).all()
    chance = 0.8 * math.exp((1 / 1.0 - 1 / 2.0) * (0.0 - 0.6))
    assert abs(moved.mean() - chance) < 4 * math.sqrt(chance / n) and o.swaps == [int(moved.sum())]


def test_whole_models_trade_places():
    hot, cold = ([pydl.tensor([[x, x]], requires_grad=True), pydl.tensor(x, requires_grad=True)] for x in (1.0, 5.0))
    o = optim.ReplicaExchangeLangevin([cold, hot], lr=0.0, temps=(1.0, 100.0))

    def closure():
        o.zero_grad()
        values = [sum((p * p).sum() for p in chain) for chain in (cold, hot)]
        sum(values).backward()
        return values

    o.step(closure)  # the cold one has the higher potential: certain
    assert cold[0].tolist() == [[1, 1]] and hot[1].item() == 5 and cold[1].grad.item() == 2
    twin = copy.deepcopy(o)
    assert twin.swaps == [1] and twin.a == 1.0


# ---------------------------------------------------------------- errors


def leaf(n=2):
    return pydl.ones(n, requires_grad=True)


@pytest.mark.parametrize(
    "make, error, text",
    [
        (lambda: optim.SGLD([leaf()], temperature=-1), ArgumentError, "temperature must be >= 0"),
        (lambda: optim.ReplicaExchangeLangevin([[leaf()]], temps=(1.0,)), ArgumentError, "1 chains"),
        (lambda: optim.ReplicaExchangeLangevin([[leaf()]] * 2, temps=(2.0, 1.0)), ArgumentError, "rise"),
        (lambda: optim.ReplicaExchangeLangevin([[leaf()], [leaf(3)]]), ShapeError, "different shapes"),
        (lambda: optim.ReplicaExchangeLangevin([[leaf()], [leaf()]], a=2), ArgumentError, "a must be between"),
        (lambda: optim.ReplicaExchangeLangevin([[leaf()], [leaf()]]).step(), ArgumentError, "needs a closure"),
        (
            lambda: optim.ReplicaExchangeLangevin([[leaf()], [leaf()]]).step(lambda: [pydl.ones(())]),
            ShapeError,
            "expected 2 potentials, got 1",
        ),
    ],
)
def test_errors(make, error, text):
    with pytest.raises(error, match=text):
        make()
