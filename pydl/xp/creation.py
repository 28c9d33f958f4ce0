"""Arrays from sizes, numbers and other arrays."""

from typing import Any

import numpy as np

from pydl import _C, ops
from pydl.errors import ArgumentError, DtypeError
from pydl.ops import create
from pydl.ops.shape import sizes_of
from pydl.tensor import Tensor
from pydl.xp.dtypes import checked, floating_default

__all__ = [
    "arange",
    "asarray",
    "empty",
    "empty_like",
    "eye",
    "from_dlpack",
    "full",
    "full_like",
    "linspace",
    "meshgrid",
    "ones",
    "ones_like",
    "tril",
    "triu",
    "zeros",
    "zeros_like",
]

Device = _C.device | str | None
Dtype = _C.dtype | None


def _sizes(shape: Any) -> tuple[int, ...]:
    return tuple(sizes_of((shape,)))


def asarray(obj: Any, /, *, dtype: Dtype = None, device: Device = None, copy: bool | None = None) -> Tensor:
    """obj (an array, numbers, nested sequences, a buffer) as an array.

    Args: copy: True always copies; False never does, and raises where it would have to; None copies where needed.
    """
    if isinstance(obj, (bytes, bytearray, memoryview)):
        obj = np.asarray(memoryview(obj))
    shares = isinstance(obj, (Tensor, np.ndarray)) or hasattr(obj, "__dlpack__")
    if copy is False and not shares:
        raise ArgumentError(f"asarray: {type(obj).__name__} cannot become an array without a copy")
    if not shares and isinstance(obj, (bool, int, float)) and dtype is None:
        dtype = _C.bool if isinstance(obj, bool) else _C.int64 if isinstance(obj, int) else floating_default()
    made = create.asarray(obj, device=device) if shares else create.tensor(obj, dtype=dtype, device=device)
    if dtype is not None and made.dtype is not dtype:
        if copy is False:
            raise ArgumentError(f"asarray: {made.dtype} cannot become {dtype} without a copy")
        return made.to(dtype)
    return made.clone() if copy and shares else made


def arange(
    start: float, /, stop: float | None = None, step: float = 1, *, dtype: Dtype = None, device: Device = None
) -> Tensor:
    """start, start + step, ... before stop; arange(n) is 0..n-1."""
    return create.arange(start, stop, step, dtype=dtype, device=device)


def empty(shape: Any, *, dtype: Dtype = None, device: Device = None) -> Tensor:
    """Elements of no defined value."""
    return create.empty(_sizes(shape), dtype=dtype, device=device)


def zeros(shape: Any, *, dtype: Dtype = None, device: Device = None) -> Tensor:
    """All elements 0."""
    return create.zeros(_sizes(shape), dtype=dtype, device=device)


def ones(shape: Any, *, dtype: Dtype = None, device: Device = None) -> Tensor:
    """All elements 1."""
    return create.ones(_sizes(shape), dtype=dtype, device=device)


def full(shape: Any, fill_value: bool | int | float, *, dtype: Dtype = None, device: Device = None) -> Tensor:
    """All elements fill_value."""
    return create.full(_sizes(shape), fill_value, dtype=dtype, device=device)


def _like(x: Tensor, value: Any, dtype: Dtype, device: Device) -> Tensor:
    return create.full(checked("full_like", x).shape, value, dtype=dtype or x.dtype, device=device)


def empty_like(x: Tensor, /, *, dtype: Dtype = None, device: Device = None) -> Tensor:
    """Elements of no defined value, in the shape and dtype of x."""
    return empty(checked("empty_like", x).shape, dtype=dtype or x.dtype, device=device)


def zeros_like(x: Tensor, /, *, dtype: Dtype = None, device: Device = None) -> Tensor:
    """All 0, in the shape and dtype of x."""
    return _like(x, 0, dtype, device)


def ones_like(x: Tensor, /, *, dtype: Dtype = None, device: Device = None) -> Tensor:
    """All 1, in the shape and dtype of x."""
    return _like(x, 1, dtype, device)


def full_like(x: Tensor, /, fill_value: bool | int | float, *, dtype: Dtype = None, device: Device = None) -> Tensor:
    """All fill_value, in the shape and dtype of x."""
    return _like(x, fill_value, dtype, device)


def eye(n_rows: int, n_cols: int | None = None, /, *, k: int = 0, dtype: Dtype = None, device: Device = None) -> Tensor:
    """(n_rows, n_cols): 1 on the diagonal k (above the main one for k > 0), else 0."""
    rows = create.arange(n_rows, device=device).reshape(-1, 1)
    columns = create.arange(n_rows if n_cols is None else n_cols, device=device)
    y: Tensor = (rows + k == columns).to(dtype or floating_default())
    return y


def linspace(
    start: float,
    stop: float,
    /,
    num: int,
    *,
    dtype: Dtype = None,
    device: Device = None,
    endpoint: bool = True,
) -> Tensor:
    """num numbers from start to stop, evenly spaced; stop is the last one, or with endpoint False the one after it."""
    if num < 0:
        raise ArgumentError(f"linspace: num must not be negative, got {num}")
    if dtype is not None and not dtype.is_floating_point:
        raise DtypeError(f"linspace: expected a floating dtype, got {dtype}")
    values = np.linspace(start, stop, num, endpoint=endpoint)
    return create.tensor(values, device=device).to(dtype or floating_default())


def meshgrid(*arrays: Tensor, indexing: str = "xy") -> tuple[Tensor, ...]:
    """Vectors of n0, n1, ... as grids; 'ij': of shape (n0, n1, ...), 'xy': with the first two axes exchanged."""
    for x in arrays:
        checked("meshgrid", x)
    if len({x.dtype for x in arrays}) > 1:
        raise DtypeError("meshgrid: expected arrays of one dtype")
    return ops.meshgrid(*arrays, indexing=indexing) if arrays else ()


def tril(x: Tensor, /, *, k: int = 0) -> Tensor:
    """The elements on and below the diagonal k, 0 above it."""
    return ops.tril(checked("tril", x), k)


def triu(x: Tensor, /, *, k: int = 0) -> Tensor:
    """The elements on and above the diagonal k, 0 below it."""
    return ops.triu(checked("triu", x), k)


def from_dlpack(x: Any, /, *, device: Device = None, copy: bool | None = None) -> Tensor:
    """An array on the memory of another library's; copy: True always copies, False raises where it would have to."""
    return create.from_dlpack(x, device=device, copy=copy)
