"""Replay: one recorded run of a function, and under which conditions it stands for the function."""

import gc
import random
import traceback
from collections.abc import Callable
from operator import attrgetter
from pathlib import Path
from typing import Any

import numpy as np

from pydl import _C
from pydl.autograd.mode import mode
from pydl.errors import CaptureError
from pydl.replay.reach import reached
from pydl.replay.report import table
from pydl.replay.tree import filled, replaced, split
from pydl.tensor import Tensor

_HOME = str(Path(__file__).parents[1])
_array, _requires, _training = attrgetter("array"), attrgetter("requires_grad"), attrgetter("training")


def modes() -> tuple[bool, bool, Any, Any]:
    """What the thread has set that operations look at."""
    return mode.enabled, mode.inference, mode.cast, _C.default_dtype()


def detached(tree: Any) -> Any:
    """Results as a captured function gives them: outside the graph."""
    return replaced(tree, Tensor.detach)


class Replay:
    """A recorded run.

    Attributes: result: what the recording run gave.
    """

    def __init__(
        self, function: Callable[..., Any], args: Any, kwargs: Any, tensors: list[Tensor], static: Any
    ) -> None:
        self.static, self.modes = static, modes()
        self.needs = [t.requires_grad for t in tensors]
        self.modules, self.tensors = reached(function, args, kwargs)
        self.training, self.arrays, self.requires = self._state()
        self.plan = _C.Plan()
        before = [t.grad for t in self.tensors]
        self.result = self._recorded(function, args, kwargs, tensors)
        self.given = [  # gradients that it reads: they must be where they were
            (t, g) for t, g in zip(self.tensors, before, strict=True) if g is not None and self.plan.uses(g.array)
        ]
        self._check()
        self.fresh = all(g is None for g in before)
        self.grads = [(t, t.grad) for t in self.tensors if t.grad is not None and self.plan.owns(t.grad.array)]
        self._check_kept()

    def _state(self) -> tuple[list[bool], list[Any], list[bool]]:
        return [*map(_training, self.modules)], [*map(_array, self.tensors)], [*map(_requires, self.tensors)]

    def _recorded(self, function: Callable[..., Any], args: Any, kwargs: Any, tensors: list[Tensor]) -> Any:
        """Runs the function on fixed arrays while its launches are recorded; copies of its results."""
        outputs: list[Any] = []
        hooks: list[Any] = []
        draws = _draws()
        self.plan.begin([t.array for t in tensors])
        mode.recording = hooks
        try:
            fixed = [Tensor(a, None, t.requires_grad) for a, t in zip(self.plan.inputs, tensors, strict=True)]
            places = iter(fixed)
            made = function(*filled(args, places), **filled(kwargs, places))
            outputs = [t.array for t in _listed(made)]
        except CaptureError as error:
            raise CaptureError(f"{error}{_line(error)}") from error
        finally:
            mode.recording = None
            self.plan.end(outputs, hooks)
        self.steps = [hook for hook in hooks if hasattr(hook, "fits")]
        if any(t.grad is not None for t in fixed):
            raise CaptureError("capture: backward reaches an argument: take it in as x.detach().requires_grad_()")
        if _draws() != draws:
            raise CaptureError("capture: the function draws Python's or NumPy's random numbers: draw pydl's")
        self.tree = detached(made)
        return replaced(made, lambda t: Tensor(_C.clone(t.array)))

    def _check(self) -> None:
        """Raises: CaptureError for what a replay would not do again."""
        plan = self.plan
        if self._state() != (self.training, self.arrays, self.requires):
            raise CaptureError("capture: the function changes train(), requires_grad or the arrays of what it uses")
        if any(t.grad is not g for t, g in self.given):
            raise CaptureError("capture: gradients add up over calls: call zero_grad() first in the function")
        if any(plan.changes(a) for a in plan.inputs):
            raise CaptureError("capture: the function changes an argument in place, of which a replay has a copy")
        if plan.changes_borrowed:
            raise CaptureError("capture: the function changes an array of NumPy's that it makes itself")

    def _check_kept(self) -> None:
        """Raises: CaptureError if arrays made inside are kept somewhere: Python would not see them change."""
        plan = self.plan
        results = [*_listed(self.tree), *[g for _, g in self.grads if g is not None]]
        known = [*plan.inputs, *[t.array for t in results]]
        if plan.live > plan.blocks(known):
            gc.collect()
        if (extra := plan.live - plan.blocks(known)) > 0:
            raise CaptureError(f"capture: the function keeps {extra} arrays that it makes: return them instead")

    def fits(self, tensors: list[Tensor], static: Any) -> bool:
        """Whether a replay does what the function would do."""
        return (
            static == self.static
            and modes() == self.modes
            and [t.requires_grad for t in tensors] == self.needs
            and [*map(_array, self.tensors)] == self.arrays
            and [*map(_training, self.modules)] == self.training
            and [*map(_requires, self.tensors)] == self.requires
            and all(t.grad is g for t, g in self.given)
            and all(step.fits() for step in self.steps)
            and not (self.fresh and any(t.grad is not None for t, _ in self.grads))
        )

    def run(self, tensors: list[Tensor]) -> Any:
        """The results of a replay, in the same tree; None if shapes or dtypes are others."""
        made = self.plan.run([t.array for t in tensors])
        if made is None:
            return None
        for t, g in self.grads:
            t.grad = g
        if self.tree.__class__ is Tensor:
            return (Tensor(made[0]),)
        return (filled(self.tree, map(Tensor, made)),)

    def report(self) -> str:
        """The launches: calls, bytes, and milliseconds as of the recording run; and the memory of the plan."""
        rows = [(name, label, ns, moved) for name, label, moved, ns in self.plan.launches()]
        memory = f"{self.plan.bytes} bytes of memory, {self.plan.asked} without reuse"
        return f"{table(rows)}\n{memory}"


def _listed(tree: Any) -> list[Tensor]:
    tensors: list[Tensor] = []
    split(tree, tensors)
    return tensors


def _draws() -> Any:
    """The states of Python's and NumPy's random numbers."""
    state: Any = np.random.get_state()
    return random.getstate(), state[1].tobytes(), state[2:]


def _line(error: BaseException) -> str:
    """Where in the user's code an error comes from."""
    frames = [f for f in traceback.extract_tb(error.__traceback__) if not f.filename.startswith(_HOME)]
    return f" ({frames[-1].filename}:{frames[-1].lineno}: {frames[-1].line})" if frames else ""
