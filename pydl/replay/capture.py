"""capture: a function whose launches are recorded once and replayed without Python."""

from collections import OrderedDict
from collections.abc import Callable
from functools import partial, update_wrapper
from threading import RLock
from typing import Any

from pydl.autograd.mode import mode
from pydl.errors import ArgumentError
from pydl.replay.plan import Replay, detached, modes
from pydl.replay.reach import reached
from pydl.replay.tree import split
from pydl.tensor import Tensor

_TENSORS = {Tensor}


class Capture:
    """A captured function; see `capture`."""

    def __init__(self, function: Callable[..., Any], max_plans: int) -> None:
        if max_plans < 1:
            raise ArgumentError(f"capture: max_plans must be at least 1, got {max_plans}")
        update_wrapper(self, function)
        self.function = function
        self.max_plans = max_plans
        self._plans: OrderedDict[Any, Replay | None] = OrderedDict()
        self._last: Replay | None = None
        self._lock = RLock()

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        if mode.recording is not None:  # inside another captured function: part of its plan
            return self.function(*args, **kwargs)
        tensors: list[Tensor] = []
        if kwargs or {*map(type, args)} != _TENSORS:
            static: Any = (split(args, tensors), split(kwargs, tensors))
        else:  # nothing but tensors: the common case
            tensors, static = list(args), len(args)
        last = self._last
        if last is not None and last.fits(tensors, static):
            made = last.run(tensors)
            if made is not None:
                return made[0]
        return self._other(args, kwargs, tensors, static)

    def _other(self, args: Any, kwargs: Any, tensors: list[Tensor], static: Any) -> Any:
        """A call that the last plan is not one for: eager the first time, then recorded, then replayed."""
        with self._lock:
            key = self._key(args, kwargs, tensors, static)
            plan = self._plans.get(key)
            if plan is not None and plan.fits(tensors, static):
                made = plan.run(tensors)
                if made is not None:
                    self._last = plan
                    self._plans.move_to_end(key)
                    return made[0]
            if plan is not None or key not in self._plans:  # what no longer fits begins anew: lazy state first
                made = detached(self.function(*args, **kwargs))
                self._keep(key, None)
                return made
            recorded = Replay(self.function, args, kwargs, tensors, static)
            self._keep(key, recorded)
            self._last = recorded
            made, recorded.result = recorded.result, None
            return made

    def _keep(self, key: Any, plan: Replay | None) -> None:
        """Remembers a plan, and forgets the one that was not used for longest."""
        self._plans[key] = plan
        self._plans.move_to_end(key)
        if len(self._plans) > self.max_plans:
            self._plans.popitem(last=False)

    def _key(self, args: Any, kwargs: Any, tensors: list[Tensor], static: Any) -> Any:
        modules, held = reached(self.function, args, kwargs)
        kinds = tuple((t.shape, t.dtype, t.requires_grad) for t in tensors)
        flags = tuple(m.training for m in modules), frozenset(id(t) for t in held if t.requires_grad)
        return static, kinds, modes(), flags

    def __get__(self, instance: Any, owner: type | None = None) -> Any:
        return self if instance is None else partial(self, instance)

    @property
    def plans(self) -> list[Replay]:
        """The plans there are, the one used last at the end."""
        return [plan for plan in self._plans.values() if plan is not None]

    def report(self) -> str:
        """`Replay.report` of every plan."""
        return "\n\n".join(plan.report() for plan in self.plans)


def capture(function: Callable[..., Any] | None = None, *, max_plans: int = 8) -> Any:
    """A function, such as a training step, whose kernels run again without its Python code.

    The first call with arguments of a kind (shapes, dtypes, Python values) runs as usual, the second one is recorded,
    later ones copy their tensors into place and run the recorded launches. Results are copies and outside the graph.
    Tensors, modules and optimizers that the function uses are read and changed as usual; learning rates and schedules
    may change. All other Python numbers are frozen as they were when it was recorded, and Python code, such as print or
    a counter, does not run again. train(), eval() and requires_grad make a new plan.

    Args: max_plans: how many are kept.
    Raises: CaptureError, naming the line, where values are read (`item`, `numpy`, `if tensor`), where shapes depend on
        values, or where gradients, arguments or arrays would not be what they are without capture. The call that raises
        has run up to there.
    """
    if function is None:
        return lambda f: Capture(f, max_plans)
    return Capture(function, max_plans)
