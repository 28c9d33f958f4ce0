"""Conversions between dtypes and devices, and the changes in place."""

from collections.abc import Callable
from typing import Any
from weakref import ref

import numpy as np

from pydl import _C
from pydl.autograd.mode import mode
from pydl.autograd.op import Op
from pydl.autograd.views import Overwritten, change, check_change, has_kin
from pydl.errors import DtypeError
from pydl.ops.create import as_device, cuda_device, names_device
from pydl.ops.scalar import lift
from pydl.ops.shape import Cast
from pydl.tensor import Tensor


class Transfer(Op):
    """The same numbers in the memory of another device."""

    kernel = _C.to_device
    uses = ()

    def vjp(g, x, device):
        return (Transfer.apply(g, device=x.device),)


def to(
    input: Tensor, *args: Any, dtype: _C.dtype | None = None, device: Any = None, copy: bool = False, **_: Any
) -> Tensor:
    """input in another dtype, on another device, or as another tensor is; itself where nothing changes.

    A copy has its axes in memory in the same order.

    Called as to(dtype), to(device), to(device, dtype) or to(other). A gradient goes back to the device it came from.
    Raises: DeviceError where the device cannot be used.
    """
    for arg in args:
        if isinstance(arg, _C.dtype):
            dtype = arg
        elif isinstance(arg, Tensor):
            dtype, device = arg.dtype, arg.device
        elif names_device(arg):
            device = arg
        elif not isinstance(arg, bool) and arg is not None:
            raise DtypeError(f"to: expected a dtype, a device or a tensor, got {arg!r}")
    made = input
    if device is not None and (where := as_device(device)) != input.array.device:
        made = Transfer.apply(made, device=where)
    if dtype is not None and dtype is not input.array.dtype:
        # no gradient passes through integers
        made = Cast.apply(made if dtype.is_floating_point else made.detach(), dtype=dtype)
    return input.clone() if copy and made is input else made


def by_device(arrays: list[_C.Array]) -> list[list[_C.Array]]:
    """Arrays in one list for each device that they are on, in their order; none of no arrays."""
    if _C.on_one_device(arrays):
        return [arrays] if arrays else []
    groups: dict[str, list[_C.Array]] = {}
    for a in arrays:
        groups.setdefault(str(a.device), []).append(a)
    return list(groups.values())


def type_as(input: Tensor, other: Tensor) -> Tensor:
    """input in the dtype of other."""
    return to(input, other.dtype)


def cpu(input: Tensor) -> Tensor:
    """input in the CPU's memory."""
    return to(input, device="cpu")


def cuda(input: Tensor, device: Any = None, non_blocking: bool = False) -> Tensor:
    """input in the memory of a CUDA device: of the current one, or of that with a number or name.

    non_blocking is accepted, without effect. Raises: DeviceError where there is none; ArgumentError for the CPU.
    """
    return to(input, device=cuda_device(device))


def copy_(input: Tensor, src: Any, non_blocking: bool = False) -> Tensor:
    """Overwrites input with src, broadcast, converted and from any device, in place; returns input."""
    return write(input, to(lift(src, input, "copy_"), device=input.device), "copy_")


def write(input: Tensor, value: Tensor, op: str) -> Tensor:
    """Puts value into the memory of input, broadcast and converted. Raises: AutogradError where that cannot be
    recorded."""
    array: Any = input.array
    if not isinstance(array, _C.Array):
        array.overwrite(value, op)
    elif mode.enabled and (input.requires_grad or value.requires_grad):
        check_change(input, op)
        _C.copy_into(value.array, input.array, op)
        change(input, Overwritten, value, {})
    else:
        _C.copy_into(value.array, input.array, op)
    return input


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
    made = _computed(function, x, args, kwargs)
    if _kind(made) > _kind(x):
        raise DtypeError(f"{op}: the result has dtype {made.dtype}: {x.dtype} cannot hold it")
    return write(x, made, op)


def _kind(x: Tensor) -> int:
    """Which of bool, integers and floats it holds."""
    return 2 if x.array.is_floating else 0 if x.dtype is _C.bool else 1


def in_place(name: str) -> Any:
    """The method name_ that overwrites a tensor with what the method name gives."""

    def method(self: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        return overwrite(getattr(Tensor, name), self, args, kwargs, name + "_")

    method.__name__ = method.__qualname__ = name + "_"
    method.__doc__ = f"As `{name}`, in place. In a graph: of a tensor that is no leaf; its views follow."
    return method


def augmented(function: Callable[..., Tensor], name: str) -> Any:
    """The operator `x op= y`: in place. Where a graph records, x that has no views and is none becomes a new tensor
    instead: nobody can tell, and rules that read what x was may go on to do so."""

    def method(self: Tensor, other: Any) -> Tensor:
        if not isinstance(other, (Tensor, bool, int, float, np.generic, np.ndarray)):
            return NotImplemented
        array = self.array
        if not isinstance(array, _C.Array):
            return function(self, other)
        recorded = mode.enabled and (self.requires_grad or (isinstance(other, Tensor) and other.requires_grad))
        if recorded and not has_kin(self):
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
