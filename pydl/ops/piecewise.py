"""Activation functions made of pieces, with their gradient rules: one kernel forward, one for the slope."""

from pydl import _C
from pydl.autograd.op import Binary, Op, Unary
from pydl.errors import ArgumentError, ShapeError
from pydl.ops.activation import curve
from pydl.ops.compare import clamp, where
from pydl.ops.elementary import exp, unary_function
from pydl.ops.scalar import expect_number
from pydl.tensor import Tensor

__all__ = [
    "celu",
    "elu",
    "hardshrink",
    "hardsigmoid",
    "hardswish",
    "hardtanh",
    "leaky_relu",
    "prelu",
    "relu6",
    "selu",
    "softshrink",
    "threshold",
]


class HardswishGrad(Binary):
    kernel = _C.hardswish_grad

    def vjp(gg, g, x):
        return lambda: HardswishGrad.apply(gg, x), lambda: gg * g * where((x > -3) & (x < 3), 1 / 3, 0.0)


class Hardswish(Unary):
    kernel = _C.hardswish

    def vjp(g, x):
        return (HardswishGrad.apply(g, x),)


class EluGrad(Op):
    kernel = _C.elu_grad

    def vjp(gg, g, x, a, b, c):
        def second():
            return gg * g * where(x > 0, 0.0, a * c * c * exp(where(x > 0, 0.0, x) * c))

        return lambda: EluGrad.apply(gg, x, a=a, b=b, c=c), second


class Elu(Op):
    """b x above 0, a (exp(c x) - 1) below."""

    kernel = _C.elu

    def vjp(g, x, a, b, c):
        return (EluGrad.apply(g, x, a=a, b=b, c=c),)


class HardsigmoidGrad(Binary):
    kernel = _C.hardsigmoid_grad
    uses = (1,)

    def vjp(gg, g, x):
        return (lambda: HardsigmoidGrad.apply(gg, x), None)


class Hardsigmoid(Unary):
    kernel = _C.hardsigmoid

    def vjp(g, x):
        return (HardsigmoidGrad.apply(g, x),)


class LeakyReluGrad(Op):
    kernel = _C.leaky_relu_grad
    uses = (1,)

    def vjp(gg, g, x, a):
        return (lambda: LeakyReluGrad.apply(gg, x, a=a), None)


class LeakyRelu(Op):
    kernel = _C.leaky_relu

    def vjp(g, x, a):
        return (LeakyReluGrad.apply(g, x, a=a),)


class HardtanhGrad(Op):
    kernel = _C.hardtanh_grad
    uses = (1,)

    def vjp(gg, g, x, a, b):
        return (lambda: HardtanhGrad.apply(gg, x, a=a, b=b), None)


class Hardtanh(Op):
    kernel = _C.hardtanh

    def vjp(g, x, a, b):
        return (HardtanhGrad.apply(g, x, a=a, b=b),)


class SoftshrinkGrad(Op):
    kernel = _C.softshrink_grad
    uses = (1,)

    def vjp(gg, g, x, a):
        return (lambda: SoftshrinkGrad.apply(gg, x, a=a), None)


class Softshrink(Op):
    kernel = _C.softshrink

    def vjp(g, x, a):
        return (SoftshrinkGrad.apply(g, x, a=a),)


class HardshrinkGrad(Op):
    kernel = _C.hardshrink_grad
    uses = (1,)

    def vjp(gg, g, x, a):
        return (lambda: HardshrinkGrad.apply(gg, x, a=a), None)


class Hardshrink(Op):
    kernel = _C.hardshrink

    def vjp(g, x, a):
        return (HardshrinkGrad.apply(g, x, a=a),)


class ThresholdGrad(Op):
    kernel = _C.threshold_grad
    uses = (1,)

    def vjp(gg, g, x, a, b):
        return (lambda: ThresholdGrad.apply(gg, x, a=a, b=b), None)


class Threshold(Op):
    kernel = _C.threshold

    def vjp(g, x, a, b):
        return (ThresholdGrad.apply(g, x, a=a, b=b),)


hardswish = unary_function(Hardswish, "x * hardsigmoid(x). Source: Howard et al. 2019 (arXiv:1905.02244).")
hardsigmoid = unary_function(Hardsigmoid, "relu6(x + 3) / 6.")


def leaky_relu(input: Tensor, negative_slope: float = 0.01) -> Tensor:
    """x where x > 0, else negative_slope * x."""
    return curve(LeakyRelu, input, "leaky_relu", negative_slope=negative_slope)


def elu(input: Tensor, alpha: float = 1.0) -> Tensor:
    """x where x > 0, else alpha * (exp(x) - 1). Source: Clevert et al. 2015 (arXiv:1511.07289)."""
    return curve(Elu, input, "elu", alpha=alpha, scale=1.0, input_scale=1.0)


def selu(input: Tensor) -> Tensor:
    """The self-normalising elu. Source: Klambauer et al. 2017 (arXiv:1706.02515)."""
    scale = 1.0507009873554805
    return curve(Elu, input, "selu", alpha=1.6732632423543772 * scale, scale=scale, input_scale=1.0)


def celu(input: Tensor, alpha: float = 1.0) -> Tensor:
    """max(0, x) + min(0, alpha * (exp(x / alpha) - 1)). Source: Barron 2017 (arXiv:1704.07483).

    Raises: ArgumentError if alpha is 0.
    """
    if expect_number(alpha, "celu", "alpha") == 0:
        raise ArgumentError("celu: alpha must not be 0")
    return curve(Elu, input, "celu", alpha=alpha, scale=1.0, input_scale=1 / alpha)


def hardtanh(input: Tensor, min_val: float = -1.0, max_val: float = 1.0) -> Tensor:
    """x limited to [min_val, max_val]; no gradient at the limits.

    Raises: ArgumentError if min_val > max_val.
    """
    low, high = expect_number(min_val, "hardtanh", "min_val"), expect_number(max_val, "hardtanh", "max_val")
    if low > high:
        raise ArgumentError(f"hardtanh: min_val must not be above max_val, got {min_val} and {max_val}")
    if isinstance(input, Tensor) and not input.array.is_floating:
        return clamp(input, min_val, max_val)
    return curve(Hardtanh, input, "hardtanh", min_val=low, max_val=high)


def relu6(input: Tensor) -> Tensor:
    """x limited to [0, 6]."""
    return hardtanh(input, 0, 6)


def softshrink(input: Tensor, lambd: float = 0.5) -> Tensor:
    """x moved towards 0 by lambd, 0 where it would cross.

    Raises: ArgumentError if lambd is negative.
    """
    if expect_number(lambd, "softshrink", "lambd") < 0:
        raise ArgumentError(f"softshrink: lambd must not be negative, got {lambd}")
    return curve(Softshrink, input, "softshrink", lambd=lambd)


def hardshrink(input: Tensor, lambd: float = 0.5) -> Tensor:
    """x where |x| > lambd, else 0."""
    return curve(Hardshrink, input, "hardshrink", lambd=lambd)


def threshold(input: Tensor, threshold: float, value: float) -> Tensor:
    """x where x > threshold, else value."""
    return curve(Threshold, input, "threshold", threshold=threshold, value=value)


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
