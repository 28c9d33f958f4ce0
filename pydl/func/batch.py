"""Tensors that hold many examples and show the shape of one.

Inside `vmap` the array of such a tensor is `Lanes`: all examples, in front, behind the facts of one. No kernel takes
it, so an operation that meets it fails to be called, and only then asks it to run the operation: outside of vmap
nothing is slower. It runs by the rules of pydl/func/rules.py, or, where there is none, one example after the other, and
records a node as always; gradient rules are made of operations, so they run on lanes like everything else.

A tensor without lanes that meets one with lanes holds the same for all examples. If it is being recorded, its gradient
is the sum of theirs, so it enters the lanes by an operation of its own.
"""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from pydl import _C
from pydl.autograd.mode import mode
from pydl.autograd.node import Node
from pydl.autograd.op import Op
from pydl.autograd.several import part_of
from pydl.errors import ArgumentError, AutogradError
from pydl.ops.shape import Alias, expand, unsqueeze
from pydl.tensor import Tensor

__all__ = ["Lanes", "Level", "enter", "inside_all", "leave", "level_of"]


class Level:
    """One vmap that is running.

    Attributes: size: the number of examples; depth: how many others are around it; randomness: as vmap was told; drawn:
        how far draws that differ from example to example have moved the default generator.
    """

    def __init__(self, size: int, depth: int, randomness: str = "error") -> None:
        self.size, self.depth, self.randomness, self.drawn = size, depth, randomness, 0


class _Running(threading.local):
    def __init__(self) -> None:
        self.levels: list[Level] = []
        self.at_work: list[Level] = []  # whose rules are being run


_running = _Running()


@contextmanager
def level_of(size: int, randomness: str = "error") -> Iterator[Level]:
    """A new innermost level for the time of a call."""
    level = Level(size, len(_running.levels), randomness)
    _running.levels.append(level)
    try:
        yield level
    finally:
        _running.levels.pop()


def level_at_work() -> Level:
    """The level whose rule is being run."""
    return _running.at_work[-1]


class Lanes:
    """In the place of an array: `data` (n, *shape), seen as (*shape)."""

    __slots__ = ("data", "level")

    def __init__(self, data: Any, level: Level) -> None:
        self.data, self.level = data, level

    @property
    def shape(self) -> tuple[int, ...]:
        return self.data.shape[1:]  # type: ignore[no-any-return]

    @property
    def ndim(self) -> int:
        return self.data.ndim - 1  # type: ignore[no-any-return]

    @property
    def size(self) -> int:
        n = 1
        for s in self.shape:
            n *= s
        return n

    @property
    def dtype(self) -> _C.dtype:
        return self.data.dtype  # type: ignore[no-any-return]

    @property
    def device(self) -> _C.device:
        return self.data.device  # type: ignore[no-any-return]

    @property
    def is_floating(self) -> bool:
        return self.data.is_floating  # type: ignore[no-any-return]

    @property
    def is_dense(self) -> bool:
        return self.data.is_dense  # type: ignore[no-any-return]

    @property
    def version(self) -> int:
        return self.data.version  # type: ignore[no-any-return]

    def item(self) -> Any:
        """The number that all examples have; where they differ the function cannot go one way for all."""
        array = self.data
        while isinstance(array, Lanes):
            array = array.data
        if self.size != 1 or not array.size:
            raise ArgumentError(f"item: shape {self.shape} is not one number")
        values = Tensor(array).tolist()
        while isinstance(values[0], list):
            values = [v for part in values for v in part]
        if any(v != values[0] for v in values):
            raise AutogradError("vmap: the examples differ in a value that the function looks at")
        return values[0]

    def __repr__(self) -> str:
        return f"Lanes({self.data.shape})"

    def run(self, op: type[Op], inputs: tuple[Tensor | None, ...], attrs: dict[str, Any]) -> Tensor:
        """op on inputs of which at least one has lanes: by its rule, or else by its plain definition."""
        from pydl.func.rules import by_example, rule_of

        reference = getattr(op, "reference", None)
        if reference is not None and rule_of(op) is by_example:
            return reference(*inputs, **attrs)  # type: ignore[no-any-return]
        level = _innermost(inputs)
        recorded = mode.enabled and any(t is not None and t.requires_grad for t in inputs)
        if recorded:
            _check_tracked(op)
            inputs = tuple(t if t is None or not t.requires_grad else inside(t, level) for t in inputs)
        made = compute(op, [None if t is None else t.array for t in inputs], attrs)
        if getattr(op, "several", False):
            if not recorded:
                return tuple(Tensor(a) for a in made)  # type: ignore[return-value]
            node = Node(op, inputs, made, attrs)
            return tuple(part_of(node, Tensor(a), i, True) for i, a in enumerate(made))  # type: ignore[return-value]
        first, residuals = (made[0], made[1:]) if isinstance(made, tuple) else (made, ())
        if not recorded:
            return Tensor(first)
        saved = (first, *residuals) if op.saves_output else residuals
        return Tensor(first, Node(op, inputs, saved, attrs), True)


