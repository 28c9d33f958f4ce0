"""Averages of the weights along the way: arithmetic (SWA, Polyak), exponential, with the bias removed."""

import copy
import math
from collections.abc import Callable, Iterable, Sequence
from itertools import chain
from typing import Any, Literal, TypeAlias

import pydl.ops as ops
from pydl import _C
from pydl.autograd import no_grad
from pydl.errors import ArgumentError
from pydl.nn import Module
from pydl.nn.normalization import _BatchNorm
from pydl.optim.lr_scheduler.base import LRScheduler, among, checked, per_group, whole
from pydl.optim.optimizer import Optimizer
from pydl.tensor import Tensor

__all__ = [
    "EMA", "SWALR", "AveragedModel", "PolyakAverage", "get_corrected_ema_avg_fn", "get_ema_avg_fn",
    "get_ema_multi_avg_fn", "get_polyak_avg_fn", "get_swa_avg_fn", "get_swa_multi_avg_fn", "update_bn",
]  # fmt: skip

AvgFn: TypeAlias = Callable[[Tensor, Tensor, Any], Tensor]
MultiAvgFn: TypeAlias = Callable[[Sequence[Tensor], Sequence[Tensor], Any], None]


def get_ema_avg_fn(decay: float = 0.999) -> AvgFn:
    """avg_fn of decay average + (1 - decay) current. Raises: ArgumentError if decay is not within [0, 1]."""
    _check_decay("get_ema_avg_fn", decay, 1.0)
    return lambda averaged, current, num_averaged: decay * averaged + (1 - decay) * current


def get_ema_multi_avg_fn(decay: float = 0.999) -> MultiAvgFn:
    """`get_ema_avg_fn` in place on lists. Raises: ArgumentError if decay is not within [0, 1]."""
    _check_decay("get_ema_multi_avg_fn", decay, 1.0)
    return _in_place(lambda num_averaged: 1 - decay)


def get_corrected_ema_avg_fn(decay: float = 0.999) -> AvgFn:
    """avg_fn of the exponential average divided by 1 - decay^t, kept as one running average.

    With a_t = decay a_{t-1} + (1 - decay) x_t from a_0 = 0, the mean a_t / (1 - decay^t) moves by the part
    (1 - decay) / (1 - decay^t) towards x_t, which is 1 in the first step: nothing of the start remains.
    Raises: ArgumentError if decay is not within [0, 1).
    Source: Kingma and Ba 2015 (Adam, arXiv:1412.6980), section 3.
    """
    _check_decay("get_corrected_ema_avg_fn", decay, math.nextafter(1.0, 0.0))

    def average(averaged: Tensor, current: Tensor, num_averaged: Any) -> Tensor:
        return averaged + (current - averaged) * ((1 - decay) / (1 - decay ** (int(num_averaged) + 1)))

    return average


def get_swa_avg_fn() -> AvgFn:
    """avg_fn of the arithmetic mean. Source: Izmailov et al. 2018 (arXiv:1803.05407)."""
    return lambda averaged, current, num_averaged: averaged + (current - averaged) / (num_averaged + 1)


def get_swa_multi_avg_fn() -> MultiAvgFn:
    """`get_swa_avg_fn` in place on lists."""
    return _in_place(lambda num_averaged: 1 / (int(num_averaged) + 1))


def get_polyak_avg_fn(eta: float = 0.0) -> AvgFn:
    """avg_fn of the mean of all iterates; with eta > 0, iterate k weighs about k^eta, so that the start fades.

    Raises: ArgumentError if eta < 0.
    Source: Polyak and Juditsky 1992; Shamir and Zhang 2013 (arXiv:1212.1824), section 4, for eta.
    """
    if not eta >= 0:
        raise ArgumentError(f"get_polyak_avg_fn: eta must be >= 0, got {eta}")

    def average(averaged: Tensor, current: Tensor, num_averaged: Any) -> Tensor:
        return averaged + (current - averaged) * ((1 + eta) / (int(num_averaged) + 1 + eta))

    return average


