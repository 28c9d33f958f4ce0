"""Arithmetic on two inputs that broadcast, with its gradient rules."""

import math

from pydl import _C
from pydl.autograd.op import Binary
from pydl.errors import ArgumentError, DtypeError
from pydl.ops.activation import sigmoid
from pydl.ops.compare import isnan, signbit, where
from pydl.ops.elementary import log, sign, sqrt, square
from pydl.ops.rounding import floor, trunc
from pydl.ops.scalar import Number, known, lift, lift_pair
from pydl.tensor import Tensor

__all__ = [
    "add",
    "arctan2",
    "atan2",
    "copysign",
    "div",
    "divide",
    "float_power",
    "floor_divide",
    "fmax",
    "fmin",
    "fmod",
    "gcd",
    "heaviside",
    "hypot",
    "lcm",
    "ldexp",
    "logaddexp",
    "logaddexp2",
    "maximum",
    "minimum",
    "mul",
    "multiply",
    "nextafter",
    "pow",
    "remainder",
    "rsub",
    "sub",
    "subtract",
    "true_divide",
]

Operand = Tensor | Number


class Add(Binary):
    kernel = _C.add
    uses = ()

    def vjp(g, a, b):
        return g, g


class Sub(Binary):
    kernel = _C.sub
    uses = ()

    def vjp(g, a, b):
        return g, lambda: -g


class Mul(Binary):
    kernel = _C.mul
    crosswise = True

    def vjp(g, a, b):
        return lambda: Mul.apply(g, b), lambda: Mul.apply(g, a)


class Div(Binary):
    kernel = _C.div

    def vjp(g, a, b):
        return lambda: g / b, lambda: -g * a / (b * b)


class Pow(Binary):
    kernel = _C.pow
    saves_output = True

    def vjp(g, a, b, y):
        def base():
            power = known(b)
            if power:  # one number, usually 3 or -1
                return g * (power * a ** (power - 1))
            return g * where(b == 0, 0.0, b * a ** where(b == 0, 1.0, b - 1))

        def exponent():
            zero = (a == 0) & (b >= 0)
            return g * where(zero, 0.0, y * log(where(zero, 1.0, a)))

        return base, exponent


class Maximum(Binary):
    kernel = _C.maximum

    def vjp(g, a, b):
        return _split_at_ties(g, a > b, a == b)


class Minimum(Binary):
    kernel = _C.minimum

    def vjp(g, a, b):
        return _split_at_ties(g, a < b, a == b)


def _split_at_ties(g, first, tie):
    """g to the first input where it won, half to each where they are equal."""
    half = tie.to(g.dtype) * 0.5
    return lambda: g * (first.to(g.dtype) + half), lambda: g * (~(first | tie)).to(g.dtype) + g * half


class FloorDivide(Binary):
    kernel = _C.floor_divide
    uses = ()

    def vjp(g, a, b):
        return g * 0.0, g * 0.0


class Remainder(Binary):
    kernel = _C.remainder

    def vjp(g, a, b):
        return g, lambda: -g * floor(a / b)


class Fmod(Binary):
    kernel = _C.fmod

    def vjp(g, a, b):
        return g, lambda: -g * trunc(a / b)


class Atan2(Binary):
    kernel = _C.atan2

    def vjp(g, a, b):
        return lambda: g * b / (a * a + b * b), lambda: -g * a / (a * a + b * b)


class Hypot(Binary):
    """The slope is 0 where both inputs are 0."""

    kernel = _C.hypot
    saves_output = True

    def vjp(g, a, b, y):
        y = where(y == 0, 1.0, y)
        return lambda: g * (a / y), lambda: g * (b / y)


class LogAddExp(Binary):
    kernel = _C.logaddexp

    def vjp(g, a, b):
        return lambda: g * sigmoid(a - b), lambda: g * sigmoid(b - a)


class Copysign(Binary):
    """Minus the slope of |a| where b is negative; 0 where a is 0."""

    kernel = _C.copysign

    def vjp(g, a, b):
        return lambda: g * sign(a) * where(signbit(b), -1.0, 1.0), None


class Nextafter(Binary):
    """A neighbour is one step away, wherever a is."""

    kernel = _C.nextafter
    uses = ()

    def vjp(g, a, b):
        return g, None


class Heaviside(Binary):
    kernel = _C.heaviside
    uses = (0,)

    def vjp(g, a, b):
        return g * 0.0, lambda: where(a == 0, g, 0.0)


class Fmax(Binary):
    kernel = _C.fmax

    def vjp(g, a, b):
        first = (a >= b) | isnan(b)
        return lambda: where(first, g, 0.0), lambda: where(first, 0.0, g)


class Fmin(Binary):
    kernel = _C.fmin

    def vjp(g, a, b):
        first = (a <= b) | isnan(b)
        return lambda: where(first, g, 0.0), lambda: where(first, 0.0, g)


def add(input: Operand, other: Operand, *, alpha: Number = 1) -> Tensor:
    """input + alpha * other, broadcast."""
    a, b = lift_pair(input, other, "add")
    return Add.apply(a, b if alpha == 1 else Mul.apply(b, lift(alpha, b, "add")))


def sub(input: Operand, other: Operand, *, alpha: Number = 1) -> Tensor:
    """input - alpha * other, broadcast."""
    a, b = lift_pair(input, other, "sub")
    return Sub.apply(a, b if alpha == 1 else Mul.apply(b, lift(alpha, b, "sub")))


def mul(input: Operand, other: Operand) -> Tensor:
    """input * other, broadcast."""
    return Mul.apply(*lift_pair(input, other, "mul"))


