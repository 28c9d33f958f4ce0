"""Operations with several outputs: each output is a part of one node, which collects the gradients of all parts."""

from typing import Any

from pydl.autograd.leaves import Parts
from pydl.autograd.mode import mode
from pydl.autograd.node import Node
from pydl.autograd.op import REFUSALS, Op, recovered, shell
from pydl.tensor import Tensor

__all__ = ["Several", "part_of"]


class Part(Op):
    """One output of a function that has several."""

    uses = ()
    foreign = True

    def vjp(g, whole, index):
        return (Parts({index: g}),)


def part_of(node: Node, t: Tensor, index: int, several: bool) -> Tensor:
    """t as output number `index` of a node that has one or several."""
    if not several:
        return Tensor(t.array, node, True)
    if not t.array.is_floating:
        return t
    whole = shell(Tensor(t.array, node, True))
    return Tensor(t.array, Node(Part, (whole,), (), {"index": index}), True)


class Several(Op):
    """An operation whose kernel returns a tuple of arrays, all of them outputs; those of integers have no gradient.

    vjp: from (g, *inputs, *outputs, **attrs) as an Op's, where g.get(i) is the gradient of output i, None if nothing
        depends on it.
    """

    several = True
    saves_output = True

    @classmethod
    def apply(cls, *inputs: Tensor, **attrs: Any) -> tuple[Tensor, ...]:  # type: ignore[override]
        try:
            made = cls.kernel(*[t.array for t in inputs], **attrs)
        except REFUSALS as error:
            return recovered(error, cls, inputs, attrs)  # type: ignore[return-value]
        if not mode.enabled or not any(t.requires_grad for t in inputs):
            return tuple([Tensor(a) for a in made])
        node = cls.record(made[0], inputs, made[1:], attrs).node
        assert node is not None
        return tuple([part_of(node, Tensor(a), i, True) for i, a in enumerate(made)])
