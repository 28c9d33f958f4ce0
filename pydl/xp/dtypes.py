"""Dtypes of the standard: kinds, promotion, limits, and how Python numbers become arrays."""

from dataclasses import dataclass
from typing import Any

from pydl import _C
from pydl.errors import ArgumentError, DtypeError, ShapeError
from pydl.ops.create import as_device, default_dtype
from pydl.tensor import Tensor

__all__ = [
    "astype",
    "broadcast_arrays",
    "broadcast_to",
    "can_cast",
    "finfo",
    "iinfo",
    "isdtype",
    "result_type",
]

DTYPES = {d.name: d for d in (_C.bool, _C.uint8, _C.int32, _C.int64, _C.float32, _C.float64)}
SIGNED, UNSIGNED = (_C.int32, _C.int64), (_C.uint8,)
INTEGERS = (*SIGNED, *UNSIGNED)
FLOATS = (_C.float32, _C.float64, _C.float16, _C.bfloat16)
KINDS: dict[str, tuple[_C.dtype, ...]] = {
    "bool": (_C.bool,),
    "signed integer": SIGNED,
    "unsigned integer": UNSIGNED,
    "integral": INTEGERS,
    "real floating": FLOATS,
    "complex floating": (),
    "numeric": (*INTEGERS, *FLOATS),
}
Scalar = bool | int | float
Array = Tensor


@dataclass(frozen=True)
class FloatLimits:
    """What a floating dtype can hold."""

    bits: int
    eps: float
    max: float
    min: float
    smallest_normal: float
    dtype: _C.dtype


@dataclass(frozen=True)
class IntegerLimits:
    """What an integer dtype can hold."""

    bits: int
    max: int
    min: int
    dtype: _C.dtype


def kind_of(d: _C.dtype) -> str:
    """'bool', 'integral' or 'real floating'."""
    return "bool" if d is _C.bool else "real floating" if d.is_floating_point else "integral"


def isdtype(dtype: _C.dtype, kind: _C.dtype | str | tuple[Any, ...]) -> bool:
    """Whether dtype is of a kind, is another dtype, or is one of several of these."""
    if not isinstance(dtype, _C.dtype):
        raise DtypeError(f"isdtype: expected a dtype, got {dtype!r}")
    if isinstance(kind, tuple):
        return any(isdtype(dtype, k) for k in kind)
    if isinstance(kind, _C.dtype):
        return dtype is kind
    if kind not in KINDS:
        raise ArgumentError(f"isdtype: expected a dtype or one of {', '.join(KINDS)}, got {kind!r}")
    return dtype in KINDS[kind]


def _dtype_of(op: str, value: Any) -> _C.dtype:
    found = value.dtype if isinstance(value, Tensor) else value
    if not isinstance(found, _C.dtype):
        raise DtypeError(f"{op}: expected a dtype or an array, got {value!r}")
    return found


def promoted(op: str, a: _C.dtype, b: _C.dtype) -> _C.dtype:
    """The dtype of both together. Raises: DtypeError for different kinds, which the standard leaves undefined."""
    if kind_of(a) != kind_of(b):
        raise DtypeError(f"{op}: {a} and {b} do not promote: expected dtypes of one kind, convert one with astype")
    return _C.promote_types(a, b)


def _check_number(op: str, value: Any, d: _C.dtype) -> None:
    """Raises unless a Python number may meet arrays of dtype d."""
    kind = kind_of(d)
    fits = isinstance(value, bool) if kind == "bool" else isinstance(value, int) and not isinstance(value, bool)
    fits = fits or (kind == "real floating" and isinstance(value, float))
    if not fits:
        raise DtypeError(f"{op}: {value!r} and an array of {d} do not promote: expected a number of the same kind")


def result_type(*arrays_and_dtypes: Tensor | _C.dtype | Scalar) -> _C.dtype:
    """The dtype of an operation on all of these; Python numbers take part only as their kind."""
    known = [_dtype_of("result_type", v) for v in arrays_and_dtypes if not isinstance(v, (bool, int, float))]
    if not known:
        raise ArgumentError("result_type: expected at least one array or dtype")
    found = known[0]
    for d in known[1:]:
        found = promoted("result_type", found, d)
    for value in arrays_and_dtypes:
        if isinstance(value, (bool, int, float)):
            _check_number("result_type", value, found)
    return found


