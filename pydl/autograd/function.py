"""Function: an operation of the user's own, with forward and backward as static methods, as in PyTorch."""

from collections.abc import Callable
from typing import Any
from weakref import ref

from pydl import _C
from pydl.autograd.leaves import Parts
from pydl.autograd.mode import mode, no_grad
from pydl.autograd.node import Node
from pydl.autograd.op import Op, shell
from pydl.autograd.several import part_of
from pydl.autograd.views import APART
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
        self._outputs: dict[int, int] = {}  # which saved tensor is which output
        self._node: Callable[[], Node | None] | None = None  # weak: the node holds this context
        self._several = False
        self._constant: set[int] = set()
        self._materialize = True

    def save_for_backward(self, *tensors: Tensor | None) -> None:
        """Keeps tensors for backward; that they are changed in place until then is noticed."""
        self._saved = tensors
        self._versions = tuple(0 if t is None else t.array.version for t in tensors)

    @property
    def saved_tensors(self) -> tuple[Tensor | None, ...]:
        """What was saved; an output comes with its place in the graph, so that backward can be differentiated."""
        for t, version in zip(self._saved, self._versions, strict=True):
            if t is not None and t.array.version != version:
                raise AutogradError(f"saved_tensors: a saved tensor of shape {t.shape} was changed in place")
        node = self._node() if self._node is not None else None
        if node is None or not self._outputs:
            return self._saved
        return tuple(
            part_of(node, t, self._outputs[i], self._several) if t is not None and i in self._outputs else t
            for i, t in enumerate(self._saved)
        )

    def _attach(self, node: Node, outputs: tuple[Any, ...], several: bool) -> None:
        """Notes the node and which of its differentiable outputs were saved."""
        places = {id(t): i for i, t in enumerate(outputs) if self._has_gradient(t)}
        self._outputs = {i: places[id(t)] for i, t in enumerate(self._saved) if id(t) in places}
        self._node, self._several = ref(node), several

    def _has_gradient(self, output: Any) -> bool:
        return isinstance(output, Tensor) and output.array.is_floating and id(output) not in self._constant

    def mark_non_differentiable(self, *tensors: Tensor) -> None:
        """Says that these outputs have no gradient."""
        self._constant |= {id(t) for t in tensors}

    def set_materialize_grads(self, value: bool) -> None:
        """Whether backward gets zeros (the default) or None for an output without gradient."""
        self._materialize = value


class Apply(Op):
    """The node of one call: asks the function's backward."""

    uses = ()  # the context watches over what it saved
    foreign = True

    def vjp(g, *inputs, function, context, args, outputs, places):
        given = [g.by_index.get(i) for i in range(len(outputs))] if isinstance(g, Parts) else [g]
        if context._materialize:
            given = [o and o.zeros() if x is None else x for x, o in zip(given, outputs, strict=True)]
        made = function.backward(context, *given)
        made = tuple(made) if isinstance(made, (tuple, list)) else (made,)
        if len(made) < args or any(x is not None for x in made[args:]):
            raise AutogradError(f"{function.__name__}.backward returned {len(made)} gradients: expected {args}")
        return [_checked(function, i, made[i], x) for i, x in zip(places, inputs, strict=True)]


def _checked(function, i, g, x):
    """The gradient of argument i, if it is one: a tensor that broadcasts from the shape of the argument."""
    if g is None:
        return None
    if not isinstance(g, Tensor):
        raise AutogradError(f"{function.__name__}.backward returned a {type(g).__name__} for argument {i}")
    lead = g.ndim - x.ndim
    if lead < 0 or any(n not in (1, m) for n, m in zip(x.shape, g.shape[lead:], strict=True)):
        raise AutogradError(
            f"{function.__name__}.backward returned shape {g.shape} for argument {i}: expected {x.shape}"
        )
    return g


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
        context = Context(wants if mode.enabled else (False,) * len(args))
        with no_grad():
            made = cls.forward(context, *args, **kwargs)
        if not mode.enabled or not any(wants):
            return made
        several = isinstance(made, (tuple, list))
        outputs = tuple(made) if several else (made,)
        places = [i for i, a in enumerate(args) if isinstance(a, Tensor)]
        if not all(isinstance(args[i].array, _C.Array) for i in places):
            raise AutogradError(f"{cls.__name__}: a Function takes one example at a time")  # so vmap calls it in a loop
        attrs = {
            "function": cls,
            "context": context,
            "args": len(args),
            "outputs": [_Like(t) if isinstance(t, Tensor) else None for t in outputs],
            "places": places,
        }
        node = Node(Apply, tuple([shell(args[i]) for i in places]), (), attrs)
        context._attach(node, outputs, several)
        results = tuple(part_of(node, t, i, several) if context._has_gradient(t) else t for i, t in enumerate(outputs))
        for t in results:
            if isinstance(t, Tensor) and any(_C.shares_memory(t.array, args[i].array) for i in places):
                t.array, t.kin = _C.reshape(t.array, t.shape), APART  # an array of its own: it counts as shared
        return results if several else results[0]
