"""Function: an operation of the user's own, with forward and backward as static methods, as in PyTorch."""

from typing import Any

from pydl import _C
from pydl.autograd.engine import Parts
from pydl.autograd.mode import mode, no_grad
from pydl.autograd.node import Node
from pydl.autograd.op import Op
from pydl.errors import AutogradError
from pydl.tensor import Tensor

__all__ = ["Function"]


class Context:
    """What forward leaves for backward.

    Attributes: needs_input_grad: one bool per argument of forward. Any attribute may be set.
    """

    def __init__(self, needs_input_grad: tuple[bool, ...]) -> None:
        self.needs_input_grad = needs_input_grad
        self._saved: tuple[Tensor | None, ...] = ()
        self._versions: tuple[int, ...] = ()
        self._constant: set[int] = set()
        self._materialize = True

    def save_for_backward(self, *tensors: Tensor | None) -> None:
        """Keeps tensors for backward; that they are changed in place until then is noticed."""
        self._saved = tensors
        self._versions = tuple(0 if t is None else t.array.version for t in tensors)

    @property
    def saved_tensors(self) -> tuple[Tensor | None, ...]:
        """What was saved."""
        for t, version in zip(self._saved, self._versions, strict=True):
            if t is not None and t.array.version != version:
                raise AutogradError("saved_tensors: a saved tensor was changed in place")
        return self._saved

    def mark_non_differentiable(self, *tensors: Tensor) -> None:
        """Says that these outputs have no gradient."""
        self._constant |= {id(t) for t in tensors}

    def set_materialize_grads(self, value: bool) -> None:
        """Whether backward gets zeros (the default) or None for an output without gradient."""
        self._materialize = value


class Apply(Op):
    """The node of one call: asks the function's backward."""

    uses = None

    def vjp(g, *inputs, function, context, args, outputs):
        if isinstance(g, Parts):
            given = [g.by_index.get(i) for i in range(len(outputs))]
        else:
            given = [g]
        if context._materialize:
            given = [o.zeros() if x is None else x for x, o in zip(given, outputs, strict=True)]
        made = function.backward(context, *given)
        made = made if isinstance(made, tuple) else (made,)
        if len(made) < args or any(x is not None for x in made[args:]):
            raise AutogradError(f"{function.__name__}.backward returned {len(made)} gradients: expected {args}")
        return [made[i] for i in context._tensor_places]


class Part(Op):
    """One output of a function that has several."""

    uses = ()

    def vjp(g, whole, index):
        return (Parts({index: g}),)


class _Like:
    """Shape and dtype of an output, to make zeros of."""

    def __init__(self, t: Tensor) -> None:
        self.shape, self.dtype, self.device = t.shape, t.dtype, t.device

    def zeros(self) -> Tensor:
        return Tensor(_C.full(self.shape, 0, self.dtype, self.device))


class Function:
    """Subclass with static methods forward(ctx, *args, **kwargs) and backward(ctx, *grads); call by `apply`.

    backward returns one gradient per positional argument of forward, None where there is none; written in operations on
    tensors, it can be differentiated again.
    """

    @staticmethod
    def forward(ctx: Any, *args: Any, **kwargs: Any) -> Any:
        """The operation; outputs are tensors or a tuple of tensors."""
        raise AutogradError("a Function must define forward")

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> Any:
        """The gradients of the arguments, from those of the outputs."""
        raise AutogradError("a Function must define backward")

    @classmethod
    def apply(cls, *args: Any, **kwargs: Any) -> Any:
        """Runs forward and records the call."""
        wants = tuple(isinstance(a, Tensor) and a.requires_grad for a in args)
        context = Context(wants)
        with no_grad():
            made = cls.forward(context, *args, **kwargs)
        if not mode.enabled or not any(wants):
            return made
        several = isinstance(made, tuple)
        outputs = made if several else (made,)
        places = [i for i, a in enumerate(args) if isinstance(a, Tensor)]
        context._tensor_places = places  # type: ignore[attr-defined]
        inputs = tuple(args[i] for i in places)
        attrs = {"function": cls, "context": context, "args": len(args), "outputs": [_Like(t) for t in outputs]}
        node = Node(Apply, inputs, (), attrs, tuple(t.array.version for t in inputs))
        if not several:
            return made if id(made) in context._constant else Tensor(made.array, node, True)
        whole = Tensor(_C.shell(outputs[0].array), node, True)
        return tuple(
            t
            if id(t) in context._constant or not t.array.is_floating
            else Tensor(t.array, Node(Part, (whole,), (), {"index": i}, (0,)), True)
            for i, t in enumerate(outputs)
        )
