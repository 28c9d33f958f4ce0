"""Arithmetic on two inputs that broadcast, with its gradient rules."""

from pydl import _C
from pydl.autograd.op import Binary
from pydl.errors import ArgumentError, DtypeError
from pydl.ops.activation import sigmoid
from pydl.ops.compare import isinf, isnan, where
from pydl.ops.elementary import floor, log, sqrt, square, trunc
from pydl.ops.scalar import Number, lift, lift_pair
from pydl.tensor import Tensor

__all__ = [
    "add",
    "addcdiv",
    "addcmul",
    "atan2",
    "div",
    "divide",
    "floor_divide",
    "fmod",
    "hypot",
    "lerp",
    "logaddexp",
    "maximum",
    "minimum",
    "mul",
    "multiply",
    "pow",
    "remainder",
    "sub",
    "subtract",
    "true_divide",
    "xlogy",
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


class LogAddExp(Binary):
    """max(a, b) + softplus(-|a - b|), with its slopes from the definition, so that they are right where a = b too."""

    def kernel(a, b):
        zero = _C.scalar(0, a.dtype, a.device)
        gap = _C.where(_C.eq(a, b), zero, _C.neg(_C.abs(_C.sub(a, b))))  # inf - inf is no number
        return _C.add(_C.maximum(a, b), _C.softplus(gap))

    def vjp(g, a, b):
        return lambda: g * sigmoid(a - b), lambda: g * sigmoid(b - a)


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


def maximum(input: Tensor, other: Operand) -> Tensor:
    """The larger of both, broadcast; NaN wins. Where equal, each gets half of the gradient."""
    return Maximum.apply(*lift_pair(input, other, "maximum"))


def minimum(input: Tensor, other: Operand) -> Tensor:
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


def atan2(input: Tensor, other: Operand) -> Tensor:
    """The angle of the point (other, input), in radians."""
    return Atan2.apply(*lift_pair(input, other, "atan2"))


def logaddexp(input: Tensor, other: Tensor) -> Tensor:
    """log(exp(input) + exp(other)), without overflow."""
    a, b = lift_pair(input, other, "logaddexp")
    if not a.array.is_floating and not b.array.is_floating:
        raise DtypeError(f"logaddexp: expected a floating dtype, got {a.dtype} and {b.dtype}")
    return LogAddExp.apply(a, b)


def hypot(input: Tensor, other: Operand) -> Tensor:
    """sqrt(input^2 + other^2), without overflow."""
    a, b = lift_pair(input, other, "hypot")
    top = Maximum.apply(a.detach().abs(), b.detach().abs())
    top = where((top == 0) | isinf(top), 1.0, top)
    return top * sqrt(square(a / top) + square(b / top))


def xlogy(input: Operand, other: Operand) -> Tensor:
    """input * log(other); 0 where input is 0, unless other is NaN."""
    a, b = lift_pair(input, other, "xlogy")
    zero = (a == 0) & ~isnan(b)
    return a * log(where(zero, 1.0, b))


def lerp(input: Tensor, end: Tensor, weight: Operand) -> Tensor:
    """input + weight * (end - input); exactly end where weight is 1."""
    gap = end - input
    if isinstance(weight, Tensor):
        return where(weight < 0.5, input + weight * gap, end - (1.0 - weight) * gap)
    return input + weight * gap if weight < 0.5 else end - (1.0 - weight) * gap


def addcmul(input: Tensor, tensor1: Tensor, tensor2: Tensor, *, value: Number = 1) -> Tensor:
    """input + value * tensor1 * tensor2, broadcast."""
    return add(input, mul(tensor1, tensor2), alpha=value)


def addcdiv(input: Tensor, tensor1: Tensor, tensor2: Tensor, *, value: Number = 1) -> Tensor:
    """input + value * tensor1 / tensor2, broadcast."""
    return add(input, div(tensor1, tensor2), alpha=value)


subtract = sub
multiply = mul
divide = true_divide = div
