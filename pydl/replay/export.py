"""Plans ahead of time: a module's inference as a file that runs without the module's Python code."""

import os
from collections.abc import Sequence
from typing import Any

from pydl import _C
from pydl.autograd.mode import no_grad
from pydl.errors import CaptureError, FileFormatError, PydlError, ShapeError
from pydl.replay.capture import Capture
from pydl.replay.trace import Trace, operation
from pydl.replay.tree import replaced
from pydl.serialize import load, save
from pydl.tensor import Tensor

__all__ = ["ExportedPlan", "export", "load_plan"]

_FORMAT = "pydl.plan"
_VERSION = 1
_KEYS = {"format", "version", "inputs", "nodes", "constants", "outputs"}


def export(module: Any, example_inputs: Any, path: str | os.PathLike[str]) -> None:
    """Writes what `module(*example_inputs)` computes as a file for `load_plan`: its operations and its weights.

    The file is safetensors, with the list of operations as JSON in its header and a checksum. It holds for inputs of
    the shapes and dtypes of the examples. Python values and control flow are frozen as they are with the examples;
    call `module.eval()` first.

    Args: module: a function of tensors with a tensor, or a tuple, list or dict of tensors, as result.
        example_inputs: a tensor or a tuple of them.
    Raises: CaptureError for what cannot be written down: values that are read, in-place work, random numbers.
    """
    examples = [example_inputs] if isinstance(example_inputs, Tensor) else list(example_inputs)
    if not examples or not all(isinstance(x, Tensor) for x in examples):
        raise CaptureError("export: example_inputs must be a tensor or a tuple of tensors")
    trace = Trace([x.array for x in examples])
    with no_grad():
        try:
            made = module(*[Tensor(x) for x in trace.inputs])  # type: ignore[arg-type]
        except TypeError as error:
            raise CaptureError(f"export: an operation cannot be written down: {error}") from error
        outputs = replaced(made, lambda t: {"value": trace.operand(t.array)})
    tree = {
        "format": _FORMAT, "version": _VERSION,
        "inputs": [[x.dtype.name, list(x.shape)] for x in examples],
        "nodes": [[name, list(operands), attrs] for name, operands, attrs in trace.nodes],
        "constants": [Tensor(_C.contiguous(a)) for a in trace.constants],
        "outputs": _checked(outputs),
    }  # fmt: skip
    save(tree, path)


def _checked(outputs: Any) -> Any:
    """The result of a module. Raises: CaptureError for what is no tensor."""
    if isinstance(outputs, dict) and set(outputs) != {"value"}:
        return {k: _checked(v) for k, v in outputs.items()}
    if isinstance(outputs, (tuple, list)):
        return [_checked(v) for v in outputs] if isinstance(outputs, list) else tuple(_checked(v) for v in outputs)
    if not isinstance(outputs, dict):
        raise CaptureError(f"export: the module returns a {type(outputs).__name__}: expected tensors")
    return outputs


