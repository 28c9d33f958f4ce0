"""Special functions, with their gradient rules. `pydl.special` gives them under the names of torch.special."""

import math
from collections.abc import Callable
from typing import NoReturn

from pydl import _C
from pydl.autograd.op import Binary, Unary
from pydl.errors import ArgumentError, AutogradError, DtypeError
from pydl.ops.compare import where
from pydl.ops.elementary import cos, exp, log, sign, sin, square, unary_function
from pydl.ops.scalar import Number, expect_tensor, lift_pair
from pydl.tensor import Tensor

__all__ = [
    "digamma",
    "erfinv",
    "i0",
    "igamma",
    "igammac",
    "lgamma",
    "mvlgamma",
    "polygamma",
    "sinc",
    "xlogy",
]

Operand = Tensor | Number
_ROOT_2_PI = math.sqrt(2 * math.pi)


class Lgamma(Unary):
    kernel = _C.lgamma

    def vjp(g, x):
        return (g * digamma(x),)


class Digamma(Unary):
    kernel = _C.digamma

    def vjp(g, x):
        return (g * polygamma(1, x),)


class Erfcx(Unary):
    kernel = _C.erfcx
    saves_output = True

    def vjp(g, x, y):
        return (g * (2.0 * x * y - 2 / math.sqrt(math.pi)),)


class Erfinv(Unary):
    kernel = _C.erfinv
    saves_output = True
    uses = ()

    def vjp(g, x, y):
        return (g * exp(y * y) * (math.sqrt(math.pi) / 2),)


class Ndtr(Unary):
    kernel = _C.ndtr

    def vjp(g, x):
        return (g * normal_density(x),)


class Ndtri(Unary):
    kernel = _C.ndtri
    saves_output = True
    uses = ()

    def vjp(g, x, y):
        return (g * exp(y * y * 0.5) * _ROOT_2_PI,)


class LogNdtr(Unary):
    """The slope is density / ndtr; left of 0 from erfcx, since both underflow there."""

    kernel = _C.log_ndtr

    def vjp(g, x):
        left = where(x < 0, x, 0.0)
        right = where(x < 0, 0.0, x)
        far = math.sqrt(2 / math.pi) / erfcx(left * -math.sqrt(0.5))
        return (g * where(x < 0, far, normal_density(right) / ndtr(right)),)


class Entr(Unary):
    kernel = _C.entr

    def vjp(g, x):
        return (g * (-log(x) - 1.0),)


class Sinc(Unary):
    """Near 0 the slope comes from the series of sin(t) / t, where its formula would divide a difference by 0."""

    kernel = _C.sinc

    def vjp(g, x):
        near = (x < 0.25) & (x > -0.25)
        t = where(near, 1.0, x) * math.pi
        far = (cos(t) - sin(t) / t) * math.pi / t
        square_ = square(where(near, x, 0.0) * math.pi)
        series = square_ * 0.0
        for k in range(10, 0, -1):  # sum over k of (-1)^k 2 k t^(2 k - 2) / (2 k + 1)!
            series = series * square_ + (-1) ** k * 2 * k / math.factorial(2 * k + 1)
        return (g * where(near, series * x * math.pi**2, far),)


class I0(Unary):
    kernel = _C.i0

    def vjp(g, x):
        return (g * i1(x),)


class I0e(Unary):
    kernel = _C.i0e

    def vjp(g, x):
        return (g * (i1e(x) - sign(x) * i0e(x)),)


class I1(Unary):
    """The slope is (i0 + i2) / 2; at 0, where i1(x) / x is 1/2, so is the slope."""

    kernel = _C.i1

    def vjp(g, x):
        return (g * (i0(x) - where(x == 0, 0.5, i1(x) / where(x == 0, 1.0, x))),)


class I1e(Unary):
    kernel = _C.i1e

    def vjp(g, x):
        quotient = where(x == 0, 0.5, i1e(x) / where(x == 0, 1.0, x))
        return (g * (i0e(x) - sign(x) * i1e(x) - quotient),)


class K0(Unary):
    kernel = _C.k0

    def vjp(g, x):
        return (-g * K1.apply(x),)


