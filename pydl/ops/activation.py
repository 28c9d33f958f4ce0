"""Smooth activation functions and relu, with their gradient rules: one kernel forward, one for the slope."""

import math

from pydl import _C
from pydl.autograd.op import Binary, Op, Unary
from pydl.errors import ArgumentError, ShapeError
from pydl.ops.compare import where
from pydl.ops.elementary import exp, sign, tanh, unary_function
from pydl.ops.scalar import expect_number, expect_tensor
from pydl.ops.shape import wrap
from pydl.tensor import Tensor

__all__ = [
    "gelu",
    "glu",
    "logsigmoid",
    "mish",
    "relu",
    "sigmoid",
    "silu",
    "softplus",
    "softsign",
    "tanhshrink",
]


class ReluGrad(Binary):
    kernel = _C.relu_grad
    uses = (1,)

    def vjp(gg, g, y):
        return (lambda: ReluGrad.apply(gg, y), None)


class Relu(Unary):
    kernel = _C.relu
    saves_output = True
    uses = ()

    def vjp(g, x, y):
        return (ReluGrad.apply(g, y),)


class SigmoidGrad(Binary):
    kernel = _C.sigmoid_grad

    def vjp(gg, g, y):
        return lambda: SigmoidGrad.apply(gg, y), lambda: gg * g * (1.0 - 2.0 * y)


class Sigmoid(Unary):
    kernel = _C.sigmoid
    saves_output = True
    uses = ()

    def vjp(g, x, y):
        return (SigmoidGrad.apply(g, y),)


class LogSigmoidGrad(Binary):
    kernel = _C.logsigmoid_grad

    def vjp(gg, g, x):
        return lambda: LogSigmoidGrad.apply(gg, x), lambda: gg * g * sigmoid(x) * (sigmoid(x) - 1.0)


class LogSigmoid(Unary):
    kernel = _C.logsigmoid

    def vjp(g, x):
        return (LogSigmoidGrad.apply(g, x),)


class SoftplusGrad(Op):
    kernel = _C.softplus_grad

    def vjp(gg, g, x, a, b):
        def second():
            s = sigmoid(x * a)
            return gg * g * where(x * a > b, 0.0, a * s * (1.0 - s))

        return lambda: SoftplusGrad.apply(gg, x, a=a, b=b), second


class Softplus(Op):
    kernel = _C.softplus

    def vjp(g, x, a, b):
        return (SoftplusGrad.apply(g, x, a=a, b=b),)


class SoftplusUnit(Unary):
    """log(1 + exp(x)) without a threshold: what losses are made of."""

    def kernel(x):
        return _C.softplus(x, 1.0, math.inf)

    def vjp(g, x):
        return (g * sigmoid(x),)


class SiluGrad(Binary):
    kernel = _C.silu_grad

    def vjp(gg, g, x):
        def second():
            s = sigmoid(x)
            return gg * g * (s * (1.0 - s) * (2.0 + x * (1.0 - 2.0 * s)))

        return lambda: SiluGrad.apply(gg, x), second


class Silu(Unary):
    kernel = _C.silu

    def vjp(g, x):
        return (SiluGrad.apply(g, x),)


class GeluGrad(Binary):
    kernel = _C.gelu_grad

    def vjp(gg, g, x):
        def second():
            density = exp(x * x * -0.5) * (1 / math.sqrt(2 * math.pi))
            return gg * g * density * (2.0 - x * x)

        return lambda: GeluGrad.apply(gg, x), second


class Gelu(Unary):
    kernel = _C.gelu

    def vjp(g, x):
        return (GeluGrad.apply(g, x),)


class GeluTanhGrad(Binary):
    """With t = tanh(u), the slope is (1 + t) / 2 + x (1 - t^2) u' / 2."""

    kernel = _C.gelu_tanh_grad

    def vjp(gg, g, x):
        def second():
            slope = math.sqrt(2 / math.pi)
            t = tanh(slope * (x + 0.044715 * x * x * x))
            first, curve = slope * (1.0 + 3 * 0.044715 * x * x), slope * 6 * 0.044715 * x
            return gg * g * ((1.0 - t * t) * (first + 0.5 * x * curve - x * t * first * first))

        return lambda: GeluTanhGrad.apply(gg, x), second


