"""Tensors from sizes, numbers and other libraries' arrays."""

from typing import Any

import numpy as np

from pydl import _C
from pydl.errors import ArgumentError, DtypeError
from pydl.ops.shape import sizes_of
from pydl.tensor import Tensor

__all__ = [
    "arange",
    "as_tensor",
    "asarray",
    "empty",
    "empty_like",
    "eye",
    "from_dlpack",
    "from_numpy",
    "full",
    "full_like",
    "get_default_dtype",
    "is_floating_point",
    "is_tensor",
    "linspace",
    "logspace",
    "ones",
    "ones_like",
    "set_default_dtype",
    "tensor",
    "zeros",
    "zeros_like",
]

DeviceLike = _C.device | str | int | None

_cpu = _C.device("cpu")
CUDA, DEFAULT_STREAM = 2, 1  # DLPack's names of devices and streams


def as_device(device: DeviceLike) -> _C.device:
    """The device that is meant; the CPU where nothing is said."""
    return _cpu if device is None else _C.device(device)


def names_device(given: Any) -> bool:
    """Whether an argument stands for a device: its name, its number or itself."""
    return isinstance(given, (str, _C.device, int, np.integer)) and not isinstance(given, bool)


def cuda_device(device: DeviceLike) -> _C.device:
    """The CUDA device that is meant; the current one where nothing is said. Raises: ArgumentError for the CPU."""
    where = _C.device("cuda" if device is None else device)
    if where.type != "cuda":
        raise ArgumentError(f"cuda: expected a CUDA device, got '{where}'")
    return where


def default_dtype() -> _C.dtype:
    """The dtype of floating tensors for which none is given."""
    return _C.default_dtype()


def get_default_dtype() -> _C.dtype:
    """The dtype of floating tensors for which none is given: float32 unless it was set."""
    return _C.default_dtype()


def set_default_dtype(d: _C.dtype) -> None:
    """Sets the dtype of floating tensors for which none is given."""
    if not isinstance(d, _C.dtype):
        raise DtypeError(f"set_default_dtype: expected a floating dtype, got {d}")
    _C.set_default_dtype(d)


def tensor(
    data: Any, *, dtype: _C.dtype | None = None, device: DeviceLike = None, requires_grad: bool = False
) -> Tensor:
    """A tensor with a copy of data: numbers, nested lists, a NumPy array or a tensor.

    Args: dtype: that of data; Python floats give the default dtype, Python integers int64.
    Raises: ShapeError for ragged lists, DtypeError for what is not numbers.
    """
    if isinstance(data, Tensor):
        array = _C.clone(data.array)
    elif isinstance(data, (bool, int, float)):
        kind = _C.bool if isinstance(data, bool) else _C.int64 if isinstance(data, int) else default_dtype()
        array = _C.scalar(data, dtype or kind, as_device(device))
    else:
        array = _C.clone(_from_values(data, dtype or default_dtype()))
    if dtype is not None:
        array = _C.cast(array, dtype)
    return leaf(array if device is None else _C.to_device(array, as_device(device)), requires_grad)


def leaf(array: _C.Array, requires_grad: bool) -> Tensor:
    """A tensor made by the user. Raises: DtypeError if gradients are asked for and it is not floating."""
    made = Tensor(array)
    return made.requires_grad_() if requires_grad else made


def _from_values(data: Any, floats: _C.dtype) -> _C.Array:
    """An array of nested lists (of dtype `floats` if it holds Python floats), or of anything NumPy reads."""
    if isinstance(data, np.ndarray) or hasattr(data, "__array_interface__"):
        return _C.from_numpy(_native(np.asarray(data)))
    if isinstance(data, (list, tuple)) and _holds_tensor(data):
        data = _numbers(data)
    try:
        values = np.array(data)
    except ValueError as error:
        raise ArgumentError(f"tensor: the nested lists are ragged: {error}") from error
    if values.dtype == np.float64 and not isinstance(data, np.generic):
        return _C.cast(_C.from_numpy(values), floats)
    return _C.from_numpy(_native(values))


def _holds_tensor(data: Any) -> bool:
    return bool(data) and (
        isinstance(data[0], Tensor) or (isinstance(data[0], (list, tuple)) and _holds_tensor(data[0]))
    )


def _numbers(data: Any) -> Any:
    return (
        data.tolist()
        if isinstance(data, Tensor)
        else [_numbers(d) for d in data]
        if isinstance(data, (list, tuple))
        else data
    )


