"""Conversions between dtypes and devices, and the changes in place."""

from collections.abc import Callable
from typing import Any
from weakref import ref

import numpy as np

from pydl import _C
from pydl.autograd.mode import mode
from pydl.autograd.node import Change
from pydl.autograd.op import Op, shell
from pydl.errors import AutogradError, DtypeError
from pydl.ops.create import as_device
from pydl.ops.scalar import lift
from pydl.ops.shape import Cast
from pydl.tensor import Tensor


def to(
    input: Tensor, *args: Any, dtype: _C.dtype | None = None, device: Any = None, copy: bool = False, **_: Any
) -> Tensor:
    """input in another dtype, on another device, or as another tensor is; itself where nothing changes.

    Called as to(dtype), to(device), to(device, dtype) or to(other).
    """
    for arg in args:
        if isinstance(arg, _C.dtype):
            dtype = arg
        elif isinstance(arg, Tensor):
            dtype, device = arg.dtype, arg.device
        elif isinstance(arg, (str, _C.device)):
            device = arg
        elif not isinstance(arg, bool) and arg is not None:
            raise DtypeError(f"to: expected a dtype, a device or a tensor, got {arg!r}")
    if device is not None:
        as_device(device)  # DeviceError where it is not available
    if dtype is None or dtype is input.array.dtype:
        return input.clone() if copy else input
    if not dtype.is_floating_point:
        return Cast.apply(input.detach(), dtype=dtype)  # no gradient passes through integers
    return Cast.apply(input, dtype=dtype)


def type_as(input: Tensor, other: Tensor) -> Tensor:
    """input in the dtype of other."""
    return to(input, other.dtype)


def cpu(input: Tensor) -> Tensor:
    """input in the CPU's memory."""
    return to(input, device="cpu")


def cuda(input: Tensor, device: Any = None) -> Tensor:
    """input in the memory of a CUDA device. Raises: DeviceError where there is none."""
    return to(input, device="cuda" if device is None else device)


def copy_(input: Tensor, src: Any, non_blocking: bool = False) -> Tensor:
    """Overwrites input with src, broadcast and converted, in place; returns input."""
    return write(input, lift(src, input, "copy_"), "copy_")


def write(input: Tensor, value: Tensor, op: str) -> Tensor:
    """Puts value into the memory of input, broadcast and converted. Raises: AutogradError where a graph would not
    notice."""
    if mode.enabled and (input.requires_grad or value.requires_grad):
        check_recorded_change(input, op, input.array.is_shared, "clone() before")
        return _write_recorded(input, value, op)
    _C.copy_into(value.array, input.array, op)
    return input


class Overwritten(Op):
    """The second input in place of the first."""

    uses = ()

    def vjp(g, x, value):
        return None, g


def _write_recorded(x: Tensor, value: Tensor, op: str) -> Tensor:
    """x, overwritten, continues the graph of value."""
    before = Tensor(x.array, x.node, x.requires_grad)
    _C.copy_into(value.array, x.array, op)
    inputs = tuple(light for light in (shell(before), shell(value)) if light is not None)
    x.node, x.requires_grad = Change(Overwritten, inputs, {}), True
    return x


def check_recorded_change(x: Tensor, op: str, shared: bool, advice: str) -> None:
    """Raises: AutogradError where a change of x in place cannot be recorded; DtypeError."""
    if x.requires_grad and x.node is None:
        raise AutogradError(f"{op}: a leaf that requires gradients is changed in place only within pydl.no_grad()")
    if shared:
        raise AutogradError(f"{op}: another tensor shares this memory, and its gradient would not know: {advice}")
    if not x.array.is_floating:
        raise DtypeError(f"{op}: a value that requires gradients does not fit dtype {x.dtype}: expected a float")


def _computed(function: Callable[..., Tensor], x: Tensor, args: Any, kwargs: Any) -> Tensor:
    """function(x, ...) for an x that is changed afterwards: a rule that reads it gets a copy of what it was."""
    before = Tensor(x.array, x.node, x.requires_grad)
    made, kept = function(before, *[before if a is x else a for a in args], **kwargs), ref(before)
    del before
    held = kept()
    if held is not None and made.requires_grad:
        held.array = _C.clone(x.array)
    return made


def overwrite(function: Callable[..., Tensor], x: Tensor, args: Any, kwargs: Any, op: str) -> Tensor:
    """Makes function(x, ...) what x holds, in place; returns x. Raises: AutogradError as `write`, DtypeError where x
    cannot hold the result."""
    shared = x.array.is_shared
    made = _computed(function, x, args, kwargs)
    if _kind(made) > _kind(x):
        raise DtypeError(f"{op}: the result has dtype {made.dtype}: {x.dtype} cannot hold it")
    if not made.requires_grad:
        return write(x, made, op)
    check_recorded_change(x, op, shared, "clone() before")
    return _write_recorded(x, made, op)


def _kind(x: Tensor) -> int:
    """Which of bool, integers and floats it holds."""
    return 2 if x.array.is_floating else 0 if x.dtype is _C.bool else 1


def in_place(name: str) -> Any:
    """The method name_ that overwrites a tensor with what the method name gives."""

    def method(self: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        return overwrite(getattr(Tensor, name), self, args, kwargs, name + "_")

    method.__name__ = method.__qualname__ = name + "_"
    method.__doc__ = f"As `{name}`, in place. In a graph: of a tensor that is no leaf and shares its memory with none."
    return method


def augmented(function: Callable[..., Tensor], name: str) -> Any:
    """The operator `x op= y`: in place, but a new tensor where a graph records, as any operator; x[i] op= y puts that
    into x."""

    def method(self: Tensor, other: Any) -> Tensor:
        if not isinstance(other, (Tensor, bool, int, float, np.generic, np.ndarray)):
            return NotImplemented
        array = self.array
        if not isinstance(array, _C.Array):
            return function(self, other)
        if mode.enabled and (self.requires_grad or (isinstance(other, Tensor) and other.requires_grad)):
            return _computed(function, self, (other,), {}) if array.is_shared else function(self, other)
        return overwrite(function, self, (other,), {}, name)

    method.__name__ = method.__qualname__ = name
    return method


def zero_(input: Tensor) -> Tensor:
    """Fills input with 0, in place."""
    return fill_(input, 0)


def fill_(input: Tensor, value: Any) -> Tensor:
    """Fills input with value, in place."""
    return write(input, lift(value, input, "fill_"), "fill_")
