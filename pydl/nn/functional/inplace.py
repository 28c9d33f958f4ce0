"""Activation functions that overwrite their input and return it. In a graph, the input must not be a leaf that requires
gradients, nor a view of one (AutogradError)."""

from pydl.nn.functional import activation
from pydl.nn.functional.activation import celu, elu, hardtanh, leaky_relu, relu, rrelu, selu
from pydl.ops.convert import overwrite
from pydl.tensor import Tensor

__all__ = ["celu_", "elu_", "hardtanh_", "leaky_relu_", "relu_", "rrelu_", "selu_", "threshold_"]


def celu_(input: Tensor, alpha: float = 1.0) -> Tensor:
    """`celu` in place."""
    return overwrite(celu, input, (alpha,), {}, "celu_")


def elu_(input: Tensor, alpha: float = 1.0) -> Tensor:
    """`elu` in place."""
    return overwrite(elu, input, (alpha,), {}, "elu_")


def hardtanh_(input: Tensor, min_val: float = -1.0, max_val: float = 1.0) -> Tensor:
    """`hardtanh` in place."""
    return overwrite(hardtanh, input, (min_val, max_val), {}, "hardtanh_")


def leaky_relu_(input: Tensor, negative_slope: float = 0.01) -> Tensor:
    """`leaky_relu` in place."""
    return overwrite(leaky_relu, input, (negative_slope,), {}, "leaky_relu_")


def relu_(input: Tensor) -> Tensor:
    """`relu` in place."""
    return overwrite(relu, input, (), {}, "relu_")


def rrelu_(input: Tensor, lower: float = 1.0 / 8, upper: float = 1.0 / 3, training: bool = False) -> Tensor:
    """`rrelu` in place."""
    return overwrite(rrelu, input, (lower, upper, training), {}, "rrelu_")


def selu_(input: Tensor) -> Tensor:
    """`selu` in place."""
    return overwrite(selu, input, (), {}, "selu_")


def threshold_(input: Tensor, threshold: float, value: float) -> Tensor:
    """`threshold` in place."""
    return overwrite(activation.threshold, input, (threshold, value), {}, "threshold_")
