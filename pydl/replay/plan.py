"""Replay: one recorded run of a function, and under which conditions it stands for the function."""

import gc
import random
import traceback
from _random import Random
from collections.abc import Callable, Sequence
from ctypes import string_at
from pathlib import Path
from typing import Any

import numpy as np

from pydl import _C
from pydl.autograd.mode import mode
from pydl.errors import CaptureError
from pydl.replay.passes import optimise
from pydl.replay.reach import Reached
from pydl.replay.report import Cost, table
from pydl.replay.scopes import Scopes
from pydl.replay.tree import filled, replaced, split
from pydl.tensor import Tensor

_HOME = str(Path(__file__).parents[1])

_C.tensor_type(Tensor)


def modes() -> tuple[bool, bool, Any, Any]:
    """What the thread has set that operations look at."""
    return mode.enabled, mode.inference, mode.cast, _C.default_dtype()


def detached(tree: Any) -> Any:
    """Results as a captured function gives them: outside the graph."""
    return replaced(tree, Tensor.detach)


class Replay:
    """A recorded run.

    Attributes: result: what the recording run gave. call: the same as `run`, from all arguments of a call, where they
        are tensors, numbers and the same objects as before. changes: launches that each pass has removed, joined or
        moved, and arrays that are bound.
    """

    def __init__(
        self,
        function: Callable[..., Any],
        args: Any,
        kwargs: Any,
        tensors: list[Tensor],
        static: Any,
        seen: Reached,
        passes: Sequence[str],
    ) -> None:
        self.static = static
        self.tensors = seen.tensors
        self.guard = seen.guard()
        self.plan = _C.Plan()
        before = [t.grad for t in self.tensors]
        self.result = self._recorded(function, args, kwargs, tensors)
        given = [  # gradients that it reads: they must be where they were
            (t, g) for t, g in zip(self.tensors, before, strict=True) if g is not None and self.plan.uses(g.array)
        ]
        self._check(given)
        self.grads = [(t, t.grad) for t in self.tensors if t.grad is not None and self.plan.owns(t.grad.array)]
        held = [g.array for _, g in self.grads if g is not None]
        self.changes = optimise(self.plan, passes, self._check_kept(), held)
        for hook in self.hooks:
            if hasattr(hook, "watch"):
                hook.watch(self.guard)
        for t, _ in given:
            self.guard.same_grad(t)
        if all(g is None for g in before):
            for t, _ in self.grads:
                self.guard.no_grad(t)
        self.ready = self._ready(args, kwargs, tensors)
        self.call: Callable[[Any, Any], Any] = self.ready.call

    def _recorded(self, function: Callable[..., Any], args: Any, kwargs: Any, tensors: list[Tensor]) -> Any:
        """Runs the function on fixed arrays while its launches are recorded; copies of its results."""
        outputs: list[Any] = []
        self.hooks: list[Any] = []
        drawn = draws()
        self.plan.begin([t.array for t in tensors])
        mode.recording = self.hooks
        try:
            fixed = [Tensor(a, None, t.requires_grad) for a, t in zip(self.plan.inputs, tensors, strict=True)]
            places = iter(fixed)
            with Scopes():
                made = function(*filled(args, places), **filled(kwargs, places))
            outputs = [t.array for t in _listed(made)]
        except CaptureError as error:
            raise CaptureError(f"{error}{line_of(error)}") from error
        finally:
            mode.recording = None
            self.plan.end(outputs)
        if any(t.grad is not None for t in fixed):
            raise CaptureError("capture: backward reaches an argument: take it in as x.detach().requires_grad_()")
        if draws() != drawn:
            raise CaptureError("capture: the function draws Python's or NumPy's random numbers: draw pydl's")
        self.tree = detached(made)
        return replaced(made, lambda t: Tensor(_C.clone(t.array)))

    def _check(self, given: list[tuple[Tensor, Tensor]]) -> None:
        """Raises: CaptureError for what a replay would not do again."""
        plan = self.plan
        if (changed := self.guard.changed()) is not None:
            raise CaptureError(f"capture: the function changes {_described(*changed)}, which a replay would not")
        if any(t.grad is not g for t, g in given):
            raise CaptureError("capture: gradients add up over calls: call zero_grad() first in the function")
        if any(plan.changes(a) for a in plan.inputs):
            raise CaptureError("capture: the function changes an argument in place, of which a replay has a copy")
        if plan.changes_borrowed:
            raise CaptureError("capture: the function changes an array of NumPy's that it makes itself")

    def _check_kept(self) -> list[Any]:
        """The plan's arrays that are read after a replay.

        Raises: CaptureError if others made inside are kept somewhere: Python would not see them change.
        """
        plan = self.plan
        results = [*_listed(self.tree), *[g for _, g in self.grads if g is not None]]
        known = [*plan.inputs, *[t.array for t in results]]
        if plan.live > plan.blocks(known):
            gc.collect()
        if (extra := plan.live - plan.blocks(known)) > 0:
            raise CaptureError(f"capture: the function keeps {extra} arrays that it makes: return them instead")
        return known

    def _ready(self, args: Any, kwargs: Any, tensors: list[Tensor]) -> Any:
        nested = kwargs or sum(isinstance(x, Tensor) for x in args) != len(tensors)
        pattern = None if nested else [... if isinstance(x, Tensor) else x for x in args]
        now = (mode, mode.enabled, mode.inference, mode.cast, _C.default_dtype())
        needs = [t.requires_grad for t in tensors]
        return _C.Ready(self.plan, self.guard, now, pattern, needs, steps_of(self.hooks), self.grads, self._build())

    def _build(self) -> Any:
        """How the result is made of tensors: see `_C.Ready`."""
        tree = self.tree
        if tree.__class__ is Tensor:
            return None
        if not _listed(tree):
            return (tree,)
        if type(tree) in (tuple, list) and all(isinstance(x, Tensor) for x in tree):
            return type(tree)
        return lambda tensors: filled(tree, iter(tensors))

    def run(self, tensors: list[Tensor], static: Any) -> Any:
        """The results of a replay; NotImplemented if the plan is not one for a call with these arguments."""
        return self.ready.run(tensors) if static == self.static else NotImplemented

    def report(self) -> str:
        """The launches by kernel and by module: calls, bytes, flops, and milliseconds as of the recording run or the
        last one that was measured; and the memory of the plan."""
        return written(self.plan, self.changes)


