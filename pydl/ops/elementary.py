"""Elementary functions of one input, with their gradient rules."""

import math
from collections.abc import Callable

from pydl import _C
from pydl.autograd.op import Binary, Unary
from pydl.errors import DtypeError
from pydl.ops.scalar import expect_number, expect_tensor
from pydl.tensor import Tensor

__all__ = [
    "abs",
    "absolute",
    "acos",
    "acosh",
    "arccos",
    "arccosh",
    "arcsin",
    "arcsinh",
    "arctan",
    "arctanh",
    "asin",
    "asinh",
    "atan",
    "atanh",
    "cos",
    "cosh",
    "deg2rad",
    "erf",
    "erfc",
    "exp",
    "exp2",
    "expm1",
    "log",
    "log1p",
    "log2",
    "log10",
    "logit",
    "neg",
    "negative",
    "positive",
    "rad2deg",
    "reciprocal",
    "rsqrt",
    "sgn",
    "sign",
    "sin",
    "sinh",
    "sqrt",
    "square",
    "tan",
    "tanh",
]


class Neg(Unary):
    kernel = _C.neg
    uses = ()

    def vjp(g, x):
        return (-g,)


class Abs(Unary):
    kernel = _C.abs

    def vjp(g, x):
        return (g * sign(x),)


class Square(Unary):
    kernel = _C.square

    def vjp(g, x):
        return (g * (x * 2.0),)


class Exp(Unary):
    kernel = _C.exp
    saves_output = True
    uses = ()

    def vjp(g, x, y):
        return (g * y,)


class Exp2(Unary):
    kernel = _C.exp2
    saves_output = True
    uses = ()

    def vjp(g, x, y):
        return (g * y * math.log(2),)


class Expm1(Unary):
    kernel = _C.expm1
    saves_output = True
    uses = ()

    def vjp(g, x, y):
        return (g * (y + 1.0),)


class Log(Unary):
    kernel = _C.log

    def vjp(g, x):
        return (g / x,)


class Log2(Unary):
    kernel = _C.log2

    def vjp(g, x):
        return (g / (x * math.log(2)),)


class Log10(Unary):
    kernel = _C.log10

    def vjp(g, x):
        return (g / (x * math.log(10)),)


class Log1p(Unary):
    kernel = _C.log1p

    def vjp(g, x):
        return (g / (x + 1.0),)


class Sqrt(Unary):
    kernel = _C.sqrt
    saves_output = True
    uses = ()

    def vjp(g, x, y):
        return (g / (y * 2.0),)


class Rsqrt(Unary):
    kernel = _C.rsqrt
    saves_output = True
    uses = ()

    def vjp(g, x, y):
        return (g * (y * y * y) * -0.5,)


class Reciprocal(Unary):
    kernel = _C.reciprocal
    saves_output = True
    uses = ()

    def vjp(g, x, y):
        return (-g * y * y,)


class Sin(Unary):
    kernel = _C.sin

    def vjp(g, x):
        return (g * cos(x),)


class Cos(Unary):
    kernel = _C.cos

    def vjp(g, x):
        return (-g * sin(x),)


class Tan(Unary):
    kernel = _C.tan
    saves_output = True
    uses = ()

    def vjp(g, x, y):
        return (g * (y * y + 1.0),)


class Asin(Unary):
    kernel = _C.asin

    def vjp(g, x):
        return (g * rsqrt(1.0 - x * x),)


class Acos(Unary):
    kernel = _C.acos

    def vjp(g, x):
        return (-g * rsqrt(1.0 - x * x),)


class Atan(Unary):
    kernel = _C.atan

    def vjp(g, x):
        return (g / (x * x + 1.0),)


class Sinh(Unary):
    kernel = _C.sinh

    def vjp(g, x):
        return (g * cosh(x),)


class Cosh(Unary):
    kernel = _C.cosh

    def vjp(g, x):
        return (g * sinh(x),)


class TanhGrad(Binary):
    kernel = _C.tanh_grad

    def vjp(gg, g, y):
        return lambda: TanhGrad.apply(gg, y), lambda: gg * g * y * -2.0


class Tanh(Unary):
    kernel = _C.tanh
    saves_output = True
    uses = ()

    def vjp(g, x, y):
        return (TanhGrad.apply(g, y),)


class Asinh(Unary):
    kernel = _C.asinh

    def vjp(g, x):
        return (g * rsqrt(x * x + 1.0),)


