"""Functions of each element, with the standard's dtypes and special cases."""

from collections.abc import Callable
from typing import Any

import numpy as np

from pydl import _C, ops
from pydl.errors import ArgumentError, DtypeError
from pydl.tensor import Tensor
from pydl.xp.dtypes import Scalar, checked, kind_of, number, pair

__all__ = [
    "abs",
    "acos",
    "acosh",
    "add",
    "asin",
    "asinh",
    "atan",
    "atan2",
    "atanh",
    "bitwise_and",
    "bitwise_invert",
    "bitwise_left_shift",
    "bitwise_or",
    "bitwise_right_shift",
    "bitwise_xor",
    "ceil",
    "clip",
    "conj",
    "copysign",
    "cos",
    "cosh",
    "divide",
    "equal",
    "exp",
    "expm1",
    "floor",
    "floor_divide",
    "greater",
    "greater_equal",
    "hypot",
    "imag",
    "isfinite",
    "isinf",
    "isnan",
    "less",
    "less_equal",
    "log",
    "log1p",
    "log2",
    "log10",
    "logaddexp",
    "logical_and",
    "logical_not",
    "logical_or",
    "logical_xor",
    "maximum",
    "minimum",
    "multiply",
    "negative",
    "nextafter",
    "not_equal",
    "positive",
    "pow",
    "real",
    "reciprocal",
    "remainder",
    "round",
    "sign",
    "signbit",
    "sin",
    "sinh",
    "sqrt",
    "square",
    "subtract",
    "tan",
    "tanh",
    "trunc",
]

FLOAT = ("real floating",)
NUMERIC = ("integral", "real floating")
WHOLE = ("bool", "integral")
BOOL = ("bool",)
ANY = ("bool", "integral", "real floating")

Unary = Callable[[Tensor], Tensor]
Binary = Callable[[Tensor | Scalar, Tensor | Scalar], Tensor]


def _named(function: Any, name: str, doc: str) -> Any:
    function.__name__ = function.__qualname__ = name
    function.__doc__ = doc
    return function


def _unary(name: str, made: Callable[[Tensor], Tensor], kinds: tuple[str, ...], doc: str) -> Unary:
    def function(x: Tensor, /) -> Tensor:
        return made(checked(name, x, *kinds))

    return _named(function, name, f"{doc} x: {' or '.join(kinds)}.")  # type: ignore[no-any-return]


def _binary(name: str, made: Callable[[Tensor, Tensor], Tensor], kinds: tuple[str, ...], doc: str) -> Binary:
    def function(x1: Tensor | Scalar, x2: Tensor | Scalar, /) -> Tensor:
        a, b, d = pair(name, x1, x2, *kinds)
        y = made(a, b)
        return y if y.dtype is d or y.dtype is _C.bool else y.to(d)

    return _named(function, name, f"{doc} Broadcast; x1, x2: {' or '.join(kinds)}.")  # type: ignore[no-any-return]


def _whole_stays(made: Callable[[Tensor], Tensor]) -> Callable[[Tensor], Tensor]:
    """Integers are round already."""
    return lambda x: made(x) if x.array.is_floating else x.clone()


def _sign(x: Tensor) -> Tensor:
    y: Tensor = ops.sign(x)
    return ops.where(ops.isnan(x), x, y) if x.array.is_floating else y


def numbers(x: Tensor) -> np.ndarray:
    """The values as NumPy's; bfloat16 as float32."""
    return _C.to_numpy(_C.cast(x.array, _C.float32) if x.dtype is _C.bfloat16 else x.array)


def array(values: Any) -> Tensor:
    """A tensor on the memory of a NumPy array."""
    return Tensor(_C.from_numpy(np.asarray(values)))


def _copysign(x1: Tensor, x2: Tensor) -> Tensor:
    y: Tensor = ops.where(ops.eq(signbit(x1), signbit(x2)), x1, -x1)
    return y


def _hypot(x1: Tensor, x2: Tensor) -> Tensor:
    """Infinite where one side is, also where the other is NaN."""
    y: Tensor = ops.where(ops.isinf(x1) | ops.isinf(x2), float("inf"), ops.hypot(x1, x2))
    return y


def _nextafter(x1: Tensor, x2: Tensor) -> Tensor:
    if x1.dtype is _C.bfloat16:
        raise DtypeError("nextafter: expected float32, float64 or float16, got bfloat16")
    with np.errstate(all="ignore"):
        return array(np.nextafter(numbers(x1), numbers(x2)))


