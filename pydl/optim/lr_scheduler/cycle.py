"""Schedules that go up and come down, with the momentum in the opposite direction."""

import math
from collections.abc import Callable, Mapping
from typing import Any, Literal

from pydl.errors import ArgumentError
from pydl.optim.lr_scheduler.base import LRScheduler, Momentum, among, attributes, checked, per_group, whole
from pydl.optim.optimizer import Group, Optimizer


class CyclicLR(LRScheduler):
    """Up from base_lr to max_lr in step_size_up batches, down again in step_size_down; step it after each batch.

    Args:
        mode: "triangular"; "triangular2", half as high in each further cycle; "exp_range", gamma^batch as high.
        scale_fn: the height instead of mode's, of the cycle (1, 2, ...) or of the batch, as scale_mode says.
        cycle_momentum: momentum, or beta1, goes from max_momentum down to base_momentum and back meanwhile.
    Source: Smith 2017 (Cyclical learning rates for training neural networks, arXiv:1506.01186).
    """

    def __init__(
        self,
        optimizer: Optimizer,
        base_lr: float | list[float],
        max_lr: float | list[float],
        step_size_up: int = 2000,
        step_size_down: int | None = None,
        mode: Literal["triangular", "triangular2", "exp_range"] = "triangular",
        gamma: float = 1.0,
        scale_fn: Callable[[float], float] | None = None,
        scale_mode: Literal["cycle", "iterations"] = "cycle",
        cycle_momentum: bool = True,
        base_momentum: float | list[float] = 0.8,
        max_momentum: float | list[float] = 0.9,
        last_epoch: int = -1,
    ) -> None:
        checked("CyclicLR", optimizer)
        if scale_fn is None:
            among("CyclicLR", "mode", mode, ("triangular", "triangular2", "exp_range"))
            scale_mode = "iterations" if mode == "exp_range" else "cycle"
        rates = per_group("CyclicLR", optimizer, "base_lr", base_lr)
        self.max_lrs = per_group("CyclicLR", optimizer, "max_lr", max_lr)
        down = step_size_up if step_size_down is None else step_size_down
        if not (step_size_up > 0 and down > 0):
            raise ArgumentError(f"CyclicLR: step_size_up and _down must be > 0, got {step_size_up} and {down}")
        self.total_size = float(step_size_up + down)
        self.step_ratio = step_size_up / self.total_size
        self.mode, self.gamma = mode, gamma
        self._scale_fn_custom = scale_fn
        self.scale_mode = among("CyclicLR", "scale_mode", scale_mode, ("cycle", "iterations"))
        self.cycle_momentum = cycle_momentum
        if cycle_momentum:
            self._begin_momentum(optimizer, base_momentum, max_momentum, last_epoch)
        for group, lr in zip(optimizer.param_groups, rates, strict=True):
            group["initial_lr"] = lr
        super().__init__(optimizer, last_epoch)

    def _begin_momentum(self, optimizer: Optimizer, base: Any, most: Any, last_epoch: int) -> None:
        momentum = Momentum("CyclicLR", optimizer)
        self.base_momentums = per_group("CyclicLR", optimizer, "base_momentum", base)
        self.max_momentums = per_group("CyclicLR", optimizer, "max_momentum", most)
        if last_epoch == -1:
            momentum.begin(self.base_momentums, self.max_momentums)

    def scale_fn(self, x: float) -> float:
        """The height of a cycle, of the cycle's number or the batch's."""
        if self._scale_fn_custom is not None:
            return self._scale_fn_custom(x)
        if self.mode == "exp_range":
            return float(self.gamma**x)
        return 1.0 if self.mode == "triangular" else 1 / 2.0 ** (x - 1)

    def get_lr(self) -> list[float]:
        cycle = math.floor(1 + self.last_epoch / self.total_size)
        x = 1.0 + self.last_epoch / self.total_size - cycle
        part = x / self.step_ratio if x <= self.step_ratio else (x - 1) / (self.step_ratio - 1)
        scale = self.scale_fn(cycle if self.scale_mode == "cycle" else self.last_epoch)
        if self.cycle_momentum:
            momentum = Momentum("CyclicLR", self.optimizer)
            bounds = zip(self.base_momentums, self.max_momentums, strict=True)
            for group, (low, high) in zip(self.optimizer.param_groups, bounds, strict=True):
                momentum.write(group, high - (high - low) * part * scale)
        return [low + (high - low) * part * scale for low, high in zip(self.base_lrs, self.max_lrs, strict=True)]

    def state_dict(self) -> dict[str, Any]:
        """Everything except the optimizer and scale_fn; of a callable object, its attributes."""
        own = self._scale_fn_custom
        return {**super().state_dict(), "_scale_fn_custom": None if own is None else attributes(own)}

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        entries = self._entries(state_dict)
        held = entries.pop("_scale_fn_custom")
        self.__dict__.update(entries)
        if held is not None and self._scale_fn_custom is not None:
            self._scale_fn_custom.__dict__.update(held)


