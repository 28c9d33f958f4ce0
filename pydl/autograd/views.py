"""Views: tensors on the memory of another one, their root. A recorded change in place of one of them is a change of
all, so that all get a new place in the graph.

A view keeps its root, the tensor that it was made of and how (`Tensor.kin`); a root keeps weak references to its views,
in the order in which they were made. Views made within no_grad, and those that only users' functions know of, keep
`APART`: their changes cannot be recorded while others share the memory.
"""

from itertools import count
from typing import Any
from weakref import ref

from pydl import _C
from pydl.autograd.mode import mode
from pydl.autograd.node import Change, Node
from pydl.autograd.op import REFUSALS, Op, recovered, shell
from pydl.errors import AutogradError, DtypeError
from pydl.tensor import Tensor

__all__ = ["APART", "Overwritten", "ViewOp", "change", "check_change", "has_kin", "root_of", "track"]

APART = "apart"
Path = list[tuple[type["ViewOp"], dict[str, Any]]]

_numbers = count().__next__
_MANY = 32  # entries of a root from which on the dead ones are looked for, whenever they have doubled


class ViewOp(Op):
    """An operation whose result lies in the memory of its only input, or is a copy where that cannot be."""

    uses = ()

    @classmethod
    def apply(cls, x: Tensor, **attrs: Any) -> Tensor:  # type: ignore[override]
        try:
            y = cls.kernel(x.array, **attrs)
        except REFUSALS as error:
            return recovered(error, cls, (x,), attrs)
        if not mode.enabled:
            made = Tensor(y)
            made.kin = APART
            return made
        made = cls.record(y, (x,), (), attrs) if x.requires_grad else Tensor(y)
        cls.note(made, x, attrs)
        return made

    @classmethod
    def note(cls, made: Tensor, x: Tensor, attrs: dict[str, Any]) -> None:
        """Notes that made is a view of x."""
        track(made, x, cls, attrs)

    @classmethod
    def again(cls, x: Tensor, **attrs: Any) -> Tensor:
        """The same elements of a tensor that may lie in memory otherwise."""
        return cls.apply(x, **attrs)


def track(made: Tensor, x: Tensor, op: type[ViewOp], attrs: dict[str, Any]) -> None:
    """Notes that made is op's view of x."""
    kin = x.kin
    if kin.__class__ is tuple:
        root = kin[0]
        views = root.kin
    elif kin is APART:
        made.kin = APART
        return
    else:
        root, views = x, kin
    made.kin = (root, x, op, attrs)
    if root.requires_grad and root.node is None:
        return  # a leaf is not changed in place within a graph: nobody will ask for its views
    if views is None:
        views = root.kin = {}
    views[_numbers()] = ref(made)
    many = len(views)
    if many >= _MANY and not many & (many - 1):
        for key, view in list(views.items()):
            if view() is None:
                views.pop(key, None)


def root_of(x: Tensor) -> Tensor:
    """The tensor that x is a view of; x itself if it is none."""
    return x.kin[0] if x.kin.__class__ is tuple else x  # type: ignore[no-any-return]


def has_kin(x: Tensor) -> bool:
    """Whether x is a view whose changes can be recorded, or has such views."""
    kin = x.kin
    if kin.__class__ is dict:
        return any(view() is not None for view in list(kin.values()))
    return kin.__class__ is tuple and not (kin[0].requires_grad and kin[0].node is None)


def check_change(x: Tensor, op: str) -> None:
    """Raises: AutogradError where a change of x in place cannot be recorded; DtypeError."""
    root = root_of(x)
    if root.requires_grad and root.node is None:
        what = "a leaf" if root is x else "a view of a leaf"
        raise AutogradError(f"{op}: {what} that requires gradients is changed in place only within pydl.no_grad()")
    if x.kin is APART and x.array.is_shared:
        raise AutogradError(
            f"{op}: a view made within pydl.no_grad() or by a Function shares its memory, and the gradient of what it "
            "is a view of would not know: clone() before"
        )
    if root is not x and not _C.shares_memory(root.array, x.array):
        raise AutogradError(f"{op}: the tensor that this is a view of was given other memory: clone() before")
    if not x.array.is_floating:
        raise DtypeError(f"{op}: a value that requires gradients does not fit dtype {x.dtype}: expected a float")
    if root is not x and _meets_itself(x):
        raise AutogradError(f"{op}: several elements of this view share memory: clone() before")


def _meets_itself(x: Tensor) -> bool:
    """Whether two elements may lie in one place."""
    reach = 0
    for step, size in sorted((abs(step), size) for step, size in zip(x.stride(), x.shape, strict=True)):
        if size > 1:
            if step <= reach:
                return True
            reach += step * (size - 1)
    return False


# ---------------------------------------------------------------- changes


class Overwritten(Op):
    """The second input in place of the first."""

    uses = ()

    def vjp(g, x, value):
        return None, g


class Rewritten(Op):
    """The first input with the second in the part that a path of views leads to."""

    uses = ()

    def vjp(g, x, value, path):
        return lambda: Blanked.apply(g, path=path), lambda: _along(path, g)


class Blanked(Op):
    """0 in the part that a path of views leads to."""

    uses = ()

    def kernel(x, path):
        made = Tensor(_C.contiguous(_C.clone(x)))
        part, zero = _along(path, made).array, _C.full([], 0, x.dtype, x.device)
        if _C.shares_memory(part, made.array):
            _C.copy_into(zero, part, "backward")
            return made.array
        # A view there, a copy here: of a root that lies in memory in another order. By position then.
        n = x.size
        at = _along(path, Tensor(_C.reshape(_C.arange(0, n, 1, _C.int64, x.device), x.shape))).array
        flat = _C.reshape(at, [-1])
        _C.place_inside("backward", "put", _C.reshape(made.array, [n]), 0, flat, _C.expand(zero, flat.shape), True)
        return made.array

    def vjp(g, x, path):
        return (Blanked.apply(g, path=path),)


def _along(path: Path, x: Tensor) -> Tensor:
    for op, attrs in path:
        x = op.again(x, **attrs)
    return x


def _path(x: Tensor) -> Path:
    """How x is made of its root."""
    steps: Path = []
    while x.kin.__class__ is tuple:
        _, x, op, attrs = x.kin
        steps.append((op, attrs))
    return steps[::-1]


def _frozen(x: Tensor) -> Tensor:
    """x at its present place in the graph, without its memory where that is large or shared; a leaf as it is."""
    if x.node is None and x.requires_grad:
        return x
    light = shell(Tensor(x.array, x.node, x.requires_grad))
    assert light is not None
    return light


def change(x: Tensor, op: type[Op], value: Tensor, attrs: dict[str, Any]) -> None:
    """Puts x into the graph as what op makes of x as it is there and value; its memory holds the result already.

    Its root and all other views of that follow.
    """
    root = root_of(x)
    inputs = (_frozen(x), _frozen(value))
    if root is not x:
        if op is not Overwritten:
            inputs = (inputs[0], Tensor(_C.shell(x.array), Node(op, inputs, (), attrs), True))
        op, attrs, inputs = Rewritten, {"path": _path(x)}, (_frozen(root), inputs[1])
    root.node, root.requires_grad = Change(op, inputs, attrs), True
    views = root.kin if root.kin.__class__ is dict else {}
    for key, view in list(views.items()):
        v = view()
        if v is None or not _C.shares_memory(v.array, root.array):
            views.pop(key, None)
            continue
        _, parent, made_by, how = v.kin
        before = Tensor(v.array, v.node, v.requires_grad)
        v.node, v.requires_grad = Change(made_by, (_frozen(parent),), how, before), True