def _shifted(name: str, function: Any) -> Callable[[Tensor, Tensor], Tensor]:
    def made(x1: Tensor, x2: Tensor) -> Tensor:
        by = numbers(x2)
        if by.size and by.min() < 0:
            raise ArgumentError(f"{name}: expected shifts that are not negative, got {by.min()}")
        return array(function(numbers(x1), by))

    return made


def _pow(x1: Tensor, x2: Tensor) -> Tensor:
    if not x1.array.is_floating and bool((x2 < 0).any()):
        raise ArgumentError("pow: expected exponents that are not negative for integers")
    return ops.pow(x1, x2)


def _remainder(x1: Tensor, x2: Tensor) -> Tensor:
    """The sign of x2, also of a result of 0."""
    y = ops.remainder(x1, x2)
    return ops.where(ops.eq(y, 0), _copysign(y, x2), y) if y.array.is_floating else y


abs = _unary("abs", ops.abs, NUMERIC, "|x|.")
acos = _unary("acos", ops.acos, FLOAT, "The angle in [0, pi] whose cosine is x.")
acosh = _unary("acosh", ops.acosh, FLOAT, "The inverse hyperbolic cosine; NaN below 1.")
asin = _unary("asin", ops.asin, FLOAT, "The angle in [-pi/2, pi/2] whose sine is x.")
asinh = _unary("asinh", ops.asinh, FLOAT, "The inverse hyperbolic sine.")
atan = _unary("atan", ops.atan, FLOAT, "The angle in (-pi/2, pi/2) whose tangent is x.")
atanh = _unary("atanh", ops.atanh, FLOAT, "The inverse hyperbolic tangent.")
bitwise_invert = _unary("bitwise_invert", ops.bitwise_not, WHOLE, "The other bits; of a bool its opposite.")
ceil = _unary("ceil", _whole_stays(ops.ceil), NUMERIC, "The smallest integer not below x.")
conj = _unary("conj", lambda x: x, NUMERIC, "x itself: there are no complex numbers.")
cos = _unary("cos", ops.cos, FLOAT, "The cosine of x radians.")
cosh = _unary("cosh", ops.cosh, FLOAT, "The hyperbolic cosine.")
exp = _unary("exp", ops.exp, FLOAT, "e to the power of x.")
expm1 = _unary("expm1", ops.expm1, FLOAT, "exp(x) - 1, accurate near 0.")
floor = _unary("floor", _whole_stays(ops.floor), NUMERIC, "The largest integer not above x.")
isfinite = _unary("isfinite", ops.isfinite, NUMERIC, "Where x is neither NaN nor infinite; bool.")
isinf = _unary("isinf", ops.isinf, NUMERIC, "Where x is infinite; bool.")
isnan = _unary("isnan", ops.isnan, NUMERIC, "Where x is NaN; bool.")
log = _unary("log", ops.log, FLOAT, "The natural logarithm.")
log1p = _unary("log1p", ops.log1p, FLOAT, "log(1 + x), accurate near 0.")
log2 = _unary("log2", ops.log2, FLOAT, "The logarithm to base 2.")
log10 = _unary("log10", ops.log10, FLOAT, "The logarithm to base 10.")
logical_not = _unary("logical_not", ops.logical_not, BOOL, "The opposite.")
negative = _unary("negative", ops.neg, NUMERIC, "-x.")
positive = _unary("positive", lambda x: x.clone(), NUMERIC, "A copy of x.")
real = _unary("real", lambda x: x, NUMERIC, "x itself: there are no complex numbers.")
reciprocal = _unary("reciprocal", ops.reciprocal, FLOAT, "1 / x.")
round = _unary("round", _whole_stays(ops.round), NUMERIC, "The nearest integer; halves go to the even one.")
sign = _unary("sign", _sign, NUMERIC, "-1, 0 or 1; NaN for NaN.")
signbit = _unary(
    "signbit", lambda x: array(np.signbit(numbers(x))), FLOAT, "Whether the sign is negative, -0 too; bool."
)
sin = _unary("sin", ops.sin, FLOAT, "The sine of x radians.")
sinh = _unary("sinh", ops.sinh, FLOAT, "The hyperbolic sine.")
sqrt = _unary("sqrt", ops.sqrt, FLOAT, "The square root; NaN of what is negative.")
square = _unary("square", ops.square, NUMERIC, "x * x.")
tan = _unary("tan", ops.tan, FLOAT, "The tangent of x radians.")
tanh = _unary("tanh", ops.tanh, FLOAT, "The hyperbolic tangent.")
trunc = _unary("trunc", _whole_stays(ops.trunc), NUMERIC, "x without its fraction.")

