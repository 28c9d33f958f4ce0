"""The learning-rate finder: one sweep of growing rates, and where the loss falls fastest."""

import copy
import math
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from pydl.errors import ArgumentError
from pydl.nn import Module
from pydl.ops import get_rng_state, set_rng_state
from pydl.optim import Optimizer
from pydl.optim.lr_scheduler.base import assign
from pydl.tensor import Tensor
from pydl.train.loaders import as_loader

__all__ = ["LRCurve", "find_lr"]


@dataclass(frozen=True)
class LRCurve:
    """What `find_lr` found: the loss at each learning rate.

    lrs: the rates tried. losses: of each batch before its step. smoothed: their exponential average, bias removed.
    diverged: whether the sweep ended because the loss exploded.
    """

    lrs: list[float]
    losses: list[float]
    smoothed: list[float]
    diverged: bool

    @property
    def steepest(self) -> float:
        """The rate at which the smoothed loss falls fastest per decade: a good rate to begin with.

        Raises: ArgumentError if the sweep was too short to have slopes.
        """
        if len(self.lrs) < 3:
            raise ArgumentError(f"LRCurve: {len(self.lrs)} steps have no slope: begin with a smaller rate")
        slope = np.gradient(np.array(self.smoothed), np.log(self.lrs))
        return self.lrs[int(np.argmin(slope))]

    @property
    def lowest(self) -> float:
        """The rate at which the smoothed loss is lowest, about ten times too large to train with."""
        return self.lrs[int(np.argmin(self.smoothed))]


def find_lr(
    model: Module,
    optimizer: Optimizer,
    loss: Callable[[Tensor, Tensor], Tensor],
    data: Any,
    *,
    start: float = 1e-7,
    end: float = 10.0,
    steps: int = 100,
    spacing: Literal["exp", "linear"] = "exp",
    smoothing: float = 0.95,
    diverge: float = 4.0,
    batch_size: int = 32,
) -> LRCurve:
    """Trains with learning rates from start to end, one batch each, and puts everything back.

    Model, optimizer, gradients and the random state are afterwards as they were, also after an error. Groups keep
    their proportions: the largest rate among them takes the values of the sweep.

    Args:
        data: as `Trainer.fit` takes it; begun again when it ends before the sweep does.
        spacing: "exp": each rate is the one before times a constant; "linear": plus a constant.
        smoothing: the part of the average of losses that stays in each step.
        diverge: the sweep ends where the smoothed loss is above diverge times its lowest, or not finite.
    Raises: ArgumentError for arguments outside their range, or without data.
    Source: Smith 2017 (arXiv:1506.01186), section 3.3; Smith 2018 (arXiv:1803.09820).
    """
    rates = _rates(start, end, steps, spacing)
    if not (0 <= smoothing < 1 and diverge > 1):
        raise ArgumentError(f"find_lr: expected smoothing in [0, 1) and diverge > 1, got {smoothing} and {diverge}")
    lrs: list[float] = []
    losses: list[float] = []
    smoothed: list[float] = []
    before = [float(group["lr"]) for group in optimizer.param_groups]
    shares = [lr / max(before) if max(before) > 0 else 1.0 for lr in before]
    with _restored(model, optimizer):
        for batch, lr in zip(_endless(as_loader(data, batch_size, True, "find_lr")), rates, strict=False):
            value = _step(model, optimizer, loss, batch, lr, shares)
            average = smoothing * (smoothed[-1] * (1 - smoothing ** len(lrs)) if lrs else 0.0) + (1 - smoothing) * value
            lrs.append(lr)
            losses.append(value)
            smoothed.append(average / (1 - smoothing ** len(lrs)))
            if not math.isfinite(value) or smoothed[-1] > diverge * min(smoothed):
                keep = len(lrs) - (not math.isfinite(value))
                return LRCurve(lrs[:keep], losses[:keep], smoothed[:keep], True)
    return LRCurve(lrs, losses, smoothed, False)


def _rates(start: float, end: float, steps: int, spacing: str) -> list[float]:
    if not 0 < start < end < math.inf or steps < 2:
        raise ArgumentError(f"find_lr: expected 0 < start < end and steps >= 2, got {start}, {end} and {steps}")
    if spacing not in ("exp", "linear"):
        raise ArgumentError(f"find_lr: spacing must be one of exp, linear, got {spacing!r}")
    spread = np.geomspace if spacing == "exp" else np.linspace
    return [float(lr) for lr in spread(start, end, steps)]


def _endless(loader: Iterable[Any]) -> Iterator[Any]:
    """The batches of one epoch after the other; those of an iterator are kept."""
    batches = list(loader) if isinstance(loader, Iterator) else loader
    while True:
        empty = True
        for batch in batches:
            empty = False
            yield batch
        if empty:
            raise ArgumentError("find_lr: there is no data")


def _step(
    model: Module, optimizer: Optimizer, loss: Callable[..., Tensor], batch: Any, lr: float, shares: list[float]
) -> float:
    """One step with a rate, of which each group has its share; the loss before it."""
    for group, share in zip(optimizer.param_groups, shares, strict=True):
        assign(group, "lr", lr * share)
    x, y = batch
    optimizer.zero_grad()
    value = loss(model(x), y)
    value.backward()
    optimizer.step()
    return float(value.item())


@contextmanager
def _restored(model: Module, optimizer: Optimizer) -> Iterator[None]:
    """Model, optimizer, gradients and random state are afterwards as before."""
    params = [p for group in optimizer.param_groups for p in group["params"]]
    params += [p for p in model.parameters() if not any(p is q for q in params)]
    values = [(p, p.detach().clone(), p.grad) for p in params]
    buffers = {name: b.detach().clone() for name, b in model.state_dict().items()}
    modes = [(m, m.training) for m in model.modules()]
    state, stepped, rng = copy.deepcopy(optimizer.state_dict()), optimizer._has_stepped, get_rng_state()
    try:
        model.train()
        yield
    finally:
        model.load_state_dict(buffers)
        for p, value, grad in values:
            p.detach().copy_(value)
            p.grad = grad
        for m, mode in modes:
            m.training = mode
        optimizer.load_state_dict(state)
        optimizer._has_stepped = stepped
        set_rng_state(rng)
