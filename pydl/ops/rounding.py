"""Functions that take a number apart: integer, fraction, exponent."""

from pydl import _C
from pydl.autograd.op import Unary
from pydl.errors import DtypeError
from pydl.ops.elementary import Step, exp2, unary_function
from pydl.ops.scalar import expect_tensor
from pydl.tensor import Tensor

__all__ = [
    "ceil",
    "fix",
    "floor",
    "frac",
    "frexp",
    "round",
    "trunc",
]


def _exponent(x: Tensor) -> Tensor:
    return Tensor(_C.frexp_exponent(x.array))


class FrexpMantissa(Unary):
    """x / 2^exponent: the exponent does not change nearly everywhere."""

    kernel = _C.frexp_mantissa

    def vjp(g, x):
        return (g * exp2(-_exponent(x)),)


class Floor(Step):
    kernel = _C.floor


class Ceil(Step):
    kernel = _C.ceil


class Round(Step):
    kernel = _C.round


class Trunc(Step):
    kernel = _C.trunc


floor = unary_function(Floor, "The largest integer not above x.")
ceil = unary_function(Ceil, "The smallest integer not below x.")
trunc = unary_function(Trunc, "x without its fraction.")


def round(input: Tensor, *, decimals: int = 0) -> Tensor:
    """The nearest integer, or multiple of 10**-decimals; halves go to the even one."""
    if not isinstance(decimals, int):
        raise DtypeError(f"round: decimals must be an integer, got {type(decimals).__name__}")
    x = expect_tensor(input, "round")
    if decimals == 0:
        return Round.apply(x)
    if not x.array.is_floating:
        raise DtypeError(f"round: {x.dtype} is not supported with decimals: expected a floating dtype")
    factor = 10.0 ** (decimals if decimals > 0 else -decimals)  # a power of 10 that is exact
    return Round.apply(x * factor) / factor if decimals > 0 else Round.apply(x / factor) * factor


def frac(input: Tensor) -> Tensor:
    """The fraction of x, with its sign."""
    return expect_tensor(input, "frac") - trunc(input)


def frexp(input: Tensor) -> tuple[Tensor, Tensor]:
    """(mantissa, exponent): input = mantissa * 2^exponent with 1/2 <= |mantissa| < 1; the exponents are int32."""
    if not expect_tensor(input, "frexp").array.is_floating:
        raise DtypeError(f"frexp: {input.dtype} is not supported: expected a floating dtype")
    return FrexpMantissa.apply(input), _exponent(input).to(_C.int32)


fix = trunc