class K1(Unary):
    kernel = _C.k1

    def vjp(g, x):
        return (-g * (K0.apply(x) + K1.apply(x) / x),)


class K0e(Unary):
    kernel = _C.k0e

    def vjp(g, x):
        return (g * (K0e.apply(x) - K1e.apply(x)),)


class K1e(Unary):
    kernel = _C.k1e

    def vjp(g, x):
        return (g * (K1e.apply(x) * (1.0 - 1.0 / x) - K0e.apply(x)),)


class BesselJ0(Unary):
    kernel = _C.bessel_j0

    def vjp(g, x):
        return (-g * BesselJ1.apply(x),)


class BesselJ1(Unary):
    kernel = _C.bessel_j1

    def vjp(g, x):
        quotient = where(x == 0, 0.5, BesselJ1.apply(x) / where(x == 0, 1.0, x))
        return (g * (BesselJ0.apply(x) - quotient),)


class BesselY0(Unary):
    kernel = _C.bessel_y0

    def vjp(g, x):
        return (-g * BesselY1.apply(x),)


class BesselY1(Unary):
    kernel = _C.bessel_y1

    def vjp(g, x):
        return (g * (BesselY0.apply(x) - BesselY1.apply(x) / x),)


class Zeta(Binary):
    kernel = _C.zeta

    def vjp(g, s, q):
        return lambda: _no_gradient("zeta", "input"), lambda: -g * s * zeta(s + 1.0, q)


class Gammainc(Binary):
    kernel = _C.gammainc

    def vjp(g, a, x):
        return lambda: _no_gradient("gammainc", "input"), lambda: g * _gamma_density(a, x)


class Gammaincc(Binary):
    kernel = _C.gammaincc

    def vjp(g, a, x):
        return lambda: _no_gradient("gammaincc", "input"), lambda: -g * _gamma_density(a, x)


class Xlogy(Binary):
    kernel = _C.xlogy

    def vjp(g, a, b):
        zero = (a == 0) & (b <= 0)
        return lambda: g * where(zero, 0.0, log(where(zero, 1.0, b))), lambda: g * a / b


class Xlog1py(Binary):
    kernel = _C.xlog1py

    def vjp(g, a, b):
        zero = (a == 0) & (b <= -1)
        return lambda: g * where(zero, 0.0, where(zero, 0.0, b).log1p()), lambda: g * a / (b + 1.0)


def _no_gradient(op: str, argument: str) -> NoReturn:
    raise AutogradError(f"{op}: no derivative by {argument} is known: expected {argument} without requires_grad")


def _gamma_density(a: Tensor, x: Tensor) -> Tensor:
    return exp(xlogy(a - 1.0, x) - x - lgamma(a))


def normal_density(x: Tensor) -> Tensor:
    """exp(-x^2 / 2) / sqrt(2 pi)."""
    return exp(x * x * -0.5) * (1 / _ROOT_2_PI)


def named(op: type[Unary], name: str, doc: str) -> Callable[[Tensor], Tensor]:
    """The public function of an op, under a name that is not the op's."""
    function = unary_function(op, doc)
    function.__name__ = function.__qualname__ = name
    return function


