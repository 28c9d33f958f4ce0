"""The schedule that waits until nothing improves."""

import math
from collections.abc import Mapping
from typing import Any, Literal, SupportsFloat

from pydl.errors import ArgumentError
from pydl.optim.lr_scheduler.base import LRScheduler, among, assign, checked, per_group
from pydl.optim.optimizer import Optimizer
from pydl.replay.again import again


class ReduceLROnPlateau(LRScheduler):
    """Times factor when a metric has not improved for more than `patience` epochs.

    Args:
        mode: "min" or "max": the direction in which the metric improves.
        threshold: how much better counts, as a part of the best ("rel") or as a difference ("abs").
        cooldown: epochs after a reduction that are not counted.
        min_lr: no rate falls below; one for all, or one per group. eps: smaller reductions are left out.
    Attributes: best: the best metric. num_bad_epochs: epochs since, cooldown_counter: epochs still to wait.
    """

    def __init__(
        self,
        optimizer: Optimizer,
        mode: Literal["min", "max"] = "min",
        factor: float = 0.1,
        patience: int = 10,
        threshold: float = 1e-4,
        threshold_mode: Literal["rel", "abs"] = "rel",
        cooldown: int = 0,
        min_lr: list[float] | float = 0,
        eps: float = 1e-8,
    ) -> None:
        name = "ReduceLROnPlateau"
        self.optimizer = checked(name, optimizer)
        if not factor < 1.0:
            raise ArgumentError(f"{name}: factor must be < 1, got {factor}")
        self.mode = among(name, "mode", mode, ("min", "max"))
        self.threshold_mode = among(name, "threshold_mode", threshold_mode, ("rel", "abs"))
        self.default_min_lr = None if isinstance(min_lr, (list, tuple)) else min_lr
        self.min_lrs = per_group(name, optimizer, "min_lr", min_lr)
        self.factor, self.patience, self.threshold = factor, patience, threshold
        self.cooldown, self.eps = cooldown, eps
        self.mode_worse = math.inf if mode == "min" else -math.inf
        self.last_epoch = 0
        self._last_lr = self._current()
        self._reset()

    def _reset(self) -> None:
        """Forgets what was seen."""
        self.best = self.mode_worse
        self.cooldown_counter = self.num_bad_epochs = 0

    @property
    def in_cooldown(self) -> bool:
        """Whether a reduction was just made."""
        return self.cooldown_counter > 0

    @again
    def step(self, metrics: SupportsFloat, epoch: int | None = None) -> None:  # type: ignore[override]
        """Takes the metric of the epoch that has ended; NaN is no improvement."""
        current = float(metrics)
        self.last_epoch = self.last_epoch + 1 if epoch is None else epoch
        if self._is_better(current):
            self.best, self.num_bad_epochs = current, 0
        else:
            self.num_bad_epochs += 1
        if self.in_cooldown:
            self.cooldown_counter -= 1
            self.num_bad_epochs = 0
        if self.num_bad_epochs > self.patience:
            self._reduce()
            self.cooldown_counter, self.num_bad_epochs = self.cooldown, 0
        self._last_lr = self._current()

    def _is_better(self, current: float) -> bool:
        better = -1 if self.mode == "min" else 1
        if self.threshold_mode == "rel":
            goal = self.best * (1.0 + better * self.threshold)
        else:
            goal = self.best + better * self.threshold
        return current < goal if self.mode == "min" else current > goal

    def _reduce(self) -> None:
        groups = self.optimizer.param_groups
        if len(self.min_lrs) != len(groups):  # a group was added
            if self.default_min_lr is None:
                raise ArgumentError(
                    f"ReduceLROnPlateau: min_lr has {len(self.min_lrs)} values for {len(groups)} groups"
                )
            self.min_lrs = [float(self.default_min_lr)] * len(groups)
        for group, least in zip(groups, self.min_lrs, strict=True):
            old = float(group["lr"])
            new = max(old * self.factor, least)
            if old - new > self.eps:
                assign(group, "lr", new)

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        super().load_state_dict(state_dict)
        self.mode_worse = math.inf if self.mode == "min" else -math.inf