def div(input: Operand, other: Operand, *, rounding_mode: str | None = None) -> Tensor:
    """input / other, broadcast; integers divide into the default dtype.

    Args: rounding_mode: None, 'trunc' (towards zero) or 'floor'.
    """
    a, b = lift_pair(input, other, "div")
    if rounding_mode is None:
        return Div.apply(a, b)
    if rounding_mode == "floor":
        return FloorDivide.apply(a, b)
    if rounding_mode != "trunc":
        raise ArgumentError(f"div: rounding_mode must be None, 'trunc' or 'floor', got {rounding_mode!r}")
    if a.array.is_floating or b.array.is_floating:
        return trunc(Div.apply(a, b))
    return FloorDivide.apply(Sub.apply(a, Fmod.apply(a, b)), b)


def pow(input: Operand, exponent: Operand) -> Tensor:
    """input to the power of exponent, broadcast."""
    if isinstance(exponent, (int, float)) and isinstance(input, Tensor) and input.array.is_floating:
        if exponent == 2:
            return square(input)
        if exponent == 0.5:
            return sqrt(input)
    return Pow.apply(*lift_pair(input, exponent, "pow"))


def maximum(input: Operand, other: Operand) -> Tensor:
    """The larger of both, broadcast; NaN wins. Where equal, each gets half of the gradient."""
    return Maximum.apply(*lift_pair(input, other, "maximum"))


def minimum(input: Operand, other: Operand) -> Tensor:
    """The smaller of both, broadcast; NaN wins. Where equal, each gets half of the gradient."""
    return Minimum.apply(*lift_pair(input, other, "minimum"))


def floor_divide(input: Operand, other: Operand) -> Tensor:
    """The quotient rounded down."""
    return FloorDivide.apply(*lift_pair(input, other, "floor_divide"))


def remainder(input: Operand, other: Operand) -> Tensor:
    """input - other * floor(input / other): the sign of other, as Python's %."""
    return Remainder.apply(*lift_pair(input, other, "remainder"))


def fmod(input: Operand, other: Operand) -> Tensor:
    """input - other * trunc(input / other): the sign of input, as C's fmod."""
    return Fmod.apply(*lift_pair(input, other, "fmod"))


def atan2(input: Operand, other: Operand) -> Tensor:
    """The angle of the point (other, input), in radians."""
    return Atan2.apply(*lift_pair(input, other, "atan2"))


def logaddexp(input: Operand, other: Operand) -> Tensor:
    """log(exp(input) + exp(other)), broadcast, without overflow."""
    a, b = lift_pair(input, other, "logaddexp")
    if not a.array.is_floating and not b.array.is_floating:
        raise DtypeError(f"logaddexp: expected a floating dtype, got {a.dtype} and {b.dtype}")
    return LogAddExp.apply(a, b)


def logaddexp2(input: Operand, other: Operand) -> Tensor:
    """log2(2^input + 2^other), broadcast, without overflow."""
    a, b = lift_pair(input, other, "logaddexp2")
    return logaddexp(a * math.log(2), b * math.log(2)) / math.log(2)


def hypot(input: Operand, other: Operand) -> Tensor:
    """sqrt(input^2 + other^2), broadcast, without overflow."""
    return Hypot.apply(*lift_pair(input, other, "hypot"))


def copysign(input: Operand, other: Operand) -> Tensor:
    """|input| with the sign of other, broadcast; -0 counts as negative."""
    return Copysign.apply(*lift_pair(input, other, "copysign"))


def nextafter(input: Operand, other: Operand) -> Tensor:
    """The number of the dtype that is next to input in the direction of other, broadcast."""
    return Nextafter.apply(*lift_pair(input, other, "nextafter"))


def fmax(input: Operand, other: Operand) -> Tensor:
    """The larger of both, broadcast; a NaN loses. Where equal, the gradient goes to input."""
    return Fmax.apply(*lift_pair(input, other, "fmax"))


def fmin(input: Operand, other: Operand) -> Tensor:
    """The smaller of both, broadcast; a NaN loses. Where equal, the gradient goes to input."""
    return Fmin.apply(*lift_pair(input, other, "fmin"))


def heaviside(input: Operand, values: Operand) -> Tensor:
    """0 where input < 0, values where it is 0, else 1, broadcast; 0 for NaN."""
    return Heaviside.apply(*lift_pair(input, values, "heaviside"))


def ldexp(input: Operand, other: Operand) -> Tensor:
    """input * 2^other, broadcast; by whole numbers in two steps, since 2^other alone may overflow."""
    a, b = lift_pair(input, other, "ldexp")
    if b.array.is_floating:
        return mul(a, pow(2.0, b))
    dtype = a.dtype if a.array.is_floating else _C.default_dtype()
    half = b.long() >> 1
    return mul(mul(a, pow(2.0, half.to(dtype))), pow(2.0, (b - half).to(dtype)))


def float_power(input: Operand, exponent: Operand) -> Tensor:
    """input to the power of exponent, broadcast, in float64."""
    a, b = lift_pair(input, exponent, "float_power")
    return Pow.apply(a.double(), b.double())


def rsub(input: Operand, other: Operand, *, alpha: Number = 1) -> Tensor:
    """other - alpha * input, broadcast."""
    return sub(other, input, alpha=alpha)


def gcd(input: Operand, other: Operand) -> Tensor:
    """The greatest common divisor of integers, broadcast; not negative."""
    a, b = lift_pair(input, other, "gcd")
    return Tensor(_C.gcd(a.array, b.array))


def lcm(input: Operand, other: Operand) -> Tensor:
    """The least common multiple of integers, broadcast; not negative unless it overflows."""
    a, b = lift_pair(input, other, "lcm")
    return Tensor(_C.lcm(a.array, b.array))


arctan2 = atan2
subtract = sub
multiply = mul
divide = true_divide = div