def _native(values: np.ndarray) -> np.ndarray:
    """values in a dtype that pydl has: small integers widen, strings and objects are refused."""
    if values.dtype.kind in "OSUMmcV" and values.dtype.name != "bfloat16":
        raise DtypeError(f"tensor: expected numbers, got NumPy dtype {values.dtype}")
    if values.dtype.kind in "iu" and values.dtype.name not in ("uint8", "int32", "int64"):
        return values.astype(np.int32 if values.dtype.itemsize <= 2 else np.int64)
    if not values.flags.aligned or any(step % values.itemsize for step in values.strides):
        values = values.copy()  # a field of a packed record
    return values if values.dtype.isnative else values.astype(values.dtype.newbyteorder("="))


def from_numpy(ndarray: np.ndarray) -> Tensor:
    """A tensor on the memory of a NumPy array: changes show in both."""
    if not isinstance(ndarray, np.ndarray):
        raise DtypeError(f"from_numpy: expected a NumPy array, got {type(ndarray).__name__}")
    return Tensor(_C.from_numpy(ndarray))


def from_dlpack(ext_tensor: Any, *, device: DeviceLike = None, copy: bool | None = None) -> Tensor:
    """A tensor on the memory of another library's array (or a capsule of one), by DLPack.

    Args:
        device: where it should be; a copy where it is elsewhere.
        copy: True: on memory of its own; False: never a copy.
    Writing into read-only memory is refused. Raises: DeviceError, DtypeError, BufferError of the producer.
    """
    if device is not None and as_device(device) != _cpu:
        return from_dlpack(ext_tensor, copy=copy).to(as_device(device))
    if type(ext_tensor).__name__ == "PyCapsule":
        made = Tensor(_C.from_dlpack(ext_tensor))
        return made.clone() if copy else made
    if isinstance(ext_tensor, np.ndarray) and ext_tensor.dtype.name == "bfloat16":  # NumPy does not export it
        made = from_numpy(ext_tensor)
        return made.clone() if copy else made
    if not hasattr(ext_tensor, "__dlpack__"):
        raise DtypeError(f"from_dlpack: {type(ext_tensor).__name__} has no __dlpack__")
    wishes: dict[str, Any] = {"max_version": (1, 0)}
    if device is not None:
        wishes["dl_device"] = (1, 0)
    elif hasattr(ext_tensor, "__dlpack_device__") and ext_tensor.__dlpack_device__()[0] == CUDA:
        wishes["stream"] = _C.cuda_stream(ext_tensor.__dlpack_device__()[1]) or DEFAULT_STREAM
    if copy is not None:
        wishes["copy"] = copy
    try:
        capsule = ext_tensor.__dlpack__(**wishes)
    except TypeError:  # a producer older than DLPack 1.0
        made = Tensor(_C.from_dlpack(ext_tensor.__dlpack__()))
        return made.clone() if copy else made
    return Tensor(_C.from_dlpack(capsule))


def asarray(obj: Any, *, dtype: _C.dtype | None = None, device: DeviceLike = None, copy: bool | None = None) -> Tensor:
    """obj as a tensor, on the same memory where that is possible and copy is not asked for."""
    if isinstance(obj, Tensor):
        made = obj
    elif isinstance(obj, np.ndarray):
        made = Tensor(_C.from_numpy(_native(obj)))
    elif hasattr(obj, "__dlpack__"):
        made = from_dlpack(obj)
    else:
        return tensor(obj, dtype=dtype, device=device)
    where = made.device if device is None else as_device(device)
    if made.device != where or (dtype is not None and made.dtype is not dtype):
        return made.to(where, dtype)
    return made.clone() if copy else made


as_tensor = asarray


def full(
    size: Any,
    fill_value: bool | int | float,
    *,
    dtype: _C.dtype | None = None,
    device: DeviceLike = None,
    requires_grad: bool = False,
) -> Tensor:
    """All elements fill_value."""
    if dtype is None:
        kind = {bool: _C.bool, int: _C.int64}
        dtype = kind.get(type(fill_value), default_dtype())
    return leaf(_C.full(sizes_of((size,)), fill_value, dtype, as_device(device)), requires_grad)


def zeros(*size: Any, dtype: _C.dtype | None = None, device: DeviceLike = None, requires_grad: bool = False) -> Tensor:
    """All elements 0."""
    return leaf(_C.full(sizes_of(size), 0, dtype or default_dtype(), as_device(device)), requires_grad)