def _check_decay(name: str, decay: float, most: float) -> None:
    if not 0.0 <= decay <= most:
        raise ArgumentError(f"{name}: decay must be between 0 and 1{'' if most == 1 else ', below it'}, got {decay}")


def _in_place(part: Callable[[Any], float]) -> MultiAvgFn:
    """Each average moves by part(num_averaged) of the way to the current value; whole numbers are cut off."""

    def average(averaged: Sequence[Tensor], current: Sequence[Tensor], num_averaged: Any) -> None:
        weight = part(num_averaged)
        pairs = list(zip(averaged, current, strict=True))
        fused = [(a, b) for a, b in pairs if a.is_floating_point() and a.dtype == b.dtype and a.array.is_dense]
        _move([a for a, _ in fused], [b for _, b in fused], weight)
        done = {id(a) for a, _ in fused}
        with no_grad():
            for a, b in pairs:
                if id(a) not in done:
                    a.copy_(a * (1 - weight) + b * weight)

    return average


def _move(averages: list[Tensor], currents: list[Tensor], weight: float) -> None:
    """a + weight (b - a), all of them in one launch.

    It is a step of descent with "gradient" b, decay -1 and rate -weight: a - (-weight) (b + (-1) a).
    """
    hyper = ops.tensor([-weight, -1, 0, 0, 0, 0, 0, 0, 1], dtype=_C.float64).array
    arrays = [b.array if b.array.is_dense else b.contiguous().array for b in currents]
    _C.sgd([a.array for a in averages], arrays, [[]], hyper)


class AveragedModel(Module):
    """A copy of a model whose parameters are averages of that model's; call `update_parameters` after its steps.

    Args:
        device: of the copy.
        avg_fn: avg_fn(average, current, num_averaged) -> the new average; default the arithmetic mean.
        multi_avg_fn: multi_avg_fn(averages, currents, num_averaged) changes the averages itself.
        use_buffers: average buffers too; else they are copied from the model.
    Attributes: module: the copy. n_averaged: () int64, how often it was updated; the first update copies.
    Raises: ArgumentError if both functions are given.
    Source: Izmailov et al. 2018 (Averaging weights leads to wider optima, arXiv:1803.05407).
    """

    n_averaged: Tensor

    def __init__(
        self,
        model: Module,
        device: Any = None,
        avg_fn: AvgFn | None = None,
        multi_avg_fn: MultiAvgFn | None = None,
        use_buffers: bool = False,
    ) -> None:
        super().__init__()
        if avg_fn is not None and multi_avg_fn is not None:
            raise ArgumentError(f"{type(self).__name__}: expected avg_fn or multi_avg_fn, got both")
        self.module = copy.deepcopy(model)
        if device is not None:
            self.module.to(device)
        self.register_buffer("n_averaged", ops.tensor(0, device=device))
        self.avg_fn, self.multi_avg_fn, self.use_buffers = avg_fn, multi_avg_fn, use_buffers

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """What the averaged model computes."""
        return self.module(*args, **kwargs)

    def update_parameters(self, model: Module) -> None:
        """Takes the parameters of a model into the average. Raises: ArgumentError if it is another kind of model."""
        averages, currents = self._averaged(self.module), self._averaged(model)
        if [a.shape for a in averages] != [b.shape for b in currents]:
            raise ArgumentError(f"{type(self).__name__}: the model has other parameters than the one averaged")
        count = int(self.n_averaged)
        with no_grad():
            if count == 0:
                for a, b in zip(averages, currents, strict=True):
                    a.copy_(b)
            else:
                self._average(averages, [b.to(a.device) for a, b in zip(averages, currents, strict=True)], count)
            if not self.use_buffers:
                for a, b in zip(self.module.buffers(), model.buffers(), strict=True):
                    a.copy_(b)
            self.n_averaged.fill_(count + 1)

    def _averaged(self, model: Module) -> list[Tensor]:
        tensors = chain(model.parameters(), model.buffers()) if self.use_buffers else model.parameters()
        return [t.detach() for t in tensors]

    def _average(self, averages: list[Tensor], currents: list[Tensor], count: int) -> None:
        if self.avg_fn is None:
            multi = self.multi_avg_fn or get_swa_multi_avg_fn()
            multi(averages, currents, count)
            return
        for a, b in zip(averages, currents, strict=True):
            a.copy_(self.avg_fn(a, b, count))


