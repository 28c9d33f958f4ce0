"""Node: one recorded operation. It keeps its inputs and the arrays that its rule needs, never its output tensor, so
that no cycle forms and memory is freed as soon as the last tensor goes."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from pydl import _C

if TYPE_CHECKING:
    from pydl.autograd.op import Op
    from pydl.tensor import Tensor

tick = _C.tick


class Node:
    """One call of an op.

    Attributes:
        op: the op class, whose rule gives the gradients.
        inputs: what it was called with; an input whose values the rule does not read is kept without its memory.
        saved: the output (where the op says so) and the residuals, as arrays.
        attrs: the keyword arguments.
        seq: when it was recorded, by a clock that changes in place advance too: an input's node always has a smaller
            number, and what the rule reads must not have been changed later.
        hooks: functions of the gradient of the output, called before the rule.
    """

    __slots__ = ("__weakref__", "attrs", "hooks", "inputs", "op", "saved", "seq")

    def __init__(
        self,
        op: "type[Op]",
        inputs: "tuple[Tensor | None, ...]",
        saved: "tuple[_C.Array, ...]",
        attrs: dict[str, Any],
    ) -> None:
        self.op = op
        self.inputs: tuple[Tensor | None, ...] | None = inputs
        self.saved = saved
        self.attrs = attrs
        self.seq = tick()
        self.hooks: dict[int, Callable[[Tensor], Tensor | None]] | None = None

    @property
    def name(self) -> str:
        """The op's name."""
        return self.op.__name__

    @property
    def next_functions(self) -> "tuple[Node | None, ...]":
        """The nodes that made the inputs."""
        return tuple(None if t is None else t.node for t in self.inputs or ())

    def release(self) -> None:
        """Lets go of everything that the rule needs: after this the node cannot be differentiated."""
        self.inputs = None
        self.saved = ()
        self.attrs = {}

    def __repr__(self) -> str:
        return f"<{self.name}Backward>"


class Change(Node):
    """A recorded change in place; `before`, by default its first input, is the tensor before it. What was recorded
    earlier holds the tensor itself and finds its way back through that, also after this node is released."""

    __slots__ = ("before",)

    def __init__(
        self, op: "type[Op]", inputs: "tuple[Tensor, ...]", attrs: dict[str, Any], before: "Tensor | None" = None
    ) -> None:
        super().__init__(op, inputs, (), attrs)
        self.before = inputs[0] if before is None else before