def written(plan: Any, changes: dict[str, int]) -> str:
    """A plan's launches, what its passes have done, and its memory."""
    launches = table(Cost(*launch) for launch in plan.launches())
    passes = ", ".join(f"{name} {count}" for name, count in changes.items()) or "none"
    graphs = f"\n{plan.graphs}" if plan.graphs else ""
    return f"{launches}\npasses: {passes}\n{plan.bytes} bytes of memory, {plan.asked} without reuse{graphs}"


def steps_of(hooks: list[Any]) -> list[tuple[Any, Any, Any, Any]]:
    """What is done before each replay, as `_C.Ready` takes it."""
    return [
        (h, getattr(h, "fits", None), h.counted() if hasattr(h, "counted") else None, getattr(h, "skipped", None))
        for h in hooks
    ]


def _described(where: Any, name: Any) -> str:
    """What changed, in words."""
    if isinstance(where, Tensor) or name == "training":
        return "train(), requires_grad or the arrays of what it uses"
    if name is None:
        return "a list" if isinstance(where, list) else "a variable of its closure"
    return repr(name)


def _listed(tree: Any) -> list[Tensor]:
    tensors: list[Tensor] = []
    split(tree, tensors)
    return tensors


def draws() -> Any:
    """The states of Python's and NumPy's random numbers, as the memory of their generators: asking NumPy for its state
    copies that number by number, which takes longer than most small steps."""
    python: Any = random.getstate
    python, numpy = python.__self__, np.random.mtrand._rand
    bits = numpy._bit_generator
    own = _memory(bits, type(bits)) if type(bits) is np.random.MT19937 else repr(bits.state)
    return _memory(python, Random), python.gauss_next, _memory(numpy, type(numpy)), own


def _memory(x: object, kind: type) -> bytes:
    """What an object of a class holds behind the head that all objects have."""
    return string_at(id(x) + object.__basicsize__, kind.__basicsize__ - object.__basicsize__)


def line_of(error: BaseException) -> str:
    """Where in the user's code an error comes from."""
    frames = [f for f in traceback.extract_tb(error.__traceback__) if not f.filename.startswith(_HOME)]
    return f" ({frames[-1].filename}:{frames[-1].lineno}: {frames[-1].line})" if frames else ""