add = _binary("add", ops.add, NUMERIC, "x1 + x2.")
atan2 = _binary("atan2", ops.atan2, FLOAT, "The angle of the point (x2, x1), in radians.")
bitwise_and = _binary("bitwise_and", ops.bitwise_and, WHOLE, "The common bits.")
bitwise_left_shift = _binary(
    "bitwise_left_shift", _shifted("bitwise_left_shift", np.left_shift), ("integral",), "x1 * 2^x2 as bits."
)
bitwise_or = _binary("bitwise_or", ops.bitwise_or, WHOLE, "The bits of either.")
bitwise_right_shift = _binary(
    "bitwise_right_shift", _shifted("bitwise_right_shift", np.right_shift), ("integral",), "x1 / 2^x2, rounded down."
)
bitwise_xor = _binary("bitwise_xor", ops.bitwise_xor, WHOLE, "The bits of just one.")
copysign = _binary("copysign", _copysign, FLOAT, "|x1| with the sign of x2.")
divide = _binary("divide", ops.div, FLOAT, "x1 / x2.")
equal = _binary("equal", ops.eq, ANY, "Where both are equal; bool.")
floor_divide = _binary("floor_divide", ops.floor_divide, NUMERIC, "The quotient rounded down.")
greater = _binary("greater", ops.gt, NUMERIC, "Where x1 > x2; bool.")
greater_equal = _binary("greater_equal", ops.ge, NUMERIC, "Where x1 >= x2; bool.")
hypot = _binary("hypot", _hypot, FLOAT, "sqrt(x1^2 + x2^2), without overflow.")
less = _binary("less", ops.lt, NUMERIC, "Where x1 < x2; bool.")
less_equal = _binary("less_equal", ops.le, NUMERIC, "Where x1 <= x2; bool.")
logaddexp = _binary("logaddexp", ops.logaddexp, FLOAT, "log(exp(x1) + exp(x2)), without overflow.")
logical_and = _binary("logical_and", ops.logical_and, BOOL, "Whether both are true.")
logical_or = _binary("logical_or", ops.logical_or, BOOL, "Whether one is true.")
logical_xor = _binary("logical_xor", ops.logical_xor, BOOL, "Whether just one is true.")
maximum = _binary("maximum", ops.maximum, NUMERIC, "The larger of both; NaN wins.")
minimum = _binary("minimum", ops.minimum, NUMERIC, "The smaller of both; NaN wins.")
multiply = _binary("multiply", ops.mul, NUMERIC, "x1 * x2.")
nextafter = _binary("nextafter", _nextafter, FLOAT, "The next number after x1 on the way to x2.")
not_equal = _binary("not_equal", ops.ne, ANY, "Where both differ; bool.")
pow = _binary("pow", _pow, NUMERIC, "x1 to the power of x2.")
remainder = _binary("remainder", _remainder, NUMERIC, "x1 - x2 * floor(x1 / x2): the sign of x2.")
subtract = _binary("subtract", ops.sub, NUMERIC, "x1 - x2.")


def clip(x: Tensor, /, min: Tensor | Scalar | None = None, max: Tensor | Scalar | None = None) -> Tensor:
    """x limited to [min, max], broadcast; either may be left out. In the dtype of x; NaN stays."""
    y = checked("clip", x, *NUMERIC)
    for limit, tighter in ((min, ops.maximum), (max, ops.minimum)):
        if limit is None:
            continue
        if isinstance(limit, Tensor):
            if kind_of(limit.dtype) != kind_of(x.dtype):
                raise DtypeError(f"clip: {x.dtype} and {limit.dtype} do not promote: expected dtypes of one kind")
            y = tighter(y, limit.to(x.dtype))
        else:
            y = tighter(y, number("clip", limit, x.dtype))
    return y.clone() if y is x else y


def imag(x: Tensor, /) -> Tensor:
    """The imaginary part of complex numbers: there is no such dtype. Raises: DtypeError."""
    raise DtypeError(f"imag: expected a complex dtype, got {checked('imag', x).dtype}")
