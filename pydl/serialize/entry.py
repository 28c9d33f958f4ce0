"""One block of numbers of a file, and the dtypes that files name."""

import ctypes
import math
from typing import IO, Any

import numpy as np

from pydl import _C
from pydl.errors import FileFormatError, require
from pydl.tensor import Tensor

__all__ = ["SIZES", "Entry"]

_DTYPES = {"F32": _C.float32, "F64": _C.float64, "BF16": _C.bfloat16, "F16": _C.float16,
           "I64": _C.int64, "I32": _C.int32, "U8": _C.uint8, "BOOL": _C.bool}  # fmt: skip
_NUMPY = {"I8": "int8", "I16": "int16", "U16": "uint16", "U32": "uint32", "U64": "uint64"}
_NUMPY |= {code: dtype.name for code, dtype in _DTYPES.items()}
_WIDER = {"I8": "int32", "I16": "int32", "U16": "int32", "U32": "int64"}  # foreign entries that pydl holds as
_CODES = {name: code for code, name in _NUMPY.items()}
SIZES = {"I8": 1, "I16": 2, "U16": 2, "U32": 4, "U64": 8}
SIZES |= {code: dtype.itemsize for code, dtype in _DTYPES.items()}


class Entry:
    """Numbers of a dtype, in memory that an Array of pydl owns, or a NumPy array where pydl lacks the dtype."""

    def __init__(self, dtype: str, owner: Any) -> None:
        self.dtype, self.owner = dtype, owner
        self.shape: tuple[int, ...] = tuple(owner.shape)
        self.size: int = math.prod(self.shape) * SIZES[dtype]

    @staticmethod
    def fits(value: Any) -> bool:
        """Whether value is a tensor or an array that a file can hold."""
        return isinstance(value, Tensor) or (isinstance(value, np.ndarray) and value.dtype.name in _CODES)

    @classmethod
    def of(cls, value: Any) -> "Entry":
        """Of a tensor or an array, copied only if it is not dense."""
        if isinstance(value, Tensor):
            array = _C.contiguous(value.detach().to_dense().cpu().array)
            return cls(_CODES[array.dtype.name], array)
        native = value.dtype.newbyteorder("=") if value.dtype.byteorder == ">" else value.dtype
        return cls(_CODES[value.dtype.name], np.asarray(value, native, order="C"))

    @classmethod
    def read(cls, file: IO[bytes], name: str, dtype: str, shape: tuple[int, ...]) -> "Entry":
        """The next numbers of the file, put where they stay."""
        owner = (
            _C.empty(shape, _DTYPES[dtype], _C.device("cpu")) if dtype in _DTYPES else np.empty(shape, _NUMPY[dtype])
        )
        made = cls(dtype, owner)
        rest = memoryview(made.buffer()).cast("B")
        while rest:
            count = file.readinto(rest)  # type: ignore[attr-defined]
            if not count:
                raise FileFormatError("the file ended while it was read")
            rest = rest[count:]
        if dtype == "BOOL" and (np.frombuffer(made.buffer(), np.uint8) > 1).any():
            raise FileFormatError(f"{name!r} is bool, but holds other numbers than 0 and 1")
        return made

    def buffer(self) -> Any:
        """The memory."""
        if not self.size:
            return b""
        pointer = self.owner.ctypes.data if isinstance(self.owner, np.ndarray) else self.owner.data_ptr
        return (ctypes.c_char * self.size).from_address(pointer)

    def array(self) -> np.ndarray[Any, Any]:
        """As a NumPy array."""
        if isinstance(self.owner, np.ndarray):
            return self.owner
        if self.dtype == "BF16":
            require("ml_dtypes", "bfloat16", "load (of a NumPy array of bfloat16)")
        return Tensor(self.owner).numpy()

    def tensor(self, name: str) -> Tensor:
        """As a tensor."""
        if not isinstance(self.owner, np.ndarray):
            return Tensor(self.owner)
        if self.dtype not in _WIDER:
            raise FileFormatError(f"{name!r} is a tensor of dtype {self.dtype}, which pydl does not have")
        return Tensor(_C.from_numpy(self.owner.astype(_WIDER[self.dtype])))
