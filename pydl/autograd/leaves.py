"""Where gradients arrive: their sum, shape and dtype, hooks, and `.grad` of the leaves."""

from collections.abc import Callable
from typing import Any

from pydl import _C
from pydl.tensor import Tensor

__all__ = ["Leaves", "Parts", "Pieces", "accumulate", "call_hooks", "fit"]


class Leaves:
    """Where gradients of leaves go: into .grad, or, where targets were given, into `found`.

    A leaf with hooks gets its gradient at the end, when all parts of it are there: the hooks see the sum.
    """

    __slots__ = ("create_graph", "found", "late")

    def __init__(self, found: dict[Any, Tensor] | None, create_graph: bool) -> None:
        self.found = found
        self.create_graph = create_graph
        self.late: dict[int, tuple[Tensor, Tensor]] = {}

    def add(self, t: Tensor, g: Tensor, fresh: bool) -> None:
        """One part of t's gradient; fresh: nobody else holds it."""
        if t.hooks:
            old = self.late.get(id(t))
            self.late[id(t)] = (t, g if old is None else old[1] + g)
        elif self.found is None:
            accumulate(t, g, self.create_graph, fresh)
        else:
            before = self.found.get(id(t))
            self.found[id(t)] = g if before is None else before + g

    def finish(self) -> None:
        """Calls the hooks."""
        for t, g in self.late.values():
            g = call_hooks(t.hooks, g)
            if self.found is None:
                accumulate(t, g, self.create_graph, fresh=False)
            else:
                self.found[id(t)] = g


def accumulate(t: Tensor, g: Tensor, create_graph: bool, fresh: bool) -> None:
    """Adds g to t.grad. What nobody else holds is taken as it is, else copied: .grad may be changed in place."""
    if t.grad is not None:
        total = t.grad + g
        t.grad = total if create_graph else Tensor(total.array)
    elif create_graph:
        t.grad = g if fresh else g.clone()
    else:
        array = g.array
        if not isinstance(array, _C.Array):  # of rows
            t.grad = Tensor(array.own())
            return
        mine = _C.own(array) if fresh else _C.clone(array)
        t.grad = g if mine is array else Tensor(mine)  # type: ignore[arg-type]


def fit(g: Tensor, like: Tensor) -> Tensor:
    """g summed over the axes along which `like` was broadcast, in its dtype."""
    shape, target = g.shape, like.shape
    if shape != target:
        lead = len(shape) - len(target)
        axes = list(range(lead)) + [lead + i for i, n in enumerate(target) if n == 1 and shape[lead + i] != 1]
        if axes:
            g = g.sum(axes)
        if g.shape != target:
            g = g.reshape(target)
    return g if g.array.dtype is like.array.dtype else g.to(like.array.dtype)


def call_hooks(hooks: Any, g: Any) -> Any:
    for number in sorted(hooks):
        changed = hooks[number](g) if number in hooks else None
        if changed is not None:
            g = changed
    return g


class Parts:
    """The gradients of some outputs of a function that has several."""

    __slots__ = ("by_index",)

    def __init__(self, by_index: dict[int, Tensor]) -> None:
        self.by_index = by_index

    def __add__(self, other: "Parts") -> "Parts":
        merged = dict(self.by_index)
        for i, g in other.by_index.items():
            merged[i] = merged[i] + g if i in merged else g
        return Parts(merged)

    def get(self, index: int) -> Tensor | None:
        """The gradient of one output; None if nothing depends on it."""
        return self.by_index.get(index)


class Pieces:
    """Gradients of one tensor by way of several views of it, put together once all of them are there: else each would
    be spread to the whole shape and added, which takes the square of their number.

    Args: join: from a list of pieces to the gradient; pieces: what `join` understands.
    """

    __slots__ = ("join", "pieces")

    def __init__(self, join: Callable[[list[Any]], Tensor], pieces: list[Any]) -> None:
        self.join = join
        self.pieces = pieces

    def __call__(self) -> Tensor:
        """The gradient of the whole tensor."""
        return self.join(self.pieces)

    def plus(self, other: Any) -> Any:
        """These and another gradient of the tensor, of either kind."""
        if other.__class__ is not Pieces:
            return other + self()
        if other.join is not self.join:
            return self() + other()
        self.pieces += other.pieces
        return self
