"""Capture: a function whose launches are recorded once and replayed without Python."""

import warnings
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial, update_wrapper
from threading import RLock
from typing import Any

from pydl.autograd.mode import mode
from pydl.errors import ArgumentError
from pydl.replay.passes import ALL, checked
from pydl.replay.plan import Replay, detached, modes
from pydl.replay.reach import Reached
from pydl.replay.tree import split
from pydl.tensor import Tensor

_WASTED = 8  # plans in a row that stood for hardly a call, after which a kind of call is run as it is


class Capture:
    """A captured function; see `capture`."""

    def __init__(self, function: Callable[..., Any], max_plans: int, passes: Sequence[str] = ALL) -> None:
        if max_plans < 1:
            raise ArgumentError(f"capture: max_plans must be at least 1, got {max_plans}")
        update_wrapper(self, function)
        self.function = function
        self.max_plans = max_plans
        self.passes = checked(passes)
        self._plans: OrderedDict[Any, Replay | None] = OrderedDict()
        self._call: Callable[[Any, Any], Any] | None = None  # of the plan used last
        self._wasted = 0
        self._lock = RLock()

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        call = self._call
        if call is not None:
            made = call(args, kwargs)
            if made is not NotImplemented:
                return made
        return self._other(args, kwargs)

    def _other(self, args: Any, kwargs: Any) -> Any:
        """A call that the last plan is not one for: eager the first time, then recorded, then replayed."""
        if mode.recording is not None:  # inside another captured function: part of its plan
            return self.function(*args, **kwargs)
        tensors: list[Tensor] = []
        static = split(args, tensors), split(kwargs, tensors)
        with self._lock:
            for key, plan in reversed(self._plans.items()):
                made = NotImplemented if plan is None else plan.run(tensors, static)
                if plan is not None and made is not NotImplemented:
                    self._call = plan.call
                    self._plans.move_to_end(key)
                    return made
            seen = Reached(self.function, args, kwargs)
            key = self._key(seen, tensors, static)
            plan = self._plans.get(key)
            if plan is not None:
                self._note(plan)
            if plan is not None or key not in self._plans or self._wasted >= _WASTED:
                made = detached(self.function(*args, **kwargs))  # what no longer fits begins anew: lazy state first
                self._keep(key, None)
                return made
            self._before_recording()
            recorded = Replay(self.function, args, kwargs, tensors, static, seen, self.passes)
            self._keep(key, recorded)
            self._call = recorded.call
            made, recorded.result = recorded.result, None
            return made

    def _before_recording(self) -> None:
        """Called before a call is recorded."""

    def _note(self, plan: Replay) -> None:
        """Counts plans that were of little use."""
        self._wasted = self._wasted + 1 if plan.ready.count < 2 else 0
        if self._wasted == _WASTED:
            self._give_up()

    def _give_up(self) -> None:
        warnings.warn(
            f"capture: {getattr(self, '__name__', 'a function')} depends on Python values or shapes that change with "
            "nearly every call, so it is no longer captured: make them tensors, or max_plans larger",
            RuntimeWarning,
            stacklevel=5,
        )

    def _keep(self, key: Any, plan: Replay | None) -> None:
        """Remembers a plan, and forgets the one that was not used for longest."""
        self._plans[key] = plan
        self._plans.move_to_end(key)
        if len(self._plans) > self.max_plans:
            _, forgotten = self._plans.popitem(last=False)
            if forgotten is not None:
                self._note(forgotten)

    @staticmethod
    def _key(seen: Reached, tensors: list[Tensor], static: Any) -> Any:
        kinds = tuple((t.shape, t.dtype, t.requires_grad) for t in tensors)
        flags = tuple(m.training for m in seen.modules), frozenset(id(t) for t in seen.tensors if t.requires_grad)
        return static, kinds, modes(), flags

    def __get__(self, instance: Any, owner: type | None = None) -> Any:
        return self if instance is None else partial(self, instance)

    @property
    def plans(self) -> list[Replay]:
        """The plans there are, the one used last at the end."""
        return [plan for plan in self._plans.values() if plan is not None]

    @contextmanager
    def measured(self) -> Iterator[None]:
        """Replays inside note the time of each launch, for `report`: `with step.measured(): step(x, y)`."""
        plans = [plan.plan for plan in self.plans]
        for plan in plans:
            plan.measure(True)
        try:
            yield
        finally:
            for plan in plans:
                plan.measure(False)

    def report(self) -> str:
        """`Replay.report` of every plan."""
        return "\n\n".join(plan.report() for plan in self.plans)
