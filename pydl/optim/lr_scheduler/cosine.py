"""Schedules along a cosine: down and up again, with restarts, behind a warm-up."""

import math

from pydl.errors import ArgumentError
from pydl.optim.lr_scheduler.base import LRScheduler, whole
from pydl.optim.optimizer import Optimizer
from pydl.replay.again import again


class CosineAnnealingLR(LRScheduler):
    """eta_min + (first - eta_min) (1 + cos(pi epoch / T_max)) / 2: down in T_max epochs, then up again.

    Each rate is computed from the one before, so that another scheduler may change it too.
    Source: Loshchilov and Hutter 2017 (SGDR, arXiv:1608.03983), equation 5, without restarts.
    """

    def __init__(self, optimizer: Optimizer, T_max: int, eta_min: float = 0.0, last_epoch: int = -1) -> None:
        if T_max < 1:
            raise ArgumentError(f"CosineAnnealingLR: T_max must be >= 1, got {T_max}")
        self.T_max = T_max
        self.eta_min = eta_min
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> list[float]:
        if self._is_initial:
            return self._current()
        if (self.last_epoch - 1 - self.T_max) % (2 * self.T_max) == 0:  # from the bottom, where the ratio is x / 0
            rise = (1 - math.cos(math.pi / self.T_max)) / 2
            return [lr + (base - self.eta_min) * rise for lr, base in zip(self._current(), self.base_lrs, strict=True)]
        now, before = (1 + math.cos(math.pi * t / self.T_max) for t in (self.last_epoch, self.last_epoch - 1))
        return [now / before * (lr - self.eta_min) + self.eta_min for lr in self._current()]

    def _get_closed_form_lr(self) -> list[float]:
        height = (1 + math.cos(math.pi * self.last_epoch / self.T_max)) / 2
        return [self.eta_min + (base - self.eta_min) * height for base in self.base_lrs]


class CosineAnnealingWarmRestarts(LRScheduler):
    """A cosine from the first rate to eta_min in T_i epochs, again and again; T_i = T_0, T_0 T_mult, T_0 T_mult^2, ...

    Attributes: T_cur: epochs since the last restart. T_i: the length of this period.
    Source: Loshchilov and Hutter 2017 (SGDR, arXiv:1608.03983), equation 5.
    """

    def __init__(
        self, optimizer: Optimizer, T_0: int, T_mult: int = 1, eta_min: float = 0.0, last_epoch: int = -1
    ) -> None:
        name = "CosineAnnealingWarmRestarts"
        self.T_0 = whole(name, "T_0", T_0, 1)
        self.T_mult = whole(name, "T_mult", T_mult, 1)
        if not isinstance(eta_min, (float, int)):
            raise ArgumentError(f"{name}: eta_min must be a number, got {type(eta_min).__name__}")
        self.T_i = T_0
        self.eta_min = eta_min
        self.T_cur: float = last_epoch
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> list[float]:
        height = (1 + math.cos(math.pi * self.T_cur / self.T_i)) / 2
        return [self.eta_min + (base - self.eta_min) * height for base in self.base_lrs]

    @again
    def step(self, epoch: float | None = None) -> None:
        """Goes on to the next epoch.

        Args: epoch: goes there instead; a fraction, e.g. epoch + batch / batches, follows the curve within an epoch.
        """
        if epoch is not None and not epoch >= 0:
            raise ArgumentError(f"CosineAnnealingWarmRestarts: epoch must be >= 0, got {epoch}")
        self._step_count += 1
        self._update_lr(epoch)

    def _update_lr(self, epoch: float | None = None) -> None:
        if epoch is None and not self._is_initial:
            self.last_epoch += 1
            self.T_cur += 1
            if self.T_cur >= self.T_i:
                self.T_cur -= self.T_i
                self.T_i *= self.T_mult
        else:
            self._place(self.last_epoch + 1 if epoch is None else epoch)
        self._write(self.get_lr())

    def _place(self, epoch: float) -> None:
        self.last_epoch = math.floor(epoch)
        self.T_i, self.T_cur = self.T_0, epoch
        if self.T_mult == 1:
            self.T_cur = epoch % self.T_0
        while self.T_cur >= self.T_i:
            self.T_cur -= self.T_i
            self.T_i *= self.T_mult


class WarmupCosineLR(LRScheduler):
    """A line from start_factor times the first rate up to it, then a cosine down to eta_min, where it stays.

    Args:
        warmup_iters: epochs of the line. total_iters: epochs of line and cosine.
        start_factor: 0 by default: the first epoch then has the rate 0, and moves nothing.
    Source: Goyal et al. 2017 (arXiv:1706.02677) for the line, Loshchilov and Hutter 2017 for the cosine.
    """

    def __init__(
        self,
        optimizer: Optimizer,
        warmup_iters: int,
        total_iters: int,
        eta_min: float = 0.0,
        start_factor: float = 0.0,
        last_epoch: int = -1,
    ) -> None:
        self.warmup_iters = whole("WarmupCosineLR", "warmup_iters", warmup_iters, 0)
        self.total_iters = whole("WarmupCosineLR", "total_iters", total_iters, 1)
        if warmup_iters >= total_iters:
            raise ArgumentError(f"WarmupCosineLR: warmup_iters must be < total_iters {total_iters}, got {warmup_iters}")
        if not 0 <= start_factor <= 1:
            raise ArgumentError(f"WarmupCosineLR: start_factor must be between 0 and 1, got {start_factor}")
        self.eta_min = eta_min
        self.start_factor = start_factor
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> list[float]:
        if self.last_epoch < self.warmup_iters:
            factor = self.start_factor + (1 - self.start_factor) * self.last_epoch / self.warmup_iters
            return [base * factor for base in self.base_lrs]
        part = min(1.0, (self.last_epoch - self.warmup_iters) / (self.total_iters - self.warmup_iters))
        height = (1 + math.cos(math.pi * part)) / 2
        return [self.eta_min + (base - self.eta_min) * height for base in self.base_lrs]
