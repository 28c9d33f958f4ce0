"""Functions to descend on, and what theory says about descent: rates, regret, local entropy."""

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from pydl.errors import ArgumentError
from pydl.ops import tensor

__all__ = ["LANDSCAPES", "descent_path", "local_entropy", "online_regret", "quadratic_rates"]

Function = Callable[[Any], Any]
Box = tuple[tuple[float, float], tuple[float, float]]


def _ravine(x: Any) -> Any:
    return 0.5 * (x[0] ** 2 + 100 * x[1] ** 2)


def _beale(x: Any) -> Any:
    a, b = x[0], x[1]
    return (1.5 - a + a * b) ** 2 + (2.25 - a + a * b**2) ** 2 + (2.625 - a + a * b**3) ** 2


def _rosenbrock(x: Any) -> Any:
    return (1 - x[0]) ** 2 + 100 * (x[1] - x[0] ** 2) ** 2


def _monkey_saddle(x: Any) -> Any:
    return x[0] ** 3 - 3 * x[0] * x[1] ** 2


# name: (function of two coordinates, where to start, the part of the plane to look at)
LANDSCAPES: dict[str, tuple[Function, tuple[float, float], Box]] = {
    "ravine": (_ravine, (-2.0, 0.5), ((-2.5, 1.0), (-0.8, 0.8))),
    "Beale": (_beale, (1.0, 1.5), ((-0.5, 4.0), (-1.0, 2.0))),
    "Rosenbrock": (_rosenbrock, (-1.2, 1.0), ((-1.6, 1.6), (-0.5, 1.8))),
    "monkey saddle": (_monkey_saddle, (0.4, 0.001), ((-1.0, 1.0), (-1.0, 1.0))),
}


def descent_path(
    function: Function, make: Callable[[list[Any]], Any], start: Iterable[float], steps: int
) -> "np.ndarray[Any, Any]":
    """(steps + 1, d): where an optimizer goes on a function of one vector (d,) of float64.

    Args: make: from [x] to the optimizer. It may be one whose step needs a closure.
    """
    first = np.array(list(start), np.float64)
    x = tensor(first, requires_grad=True)
    optimizer = make([x])

    def closure() -> Any:
        optimizer.zero_grad()
        value = function(x)
        value.backward()
        return value

    path = [first]
    for _ in range(steps):
        optimizer.step(closure)
        path.append(x.detach().numpy().copy())
    return np.array(path)


def quadratic_rates(kappa: float) -> tuple[float, float]:
    """The factors that the error of the best gradient descent and of the best heavy ball falls by in each step.

    (kappa - 1) / (kappa + 1) and (sqrt(kappa) - 1) / (sqrt(kappa) + 1), kappa the largest over the smallest curvature.
    Raises: ArgumentError if kappa < 1. Source: Polyak 1964; Nesterov 2004, theorem 2.1.15.
    """
    if not 1 <= kappa < np.inf:
        raise ArgumentError(f"quadratic_rates: kappa must be >= 1 and finite, got {kappa}")
    root = kappa**0.5
    return (kappa - 1) / (kappa + 1), (root - 1) / (root + 1)


def online_regret(paid: Iterable[float], best: Iterable[float]) -> "np.ndarray[Any, Any]":
    """(t,): R(T) = the sum over t <= T of f_t(x_t) - f_t(x*), from what was paid and what the best fixed point pays.

    Raises: ArgumentError if they are of different lengths. Source: Zinkevich 2003.
    """
    mine, other = np.array(list(paid), np.float64), np.array(list(best), np.float64)
    if mine.shape != other.shape:
        raise ArgumentError(f"online_regret: {len(mine)} losses paid, {len(other)} of the best point")
    return np.cumsum(mine - other)


def local_entropy(
    function: Function, x: "np.ndarray[Any, Any]", gamma: float, *, reach: float = 12.0, points: int = 2001
) -> "np.ndarray[Any, Any]":
    """(n,): log of the integral of exp(-f(y) - gamma / 2 (x - y)^2) over y, for x (n,), by the trapezoidal rule.

    The rule is exact up to rounding for smooth functions, whose integrand vanishes at both ends.

    Args: function: of an array. reach: how far to integrate, in units of 1 / sqrt(gamma). points: of the rule.
    Raises: ArgumentError unless gamma and reach are > 0, with two points or more.
    Source: Chaudhari et al. 2017 (arXiv:1611.01838), equation 4.
    """
    if not 0 < gamma < np.inf:
        raise ArgumentError(f"local_entropy: gamma must be > 0 and finite, got {gamma}")
    if not reach > 0 or points < 2 or np.ndim(x) != 1:
        raise ArgumentError(
            f"local_entropy: expected reach > 0, 2 points or more and x (n,), got {reach}, {points} and {np.shape(x)}"
        )
    offsets = np.linspace(-reach, reach, points) / np.sqrt(gamma)
    exponents = -function(np.asarray(x, np.float64)[:, None] + offsets) - gamma / 2 * offsets**2
    top = exponents.max(1)
    step = offsets[1] - offsets[0]
    return np.asarray(top + np.log(np.exp(exponents - top[:, None]).sum(1) * step))
