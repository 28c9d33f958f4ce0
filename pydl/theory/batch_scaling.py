"""Steps to a target against the batch size: the universal curve of data-parallel training."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from pydl.errors import ArgumentError

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class BatchScaling:
    """What `steps_to_target` found: for each batch size the fewest steps, and the learning rate that took them."""

    batches: list[int]
    steps: list[float]
    rates: list[float]

    @property
    def slopes(self) -> list[float]:
        """d log(steps) / d log(batch) between neighbours: -1 is perfect scaling, 0 none."""
        return [float(s) for s in np.diff(np.log(self.steps)) / np.diff(np.log(self.batches))]

    @property
    def critical_batch(self) -> float:
        """Where twice the fewest steps of all are needed, interpolated: beyond, larger batches pay less and less.

        Raises: ArgumentError if the curve does not come that far.
        """
        if not self.batches:
            raise ArgumentError("BatchScaling: there are no batch sizes")
        order = np.argsort(self.batches)
        x, y = np.log(np.array(self.batches, float)[order]), np.log(np.array(self.steps, float)[order])
        y = np.maximum.accumulate(y[::-1])[::-1]  # more examples never need more steps, but measurements have noise
        goal = y[-1] + math.log(2)
        if not y[0] > goal:
            raise ArgumentError("BatchScaling: even the smallest batch takes less than twice the fewest steps")
        return float(np.exp(np.interp(-goal, -y, x)))


def steps_to_target(
    steps: Callable[[int, float, float], float], batches: Sequence[int], rates: Sequence[float]
) -> BatchScaling:
    """The fewest steps to a target for each batch size, over all learning rates.

    Args:
        steps: steps(batch, rate, most) -> how many steps it takes; inf where the target is not reached, or not within
            `most`, the fewest so far.
    Raises: ArgumentError if no rate reaches the target, or one is not above 0.
    Source: Shallue et al. 2018 (arXiv:1811.03600), section 4.1.
    """
    if not all(rate > 0 for rate in rates):
        raise ArgumentError(f"steps_to_target: learning rates must be > 0, got {list(rates)}")
    best: list[float] = []
    chosen: list[float] = []
    for batch in batches:
        near = [chosen[-1]] if chosen else []  # a good rate first: the others can be given up early
        fewest, rate = math.inf, math.nan
        for lr in sorted(rates, key=lambda r: abs(math.log(r / near[0])) if near else -r):
            found = steps(batch, lr, fewest)
            if found < fewest:
                fewest, rate = found, lr
        if math.isinf(fewest):
            raise ArgumentError(f"steps_to_target: with batches of {batch} no rate reaches the target")
        best.append(float(fewest))
        chosen.append(float(rate))
    return BatchScaling(list(batches), best, chosen)


class NoisyQuadratic:
    """Descent on the mean of sum_i h_i x_i^2 / 2 with gradients h_i x_i + noise of variance c_i / batch, exactly.

    The second moments of position and velocity in each direction follow an affine map, whose powers by squaring give
    the loss after any number of steps.

    Args:
        curvatures: h. noise: c; default h, as near a minimum of a likelihood. start: E x_i^2 at the start.
        momentum: v <- momentum v + g, x <- x - lr v.
    Source: Zhang et al. 2019 (arXiv:1907.04164), sections 3.1 and 3.2.
    """

    def __init__(
        self, curvatures: npt.ArrayLike, noise: npt.ArrayLike | None = None, start: float = 1.0, momentum: float = 0.0
    ) -> None:
        self.h = np.asarray(curvatures, np.float64)
        self.c = self.h if noise is None else np.asarray(noise, np.float64)
        if self.h.ndim != 1 or self.h.shape != self.c.shape or not (self.h > 0).all() or not (self.c >= 0).all():
            raise ArgumentError("NoisyQuadratic: expected positive curvatures (d,) and as many variances >= 0")
        if not 0 <= momentum < 1:
            raise ArgumentError(f"NoisyQuadratic: momentum must be in [0, 1), got {momentum}")
        self.start, self.momentum = float(start), float(momentum)

    def _map(self, batch: float, lr: float) -> Floats:
        """(d, 4, 4): the step of (E x^2, E x v, E v^2, 1); a = 1 - lr h, b = -lr mu of x, and h, mu of v."""
        if not batch > 0:
            raise ArgumentError(f"NoisyQuadratic: the batch size must be > 0, got {batch}")
        h, mu, zero = self.h, np.full_like(self.h, self.momentum), np.zeros_like(self.h)
        noise, a, b = self.c / batch, 1 - lr * h, -lr * mu
        rows = [
            [a * a, 2 * a * b, b * b, lr * lr * noise],
            [a * h, a * mu + b * h, b * mu, -lr * noise],
            [h * h, 2 * h * mu, mu * mu, noise],
            [zero, zero, zero, zero + 1],
        ]
        return np.moveaxis(np.array(rows), 2, 0)

    def losses(self, batch: float, lr: float, steps: int) -> Floats:
        """(steps + 1,): the expected loss after 0, 1, ... steps."""
        step, state = self._map(batch, lr), self._begin()
        found = [self._loss(state)]
        for _ in range(steps):
            state = step @ state
            found.append(self._loss(state))
        return np.array(found)

    def steps(self, batch: float, lr: float, target: float, most: float = math.inf) -> float:
        """The first step whose loss is at most target; inf if none is.

        It is looked for by powers of two and halves; where the loss oscillates, a short dip below may be missed.
        """
        if self._loss(self._begin()) <= target:
            return 0.0
        power, powers, state, done = self._map(batch, lr), [], self._begin(), 0
        with np.errstate(over="ignore", invalid="ignore"):
            while not self._loss(power @ state) <= target:
                powers.append(power)
                power = power @ power
                if 2 ** (len(powers) - 1) >= min(most, 2**24) or not np.isfinite(power).all():
                    return math.inf
            for i in reversed(range(len(powers))):  # the last step at which the loss is still above
                later = powers[i] @ state
                if not self._loss(later) <= target:
                    state, done = later, done + 2**i
        return float(done + 1)

    def _begin(self) -> Floats:
        state = np.zeros((len(self.h), 4, 1))
        state[:, 0], state[:, 3] = self.start, 1
        return state

    def _loss(self, state: Floats) -> float:
        return float(0.5 * (self.h * state[:, 0, 0]).sum())