class GeluTanh(Unary):
    kernel = _C.gelu_tanh

    def vjp(g, x):
        return (GeluTanhGrad.apply(g, x),)


class MishGrad(Binary):
    """With t = tanh(softplus(x)) and s = sigmoid(x), the slope is t + x s (1 - t^2)."""

    kernel = _C.mish_grad

    def vjp(gg, g, x):
        def second():
            t, s = tanh(softplus(x)), sigmoid(x)
            return gg * g * ((1.0 - t * t) * s * (2.0 + x * (1.0 - s) - 2.0 * x * t * s))

        return lambda: MishGrad.apply(gg, x), second


class Mish(Unary):
    kernel = _C.mish

    def vjp(g, x):
        return (MishGrad.apply(g, x),)


class SoftsignGrad(Binary):
    kernel = _C.softsign_grad

    def vjp(gg, g, x):
        def second():
            d = 1.0 + x.abs()
            return gg * g * sign(x) * -2.0 / (d * d * d)

        return lambda: SoftsignGrad.apply(gg, x), second


class Softsign(Unary):
    kernel = _C.softsign

    def vjp(g, x):
        return (SoftsignGrad.apply(g, x),)


class TanhshrinkGrad(Binary):
    kernel = _C.tanhshrink_grad

    def vjp(gg, g, x):
        def second():
            t = tanh(x)
            return gg * g * (2.0 * t * (1.0 - t * t))

        return lambda: TanhshrinkGrad.apply(gg, x), second


class Tanhshrink(Unary):
    kernel = _C.tanhshrink

    def vjp(g, x):
        return (TanhshrinkGrad.apply(g, x),)


def curve(op: type[Op], input: Tensor, name: str, **numbers: float) -> Tensor:
    """An op that takes numbers: the kernel calls them a, b and c."""
    values = {k: expect_number(v, name, n) for k, (n, v) in zip("abc", numbers.items(), strict=False)}
    return op.apply(expect_tensor(input, name), **values)


relu = unary_function(Relu, "max(x, 0); the slope at 0 is 0.")
sigmoid = unary_function(Sigmoid, "1 / (1 + exp(-x)).")
logsigmoid = unary_function(LogSigmoid, "log(sigmoid(x)), without overflow.")
silu = unary_function(Silu, "x * sigmoid(x). Source: Elfwing et al. 2017 (arXiv:1702.03118).")


def gelu(input: Tensor, approximate: str = "none") -> Tensor:
    """x times the normal distribution function at x; approximate='tanh' for the tanh formula.

    Source: Hendrycks & Gimpel 2016 (arXiv:1606.08415).
    """
    if approximate not in ("none", "tanh"):
        raise ArgumentError(f"gelu: approximate must be 'none' or 'tanh', got {approximate!r}")
    return (GeluTanh if approximate == "tanh" else Gelu).apply(expect_tensor(input, "gelu"))


mish = unary_function(Mish, "x * tanh(softplus(x)). Source: Misra 2019 (arXiv:1908.08681).")
softsign = unary_function(Softsign, "x / (1 + |x|).")
tanhshrink = unary_function(Tanhshrink, "x - tanh(x).")


def softplus(input: Tensor, beta: float = 1.0, threshold: float = 20.0) -> Tensor:
    """log(1 + exp(beta x)) / beta; x itself where beta x > threshold."""
    return curve(Softplus, input, "softplus", beta=beta, threshold=threshold)


def glu(input: Tensor, dim: int = -1) -> Tensor:
    """The first half along dim times the sigmoid of the second. Source: Dauphin et al. 2016 (arXiv:1612.08083)."""
    at = wrap(dim, input.ndim, "glu")
    if not input.ndim or input.shape[at] % 2:
        raise ShapeError(f"glu: expected an even size in dim {dim}, got shape {input.shape}")
    a, b = input.chunk(2, at)
    return a * sigmoid(b)
