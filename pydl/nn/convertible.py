"""What puts a module into another dtype or onto another device."""

from typing import TYPE_CHECKING, Any

from pydl import _C, ops
from pydl.autograd.mode import no_grad
from pydl.errors import ArgumentError, DtypeError
from pydl.nn import state
from pydl.nn.parameter import is_uninitialized
from pydl.ops.create import DeviceLike, as_device, cuda_device, names_device
from pydl.tensor import Tensor

if TYPE_CHECKING:
    from typing_extensions import Self

__all__ = ["Convertible"]


class Convertible:
    """The part of Module that changes the dtype and device of all parameters and buffers; the tensor objects stay."""

    def to(
        self,
        *args: Any,
        device: Any = None,
        dtype: _C.dtype | None = None,
        non_blocking: bool = False,
        memory_format: Any = None,
    ) -> "Self":
        """Puts parameters and buffers on a device, and the floating ones into a dtype; returns itself.

        Called as to(device), to(dtype), to(device, dtype) or to(tensor), each with non_blocking behind, or by keywords.
        non_blocking is accepted, without effect. Raises: DtypeError unless the dtype is floating; DeviceError.
        """
        if memory_format is not None:
            raise ArgumentError("to: memory_format is not taken: arrays are stored last axis fastest")
        for arg in args:
            if isinstance(arg, _C.dtype):
                dtype = arg
            elif isinstance(arg, Tensor):
                dtype, device = arg.dtype, arg.device
            elif names_device(arg):
                device = arg
            elif arg is not None and not isinstance(arg, bool):
                raise DtypeError(f"to: expected a dtype, a device or a tensor, got {arg!r}")
        if dtype is not None and not dtype.is_floating_point:
            raise DtypeError(f"to: a module can only be put into a floating dtype, got {dtype}")
        where = None if device is None else as_device(device)  # DeviceError where it is not available
        state.convert(self, dtype, where)  # type: ignore[arg-type]
        return self

    def type(self, dst_type: _C.dtype) -> "Self":
        """Floating parameters and buffers in dst_type."""
        return self.to(dst_type)

    def float(self) -> "Self":
        """Floating parameters and buffers in float32."""
        return self.to(_C.float32)

    def double(self) -> "Self":
        """Floating parameters and buffers in float64."""
        return self.to(_C.float64)

    def half(self) -> "Self":
        """Floating parameters and buffers in float16."""
        return self.to(_C.float16)

    def bfloat16(self) -> "Self":
        """Floating parameters and buffers in bfloat16."""
        return self.to(_C.bfloat16)

    def cpu(self) -> "Self":
        """Parameters and buffers in the CPU's memory."""
        return self.to("cpu")

    def cuda(self, device: DeviceLike = None) -> "Self":
        """Parameters and buffers on a CUDA device: on the current one, or on that with a number or name.

        Raises: DeviceError where there is none; ArgumentError for the CPU.
        """
        return self.to(cuda_device(device))

    def to_empty(self, *, device: DeviceLike, recurse: bool = True) -> "Self":
        """Gives parameters and buffers new memory on a device, without copying values; returns itself."""
        with no_grad():
            for t in [*self.parameters(recurse), *self.buffers(recurse)]:  # type: ignore[attr-defined]
                if not is_uninitialized(t):
                    t.array = ops.empty(t.shape, dtype=t.dtype, device=device).array
        return self
