"""Op: a differentiable operation. Never instantiated; `apply` runs the kernel and records one node."""

import re
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from pydl import _C
from pydl.autograd.mode import mode
from pydl.autograd.node import Node
from pydl.errors import DeviceError, DtypeError
from pydl.tensor import Tensor

if TYPE_CHECKING:
    Gradient = Tensor | Callable[[], Tensor | None] | None


# What calling a kernel may raise before it runs: `recovered` knows what else to do.
REFUSALS = (TypeError, AttributeError, DeviceError)


class Op:
    """A kernel and its gradient rule.

    kernel: from arrays (and keyword arguments) to an array, or to (output, *residuals).
    vjp: from (g, *inputs, [output], *residuals, **attrs) to one gradient per input, in terms of other ops: a tensor,
        None for no gradient, or a function without arguments that is called only if that gradient is wanted. A gradient
        may have the broadcast shape of the output; it is summed down to the input's in one place.
    reference: the same function in plain ops. It is differentiated where there is no rule, and runs where a device
        has no kernel.
    uses: the inputs whose values the rule reads; of the others only shape and dtype are kept.
    saves_output: whether the rule wants the output.
    crosswise: of two inputs, whether the rule reads each for the gradient of the other alone.
    """

    kernel: ClassVar[Callable[..., Any]]
    reference: ClassVar[Callable[..., Tensor] | None] = None
    uses: ClassVar[tuple[int, ...] | None] = None  # None: all
    saves_output: ClassVar[bool] = False
    crosswise: ClassVar[bool] = False
    several: ClassVar[bool] = False  # more than one output: see pydl.autograd.several
    foreign: ClassVar[bool] = False  # a rule of the user's, which may return tensors that somebody holds
    subclasses: ClassVar[list["type[Op]"]] = []

    def __init_subclass__(cls) -> None:
        Op.subclasses.append(cls)

    @classmethod
    def apply(cls, *inputs: Tensor | None, **attrs: Any) -> Tensor:
        try:
            made = cls.kernel(*[None if t is None else t.array for t in inputs], **attrs)
        except REFUSALS as error:
            return recovered(error, cls, inputs, attrs)
        residuals: tuple[Any, ...] = ()
        if made.__class__ is tuple:
            made, residuals = made[0], made[1:]
        if mode.enabled:
            for t in inputs:
                if t is not None and t.requires_grad:
                    return cls.record(made, inputs, residuals, attrs)
        return Tensor(made)

    @classmethod
    def record(cls, made: Any, inputs: tuple[Tensor | None, ...], residuals: tuple[Any, ...], attrs: Any) -> Tensor:
        """The output tensor, with the node that remembers how it was made."""
        uses = cls.uses
        if uses == ():
            inputs = tuple(map(shell, inputs))
        elif uses is not None:
            inputs = tuple([t if i in uses else shell(t) for i, t in enumerate(inputs)])
        elif cls.crosswise:
            a, b = inputs
            inputs = (a if b.requires_grad else shell(a), b if a.requires_grad else shell(b))  # type: ignore[union-attr]
        saved = (made, *residuals) if cls.saves_output else residuals
        return Tensor(made, Node(cls, inputs, saved, attrs), True)

    @staticmethod
    def vjp(*args: Any, **attrs: Any) -> "tuple[Gradient, ...] | None":
        """Overridden by ops that have a rule; None says: differentiate the reference."""
        return None


class Unary(Op):
    """One input: the same apply without loops."""

    @classmethod
    def apply(cls, x: Tensor) -> Tensor:  # type: ignore[override]
        try:
            y = cls.kernel(x.array)
        except REFUSALS as error:
            return recovered(error, cls, (x,), {})
        if x.requires_grad and mode.enabled:
            return cls.record(y, (x,), (), {})
        return Tensor(y)


class Binary(Op):
    """Two inputs that broadcast: the same apply without loops."""

    @classmethod
    def apply(cls, a: Tensor, b: Tensor) -> Tensor:  # type: ignore[override]
        try:
            y = cls.kernel(a.array, b.array)
        except REFUSALS as error:
            return recovered(error, cls, (a, b), {})
        if (a.requires_grad or b.requires_grad) and mode.enabled:
            return cls.record(y, (a, b), (), {})
        return Tensor(y)


class Plain:
    """A kernel that is called without an op, for results that have no gradient.

    Attributes: elementwise: whether its inputs broadcast and each element of the result depends on its own alone.
    """

    saves_output = False
    made: ClassVar[list["Plain"]] = []

    def __init__(self, kernel: Callable[..., Any], elementwise: bool = False) -> None:
        Plain.made.append(self)
        self.kernel = kernel
        self.elementwise = elementwise


def recovered(error: Exception, op: Any, inputs: tuple[Any, ...], attrs: dict[str, Any]) -> Tensor:
    """The result where a kernel could not be called: an input whose array is of another kind runs the operation, or its
    reference does if there is no kernel where the inputs are.

    Raises: the error that says which argument is of a wrong type, if neither can.
    """
    for x in inputs:
        if isinstance(x, Tensor) and not isinstance(x.array, _C.Array):
            return x.array.run(op, inputs, attrs)
    if isinstance(op, Plain):
        try:
            raise error
        finally:
            del error  # it holds this frame: the frame must not hold it
    if isinstance(error, DeviceError) and op.reference is not None:
        places = {x.device for x in inputs if isinstance(x, Tensor)}
        if len(places) == 1 and places.pop().type != "cpu":
            made: Tensor = op.reference(*inputs, **attrs)
            return made
    raise explained(error, op, inputs, attrs) from None


def explained(error: Exception, op: type[Op], inputs: Sequence[Any], attrs: dict[str, Any]) -> Exception:
    """The error to raise where a kernel could not even be called: it says which argument is of a wrong type."""
    name = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", op.__name__).lower()
    for x in inputs:
        if x is not None and not isinstance(x, Tensor):
            return DtypeError(f"{name}: expected a tensor, got {type(x).__name__}")
    if "incompatible function arguments" in str(error):
        given = ", ".join(f"{k}={v!r}" for k, v in attrs.items()) or ", ".join(type(x).__name__ for x in inputs)
        return DtypeError(f"{name}: an argument is of a wrong type, got {given}")
    if isinstance(error, DtypeError) and str(error).startswith("expected"):  # what a size or dtype should have been
        return DtypeError(f"{name}: {error}")
    return error


def shell(t: Tensor | None) -> Tensor | None:
    """t's place in the graph, shape and dtype without its memory; itself if it is a leaf or small."""
    if t is None or (t.node is None and t.requires_grad):
        return t
    array = t.array
    try:
        light = _C.shell(array)
    except RuntimeError:  # an array of another kind, as inside vmap
        return t
    return t if light is array else Tensor(light, t.node, t.requires_grad)  # type: ignore[arg-type]


def saved_tensors(node: Node) -> list[Tensor]:
    """What the node saved, as tensors; the output keeps its place in the graph."""
    saved = node.saved
    if not saved:
        return []
    if node.op.several:
        from pydl.autograd.several import part_of

        return [part_of(node, Tensor(a), i, True) for i, a in enumerate(saved)]
    tensors = [Tensor(a) for a in saved]
    if node.op.saves_output:
        tensors[0] = Tensor(saved[0], node, True)
    return tensors
