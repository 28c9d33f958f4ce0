"""The step of a whole group as one launch: lists of arrays, and the hyperparameters as an array.

A launch holds the parameters of one group and device that have a gradient and the same age (number of steps taken),
because bias corrections and first steps depend on it. Nearly always that is the whole group. What can be prepared is
prepared anew only when other parameters have gradients than last time.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable
from operator import is_
from typing import Any, ClassVar

import numpy as np

from pydl import _C
from pydl.autograd import enable_grad
from pydl.autograd.mode import mode
from pydl.errors import AutogradError, CaptureError
from pydl.optim.optimizer import Group, Optimizer, state_dtype
from pydl.sparse import Rows
from pydl.tensor import Tensor


class Launch:
    """Parameters of one age, the arrays of their state in the order of the kernel, and the kernel's hyperparameters.

    A kernel reads `hyper` when it runs, also when it is replayed; `numbers` is NumPy's view of it.

    Attributes:
        age: steps taken. carried: the other scalars of the state as the last step left them.
        coming: what `carried` becomes when the step is done. before: what it was before the newest step.
    """

    __slots__ = ("age", "before", "buffers", "carried", "coming", "hyper", "numbers", "params", "values")

    def __init__(self, params: list[Tensor], age: int, carried: tuple[float, ...], count: int) -> None:
        self.params = params
        self.age = age
        self.carried = self.coming = self.before = carried
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


class Advance:
    """What Python has to do for a recorded step before each replay."""

    def __init__(self, optimizer: "FusedOptimizer") -> None:
        self.optimizer = optimizer
        self.plans = dict(optimizer._plans)
        self.skipped: _C.Array | None = None  # not 0 where the replay left the step out

    def __call__(self) -> None:
        self.optimizer.advance()

    def fits(self) -> bool:
        """Whether the optimizer still steps as it was recorded."""
        optimizer, plans = self.optimizer, self.plans
        return optimizer._plans == plans and all(
            number in plans and optimizer._used(group) == plans[number].used
            for number, group in enumerate(optimizer.param_groups)
        )

    def back(self) -> None:
        """Undoes what was done for a step that was left out."""
        for plan in self.plans.values():
            for launch in plan.launches:
                launch.age, launch.carried = launch.age - 1, launch.before
                for value, place in zip((launch.age, *launch.carried), self.optimizer._scalars.values(), strict=False):
                    launch.numbers[place] = value

    def watch(self, guard: _C.Guard) -> None:
        """Adds to what a replay depends on that the optimizer steps as it was recorded, save for its options."""
        own = self.optimizer.__dict__
        guard.names(own, ["_plans", "param_groups", "_pre_hooks", "_post_hooks"])
        for name in ("_plans", "_pre_hooks", "_post_hooks"):
            guard.entries(own[name])

    def counted(self) -> list[tuple[Group, list[tuple[Launch, _C.Array, int]]]] | None:
        """What `_C.Ready` needs to count the step without Python while the options stay as they are."""
        optimizer = self.optimizer
        if not optimizer._counts:
            return None
        place = optimizer._scalars.get("step", -1)
        return [
            (optimizer.param_groups[number], [(launch, launch.hyper, place) for launch in plan.launches])
            for number, plan in self.plans.items()
        ]


class FusedOptimizer(Optimizer, ABC):
    """An optimizer with one kernel for all parameters of a group.

    A subclass names the kernel, called as kernel(parameters, gradients, buffers, hyper); the state that the buffers
    are, in that order; the number of hyperparameters; and the places among them of the scalars of the state, "step"
    first. Parameters whose scalars agree share them and a launch. Where a group is "differentiable", the rule is run as
    operations instead, and the graph goes on through the step.
    """

    _kernel: ClassVar[Callable[..., None]]
    _slots: ClassVar[tuple[str, ...]]
    _hypers: ClassVar[int]
    _counts: ClassVar[bool] = True  # the hyperparameters are the options and, in the place of "step", its number
    _replays: ClassVar[bool] = False  # an `_update` of its own reads what changes from arrays that `advance` writes

    def _reset(self) -> None:
        super()._reset()
        self._plans: dict[int, Plan] = {}

    def _used(self, group: Group) -> tuple[str, ...]:
        """The state that the options of a group ask for; the buffers of the other slots stay empty lists."""
        return self._slots

    def _age(self, state: dict[str, Any]) -> int:
        """The number of steps a parameter has taken, as far as it matters."""
        return int(state.get("step", 0))

    def _start(self, group: Group, name: str) -> float:
        """What an entry of the state begins with."""
        return 0.0

    def _common(self, group: Group) -> tuple[Any, ...]:
        """The hyperparameters that all rules have, in their places."""
        decoupled = group.get("decoupled_weight_decay", False)
        return float(group["lr"]), float(group.get("weight_decay", 0)), decoupled, group["maximize"]

    @abstractmethod
    def _rule(self, group: Group, state: dict[str, Any], p: Tensor, d: Tensor, step: int) -> Tensor:
        """What the kernel does to one parameter, in operations: the new p; d is the direction, `step` counts from 1.

        New entries of the state take the place of the old ones, which may be part of a graph.
        """

    @abstractmethod
    def _write(self, group: Group, launch: Launch) -> None:
        """Writes the hyperparameters of the step after `launch.age` steps, and sets `launch.coming` if there is any."""

    def _update(self) -> None:
        for number in range(len(self.param_groups)):
            self.update_group(number)

    def update_group(self, number: int) -> None:
        """The step of one group alone, without hooks."""
        kernel, group = type(self)._kernel, self.param_groups[number]
        params = [p for p in group["params"] if p.grad is not None]
        if group.get("differentiable"):
            self._plans.pop(number, None)
            return self._step_in_graph(group, params)
        if self._takes_sparse:
            params = self._without_rows(group, params)
        plan = self._plans.get(number)
        used = self._used(group)
        if plan is None or not plan.fits(params, used):
            plan = self._plans[number] = self._planned(group, params, used)
        for launch in plan.launches:
            params = launch.params
            self._prepare(group, launch)
            kernel([p.array for p in params], [p.grad.array for p in params], launch.buffers, launch.hyper)  # type: ignore[union-attr]
            launch.age += 1
            launch.before, launch.carried = launch.carried, launch.coming
        if len(plan.launches) > 1 and mode.recording is None and self._alike(plan):
            del self._plans[number]

    def _without_rows(self, group: Group, params: list[Tensor]) -> list[Tensor]:
        """Steps the parameters whose gradients are sparse; returns the others."""
        if Rows not in {p.grad.array.__class__ for p in params}:  # type: ignore[union-attr]
            return params
        dense = []
        for p in params:
            g: Any = p.grad
            if g.array.__class__ is Rows:
                if self._step_rows(group, p, g):
                    continue
                p.grad = g.to_dense()
            dense.append(p)
        return dense

    def _step_rows(self, group: Group, p: Tensor, g: Tensor) -> bool:
        """The step of p by the rows that its sparse gradient holds. Returns: False where other rows would move too."""
        return False

    def _step_in_graph(self, group: Group, params: list[Tensor]) -> None:
        """The step of a group as recorded changes of its parameters. Raises: AutogradError for leaves."""
        for p in params:
            if p.requires_grad and p.node is None:
                raise AutogradError(
                    f"{self._name}: a differentiable step goes on with the graph that made a parameter, but one of "
                    f"shape {p.shape} is a leaf: give it a clone()"
                )
        with enable_grad():
            for p in params:
                state, wide = self.state[p], state_dtype(p)
                step = self._age(state) + 1
                for name in self._used(group):
                    if name not in state:
                        state[name] = Tensor(_C.full(p.shape, self._start(group, name), wide, p.device))
                assert p.grad is not None
                gradient, old = p.grad.to(wide), p.clone().to(wide)
                kept, d = self._decayed(group, old, -gradient if group["maximize"] else gradient)
                new = self._rule(group, state, kept, d, step)
                if "step" in self._scalars:
                    state["step"] = Tensor(_C.full((), step, _C.float64, _C.device("cpu")))
                p.copy_(new.to(p.dtype))

    def _decayed(self, group: Group, p: Tensor, d: Tensor) -> tuple[Tensor, Tensor]:
        """p and d with the weight decay in one of them."""
        decay = group.get("weight_decay", 0)
        if not isinstance(decay, Tensor) and decay == 0:
            return p, d
        if group.get("decoupled_weight_decay", False):
            return p * (1 - group["lr"] * decay), d
        return p, d + decay * p

    def _prepare(self, group: Group, launch: Launch) -> None:
        """Writes everything that the kernel reads, the scalars after the step included."""
        self._write(group, launch)
        for place, value in zip(self._scalars.values(), (launch.age + 1, *launch.coming), strict=False):
            launch.numbers[place] = value

    def _alike(self, plan: Plan) -> bool:
        """Whether launches can be merged."""
        first = [(launch.params[0], launch.carried) for launch in plan.launches]
        kinds = {(p.device, self._age(self.state[p]), carried) for p, carried in first}
        return len(kinds) < len(plan.launches)

    def advance(self) -> None:
        """Writes the hyperparameters of the next step and counts it: a replayed step needs this before it."""
        for number, plan in self._plans.items():
            for launch in plan.launches:
                self._prepare(self.param_groups[number], launch)
                launch.age += 1
                launch.before, launch.carried = launch.carried, launch.coming

    @property
    def captures(self) -> bool:
        """Whether `pydl.capture` can record its steps: not where it does more than launches that read `hyper`."""
        return self._replays or type(self)._update is FusedOptimizer._update

    def _record(self, hooks: list[Callable[[], Any]]) -> None:
        if any(group.get("differentiable") for group in self.param_groups):
            raise CaptureError(f"{self._name}: a differentiable step cannot be captured")
        if not self.captures:
            super()._record(hooks)
        if self._pre_hooks or self._post_hooks:
            raise CaptureError(f"{self._name}: a captured step does not call its hooks: remove them")
        if any(isinstance(hook, Advance) and hook.optimizer is self for hook in hooks):
            raise CaptureError(f"{self._name}: a captured function can take one step of an optimizer, not two")
        hooks.append(Advance(self))

    def _planned(self, group: Group, params: list[Tensor], used: tuple[str, ...]) -> Plan:
        """The parameters sorted into launches by device and scalars, with state for those that have none."""
        kinds: dict[tuple[_C.device, int, tuple[float, ...]], list[Tensor]] = {}
        for p in params:
            kind = self._kind(group, self.state[p]) if used else (0, ())
            kinds.setdefault((p.device, *kind), []).append(p)
        launches = [Launch(same, age, carried, self._hypers) for (_, age, carried), same in kinds.items()]
        for launch in launches:
            self._share(launch)
            launch.buffers = [
                [self._buffer(group, p, name) for p in launch.params] if name in used else [] for name in self._slots
            ]
        return Plan(params, used, launches)

    def _kind(self, group: Group, state: dict[str, Any]) -> tuple[int, tuple[float, ...]]:
        """The scalars of a parameter's state: parameters of one launch agree in them."""
        names = [name for name in self._scalars if name != "step"]
        return self._age(state), tuple(float(state.get(name, self._start(group, name))) for name in names)

    def _share(self, launch: Launch) -> None:
        """The scalars of the state of every parameter become views of the numbers that the kernel reads."""
        for value, (name, place) in zip((launch.age, *launch.carried), self._scalars.items(), strict=False):
            launch.numbers[place] = value
            shared = Tensor(_C.view(_C.slice(launch.hyper, (place,), (1,), (1,)), ()))
            for p in launch.params:
                self.state[p][name] = shared

    def _buffer(self, group: Group, p: Tensor, name: str) -> _C.Array:
        """The array of one entry of p's state. The kernel needs it dense."""
        state = self.state[p]
        held = state.get(name)
        if held is None:
            state[name] = held = Tensor(_C.full(p.shape, self._start(group, name), state_dtype(p), p.device))
        elif held.requires_grad:  # of a differentiable step, whose graph keeps it
            state[name] = held = held.detach().clone()
        elif not held.array.is_dense:
            state[name] = held = Tensor(_C.contiguous(held.array))
        return held.array

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        self._plans = {}
