"""What `pydl.autocast` asks of operations: products in a narrow dtype, losses in float32."""

from typing import TypeVar

from pydl import _C
from pydl.autograd.mode import mode
from pydl.ops.shape import Cast
from pydl.tensor import Tensor

T = TypeVar("T", Tensor, Tensor | None)
_CASTABLE = (_C.float32, _C.bfloat16, _C.float16)  # float64 is somebody's choice


def lowered(*tensors: T) -> tuple[T, ...]:
    """The tensors in the dtype of autocast. Called where `mode.cast` is set."""
    return tuple(_cast(t, mode.cast) for t in tensors)


def raised(*tensors: T) -> tuple[T, ...]:
    """The tensors in float32, where 16 bits would overflow or lose small terms. Called where `mode.cast` is set."""
    return tuple(_cast(t, _C.float32) for t in tensors)


def _cast(t: T, dtype: _C.dtype | None) -> T:
    if isinstance(t, Tensor) and dtype is not None and t.dtype is not dtype and t.dtype in _CASTABLE:
        return Cast.apply(t, dtype=dtype)
    return t
