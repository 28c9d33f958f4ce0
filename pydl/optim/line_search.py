"""A step length that fulfils the strong Wolfe conditions."""

import math
from collections.abc import Callable
from typing import NamedTuple

from pydl.tensor import Tensor


class Point(NamedTuple):
    """What is known at one step length t: the loss, its gradient (n,), and the slope along the direction."""

    t: float
    loss: float
    gradient: Tensor
    slope: float


def cubic_minimum(a: Point, b: Point, bounds: tuple[float, float] | None = None) -> float:
    """The t at which the cubic through both losses and slopes is lowest, kept within bounds (default: between them).

    Source: Nocedal and Wright 2006, Numerical optimization, equation 3.59.
    """
    low, high = bounds or (min(a.t, b.t), max(a.t, b.t))
    if a.t > b.t:
        a, b = b, a
    if a.t == b.t:  # the interval has closed
        return min(max(a.t, low), high)
    d1 = a.slope + b.slope - 3 * (a.loss - b.loss) / (a.t - b.t)
    square = d1 * d1 - a.slope * b.slope
    if not square >= 0:  # NaN too
        return (low + high) / 2
    d2 = math.sqrt(square)
    t = b.t - (b.t - a.t) * ((b.slope + d2 - d1) / (b.slope - a.slope + 2 * d2))
    return min(max(t, low), high)


class StrongWolfe:
    """The search from one point along one direction.

    A step length fulfils loss(t) <= loss(0) + c1 t slope(0) and |slope(t)| <= c2 |slope(0)|.

    Args:
        look: look(t) -> (loss, gradient) at step length t. direction: (n,). start: the point t = 0.
        tolerance: least change of any element. most: largest number of looks after the first.
    Source: Nocedal and Wright 2006, algorithms 3.5 and 3.6.
    """

    c1, c2 = 1e-4, 0.9

    def __init__(
        self,
        look: Callable[[float], tuple[float, Tensor]],
        direction: Tensor,
        start: Point,
        tolerance: float,
        most: int,
    ) -> None:
        self.look, self.direction, self.start = look, direction, start
        self.tolerance, self.most = tolerance, most
        self.reach = float(direction.abs().max())
        self.tries = 0

    def run(self, t: float) -> Point:
        """The point found, beginning with step length t; the best one seen if there is none."""
        bracket = self._bracket(t)
        return bracket[0] if len(bracket) == 1 else self._zoom(*sorted(bracket, key=lambda p: p.loss))

    def _at(self, t: float) -> Point:
        loss, gradient = self.look(t)
        return Point(t, loss, gradient, float((gradient * self.direction).sum()))

    def _too_high(self, p: Point) -> bool:
        return p.loss > self.start.loss + self.c1 * p.t * self.start.slope

    def _flat(self, p: Point) -> bool:
        return abs(p.slope) <= -self.c2 * self.start.slope

    def _bracket(self, t: float) -> list[Point]:
        """Two points with a good step length between them, or one that is good; growing steps until there are."""
        before, now = self.start, self._at(t)
        while self.tries < self.most:
            if self._too_high(now) or (self.tries > 1 and now.loss >= before.loss):
                return [before, now]
            if self._flat(now):
                return [now]
            if now.slope >= 0:
                return [before, now]
            t = cubic_minimum(before, now, (now.t + 0.01 * (now.t - before.t), now.t * 10))
            before, now = now, self._at(t)
            self.tries += 1
        return [self.start, now]

    def _zoom(self, low: Point, high: Point) -> Point:
        """Narrows the bracket down; low has the lower loss of the two."""
        stuck = False
        while self.tries < self.most and abs(high.t - low.t) * self.reach >= self.tolerance:
            t, stuck = self._between(low, high, stuck)
            now = self._at(t)
            self.tries += 1
            if self._too_high(now) or now.loss >= low.loss:
                high = now
                if high.loss < low.loss:
                    low, high = high, low
            else:
                if self._flat(now):
                    return now
                if now.slope * (high.t - low.t) >= 0:
                    high = low
                low = now
        return low

    @staticmethod
    def _between(low: Point, high: Point, stuck: bool) -> tuple[float, bool]:
        """The next step length, and whether it lies at the rim of the bracket, which is allowed once in a row."""
        left, right = min(low.t, high.t), max(low.t, high.t)
        t, margin = cubic_minimum(low, high), 0.1 * (right - left)
        if min(right - t, t - left) >= margin:
            return t, False
        if stuck or t >= right or t <= left:
            return (right - margin if abs(t - right) < abs(t - left) else left + margin), False
        return t, True
