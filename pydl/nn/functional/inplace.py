"""Activation functions that overwrite their input and return it. As with every change in place, the input must not be
part of a graph that is to be differentiated (`copy_` raises AutogradError)."""

from pydl.nn.functional import activation
from pydl.nn.functional.activation import celu, elu, hardtanh, leaky_relu, relu, rrelu, selu
from pydl.tensor import Tensor

__all__ = ["celu_", "elu_", "hardtanh_", "leaky_relu_", "relu_", "rrelu_", "selu_", "threshold_"]


def celu_(input: Tensor, alpha: float = 1.0) -> Tensor:
    """`celu` in place."""
    return input.copy_(celu(input, alpha))


def elu_(input: Tensor, alpha: float = 1.0) -> Tensor:
    """`elu` in place."""
    return input.copy_(elu(input, alpha))


def hardtanh_(input: Tensor, min_val: float = -1.0, max_val: float = 1.0) -> Tensor:
    """`hardtanh` in place."""
    return input.copy_(hardtanh(input, min_val, max_val))


def leaky_relu_(input: Tensor, negative_slope: float = 0.01) -> Tensor:
    """`leaky_relu` in place."""
    return input.copy_(leaky_relu(input, negative_slope))


def relu_(input: Tensor) -> Tensor:
    """`relu` in place."""
    return input.copy_(relu(input))


def rrelu_(input: Tensor, lower: float = 1.0 / 8, upper: float = 1.0 / 3, training: bool = False) -> Tensor:
    """`rrelu` in place."""
    return input.copy_(rrelu(input, lower, upper, training))


def selu_(input: Tensor) -> Tensor:
    """`selu` in place."""
    return input.copy_(selu(input))


def threshold_(input: Tensor, threshold: float, value: float) -> Tensor:
    """`threshold` in place."""
    return input.copy_(activation.threshold(input, threshold, value))
