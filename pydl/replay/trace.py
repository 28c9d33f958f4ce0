"""Traces: what operations a function runs on its inputs, as a list that can be written down.

While a function is traced, its inputs have a `Traced` in the place of their array. No kernel takes it, so an operation
that meets it asks it to run the operation instead (as inside `vmap`), and that is where it is noted. What does not
depend on the inputs is computed as usual and becomes a constant.
"""

from typing import Any

from pydl import _C
from pydl.autograd.op import Op, Plain
from pydl.errors import CaptureError
from pydl.tensor import Tensor

__all__ = ["Trace", "Traced", "operation", "title"]


class Trace:
    """The operations so far.

    Attributes: nodes: of each its operation's title, operands and attributes. An operand is ("value", number), inputs
        first, or ("constant", number), or None. constants: the arrays. count: of values.
    """

    def __init__(self, inputs: list[_C.Array]) -> None:
        self.nodes: list[tuple[str, list[Any], dict[str, Any]]] = []
        self.constants: list[_C.Array] = []
        self._places: dict[int, int] = {}
        self.count = 0
        self.inputs = [self.value(x) for x in inputs]

    def value(self, array: _C.Array) -> "Traced":
        """A new value of the trace."""
        self.count += 1
        return Traced(array, self, self.count - 1)

    def operand(self, array: Any) -> tuple[str, int] | None:
        """How a node names one of its inputs."""
        if array is None:
            return None
        if isinstance(array, Traced):
            if array.trace is not self:
                raise CaptureError("export: a value of another trace was kept")
            return "value", array.number
        if id(array) not in self._places:
            self._places[id(array)] = len(self.constants)
            self.constants.append(array)
        return "constant", self._places[id(array)]

    def run(self, op: Any, arrays: list[Any], attrs: dict[str, Any]) -> Any:
        """Runs an operation and notes it: its output, or outputs."""
        made = op.kernel(*[a.data if isinstance(a, Traced) else a for a in arrays], **attrs)
        several = getattr(op, "several", False)
        outputs = list(made) if several else [made[0] if isinstance(made, tuple) else made]
        self.nodes.append((title(op), [self.operand(a) for a in arrays], {k: _plain(v) for k, v in attrs.items()}))
        values = [self.value(y) for y in outputs]
        return values if several else values[0]


class Traced:
    """In the place of an array: the numbers of this run, and which value of the trace it is."""

    __slots__ = ("data", "number", "trace")

    def __init__(self, data: _C.Array, trace: Trace, number: int) -> None:
        self.data, self.trace, self.number = data, trace, number

    shape = property(lambda self: self.data.shape)
    ndim = property(lambda self: self.data.ndim)
    size = property(lambda self: self.data.size)
    dtype = property(lambda self: self.data.dtype)
    device = property(lambda self: self.data.device)
    strides = property(lambda self: self.data.strides)
    is_floating = property(lambda self: self.data.is_floating)
    is_dense = property(lambda self: self.data.is_dense)
    version = property(lambda self: self.data.version)

    def item(self) -> Any:
        """Raises: CaptureError: a plan would not see the value change."""
        raise CaptureError("export: the module reads values of what depends on its inputs")

    def run(self, op: Any, inputs: tuple[Tensor | None, ...], attrs: dict[str, Any]) -> Any:
        """An operation on inputs of which at least one is traced."""
        made = self.trace.run(op, [None if t is None else t.array for t in inputs], attrs)
        return tuple([Tensor(y) for y in made]) if isinstance(made, list) else Tensor(made)


def _plain(value: Any) -> Any:
    """An attribute as it is written down."""
    if isinstance(value, _C.dtype):
        return {"dtype": value.name}
    if isinstance(value, _C.device):
        return {"device": str(value)}
    if isinstance(value, (list, tuple)):
        return type(value)(_plain(v) for v in value)
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    raise CaptureError(
        f"export: an operation has an attribute of type {type(value).__name__}, which cannot be written down "
        "(is the module in evaluation mode?)"
    )


def title(op: Any) -> str:
    """The name of an operation in a file."""
    if isinstance(op, Plain):
        return f"plain {op.kernel.__name__}"
    return f"{op.__module__}.{op.__qualname__}"


def operation(name: str) -> Any:
    """The operation of that name, one of the library's own; None if there is none."""
    for plain in Plain.made:
        if name == title(plain):
            return plain
    ours = (op for op in Op.subclasses if op.__module__.split(".")[0] == "pydl" and not op.foreign)
    return next((op for op in ours if "kernel" in dir(op) and title(op) == name), None)
