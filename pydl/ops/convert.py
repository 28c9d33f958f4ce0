"""Conversions between dtypes and devices, and the changes in place, which are outside the graph."""

from typing import Any

from pydl import _C
from pydl.autograd.mode import mode
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
    """Puts value into the memory of input. Raises: AutogradError where a graph would not notice."""
    if mode.enabled and (input.requires_grad or value.requires_grad):
        raise AutogradError(f"{op}: a tensor that requires gradients is changed in place only within pydl.no_grad()")
    _C.copy_into(value.array, input.array, op)
    return input


def in_place(name: str) -> Any:
    """The method name_ that overwrites a tensor with what the method name gives."""

    def method(self: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        return write(self, getattr(Tensor, name)(self, *args, **kwargs), name + "_")

    method.__name__ = method.__qualname__ = name + "_"
    method.__doc__ = f"As `{name}`, in place; outside the graph only."
    return method


def zero_(input: Tensor) -> Tensor:
    """Fills input with 0, in place."""
    return fill_(input, 0)


def fill_(input: Tensor, value: Any) -> Tensor:
    """Fills input with value, in place."""
    return write(input, lift(value, input, "fill_"), "fill_")