def ones(*size: Any, dtype: _C.dtype | None = None, device: DeviceLike = None, requires_grad: bool = False) -> Tensor:
    """All elements 1."""
    return leaf(_C.full(sizes_of(size), 1, dtype or default_dtype(), as_device(device)), requires_grad)


def empty(*size: Any, dtype: _C.dtype | None = None, device: DeviceLike = None, requires_grad: bool = False) -> Tensor:
    """Elements of no defined value."""
    return leaf(_C.empty(sizes_of(size), dtype or default_dtype(), as_device(device)), requires_grad)


def _like(x: Tensor, value: float, dtype: _C.dtype | None, device: DeviceLike, requires_grad: bool) -> Tensor:
    where = x.array.device if device is None else as_device(device)
    return leaf(_C.full(x.array.shape, value, dtype or x.array.dtype, where), requires_grad)


def zeros_like(
    input: Tensor, *, dtype: _C.dtype | None = None, device: DeviceLike = None, requires_grad: bool = False
) -> Tensor:
    """All 0, in the shape and dtype of input, on its device unless another is given."""
    return _like(input, 0, dtype, device, requires_grad)


def ones_like(
    input: Tensor, *, dtype: _C.dtype | None = None, device: DeviceLike = None, requires_grad: bool = False
) -> Tensor:
    """All 1, in the shape and dtype of input, on its device unless another is given."""
    return _like(input, 1, dtype, device, requires_grad)


def full_like(
    input: Tensor,
    fill_value: bool | int | float,
    *,
    dtype: _C.dtype | None = None,
    device: DeviceLike = None,
    requires_grad: bool = False,
) -> Tensor:
    """All fill_value, in the shape and dtype of input, on its device unless another is given."""
    return _like(input, fill_value, dtype, device, requires_grad)


def empty_like(
    input: Tensor, *, dtype: _C.dtype | None = None, device: DeviceLike = None, requires_grad: bool = False
) -> Tensor:
    """Elements of no defined value, in the shape and dtype of input, on its device unless another is given."""
    where = input.device if device is None else as_device(device)
    return leaf(_C.empty(input.shape, dtype or input.dtype, where), requires_grad)


def arange(
    start: float, end: float | None = None, step: float = 1, *, dtype: _C.dtype | None = None, device: DeviceLike = None
) -> Tensor:
    """start, start + step, ... below end; arange(n) is 0..n-1. int64 if all three are integers."""
    if end is None:
        start, end = 0, start
    whole = all(isinstance(v, (int, np.integer)) for v in (start, end, step))
    if whole and step and max(abs(start), abs(end)) > 2**53:  # beyond what float64 counts exactly
        return tensor(np.arange(start, end, step), dtype=dtype, device=device)
    return Tensor(_C.arange(start, end, step, dtype or (_C.int64 if whole else default_dtype()), as_device(device)))


def linspace(
    start: float, end: float, steps: int, *, dtype: _C.dtype | None = None, device: DeviceLike = None
) -> Tensor:
    """steps numbers from start to end, both included, evenly spaced."""
    if steps < 0:
        raise ArgumentError(f"linspace: steps must not be negative, got {steps}")
    made = tensor(np.linspace(start, end, steps), device=device)
    return made.to(dtype or default_dtype())


def logspace(
    start: float,
    end: float,
    steps: int,
    base: float = 10.0,
    *,
    dtype: _C.dtype | None = None,
    device: DeviceLike = None,
) -> Tensor:
    """steps numbers from base^start to base^end, both included, evenly spaced on a log scale."""
    exponents = linspace(start, end, steps, dtype=_C.float64, device=device)
    return (base**exponents).to(dtype or default_dtype())


def is_tensor(obj: Any) -> bool:
    """Whether obj is a tensor."""
    return isinstance(obj, Tensor)


def is_floating_point(input: Tensor) -> bool:
    """Whether the dtype of input is floating."""
    return input.array.is_floating


def eye(n: int, m: int | None = None, *, dtype: _C.dtype | None = None, device: DeviceLike = None) -> Tensor:
    """(n, m): 1 on the diagonal, else 0."""
    rows = arange(n, device=device).reshape(-1, 1)
    return (rows == arange(n if m is None else m, device=device)).to(dtype or default_dtype())
