"""Steps to a target: the noisy quadratic against simulation and the closed form, and the measures of a curve."""

import math

import numpy as np
import pytest

from pydl.errors import ArgumentError
from pydl.theory import BatchScaling, NoisyQuadratic, steps_to_target

H = 1 / np.arange(1, 9)


@pytest.mark.parametrize("batch, lr", [(1, 0.1), (16, 0.5), (1e9, 1.5)])
def test_without_momentum_it_is_the_closed_form(batch, lr):
    t = np.arange(60)[:, None]
    shrink = (1 - lr * H) ** 2
    want = shrink**t * 3.0 + lr**2 * H / batch * (1 - shrink**t) / (1 - shrink)
    np.testing.assert_allclose(NoisyQuadratic(H, start=3.0).losses(batch, lr, 59), 0.5 * (H * want).sum(1), rtol=1e-10)


@pytest.mark.parametrize("momentum", [0.0, 0.9])
def test_against_a_simulation(momentum):
    rng, lr, batch, n = np.random.default_rng(0), 0.1, 2.0, 40_000
    c = np.array([0.5, 2.0, 1.0])
    h = np.array([1.0, 0.3, 0.1])
    x, v = np.ones((n, 3)), np.zeros((n, 3))
    found = []
    for _ in range(40):
        v = momentum * v + h * x + np.sqrt(c / batch) * rng.standard_normal((n, 3))
        x = x - lr * v
        found.append(0.5 * (h * x**2).sum(1))
    want = NoisyQuadratic(h, c, momentum=momentum).losses(batch, lr, 40)[1:]
    errors = np.std(found, 1) / math.sqrt(n)
    assert (np.abs(np.mean(found, 1) - want) < 4.5 * errors).all()


@pytest.mark.parametrize("momentum", [0.0, 0.5, 0.9])
def test_first_step_below_the_target(momentum):
    problem = NoisyQuadratic(H, momentum=momentum)
    for batch, lr, target in [(4, 0.05, 0.3), (64, 0.1, 0.05), (1e6, 0.1, 0.01), (64, 0.1, 2.0)]:
        below = np.flatnonzero(problem.losses(batch, lr, 3000) <= target)
        assert problem.steps(batch, lr, target) == (below[0] if len(below) else math.inf)
    assert all(problem.steps(64, 0.01, 0.3, most) == problem.steps(64, 0.01, 0.3) for most in (1e4, math.inf))
    whole = problem.steps(64, 0.01, 0.3)
    assert problem.steps(64, 0.01, 0.3, whole) == whole and 2 < whole < 1e4
    assert problem.steps(1, 0.5, 1e-9) == math.inf  # the noise is larger
    assert problem.steps(1e9, 50.0, 0.1) == math.inf  # it diverges
    assert problem.steps(64, 0.1, 0.05, most=2) == math.inf


def test_curve():
    tried = []

    def steps(batch, rate, most):
        tried.append((batch, rate, most))
        return (100 + 6400 / batch) * (1 + math.log(rate / 0.1) ** 2) if rate < 1 else math.inf

    batches = [2**k for k in range(14)]
    found = steps_to_target(steps, batches, [0.01, 0.1, 0.5, 2.0])
    assert found.rates == [0.1] * 14 and found.steps == pytest.approx([100 + 6400 / b for b in batches])
    assert found.critical_batch == pytest.approx(64, rel=0.05)
    assert found.slopes[0] == pytest.approx(math.log2(3300 / 6500), abs=1e-9) and found.slopes[-1] > -0.02
    assert all(most == 200.0 for batch, rate, most in tried if batch == 64 and rate != 0.1)
    with pytest.raises(ArgumentError, match="with batches of 1 no rate reaches"):
        steps_to_target(steps, [1], [2.0])
    with pytest.raises(ArgumentError, match="less than twice"):
        _ = BatchScaling([1, 2], [10.0, 9.0], [0.1, 0.1]).critical_batch


@pytest.mark.parametrize(
    "options, text",
    [
        ({"curvatures": [1.0, -1.0]}, "expected positive curvatures"),
        ({"curvatures": [1.0], "noise": [1.0, 2.0]}, "as many variances"),
        ({"curvatures": [1.0], "momentum": 1.0}, r"momentum must be in \[0, 1\)"),
    ],
)
def test_errors(options, text):
    with pytest.raises(ArgumentError, match=text):
        NoisyQuadratic(**options)


def test_rates_and_batches_that_make_no_sense() -> None:
    for rates in ([0.0, 1.0], [-1.0], [math.nan]):
        with pytest.raises(ArgumentError, match="learning rates must be > 0"):
            steps_to_target(lambda b, r, most: 3, [1, 2], rates)
    with pytest.raises(ArgumentError, match="no batch sizes"):
        _ = steps_to_target(lambda b, r, most: 3, [], [1.0]).critical_batch
    for batch in (0, -1, math.nan):
        with pytest.raises(ArgumentError, match="batch size must be > 0"):
            NoisyQuadratic(H).losses(batch, 0.1, 3)
