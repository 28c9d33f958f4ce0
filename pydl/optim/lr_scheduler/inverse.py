"""Schedules of stochastic approximation: 1 / t and 1 / sqrt(t), and the Transformer's warm-up before the latter."""

import math
from collections.abc import Callable
from dataclasses import dataclass

from pydl.errors import ArgumentError
from pydl.optim.lr_scheduler.base import LRScheduler, whole
from pydl.optim.optimizer import Optimizer


class _InverseLR(LRScheduler):
    """The first rate divided by a growing function of 1 + decay epoch."""

    def __init__(self, optimizer: Optimizer, decay: float = 1.0, last_epoch: int = -1) -> None:
        if not decay >= 0:
            raise ArgumentError(f"{type(self).__name__}: decay must be >= 0, got {decay}")
        self.decay = decay
        super().__init__(optimizer, last_epoch)


class InverseTimeLR(_InverseLR):
    """first / (1 + decay epoch), which meets the conditions of Robbins and Monro.

    Source: Robbins and Monro 1951, A stochastic approximation method.
    """

    def get_lr(self) -> list[float]:
        return [base / (1 + self.decay * self.last_epoch) for base in self.base_lrs]


class InverseSquareRootLR(_InverseLR):
    """first / sqrt(1 + decay epoch): the rate of subgradient descent, and of averaged iterates.

    Source: Nemirovski et al. 2009, Robust stochastic approximation approach to stochastic programming.
    """

    def get_lr(self) -> list[float]:
        return [base / math.sqrt(1 + self.decay * self.last_epoch) for base in self.base_lrs]


class NoamLR(LRScheduler):
    """first d_model^-1/2 min(n^-1/2, n warmup_steps^-3/2) in step n = 1, 2, ...: up a line, down with 1 / sqrt(n).

    The optimizer's learning rate is a factor: 1 gives the paper's rates. Step it after each batch.
    Source: Vaswani et al. 2017 (Attention is all you need, arXiv:1706.03762), equation 3.
    """

    def __init__(self, optimizer: Optimizer, d_model: int, warmup_steps: int = 4000, last_epoch: int = -1) -> None:
        self.d_model = whole("NoamLR", "d_model", d_model, 1)
        self.warmup_steps = whole("NoamLR", "warmup_steps", warmup_steps, 1)
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> list[float]:
        n = self.last_epoch + 1
        factor = self.d_model**-0.5 * min(n**-0.5, n * self.warmup_steps**-1.5)
        return [base * factor for base in self.base_lrs]


@dataclass(frozen=True)
class RobbinsMonro:
    """What `robbins_monro` found.

    order: p, where the rate falls like t^-p. reaches: sum of the rates is infinite, so that any distance can be gone.
    settles: the sum of their squares is finite, so that the noise averages out.
    """

    order: float
    reaches: bool
    settles: bool

    @property
    def ok(self) -> bool:
        """Whether both conditions hold: 1/2 < p <= 1."""
        return self.reaches and self.settles


def robbins_monro(rate: Callable[[int], float], *, at: int = 2**40) -> RobbinsMonro:
    """Whether a schedule meets the conditions under which stochastic approximation converges.

    The order is the slope of log rate between the steps `at` and `at`^2, known to about 1/1000; rates whose order is
    right on a border up to logarithms (1 / (t log t)) cannot be told from those without.

    Args: rate: rate(t), positive or 0, and monotone for t >= at.
    Raises: ArgumentError if the rate is negative or no number. Source: Robbins and Monro 1951.
    """
    near, far = float(rate(at)), float(rate(at * at))
    if not (near >= 0 and far >= 0):
        raise ArgumentError(f"robbins_monro: rates must be >= 0, got {near} and {far}")
    order = math.inf if near == 0 or far == 0 else -math.log(far / near) / math.log(at)
    return RobbinsMonro(order, reaches=order <= 1.001, settles=order > 0.501)
