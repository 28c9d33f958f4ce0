"""The step of a whole group as one launch: lists of arrays, and the hyperparameters as an array.

A launch holds the parameters of one group that have a gradient and the same age (number of steps taken), because bias
corrections and first steps depend on it. Nearly always that is the whole group. What can be prepared is prepared anew
only when other parameters have gradients than last time.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable
from operator import is_
from typing import Any, ClassVar

import numpy as np

from pydl import _C
from pydl.optim.optimizer import Group, Optimizer
from pydl.tensor import Tensor


class Launch:
    """Parameters of one age, the arrays of their state in the order of the kernel, and the kernel's hyperparameters.

    A kernel reads `hyper` when it runs, also when it is replayed; `numbers` is NumPy's view of it.
    """

    __slots__ = ("age", "buffers", "hyper", "numbers", "params", "values")

    def __init__(self, params: list[Tensor], age: int, count: int) -> None:
        self.params = params
        self.age = age
        self.buffers: list[list[_C.Array]] = []
        self.hyper = _C.full((count,), 0, _C.float64, _C.device("cpu"))
        self.numbers: np.ndarray[Any, np.dtype[np.float64]] = _C.to_numpy(self.hyper)
        self.values: tuple[Any, ...] = ()

    def write(self, values: tuple[Any, ...]) -> None:
        """Puts values in front of the hyperparameters, if they are not there yet."""
        if values != self.values:
            self.numbers[: len(values)] = values
            self.values = values


class Plan:
    """How one group steps: valid while the same parameters have gradients and the options ask for the same state."""

    __slots__ = ("launches", "params", "used")

    def __init__(self, params: list[Tensor], used: tuple[str, ...], launches: list[Launch]) -> None:
        self.params, self.used, self.launches = params, used, launches

    def fits(self, params: list[Tensor], used: tuple[str, ...]) -> bool:
        return len(params) == len(self.params) and used == self.used and all(map(is_, params, self.params))


class FusedOptimizer(Optimizer, ABC):
    """An optimizer with one kernel for all parameters of a group.

    A subclass names the kernel, called as kernel(parameters, gradients, *buffers, hyper); the state that the buffers
    are, in that order; and the number of hyperparameters.
    """

    _kernel: ClassVar[Callable[..., None]]
    _slots: ClassVar[tuple[str, ...]]
    _hypers: ClassVar[int]

    def _reset(self) -> None:
        super()._reset()
        self._plans: dict[int, Plan] = {}

    def _used(self, group: Group) -> tuple[str, ...]:
        """The state that the options of a group ask for; the buffers of the other slots stay empty lists."""
        return self._slots

    def _age(self, state: dict[str, Any]) -> int:
        """The number of steps a parameter has taken, as far as it matters."""
        return int(state.get("step", 0))

    def _begin(self, launch: Launch) -> None:
        """A launch was built."""

    @abstractmethod
    def _write(self, group: Group, launch: Launch) -> None:
        """Writes the hyperparameters of the step after `launch.age` steps."""

    def _update(self) -> None:
        kernel = type(self)._kernel
        for number, group in enumerate(self.param_groups):
            params = [p for p in group["params"] if p.grad is not None]
            plan = self._plans.get(number)
            used = self._used(group)
            if plan is None or not plan.fits(params, used):
                plan = self._plans[number] = self._planned(params, used)
            for launch in plan.launches:
                params = launch.params
                self._write(group, launch)
                kernel([p.array for p in params], [p.grad.array for p in params], *launch.buffers, launch.hyper)  # type: ignore[union-attr]
                launch.age += 1
            if len(plan.launches) > 1 and self._alike(plan):
                del self._plans[number]

    def _alike(self, plan: Plan) -> bool:
        """Whether launches can be merged."""
        ages = {self._age(self.state[launch.params[0]]) for launch in plan.launches}
        return len(ages) < len(plan.launches)

    def advance(self) -> None:
        """Writes the hyperparameters of the next step and counts it: a replayed step needs this before it."""
        for number, plan in self._plans.items():
            for launch in plan.launches:
                self._write(self.param_groups[number], launch)
                launch.age += 1

    def _planned(self, params: list[Tensor], used: tuple[str, ...]) -> Plan:
        """The parameters sorted into launches by age, with state for those that have none."""
        by_age: dict[int, list[Tensor]] = {}
        for p in params:
            by_age.setdefault(self._age(self.state[p]) if used else 0, []).append(p)
        launches = [Launch(same, age, self._hypers) for age, same in by_age.items()]
        for launch in launches:
            self._begin(launch)
            for name in self._slots:
                launch.buffers.append([self._buffer(p, name) for p in launch.params] if name in used else [])
        return Plan(params, used, launches)

    def _buffer(self, p: Tensor, name: str) -> _C.Array:
        """The array of one entry of p's state, zeros to begin with. The kernel needs it dense."""
        state = self.state[p]
        held = state.get(name)
        if held is None:
            state[name] = held = Tensor(_C.full(p.shape, 0, p.dtype, p.device))
        elif not held.array.is_dense:
            state[name] = held = Tensor(_C.contiguous(held.array))
        return held.array

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        self._plans = {}
