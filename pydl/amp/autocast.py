"""autocast: matrix products and convolutions inside are computed in 16 bits."""

from collections.abc import Callable
from types import TracebackType
from typing import ParamSpec, TypeVar

from pydl import _C
from pydl.autograd.mode import mode, wrapped
from pydl.errors import ArgumentError
from pydl.ops.create import as_device

P = ParamSpec("P")
R = TypeVar("R")


class autocast:
    """A context, or a decorator, in which products run in a narrow dtype: for the forward pass and its loss.

    matmul and its kin, linear, the convolutions and scaled_dot_product_attention take float32 and narrow inputs in
    `dtype`; losses are computed in float32; everything else in the dtype it is given. float64 is left alone. Weights
    stay in float32, and so do their gradients.

    Args:
        device_type: "cpu" or "cuda". dtype: bfloat16 (the default) or float16, which needs a `GradScaler`.
        enabled: False switches it off inside another one.
        cache_enabled: accepted for code written for PyTorch; a weight that is used again is cast again.
    Raises: ArgumentError for another dtype.
    Source: Micikevicius et al. 2018, Mixed precision training (arXiv:1710.03740).
    """

    def __init__(
        self,
        device_type: str = "cpu",
        dtype: _C.dtype | None = None,
        enabled: bool = True,
        cache_enabled: bool | None = None,
    ) -> None:
        if device_type not in ("cpu", "cuda"):
            raise ArgumentError(f"autocast: device_type must be 'cpu' or 'cuda', got {device_type!r}")
        if enabled:
            as_device(device_type)  # DeviceError where it is not available
        chosen = _C.bfloat16 if dtype is None else dtype
        if chosen not in (_C.bfloat16, _C.float16):
            raise ArgumentError(f"autocast: dtype must be bfloat16 or float16, got {chosen}")
        self.device_type, self.dtype, self.enabled, self.cache_enabled = device_type, chosen, enabled, cache_enabled
        self._stack: list[_C.dtype | None] = []

    def __enter__(self) -> "autocast":
        self._stack.append(mode.cast)
        mode.cast = self.dtype if self.enabled else None
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        mode.cast = self._stack.pop()

    def __call__(self, function: Callable[P, R]) -> Callable[P, R]:
        return wrapped(function, lambda: autocast(self.device_type, self.dtype, self.enabled, self.cache_enabled))


def is_autocast_enabled(device_type: str = "cpu") -> bool:
    """Whether this thread is inside an enabled `autocast`."""
    return mode.cast is not None


def get_autocast_dtype(device_type: str = "cpu") -> _C.dtype:
    """The dtype of the `autocast` that this thread is inside, bfloat16 outside."""
    return _C.bfloat16 if mode.cast is None else mode.cast
