"""Schedules made of schedules: one after the other, or all at once. They nest."""

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from typing import Any

from pydl.errors import ArgumentError, CheckpointError
from pydl.optim.lr_scheduler.base import LRScheduler, assign, checked
from pydl.optim.lr_scheduler.plateau import ReduceLROnPlateau
from pydl.optim.optimizer import Optimizer
from pydl.replay.again import again


class _CombinedLR(LRScheduler):
    """Schedules of one optimizer."""

    def _check(self, optimizer: Any, schedulers: Sequence[LRScheduler]) -> None:
        name = type(self).__name__
        checked(name, optimizer)
        for i, scheduler in enumerate(schedulers):
            if not isinstance(scheduler, LRScheduler):
                raise ArgumentError(f"{name}: number {i} must be a scheduler, got {type(scheduler).__name__}")
            if isinstance(scheduler, ReduceLROnPlateau):
                raise ArgumentError(f"{name}: number {i} is a ReduceLROnPlateau, which needs a metric in each step")
            if scheduler.optimizer is not optimizer:
                raise ArgumentError(f"{name}: all schedulers must have the same optimizer: number {i} has another one")

    def _to_first_rates(self) -> None:
        for group in self.optimizer.param_groups:
            assign(group, "lr", float(group["initial_lr"]))

    def _undo(self) -> None:
        for scheduler in self._schedulers:
            scheduler._undo()

    def state_dict(self) -> dict[str, Any]:
        """Everything except the optimizer, with the states of the schedulers."""
        return {**super().state_dict(), "_schedulers": [s.state_dict() for s in self._schedulers]}

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        entries = self._entries(state_dict)
        states = entries.pop("_schedulers")
        if len(states) != len(self._schedulers):
            raise CheckpointError(
                f"{type(self).__name__}: the state has {len(states)} schedulers, expected {len(self._schedulers)}"
            )
        for scheduler, state in zip(self._schedulers, states, strict=True):
            scheduler._entries(state)  # all fit before any is changed
        self.__dict__.update(entries)
        for scheduler, state in zip(self._schedulers, states, strict=True):
            scheduler.load_state_dict(state)

    _schedulers: list[LRScheduler]


class SequentialLR(_CombinedLR):
    """The first scheduler until the first milestone, then the second from its epoch 0 on, and so forth.

    Args: milestones: epochs, one fewer than schedulers, not falling.
    """

    def __init__(
        self, optimizer: Optimizer, schedulers: Sequence[LRScheduler], milestones: Sequence[int], last_epoch: int = -1
    ) -> None:
        self._check(optimizer, schedulers)
        if not schedulers or len(milestones) != len(schedulers) - 1:
            raise ArgumentError(
                f"SequentialLR: expected one milestone fewer than schedulers, "
                f"got {len(milestones)} and {len(schedulers)}"
            )
        if list(milestones) != sorted(milestones):
            raise ArgumentError(f"SequentialLR: milestones must not fall, got {list(milestones)}")
        self.optimizer = optimizer
        self._schedulers, self._milestones = list(schedulers), list(milestones)
        self._undo()
        self._initial_step()
        self.last_epoch = last_epoch + 1

    def _initial_step(self) -> None:
        self.last_epoch = 0
        self._to_first_rates()
        first = self._schedulers[bisect_right(self._milestones, 0)]
        first._initial_step()
        self._last_lr = first.get_last_lr()

    @again
    def step(self, epoch: int | None = None) -> None:
        """Goes on to the next epoch. Raises: ArgumentError for another epoch: the way there matters."""
        _only_next("SequentialLR", epoch)
        self.last_epoch += 1
        number = bisect_right(self._milestones, self.last_epoch)
        scheduler = self._schedulers[number]
        if number > 0 and self._milestones[number - 1] == self.last_epoch:
            scheduler._restart()
        else:
            scheduler.step()
        self._last_lr = scheduler.get_last_lr()

    def _restart(self) -> None:
        self.last_epoch = 0
        self._to_first_rates()
        first = self._schedulers[bisect_right(self._milestones, 0)]
        first._restart()
        self._last_lr = first.get_last_lr()


class ChainedScheduler(_CombinedLR):
    """All schedulers in every epoch, one after the other on the same rates.

    Args: optimizer: of all schedulers; default that of the first.
    """

    def __init__(self, schedulers: Sequence[LRScheduler], optimizer: Optimizer | None = None) -> None:
        if not schedulers:
            raise ArgumentError("ChainedScheduler: expected at least one scheduler")
        optimizer = optimizer or getattr(schedulers[0], "optimizer", None)
        self._check(optimizer, schedulers)
        self.optimizer = schedulers[0].optimizer
        self._schedulers = list(schedulers)
        self._last_lr = self._current()

    def _initial_step(self) -> None:
        for scheduler in self._schedulers:
            scheduler._initial_step()
        self._last_lr = self._current()

    @again
    def step(self, epoch: int | None = None) -> None:
        """Goes on to the next epoch. Raises: ArgumentError for another epoch: the way there matters."""
        _only_next("ChainedScheduler", epoch)
        for scheduler in self._schedulers:
            scheduler.step()
        self._last_lr = self._current()

    def _restart(self) -> None:
        self._to_first_rates()
        for scheduler in self._schedulers:  # a closed form would drop what those before it did
            scheduler.last_epoch = -1
            scheduler._initial_step()
        self._last_lr = self._current()


def _only_next(name: str, epoch: int | None) -> None:
    if epoch is not None:
        raise ArgumentError(f"{name}: only the next epoch can be reached, got epoch {epoch}")
