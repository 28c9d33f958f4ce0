"""What all learning-rate schedules share: they write group["lr"], and the optimizer's next step reads it."""

import types
import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from pydl.errors import ArgumentError, CheckpointError
from pydl.optim.optimizer import Group, Optimizer
from pydl.replay.again import again
from pydl.tensor import Tensor


class LRScheduler:
    """A schedule; a subclass defines `get_lr`, and `_get_closed_form_lr` where the rates are a formula of the epoch.

    Most schedules multiply the rate that is in use, so that several of them may change it. Rates and state are plain
    numbers, also where group["lr"] is a tensor, which is then filled.

    Args:
        last_epoch: -1 to begin; else the epoch before the one to go on with. The groups then need "initial_lr", and
            the rates in use, e.g. from the optimizer's `load_state_dict`, are taken to be those of that epoch.
    Attributes: base_lrs: the learning rates of the groups at epoch 0. last_epoch: the current epoch.
    Raises: ArgumentError for arguments outside their range.
    """

    _is_initial = False

    def __init__(self, optimizer: Optimizer, last_epoch: int = -1) -> None:
        self.optimizer = checked(type(self).__name__, optimizer)
        for group in optimizer.param_groups:
            if last_epoch == -1:
                group.setdefault("initial_lr", float(group["lr"]))
            elif "initial_lr" not in group:
                raise ArgumentError(
                    f"{type(self).__name__}: going on from epoch {last_epoch} needs initial_lr in groups"
                )
        self.base_lrs: list[float] = [float(group["initial_lr"]) for group in optimizer.param_groups]
        self.last_epoch = last_epoch
        self._initial_step()

    def get_lr(self) -> list[float]:
        """The learning rates of `last_epoch`, one per group, from those in use. `get_last_lr` tells what is in use."""
        return self._current()

    def get_last_lr(self) -> list[float]:
        """The learning rates in use."""
        return self._last_lr

    @again
    def step(self, epoch: int | None = None) -> None:
        """Goes on to the next epoch. Call it after the optimizer's steps of this one.

        Args: epoch: goes there instead, by the closed form where the schedule has one.
        """
        if self._step_count == 1 and not self.optimizer._has_stepped:
            warnings.warn(
                "lr_scheduler.step() was called before optimizer.step(): the first learning rate is skipped",
                UserWarning,
                stacklevel=3,
            )
        self._step_count += 1
        self._update_lr(epoch)

    def _initial_step(self) -> None:
        """Takes up the first epoch."""
        self._step_count = 0
        self._is_initial = True
        try:
            self.step()
        finally:
            self._is_initial = False

    def _update_lr(self, epoch: int | None = None) -> None:
        self.last_epoch = self.last_epoch + 1 if epoch is None else epoch
        jump = getattr(self, "_get_closed_form_lr", None) if epoch is not None else None
        self._write((jump or self.get_lr)())

    def _restart(self) -> None:
        """Takes up epoch 0, in the middle of a run."""
        self._update_lr(0)

    def _undo(self) -> None:
        """Forgets the first epoch, so that the schedule can be taken up later."""
        self.last_epoch -= 1

    def _write(self, rates: Sequence[float]) -> None:
        for group, lr in zip(self.optimizer.param_groups, rates, strict=True):
            assign(group, "lr", lr)
        self._last_lr = self._current()

    def _current(self) -> list[float]:
        return [float(group["lr"]) for group in self.optimizer.param_groups]

    @property
    def _stays(self) -> bool:
        """Whether the rates in use are already those of this epoch: it was taken up in the middle of a run."""
        return self._is_initial and self.last_epoch > 0

    def state_dict(self) -> dict[str, Any]:
        """Everything except the optimizer, as plain numbers, strings, lists and dicts."""
        return {k: v for k, v in self.__dict__.items() if k != "optimizer"}

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Goes on from a state of `state_dict`; the learning rates in use are part of the optimizer's state.

        PyTorch's states of the same schedule fit too.
        Raises: CheckpointError if entries are missing; then nothing has changed.
        """
        self.__dict__.update(self._entries(state_dict))

    def _entries(self, state_dict: Mapping[str, Any]) -> dict[str, Any]:
        """The entries of a state, all of those that this schedule has."""
        if not isinstance(state_dict, Mapping):
            raise CheckpointError(f"{type(self).__name__}: expected a state dict, got {type(state_dict).__name__}")
        wanted = self.state_dict().keys() - {"_is_initial"}
        if missing := sorted(wanted - state_dict.keys()):
            raise CheckpointError(f"{type(self).__name__}: the state has no {', '.join(missing)}")
        return {k: state_dict[k] for k in wanted}


class FunctionLR(LRScheduler):
    """A schedule by a function of the epoch, or one per group, in `lr_lambdas`."""

    def __init__(
        self,
        optimizer: Optimizer,
        lr_lambda: Callable[[int], float] | Sequence[Callable[[int], float]],
        last_epoch: int = -1,
    ) -> None:
        name = type(self).__name__
        count = len(checked(name, optimizer).param_groups)
        listed: list[Any] = list(lr_lambda) if isinstance(lr_lambda, (list, tuple)) else [lr_lambda] * count
        self.lr_lambdas: list[Callable[[int], float]] = listed
        if len(self.lr_lambdas) != count:
            raise ArgumentError(f"{name}: got {len(self.lr_lambdas)} functions for {count} groups")
        for function in self.lr_lambdas:
            if not callable(function):
                raise ArgumentError(f"{name}: lr_lambda must be a function, got {type(function).__name__}")
        super().__init__(optimizer, last_epoch)

    def state_dict(self) -> dict[str, Any]:
        """Everything except the optimizer and the functions; of callable objects, their attributes."""
        return {**super().state_dict(), "lr_lambdas": [attributes(f) for f in self.lr_lambdas]}

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        entries = self._entries(state_dict)
        saved = entries.pop("lr_lambdas")
        if len(saved) != len(self.lr_lambdas):
            raise CheckpointError(
                f"{type(self).__name__}: the state has {len(saved)} functions, expected {len(self.lr_lambdas)}"
            )
        self.__dict__.update(entries)
        for function, held in zip(self.lr_lambdas, saved, strict=True):
            if held is not None:
                function.__dict__.update(held)


def checked(name: str, optimizer: Any) -> Optimizer:
    """The optimizer. Raises: ArgumentError if it is none."""
    if not isinstance(optimizer, Optimizer):
        raise ArgumentError(f"{name}: expected an Optimizer, got {type(optimizer).__name__}")
    return optimizer


def attributes(function: Any) -> dict[str, Any] | None:
    """What a callable object remembers; None for functions, which are code and not state."""
    plain = isinstance(function, (types.FunctionType, types.BuiltinFunctionType, types.MethodType))
    return None if plain or not hasattr(function, "__dict__") else dict(function.__dict__)


def assign(group: Group, key: str, value: float) -> None:
    """Sets an option of a group; a tensor is filled, because others may hold it."""
    if isinstance(group.get(key), Tensor):
        group[key].fill_(value)
    else:
        group[key] = value


def per_group(name: str, optimizer: Optimizer, what: str, value: Any) -> list[float]:
    """One number per group, from one for all or a list."""
    count = len(optimizer.param_groups)
    values = [float(v) for v in value] if isinstance(value, (list, tuple)) else [float(value)] * count
    if len(values) != count:
        raise ArgumentError(f"{name}: {what} has {len(values)} values for {count} groups")
    return values


def whole(name: str, what: str, value: Any, least: int) -> int:
    """An integer that is large enough."""
    if not isinstance(value, int) or isinstance(value, bool) or value < least:
        raise ArgumentError(f"{name}: {what} must be >= {least} and an integer, got {value!r}")
    return value


def among(name: str, what: str, value: Any, choices: Sequence[str]) -> Any:
    """One of the words that are understood."""
    if value not in choices:
        raise ArgumentError(f"{name}: {what} must be one of {', '.join(choices)}, got {value!r}")
    return value


class Momentum:
    """The momentum of the groups, or beta1 where the optimizer has betas, for schedules that turn it with the rate."""

    def __init__(self, name: str, optimizer: Optimizer) -> None:
        if not {"momentum", "betas"} & set(optimizer.defaults):
            raise ArgumentError(f"{name}: cycle_momentum needs an optimizer with momentum or betas")
        self.optimizer = optimizer
        self.in_betas = "betas" in optimizer.defaults

    def write(self, group: Group, value: float) -> None:
        if self.in_betas:
            group["betas"] = (value, *group["betas"][1:])
        else:
            group["momentum"] = value

    def begin(self, base: Sequence[float], most: Sequence[float]) -> None:
        """The bounds go into the groups, and the upper one is in use."""
        for group, low, high in zip(self.optimizer.param_groups, base, most, strict=True):
            self.write(group, high)
            group["max_momentum"], group["base_momentum"] = high, low