def can_cast(from_: _C.dtype | Tensor, to: _C.dtype, /) -> bool:
    """Whether from_ promotes to `to` without loss."""
    a, b = _dtype_of("can_cast", from_), _dtype_of("can_cast", to)
    return kind_of(a) == kind_of(b) and _C.promote_types(a, b) is b


def astype(x: Tensor, dtype: _C.dtype, /, *, copy: bool = True, device: Any = None) -> Tensor:
    """x in another dtype; a copy unless copy is False and nothing changes."""
    if device is not None:
        as_device(device)
    y = checked("astype", x).to(_dtype_of("astype", dtype))
    return y.clone() if copy and y is x else y


def finfo(type: _C.dtype | Tensor, /) -> FloatLimits:
    """The limits of a floating dtype."""
    d = _dtype_of("finfo", type)
    bits, exponents = {_C.float64: (52, 11), _C.float32: (23, 8), _C.float16: (10, 5), _C.bfloat16: (7, 8)}.get(
        d, (0, 0)
    )
    if not bits:
        raise DtypeError(f"finfo: expected a floating dtype, got {d}")
    top = 2 ** (exponents - 1) - 1
    largest = (2.0 - 2.0**-bits) * 2.0**top
    return FloatLimits(8 * d.itemsize, 2.0**-bits, largest, -largest, 2.0 ** (1 - top), d)


def iinfo(type: _C.dtype | Tensor, /) -> IntegerLimits:
    """The limits of an integer dtype."""
    d = _dtype_of("iinfo", type)
    if d not in INTEGERS:
        raise DtypeError(f"iinfo: expected an integer dtype, got {d}")
    bits = 8 * d.itemsize
    low = 0 if d in UNSIGNED else -(2 ** (bits - 1))
    return IntegerLimits(bits, 2**bits + low - 1, low, d)


def broadcast_shapes(*shapes: tuple[int, ...]) -> tuple[int, ...]:
    """The shape that all broadcast to."""
    from pydl.ops.shape import broadcast_shape

    return tuple(broadcast_shape("broadcast_shapes", *shapes))


def broadcast_arrays(*arrays: Tensor) -> tuple[Tensor, ...]:
    """All expanded to the shape that they broadcast to."""
    shape = broadcast_shapes(*[checked("broadcast_arrays", x).shape for x in arrays])
    return tuple([x.expand(shape) for x in arrays])


def broadcast_to(x: Tensor, /, shape: tuple[int, ...]) -> Tensor:
    """x expanded to shape."""
    if broadcast_shapes(checked("broadcast_to", x).shape, tuple(shape)) != tuple(shape):
        raise ShapeError(f"broadcast_to: {x.shape} does not broadcast to {tuple(shape)}")
    return x.expand(shape)


# ---------------------------------------------------------------- for the other files


def checked(op: str, x: Any, *kinds: str) -> Tensor:
    """x, if it is an array of one of the kinds."""
    if not isinstance(x, Tensor):
        raise DtypeError(f"{op}: expected an array, got {type(x).__name__}")
    if kinds and kind_of(x.dtype) not in kinds:
        raise DtypeError(f"{op}: expected a dtype that is {' or '.join(kinds)}, got {x.dtype}")
    return x


def pair(op: str, x1: Any, x2: Any, *kinds: str) -> tuple[Tensor, Tensor, _C.dtype]:
    """Both in the dtype that they promote to; one of them may be a Python number."""
    if isinstance(x1, Tensor) and isinstance(x2, Tensor):
        d = promoted(op, x1.dtype, x2.dtype)
        a, b = x1.to(d), x2.to(d)
    elif isinstance(x1, Tensor):
        d = x1.dtype
        a, b = x1, number(op, x2, d)
    elif isinstance(x2, Tensor):
        d = x2.dtype
        a, b = number(op, x1, d), x2
    else:
        raise DtypeError(f"{op}: expected at least one array, got {type(x1).__name__} and {type(x2).__name__}")
    checked(op, a, *kinds)
    return a, b, d


def number(op: str, value: Any, d: _C.dtype) -> Tensor:
    """A Python number as an array of dtype d."""
    if not isinstance(value, (bool, int, float)):
        raise DtypeError(f"{op}: expected an array or a number, got {type(value).__name__}")
    _check_number(op, value, d)
    return Tensor(_C.scalar(value, d, as_device(None)))


def floating_default() -> _C.dtype:
    """The dtype of floating arrays for which none is given."""
    return default_dtype()