def _check_tracked(op: type[Op]) -> None:
    """Raises for an op whose gradient rule is not known to run on lanes: it may be walked when vmap is over."""
    from pydl.func.rules import UNTRACKED, by_example, rule_of

    if op in UNTRACKED or rule_of(op) is by_example:
        raise AutogradError(f"vmap: the gradient rule of {op.__name__} takes one example at a time")


def _innermost(inputs: Any) -> Level:
    levels = [t.array.level for t in inputs if t is not None and isinstance(t.array, Lanes)]
    return max(levels, key=lambda level: level.depth)  # type: ignore[no-any-return]


def compute(op: type[Op], arrays: list[Any], attrs: dict[str, Any]) -> Any:
    """What the op's kernel makes of arrays, some of which may have lanes."""
    levels = [a.level for a in arrays if isinstance(a, Lanes)]
    if not levels:
        return op.kernel(*arrays, **attrs)
    from pydl.func.rules import rule_of

    level = max(levels, key=lambda found: found.depth)
    inner = [a.data if isinstance(a, Lanes) and a.level is level else a for a in arrays]
    has = [isinstance(a, Lanes) and a.level is level for a in arrays]
    _running.at_work.append(level)
    try:
        made = rule_of(op)(op, inner, has, attrs, level.size)
    finally:
        _running.at_work.pop()
    if isinstance(made, tuple):
        return tuple(None if m is None else Lanes(m, level) for m in made)
    return Lanes(made, level)


class Enter(Op):
    """(n, *shape) as lanes of (*shape)."""

    uses = ()

    @classmethod
    def apply(cls, x: Tensor, level: Level) -> Tensor:  # type: ignore[override]
        made = Lanes(x.array, level)
        if not (x.requires_grad and mode.enabled):
            return Tensor(made)  # type: ignore[arg-type]
        return Tensor(made, Node(cls, (x,), (), {"level": level}), True)  # type: ignore[arg-type]

    @staticmethod
    def vjp(g: Tensor, x: Tensor, level: Level) -> tuple[Tensor]:  # type: ignore[override]
        return (leave(g, level),)


class Leave(Op):
    """Lanes of (*shape) as (n, *shape)."""

    uses = ()

    @classmethod
    def apply(cls, x: Tensor, level: Level) -> Tensor:  # type: ignore[override]
        made = x.array.data  # type: ignore[attr-defined]
        if not (x.requires_grad and mode.enabled):
            return Tensor(made)
        return Tensor(made, Node(cls, (x,), (), {"level": level}), True)

    @staticmethod
    def vjp(g: Tensor, x: Tensor, level: Level) -> tuple[Tensor]:  # type: ignore[override]
        return (enter(g, level),)


def enter(x: Tensor, level: Level) -> Tensor:
    """x (n, *shape) with its first axis as lanes."""
    return Enter.apply(x, level)


def leave(x: Tensor, level: Level) -> Tensor:
    """x with its lanes as first axis; what has none is the same in all."""
    array = x.array
    if isinstance(array, Lanes) and array.level is level:
        return Leave.apply(x, level)
    if isinstance(array, Lanes) and array.level.depth > level.depth:
        raise AutogradError("vmap: a tensor was used after the vmap that it belongs to had ended")
    return expand(unsqueeze(x, 0), level.size, *x.shape)


def inside(x: Tensor, level: Level) -> Tensor:
    """x with lanes of this level, if it has none the same in all."""
    if isinstance(x.array, Lanes) and x.array.level is level:
        return x
    return enter(leave(x, level), level)


def inside_all(x: Tensor) -> Tensor:
    """x with lanes of every vmap that is running: what is made of it differs from example to example."""
    for level in _running.levels:
        x = _inside_outer(x, level)
    return x


def _inside_outer(x: Tensor, level: Level) -> Tensor:
    """As inside, where x may have lanes of deeper levels already."""
    if has_level(x.array, level):
        return x
    deeper = [a for a in levels_of(x.array) if a.depth > level.depth]
    if not deeper:
        return inside(x, level)
    raise AutogradError("vmap: a tensor has lanes of an inner vmap but not of the outer")


def levels_of(array: Any) -> list[Level]:
    """The levels of an array, innermost first."""
    found = []
    while isinstance(array, Lanes):
        found.append(array.level)
        array = array.data
    return found


def has_level(array: Any, level: Level) -> bool:
    return level in levels_of(array)


def alias(x: Tensor) -> Tensor:
    """x as a new tensor in the graph."""
    return x.array.run(Alias, (x,), {}) if isinstance(x.array, Lanes) else Alias.apply(x)  # type: ignore[no-any-return]