class Acosh(Unary):
    kernel = _C.acosh

    def vjp(g, x):
        return (g * rsqrt(x * x - 1.0),)


class Atanh(Unary):
    kernel = _C.atanh

    def vjp(g, x):
        return (g / (1.0 - x * x),)


class Erf(Unary):
    kernel = _C.erf

    def vjp(g, x):
        return (g * exp(-x * x) * (2 / math.sqrt(math.pi)),)


class Erfc(Unary):
    kernel = _C.erfc

    def vjp(g, x):
        return (g * exp(-x * x) * (-2 / math.sqrt(math.pi)),)


class Step(Unary):
    """What has slope 0 almost everywhere."""

    uses = ()

    def vjp(g, x):
        return (g * 0.0,)


class Sign(Step):
    kernel = _C.sign


def unary_function(op: type[Unary], doc: str) -> Callable[[Tensor], Tensor]:
    """The public function of an op of one input."""

    name = op.__name__.lower()

    def function(input: Tensor) -> Tensor:
        if not isinstance(input, Tensor):
            raise DtypeError(f"{name}: expected a tensor, got {type(input).__name__}")
        return op.apply(input)

    function.__doc__ = doc
    function.__name__ = function.__qualname__ = name
    return function


neg = unary_function(Neg, "-x.")
abs = unary_function(Abs, "|x|; the slope at 0 is 0.")
square = unary_function(Square, "x * x.")
exp = unary_function(Exp, "e to the power of x.")
exp2 = unary_function(Exp2, "2 to the power of x.")
expm1 = unary_function(Expm1, "exp(x) - 1, accurate near 0.")
log = unary_function(Log, "The natural logarithm.")
log2 = unary_function(Log2, "The logarithm to base 2.")
log10 = unary_function(Log10, "The logarithm to base 10.")
log1p = unary_function(Log1p, "log(1 + x), accurate near 0.")
sqrt = unary_function(Sqrt, "The square root.")
rsqrt = unary_function(Rsqrt, "1 / sqrt(x).")
reciprocal = unary_function(Reciprocal, "1 / x.")
sin = unary_function(Sin, "The sine of x radians.")
cos = unary_function(Cos, "The cosine of x radians.")
tan = unary_function(Tan, "The tangent of x radians.")
asin = unary_function(Asin, "The angle in [-pi/2, pi/2] whose sine is x.")
acos = unary_function(Acos, "The angle in [0, pi] whose cosine is x.")
atan = unary_function(Atan, "The angle in (-pi/2, pi/2) whose tangent is x.")
sinh = unary_function(Sinh, "The hyperbolic sine.")
cosh = unary_function(Cosh, "The hyperbolic cosine.")
tanh = unary_function(Tanh, "The hyperbolic tangent.")
asinh = unary_function(Asinh, "The inverse hyperbolic sine.")
acosh = unary_function(Acosh, "The inverse hyperbolic cosine, for x >= 1.")
atanh = unary_function(Atanh, "The inverse hyperbolic tangent, for |x| < 1.")
erf = unary_function(Erf, "The error function.")
erfc = unary_function(Erfc, "1 - erf(x), accurate for large x.")
sign = unary_function(Sign, "-1, 0 or 1; 0 for NaN.")


def logit(input: Tensor, eps: float | None = None) -> Tensor:
    """log(x / (1 - x)), the inverse of sigmoid; eps keeps x in [eps, 1 - eps]."""
    x = expect_tensor(input, "logit")
    if eps is not None:
        low = expect_number(eps, "logit", "eps")
        x = x.clamp(low, 1 - low)
    return log(x / (1.0 - x))


def deg2rad(input: Tensor) -> Tensor:
    """Degrees in radians."""
    return expect_tensor(input, "deg2rad") * (math.pi / 180)


def rad2deg(input: Tensor) -> Tensor:
    """Radians in degrees."""
    return expect_tensor(input, "rad2deg") * (180 / math.pi)


def positive(input: Tensor) -> Tensor:
    """input itself. Raises: DtypeError for bool."""
    if expect_tensor(input, "positive").dtype is _C.bool:
        raise DtypeError("positive: bool is not supported: expected a numeric dtype")
    return input


absolute = abs
negative = neg
sgn = sign
arccos, arcsin, arctan = acos, asin, atan
arccosh, arcsinh, arctanh = acosh, asinh, atanh