class ExportedPlan:
    """What `load_plan` gives: a function of tensors.

    Attributes: inputs: dtype and shape of each.
    """

    def __init__(self, tree: Any) -> None:
        if not isinstance(tree, dict) or set(tree) != _KEYS or tree["format"] != _FORMAT:
            raise FileFormatError("load_plan: the file is not one that pydl.export wrote")
        if tree["version"] != _VERSION:
            raise FileFormatError(f"load_plan: the file is of version {tree['version']!r}: expected {_VERSION}")
        self.inputs = [(_dtype(name), _shape(shape)) for name, shape in tree["inputs"]]
        self._constants = list(tree["constants"])
        if not all(isinstance(c, Tensor) for c in self._constants):
            raise FileFormatError("load_plan: a constant is not a tensor")
        self._nodes = [self._node(*node) for node in tree["nodes"]]
        self._outputs = tree["outputs"]
        self._run = Capture(self._eager, 8)
        self(*[Tensor(_C.full(shape, 0, dtype, _C.device("cpu"))) for dtype, shape in self.inputs])

    def _node(self, name: Any, operands: Any, attrs: Any) -> tuple[Any, list[Any], dict[str, Any]]:
        op = operation(name) if isinstance(name, str) else None
        if op is None:
            raise FileFormatError(f"load_plan: there is no operation {name!r}")
        if not isinstance(operands, list) or not isinstance(attrs, dict) or not all(isinstance(k, str) for k in attrs):
            raise FileFormatError(f"load_plan: the entry of {name} is not one of an operation")
        return op, operands, {k: _value(v) for k, v in attrs.items()}

    def __call__(self, *inputs: Tensor) -> Any:
        """The module's result. Raises: ShapeError for inputs of other shapes or dtypes; FileFormatError."""
        if [(x.dtype, x.shape) for x in inputs] != self.inputs:
            wanted = ", ".join(f"{shape} of {dtype}" for dtype, shape in self.inputs)
            raise ShapeError(
                f"plan: expected inputs {wanted}, got {', '.join(f'{x.shape} of {x.dtype}' for x in inputs)}"
            )
        with no_grad():
            return self._run(*inputs)

    def _eager(self, *inputs: Tensor) -> Any:
        values: list[Any] = [x.array for x in inputs]
        for number, (op, operands, attrs) in enumerate(self._nodes):
            arrays = [self._operand(operand, values) for operand in operands]
            try:
                made = op.kernel(*arrays, **attrs)
            except CaptureError:
                raise
            except (PydlError, TypeError, ValueError, AttributeError, LookupError, ArithmeticError) as error:
                raise _told(error, number, op) from error
            if getattr(op, "several", False):
                values += made
            else:
                values.append(made[0] if isinstance(made, tuple) else made)
        return self._result(self._outputs, values)

    def _operand(self, operand: Any, values: list[Any]) -> Any:
        if operand is None:
            return None
        kind, number = operand if isinstance(operand, (tuple, list)) and len(operand) == 2 else (None, None)
        held: Sequence[Any] = values if kind == "value" else self._constants if kind == "constant" else ()
        if type(number) is not int or not 0 <= number < len(held):
            raise FileFormatError(f"load_plan: {operand!r} is not an operand")
        return held[number].array if kind == "constant" else held[number]

    def _result(self, tree: Any, values: list[Any]) -> Any:
        if isinstance(tree, (tuple, list)):
            return type(tree)(self._result(v, values) for v in tree)
        if not isinstance(tree, dict):
            raise FileFormatError("load_plan: the results are not tensors")
        if set(tree) == {"value"}:
            array = self._operand(tree["value"], values)
            if not isinstance(array, _C.Array):
                raise FileFormatError("load_plan: a result is not a tensor")
            return Tensor(array)
        return {k: self._result(v, values) for k, v in tree.items()}

    def __repr__(self) -> str:
        return f"ExportedPlan({len(self._nodes)} operations, inputs {[shape for _, shape in self.inputs]})"


def _told(error: Exception, number: int, op: Any) -> Exception:
    """What a failing operation says: errors that values of the inputs cause keep their type."""
    if isinstance(error, PydlError):
        return error
    name = op.__name__ if isinstance(op, type) else op.kernel.__name__
    return FileFormatError(f"load_plan: operation {number}, {name}, cannot be run: {str(error).splitlines()[0]}")


def load_plan(path: str | os.PathLike[str]) -> ExportedPlan:
    """The function that `export` wrote, captured: its second call is recorded, later ones are replays.

    Operations are looked up by name among the library's own, and check what they are given; nothing in the file is run
    as code. The plan is tried once with zeros.
    Raises: FileFormatError for a file that is damaged, of another kind or that asks for what no operation does.
    """
    try:
        return ExportedPlan(load(path))
    except FileFormatError:
        raise
    except (PydlError, TypeError, ValueError, LookupError, MemoryError) as error:
        raise FileFormatError(f"load_plan: the plan does not run: {error}") from error


def _dtype(name: Any) -> _C.dtype:
    found = getattr(_C, name, None) if isinstance(name, str) else None
    if not isinstance(found, _C.dtype):
        raise FileFormatError(f"load_plan: {name!r} is not a dtype")
    return found


def _shape(sizes: Any) -> tuple[int, ...]:
    if not isinstance(sizes, list) or len(sizes) > 8 or not all(type(n) is int and 0 <= n < 2**40 for n in sizes):
        raise FileFormatError(f"load_plan: {sizes!r} is not a shape")
    return tuple(sizes)


def _value(value: Any) -> Any:
    """An attribute as the operation takes it."""
    if isinstance(value, dict):
        ((kind, name),) = value.items()
        return _dtype(name) if kind == "dtype" else _C.device(name)
    if isinstance(value, (tuple, list)):
        return type(value)(_value(v) for v in value)
    return value