class OneCycleLR(LRScheduler):
    """One way up to max_lr and one down, far below the beginning; step it after each batch, total_steps times.

    Args:
        total_steps: or epochs and steps_per_epoch, whose product it is.
        pct_start: the part of the steps that goes up. anneal_strategy: along a "cos" or a "linear" line.
        div_factor: the first rate is max_lr / div_factor. final_div_factor: the last one is the first / that.
        three_phase: down to the first rate as fast as up, then on to the last one.
        cycle_momentum: momentum, or beta1, goes from max_momentum down to base_momentum and back meanwhile.
    Source: Smith and Topin 2018 (Super-convergence, arXiv:1708.07120).
    """

    def __init__(
        self,
        optimizer: Optimizer,
        max_lr: float | list[float],
        total_steps: int | None = None,
        epochs: int | None = None,
        steps_per_epoch: int | None = None,
        pct_start: float = 0.3,
        anneal_strategy: Literal["cos", "linear"] = "cos",
        cycle_momentum: bool = True,
        base_momentum: float | list[float] = 0.85,
        max_momentum: float | list[float] = 0.95,
        div_factor: float = 25.0,
        final_div_factor: float = 1e4,
        three_phase: bool = False,
        last_epoch: int = -1,
    ) -> None:
        checked("OneCycleLR", optimizer)
        self.total_steps = _total(total_steps, epochs, steps_per_epoch)
        if not 0 <= pct_start <= 1:
            raise ArgumentError(f"OneCycleLR: pct_start must be between 0 and 1, got {pct_start}")
        self._anneal_func_type = among("OneCycleLR", "anneal_strategy", anneal_strategy, ("cos", "linear"))
        self._schedule_phases = _phases(self.total_steps, pct_start, three_phase)
        rates = per_group("OneCycleLR", optimizer, "max_lr", max_lr)
        self.cycle_momentum = cycle_momentum
        if cycle_momentum:
            momentum = Momentum("OneCycleLR", optimizer)
            least = per_group("OneCycleLR", optimizer, "base_momentum", base_momentum)
            most = per_group("OneCycleLR", optimizer, "max_momentum", max_momentum)
        if last_epoch == -1:
            for group, rate in zip(optimizer.param_groups, rates, strict=True):
                group["initial_lr"], group["max_lr"] = rate / div_factor, rate
                group["min_lr"] = group["initial_lr"] / final_div_factor
            if cycle_momentum:
                momentum.begin(least, most)
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> list[float]:
        if self.last_epoch > self.total_steps:
            raise ArgumentError(f"OneCycleLR: step {self.last_epoch} is beyond total_steps {self.total_steps}")
        start, phase = 0.0, self._schedule_phases[0]
        for following in self._schedule_phases[1:]:
            if self.last_epoch <= phase["end_step"]:
                break
            start, phase = phase["end_step"], following
        length = phase["end_step"] - start
        part = (self.last_epoch - start) / length if length else 1.0
        if self.cycle_momentum:
            momentum = Momentum("OneCycleLR", self.optimizer)
            for group in self.optimizer.param_groups:
                momentum.write(group, self._between(group, phase, "momentum", part))
        return [self._between(group, phase, "lr", part) for group in self.optimizer.param_groups]

    def _between(self, group: Group, phase: dict[str, Any], what: str, part: float) -> float:
        start, end = (float(group[phase[f"{which}_{what}"]]) for which in ("start", "end"))
        if self._anneal_func_type == "linear":
            return (end - start) * part + start
        return end + (start - end) / 2.0 * (math.cos(math.pi * part) + 1)


def _total(total_steps: int | None, epochs: int | None, steps_per_epoch: int | None) -> int:
    if total_steps is not None:
        return whole("OneCycleLR", "total_steps", total_steps, 1)
    if epochs is None or steps_per_epoch is None:
        raise ArgumentError("OneCycleLR: expected total_steps, or epochs and steps_per_epoch")
    return whole("OneCycleLR", "epochs", epochs, 1) * whole("OneCycleLR", "steps_per_epoch", steps_per_epoch, 1)


def _phases(total: int, up: float, three: bool) -> list[dict[str, Any]]:
    """Where each phase ends, and between which options of the group it goes."""
    ends = [(total * up - 1, "max_lr", "base_momentum")]
    if three:
        ends.append((2 * up * total - 2, "initial_lr", "max_momentum"))
    ends.append((total - 1, "min_lr", "max_momentum"))
    phases = []
    lr, momentum = "initial_lr", "max_momentum"
    for end, next_lr, next_momentum in ends:
        phases.append({"end_step": end, "start_lr": lr, "end_lr": next_lr,
                       "start_momentum": momentum, "end_momentum": next_momentum})  # fmt: skip
        lr, momentum = next_lr, next_momentum
    return phases
