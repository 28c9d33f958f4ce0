"""Landscapes, rates, regret and local entropy."""

import numpy as np
import pytest

from pydl import optim
from pydl.errors import ArgumentError
from pydl.theory import LANDSCAPES, descent_path, local_entropy, online_regret, quadratic_rates


def test_rates():
    assert quadratic_rates(9.0) == pytest.approx((0.8, 0.5))
    assert quadratic_rates(1.0) == (0.0, 0.0)
    with pytest.raises(ArgumentError, match="kappa must be >= 1"):
        quadratic_rates(0.5)


def test_regret():
    np.testing.assert_allclose(online_regret([3, 1, 2], [1, 1, 4]), [2, 2, 0])
    with pytest.raises(ArgumentError, match="2 losses paid, 1 of the best point"):
        online_regret([1, 2], [1])


@pytest.mark.parametrize("h, gamma", [(0.1, 0.5), (3.0, 2.0), (50.0, 100.0)])
def test_local_entropy_of_a_quadratic(h, gamma):
    x = np.linspace(-2, 2, 9)
    want = 0.5 * np.log(2 * np.pi / (h + gamma)) - h * gamma * x**2 / (2 * (h + gamma))
    np.testing.assert_allclose(local_entropy(lambda y: 0.5 * h * y**2, x, gamma), want, atol=1e-10)
    with pytest.raises(ArgumentError, match="gamma must be > 0"):
        local_entropy(np.abs, x, 0.0)


@pytest.mark.parametrize("name, best", [("ravine", (0, 0)), ("Beale", (3, 0.5)), ("Rosenbrock", (1, 1))])
def test_descent_reaches_the_bottom(name, best):
    function, start, box = LANDSCAPES[name]
    path = descent_path(function, lambda p: optim.LBFGS(p, line_search_fn="strong_wolfe"), start, 5)
    assert path.shape == (6, 2) and tuple(path[0]) == start
    np.testing.assert_allclose(path[-1], best, atol=1e-4)
    assert all(low <= x <= high for x, (low, high) in zip(best, box, strict=True))


def test_rules_that_cannot_integrate() -> None:
    for options in ({"points": 1}, {"reach": 0}, {"x": 1.0}):
        with pytest.raises(ArgumentError, match="2 points or more"):
            local_entropy(np.square, **{"x": np.ones(2), "gamma": 1.0, **options})
    with pytest.raises(ArgumentError, match="kappa must be >= 1 and finite"):
        quadratic_rates(np.inf)