lgamma = unary_function(Lgamma, "The logarithm of |gamma(x)|.")
digamma = unary_function(Digamma, "The derivative of lgamma; -inf at 0, NaN at the other poles.")
erfcx = unary_function(Erfcx, "exp(x^2) erfc(x), which does not underflow for large x.")
erfinv = unary_function(Erfinv, "The inverse of erf, on [-1, 1]. Source: Wichura 1988 (AS 241).")
ndtr = unary_function(Ndtr, "The normal distribution function.")
ndtri = unary_function(Ndtri, "The inverse of ndtr, on [0, 1]. Source: Wichura 1988 (AS 241).")
log_ndtr = named(LogNdtr, "log_ndtr", "log(ndtr(x)), without underflow.")
entr = unary_function(Entr, "-x log(x); 0 at 0, -inf below.")
sinc = unary_function(Sinc, "sin(pi x) / (pi x), 1 at 0.")
i0 = unary_function(I0, "The modified Bessel function of the first kind, order 0.")
i0e = unary_function(I0e, "exp(-|x|) i0(x).")
i1 = unary_function(I1, "The modified Bessel function of the first kind, order 1.")
i1e = unary_function(I1e, "exp(-|x|) i1(x).")
modified_bessel_k0 = named(K0, "modified_bessel_k0", "The modified Bessel function of the second kind, order 0.")
modified_bessel_k1 = named(K1, "modified_bessel_k1", "The modified Bessel function of the second kind, order 1.")
scaled_modified_bessel_k0 = named(K0e, "scaled_modified_bessel_k0", "exp(x) modified_bessel_k0(x).")
scaled_modified_bessel_k1 = named(K1e, "scaled_modified_bessel_k1", "exp(x) modified_bessel_k1(x).")
bessel_j0 = named(BesselJ0, "bessel_j0", "The Bessel function of the first kind, order 0.")
bessel_j1 = named(BesselJ1, "bessel_j1", "The Bessel function of the first kind, order 1.")
bessel_y0 = named(BesselY0, "bessel_y0", "The Bessel function of the second kind, order 0.")
bessel_y1 = named(BesselY1, "bessel_y1", "The Bessel function of the second kind, order 1.")


def spherical_bessel_j0(input: Tensor) -> Tensor:
    """sin(x) / x, 1 at 0."""
    return sinc(expect_tensor(input, "spherical_bessel_j0") * (1 / math.pi))


def polygamma(n: int, input: Tensor) -> Tensor:
    """The n-th derivative of digamma.

    Raises: ArgumentError if n is negative.
    """
    if isinstance(n, Tensor) or not isinstance(n, int) or isinstance(n, bool):
        raise DtypeError(f"polygamma: expected an integer n, got {type(n).__name__}")
    if n < 0:
        raise ArgumentError(f"polygamma: expected n >= 0, got {n}")
    if n == 0:
        return digamma(input)
    sign_ = 1.0 if n % 2 else -1.0
    factorial = math.gamma(n + 1) if n < 171 else math.inf
    return zeta(float(n + 1), expect_tensor(input, "polygamma")) * (sign_ * factorial)


def zeta(input: Operand, other: Operand) -> Tensor:
    """Hurwitz' zeta function: the sum of (other + k)^-input over k = 0, 1, ..., broadcast.

    Args:
        input: above 1; it has no derivative. NaN below 1.
        other: infinite at 0, -1, ...; other negative values need a whole input.
    """
    return Zeta.apply(*lift_pair(input, other, "zeta"))


def igamma(input: Operand, other: Operand) -> Tensor:
    """The regularised lower incomplete gamma function P(input, other), broadcast; differentiable by other."""
    return Gammainc.apply(*lift_pair(input, other, "igamma"))


def igammac(input: Operand, other: Operand) -> Tensor:
    """1 - igamma, accurate where that is close to 1."""
    return Gammaincc.apply(*lift_pair(input, other, "igammac"))


def xlogy(input: Operand, other: Operand) -> Tensor:
    """input * log(other), broadcast; 0 where input is 0, unless other is NaN."""
    return Xlogy.apply(*lift_pair(input, other, "xlogy"))


def xlog1py(input: Operand, other: Operand) -> Tensor:
    """input * log1p(other), broadcast; 0 where input is 0, unless other is NaN."""
    return Xlog1py.apply(*lift_pair(input, other, "xlog1py"))


def mvlgamma(input: Tensor, p: int) -> Tensor:
    """The logarithm of the p-variate gamma function: p (p - 1) / 4 log(pi) + the sum of lgamma(input - i / 2), i < p.

    Raises: ArgumentError if p < 1.
    """
    if not isinstance(p, int) or isinstance(p, bool):
        raise DtypeError(f"mvlgamma: expected an integer p, got {type(p).__name__}")
    if p < 1:
        raise ArgumentError(f"mvlgamma: expected p >= 1, got {p}")
    total = lgamma(expect_tensor(input, "mvlgamma"))
    for i in range(1, p):
        total = total + lgamma(input - i / 2)
    return total + p * (p - 1) / 4 * math.log(math.pi)
