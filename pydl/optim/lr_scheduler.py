"""Learning rates that change with the epoch: schedulers write group["lr"], the next step reads it."""

import math
import warnings
from collections.abc import Callable, Sequence
from typing import Any

from pydl.errors import ArgumentError
from pydl.optim.optimizer import Optimizer

__all__ = ["CosineAnnealingLR", "ExponentialLR", "LRScheduler", "LambdaLR", "StepLR"]


class LRScheduler:
    """What all schedulers share; a subclass defines `get_lr`.

    Args: last_epoch: -1 to begin; else the epoch that was reached, with "initial_lr" in every group.
    Attributes: base_lrs: the learning rates of the groups at epoch 0. last_epoch: the current epoch.
    """

    def __init__(self, optimizer: Optimizer, last_epoch: int = -1) -> None:
        if not isinstance(optimizer, Optimizer):
            raise ArgumentError(f"{type(self).__name__}: expected an Optimizer, got {type(optimizer).__name__}")
        self.optimizer = optimizer
        for group in optimizer.param_groups:
            if last_epoch == -1:
                group.setdefault("initial_lr", group["lr"])
            elif "initial_lr" not in group:
                raise ArgumentError(
                    f"{type(self).__name__}: going on from epoch {last_epoch} needs initial_lr in groups"
                )
        self.base_lrs: list[float] = [group["initial_lr"] for group in optimizer.param_groups]
        self.last_epoch = last_epoch
        self._step_count = 0
        self._advance(last_epoch + 1)

    def get_lr(self) -> list[float]:
        """The learning rates of `last_epoch`, one per group, from those of the epoch before."""
        return self._current()

    def get_last_lr(self) -> list[float]:
        """The learning rates in use."""
        return self._last_lr

    def step(self) -> None:
        """Goes on to the next epoch. Call it after the optimizer's steps of this one."""
        if self._step_count == 1 and not self.optimizer._has_stepped:
            warnings.warn(
                "lr_scheduler.step() was called before optimizer.step(): the first learning rate is skipped",
                UserWarning,
                stacklevel=2,
            )
        self._advance(self.last_epoch + 1)

    def _advance(self, epoch: int) -> None:
        self._step_count += 1
        self.last_epoch = epoch
        for group, lr in zip(self.optimizer.param_groups, self.get_lr(), strict=True):
            group["lr"] = lr
        self._last_lr = self._current()

    def _current(self) -> list[float]:
        return [group["lr"] for group in self.optimizer.param_groups]

    def state_dict(self) -> dict[str, Any]:
        """Everything except the optimizer."""
        return {k: v for k, v in self.__dict__.items() if k != "optimizer"}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Goes on from a state of `state_dict`; the learning rates in use are part of the optimizer's state."""
        self.__dict__.update(state_dict)


class LambdaLR(LRScheduler):
    """The first learning rate times lr_lambda(epoch); one function, or one per group."""

    def __init__(
        self,
        optimizer: Optimizer,
        lr_lambda: Callable[[int], float] | Sequence[Callable[[int], float]],
        last_epoch: int = -1,
    ) -> None:
        count = len(optimizer.param_groups)
        self.lr_lambdas = [lr_lambda] * count if callable(lr_lambda) else list(lr_lambda)
        if len(self.lr_lambdas) != count:
            raise ArgumentError(f"LambdaLR: got {len(self.lr_lambdas)} functions for {count} groups")
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> list[float]:
        return [base * f(self.last_epoch) for base, f in zip(self.base_lrs, self.lr_lambdas, strict=True)]

    def state_dict(self) -> dict[str, Any]:
        """Everything except the optimizer and the functions, which are code."""
        return {k: v for k, v in super().state_dict().items() if k != "lr_lambdas"}


class StepLR(LRScheduler):
    """Times gamma every step_size epochs."""

    def __init__(self, optimizer: Optimizer, step_size: int, gamma: float = 0.1, last_epoch: int = -1) -> None:
        if step_size < 1:
            raise ArgumentError(f"StepLR: step_size must be >= 1, got {step_size}")
        self.step_size = step_size
        self.gamma = gamma
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> list[float]:
        due = self.last_epoch > 0 and self.last_epoch % self.step_size == 0
        return [lr * self.gamma if due else lr for lr in self._current()]


class ExponentialLR(LRScheduler):
    """Times gamma every epoch."""

    def __init__(self, optimizer: Optimizer, gamma: float, last_epoch: int = -1) -> None:
        self.gamma = gamma
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> list[float]:
        return [lr * self.gamma if self.last_epoch > 0 else lr for lr in self._current()]


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
        if self.last_epoch == 0:
            return self._current()
        before, now = ((1 + math.cos(math.pi * t / self.T_max)) / 2 for t in (self.last_epoch - 1, self.last_epoch))
        at_bottom = (self.last_epoch - 1 - self.T_max) % (2 * self.T_max) == 0  # where before is 0
        if at_bottom or self._step_count == 1:
            return [self.eta_min + (base - self.eta_min) * now for base in self.base_lrs]
        return [self.eta_min + (lr - self.eta_min) * now / before for lr in self._current()]
