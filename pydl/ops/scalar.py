"""Python numbers in arithmetic: weak, as in PyTorch. A number takes the dtype of the tensor that it meets unless it is
of a higher category (a float meeting integers gets the default dtype)."""

from functools import lru_cache
from typing import Any

import numpy as np

from pydl import _C
from pydl.errors import DtypeError
from pydl.tensor import Tensor

Number = bool | int | float


@lru_cache(maxsize=1024)
def _constant(value: Any, kind: type, dtype: _C.dtype, device: _C.device) -> Tensor:
    """Constants recur in every step, so their arrays are kept; no operation changes its inputs."""
    return Tensor(_C.constant(value, dtype, device))


def lift(value: Any, like: Tensor, op: str) -> Tensor:
    """value as a tensor that can meet `like` in an operation."""
    if isinstance(value, Tensor):
        return value
    array = like.array
    dtype = array.dtype
    if isinstance(value, (bool, np.bool_)):
        value = bool(value)
    elif isinstance(value, (int, np.integer)):
        value = int(value)
        if dtype is _C.bool:
            dtype = _C.int64
    elif isinstance(value, (float, np.floating)):
        value = float(value)
        if not array.is_floating:
            dtype = _C.default_dtype()
    elif isinstance(value, np.ndarray):
        return Tensor(_C.from_numpy(value))
    else:
        raise DtypeError(f"{op}: expected a tensor or a number, got {type(value).__name__}")
    # -0.0 == 0.0 and nan != nan as keys: the sign of zero is part of the key, a nan is made anew.
    if value != value or (value == 0 and str(value)[0] == "-"):
        return Tensor(_C.scalar(value, dtype, array.device))
    return _constant(value, value.__class__, dtype, array.device)


def expect_tensor(value: Any, op: str) -> Tensor:
    """value itself, which must be a tensor."""
    if not isinstance(value, Tensor):
        raise DtypeError(f"{op}: expected a tensor, got {type(value).__name__}")
    return value


def expect_number(value: Any, op: str, name: str) -> float:
    """value as a float; it must be a Python or NumPy number, or a tensor of one element."""
    if isinstance(value, (bool, int, float, np.bool_, np.integer, np.floating)):
        return float(value)
    if isinstance(value, Tensor) and value.numel() == 1:
        return float(value.item())
    raise DtypeError(f"{op}: {name} must be a number, got {type(value).__name__}")


def require(condition: Tensor, message: str, bounds: bool = False) -> None:
    """Raises ArgumentError, or BoundsError, unless the condition holds everywhere; replays ask again."""
    _C.require(_C.all(condition.array), message, bounds)


def known(x: Tensor) -> float | None:
    """The number that x is; None where it is more than one, or something that gradients or examples run over."""
    plain = x.ndim == 0 and not x.requires_grad and isinstance(x.array, _C.Array)
    return float(x.item()) if plain else None


def lift_pair(a: Any, b: Any, op: str) -> tuple[Tensor, Tensor]:
    """Both as tensors; at least one must be a tensor."""
    if isinstance(a, Tensor):
        return a, lift(b, a, op)
    if not isinstance(b, Tensor):
        raise DtypeError(f"{op}: expected at least one tensor, got {type(a).__name__} and {type(b).__name__}")
    return lift(a, b, op), b
