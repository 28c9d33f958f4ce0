"""Activation functions, with their gradient rules."""

import math

from pydl import _C
from pydl.autograd.op import Binary, Unary
from pydl.errors import ArgumentError, ShapeError
from pydl.ops.compare import where
from pydl.ops.elementary import erf, exp, expm1, tanh, unary_function
from pydl.ops.shape import wrap
from pydl.tensor import Tensor

__all__ = [
    "celu",
    "elu",
    "gelu",
    "glu",
    "hardshrink",
    "hardsigmoid",
    "hardswish",
    "hardtanh",
    "leaky_relu",
    "logsigmoid",
    "mish",
    "prelu",
    "relu",
    "relu6",
    "selu",
    "sigmoid",
    "silu",
    "softplus",
    "softshrink",
    "softsign",
    "tanhshrink",
    "threshold",
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


class LogSigmoid(Unary):
    kernel = _C.logsigmoid

    def vjp(g, x):
        return (g * sigmoid(-x),)


class SoftplusUnit(Unary):
    kernel = _C.softplus

    def vjp(g, x):
        return (g * sigmoid(x),)


class Silu(Unary):
    kernel = _C.silu

    def vjp(g, x):
        s = sigmoid(x)
        return (g * (s * (1.0 + x * (1.0 - s))),)


class Gelu(Unary):
    kernel = _C.gelu

    def vjp(g, x):
        cdf = 0.5 * (1.0 + erf(x * math.sqrt(0.5)))
        return (g * (cdf + x * exp(x * x * -0.5) * (1 / math.sqrt(2 * math.pi))),)


class GeluTanh(Unary):
    kernel = _C.gelu_tanh

    def vjp(g, x):
        slope = math.sqrt(2 / math.pi)
        t = tanh(slope * (x + 0.044715 * x * x * x))
        inner = slope * (1.0 + 3 * 0.044715 * x * x)
        return (g * (0.5 * (1.0 + t) + 0.5 * x * (1.0 - t * t) * inner),)


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
    return (GeluTanh if approximate == "tanh" else Gelu).apply(input)


def softplus(input: Tensor, beta: float = 1.0, threshold: float = 20.0) -> Tensor:
    """log(1 + exp(beta x)) / beta; x itself where beta x > threshold."""
    if beta == 1.0:
        y = SoftplusUnit.apply(input)
        return y if threshold >= 20.0 else where(input > threshold, input, y)
    scaled = input * beta
    return where(scaled > threshold, input, SoftplusUnit.apply(scaled) / beta)


def leaky_relu(input: Tensor, negative_slope: float = 0.01) -> Tensor:
    """x where x > 0, else negative_slope * x."""
    return where(input > 0, input, input * negative_slope)


def elu(input: Tensor, alpha: float = 1.0) -> Tensor:
    """x where x > 0, else alpha * (exp(x) - 1). Source: Clevert et al. 2015 (arXiv:1511.07289)."""
    positive = input > 0
    return where(positive, input, alpha * expm1(where(positive, 0.0, input)))


def selu(input: Tensor) -> Tensor:
    """The self-normalising elu. Source: Klambauer et al. 2017 (arXiv:1706.02515)."""
    return elu(input, 1.6732632423543772) * 1.0507009873554805


def celu(input: Tensor, alpha: float = 1.0) -> Tensor:
    """max(0, x) + min(0, alpha * (exp(x / alpha) - 1)). Source: Barron 2017 (arXiv:1704.07483)."""
    positive = input > 0
    return where(positive, input, alpha * expm1(where(positive, 0.0, input) / alpha))


def mish(input: Tensor) -> Tensor:
    """x * tanh(softplus(x)). Source: Misra 2019 (arXiv:1908.08681)."""
    return input * tanh(softplus(input))


def hardtanh(input: Tensor, min_val: float = -1.0, max_val: float = 1.0) -> Tensor:
    """x limited to [min_val, max_val]; no gradient at the limits."""
    return where(input <= min_val, min_val, where(input >= max_val, max_val, input))


def relu6(input: Tensor) -> Tensor:
    """x limited to [0, 6]."""
    return hardtanh(input, 0.0, 6.0)


def hardsigmoid(input: Tensor) -> Tensor:
    """relu6(x + 3) / 6."""
    return relu6(input + 3.0) / 6.0


def hardswish(input: Tensor) -> Tensor:
    """x * hardsigmoid(x). Source: Howard et al. 2019 (arXiv:1905.02244)."""
    return input * hardsigmoid(input)


def softsign(input: Tensor) -> Tensor:
    """x / (1 + |x|)."""
    return input / (1.0 + input.abs())


def tanhshrink(input: Tensor) -> Tensor:
    """x - tanh(x)."""
    return input - tanh(input)


def softshrink(input: Tensor, lambd: float = 0.5) -> Tensor:
    """x moved towards 0 by lambd, 0 where it would cross."""
    return where(input > lambd, input - lambd, where(input < -lambd, input + lambd, input * 0.0))


def hardshrink(input: Tensor, lambd: float = 0.5) -> Tensor:
    """x where |x| > lambd, else 0."""
    return where(input.abs() <= lambd, 0.0, input)


def threshold(input: Tensor, threshold: float, value: float) -> Tensor:
    """x where x > threshold, else value."""
    return where(input <= threshold, value, input)


def prelu(input: Tensor, weight: Tensor) -> Tensor:
    """x where x > 0, else weight * x, with one weight in all or one per channel (axis 1). Source: He et al. 2015
    (arXiv:1502.01852)."""
    channels = input.shape[1] if input.ndim > 1 else 1
    if weight.ndim > 1 or weight.numel() not in (1, channels):
        raise ShapeError(
            f"prelu: weight {weight.shape} does not match input {input.shape}: expected (1,) or ({channels},)"
        )
    if weight.numel() > 1 or input.ndim < weight.ndim:
        weight = weight.reshape(([1, -1] + [1] * (input.ndim - 2)) if input.ndim > 1 else [])
    return where(input > 0, input, input * weight)


def glu(input: Tensor, dim: int = -1) -> Tensor:
    """The first half along dim times the sigmoid of the second. Source: Dauphin et al. 2016 (arXiv:1612.08083)."""
    at = wrap(dim, input.ndim, "glu")
    if not input.ndim or input.shape[at] % 2:
        raise ShapeError(f"glu: expected an even size in dim {dim}, got shape {input.shape}")
    a, b = input.chunk(2, at)
    return a * sigmoid(b)