class EMA(AveragedModel):
    """The exponential moving average of a model's parameters: decay average + (1 - decay) current.

    Args:
        bias_correction: divide by 1 - decay^t, as if nothing had been there before the first update; without, the
            average begins with the model as it is now.
        use_buffers: average buffers too; else they are copied from the model.
    Raises: ArgumentError if decay is not within [0, 1).
    """

    def __init__(
        self,
        model: Module,
        decay: float = 0.999,
        *,
        bias_correction: bool = True,
        use_buffers: bool = False,
        device: Any = None,
    ) -> None:
        _check_decay("EMA", decay, math.nextafter(1.0, 0.0))
        average = get_corrected_ema_avg_fn(decay) if bias_correction else get_ema_avg_fn(decay)
        super().__init__(model, device, average, use_buffers=use_buffers)
        if not bias_correction:
            self.n_averaged.fill_(1)  # the model of now counts as the first
        self.decay = decay


class PolyakAverage(AveragedModel):
    """The mean of all iterates, or with eta > 0 one that forgets the first ones; see `get_polyak_avg_fn`."""

    def __init__(self, model: Module, eta: float = 0.0, *, use_buffers: bool = False, device: Any = None) -> None:
        super().__init__(model, device, get_polyak_avg_fn(eta), use_buffers=use_buffers)


def update_bn(loader: Iterable[Any], model: Module, device: Any = None) -> None:
    """Computes the running statistics of all batch normalisations anew: means over the batches of a loader.

    Averaged weights need it, because no batch has passed through them.

    Args: loader: batches x or (x, ...). device: batches are moved there.
    """
    layers = {m: m.momentum for m in model.modules() if isinstance(m, _BatchNorm)}
    if not layers:
        return
    was_training = model.training
    model.train()
    for layer in layers:
        layer.reset_running_stats()
        layer.momentum = None  # the mean over all batches
    try:
        with no_grad():
            for batch in loader:
                x = batch[0] if isinstance(batch, (list, tuple)) else batch
                model(x if device is None else x.to(device))
    finally:
        for layer, momentum in layers.items():
            layer.momentum = momentum
        model.train(was_training)


class SWALR(LRScheduler):
    """From the rates in use to swa_lr within anneal_epochs, then constant.

    Args: swa_lr: one for all groups or one each. anneal_strategy: along a "cos" or a "linear" line.
    Raises: ArgumentError for arguments outside their range.
    """

    def __init__(
        self,
        optimizer: Optimizer,
        swa_lr: float | list[float],
        anneal_epochs: int = 10,
        anneal_strategy: Literal["cos", "linear"] = "cos",
        last_epoch: int = -1,
    ) -> None:
        rates = per_group("SWALR", checked("SWALR", optimizer), "swa_lr", swa_lr)
        self._anneal_strategy = among("SWALR", "anneal_strategy", anneal_strategy, ("cos", "linear"))
        self.anneal_epochs = whole("SWALR", "anneal_epochs", anneal_epochs, 0)
        for group, rate in zip(optimizer.param_groups, rates, strict=True):
            group["swa_lr"] = rate
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> list[float]:
        step = max(self._step_count - 1, 0 if self.anneal_epochs else 1)
        before, now = self._done(step - 1), self._done(step)
        rates = []
        for group, lr in zip(self.optimizer.param_groups, self._current(), strict=True):
            goal = float(group["swa_lr"])
            start = goal if before == 1 else (lr - before * goal) / (1 - before)
            rates.append(goal * now + start * (1 - now))
        return rates

    def _done(self, step: int) -> float:
        t = max(0.0, min(1.0, step / max(1, self.anneal_epochs)))
        return t if self._anneal_strategy == "linear" else (1 - math.cos(math.pi * t)) / 2
