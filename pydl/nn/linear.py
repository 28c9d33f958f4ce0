"""Layers made of matrix products, and the ones that only change shapes."""

import math
from collections.abc import Sequence
from typing import Any

from pydl import _C, ops
from pydl.errors import ArgumentError, DtypeError, ShapeError
from pydl.nn import init
from pydl.nn.functional.distance import bilinear
from pydl.nn.lazy import LazyModuleMixin
from pydl.nn.module import Module
from pydl.nn.parameter import Parameter, UninitializedParameter, is_uninitialized
from pydl.ops.create import DeviceLike
from pydl.ops.gemm import Linear as LinearOp
from pydl.tensor import Tensor

__all__ = ["Bilinear", "Flatten", "Identity", "LazyLinear", "Linear", "Unflatten"]


class Identity(Module):
    """Returns its input. Args: any; they are ignored."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__()

    def forward(self, input: Any) -> Any:
        """input."""
        return input


class Linear(Module):
    """activation(x weight^T + bias), in one pass.

    Args:
        in_features, out_features: sizes of the last axis of input and output.
        bias: whether there is one.
        activation: None, 'relu', 'tanh' or 'sigmoid', applied while the result is in registers.
    Attributes: weight (out, in), bias (out,): uniform in +-1 / sqrt(in) at first.
    """

    bias: Parameter | None

    def __init__(
        self,
        in_features: int,
        out_features: int,
        bias: bool = True,
        device: DeviceLike = None,
        dtype: _C.dtype | None = None,
        *,
        activation: str | None = None,
    ) -> None:
        super().__init__()
        if activation not in (None, "relu", "tanh", "sigmoid"):
            raise ArgumentError(f"Linear: activation must be None, 'relu', 'tanh' or 'sigmoid', got {activation!r}")
        self.in_features, self.out_features, self.activation = in_features, out_features, activation
        self.weight = Parameter(ops.empty(out_features, in_features, device=device, dtype=dtype))
        offset = Parameter(ops.empty(out_features, device=device, dtype=dtype)) if bias else None
        self.register_parameter("bias", offset)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draws weight and bias anew."""
        bound = 1 / math.sqrt(self.in_features) if self.in_features > 0 else 0.0
        for p in (self.weight, self.bias):
            if p is not None:
                init.uniform_(p, -bound, bound)

    def forward(self, input: Tensor) -> Tensor:
        """(..., in) -> (..., out)."""
        if self.activation is None:
            return LinearOp.apply(input, self.weight, self.bias, None, "none")
        return ops.linear(input, self.weight, self.bias, self.activation)

    def extra_repr(self) -> str:
        """Sizes and settings."""
        text = f"in_features={self.in_features}, out_features={self.out_features}, bias={self.bias is not None}"
        return text if self.activation is None else f"{text}, activation={self.activation!r}"


class LazyLinear(LazyModuleMixin, Linear):
    """A Linear whose in_features is the last size of its first input; it is a Linear from then on."""

    cls_to_become = Linear
    weight: Parameter

    def __init__(
        self, out_features: int, bias: bool = True, device: DeviceLike = None, dtype: _C.dtype | None = None
    ) -> None:
        super().__init__(0, 0, False, device, dtype)
        self.weight = UninitializedParameter(device=device, dtype=dtype)
        self.out_features = out_features
        if bias:
            self.bias = UninitializedParameter(device=device, dtype=dtype)

    def reset_parameters(self) -> None:
        """Draws weight and bias anew, once they have a shape."""
        if not self.has_uninitialized_params() and self.in_features:
            super().reset_parameters()

    def initialize_parameters(self, input: Tensor) -> None:
        """Takes in_features from the input; what was loaded meanwhile stays."""
        if input.ndim == 0:
            raise ShapeError("LazyLinear: expected an input with at least one axis")
        self.in_features = input.shape[-1]
        if is_uninitialized(self.weight):
            self.weight.materialize((self.out_features, self.in_features))  # type: ignore[attr-defined]
            if is_uninitialized(self.bias):
                self.bias.materialize((self.out_features,))  # type: ignore[union-attr]
            self.reset_parameters()


class Bilinear(Module):
    """x1^T weight[k] x2 + bias[k] for each output k.

    Attributes: weight (out, in1, in2), bias (out,): uniform in +-1 / sqrt(in1) at first.
    """

    bias: Parameter | None

    def __init__(
        self,
        in1_features: int,
        in2_features: int,
        out_features: int,
        bias: bool = True,
        device: DeviceLike = None,
        dtype: _C.dtype | None = None,
    ) -> None:
        super().__init__()
        if in1_features <= 0:
            raise ArgumentError(f"Bilinear: in1_features must be positive, got {in1_features}")
        self.in1_features, self.in2_features, self.out_features = in1_features, in2_features, out_features
        self.weight = Parameter(ops.empty(out_features, in1_features, in2_features, device=device, dtype=dtype))
        offset = Parameter(ops.empty(out_features, device=device, dtype=dtype)) if bias else None
        self.register_parameter("bias", offset)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draws weight and bias anew."""
        bound = 1 / math.sqrt(self.in1_features)
        for p in (self.weight, self.bias):
            if p is not None:
                init.uniform_(p, -bound, bound)

    def forward(self, input1: Tensor, input2: Tensor) -> Tensor:
        """(..., in1) and (..., in2) -> (..., out)."""
        return bilinear(input1, input2, self.weight, self.bias)

    def extra_repr(self) -> str:
        """Sizes."""
        return (
            f"in1_features={self.in1_features}, in2_features={self.in2_features}, "
            f"out_features={self.out_features}, bias={self.bias is not None}"
        )


class Flatten(Module):
    """Merges the axes start_dim to end_dim."""

    def __init__(self, start_dim: int = 1, end_dim: int = -1) -> None:
        super().__init__()
        self.start_dim, self.end_dim = start_dim, end_dim

    def forward(self, input: Tensor) -> Tensor:
        """input with those axes as one."""
        return ops.flatten(input, self.start_dim, self.end_dim)

    def extra_repr(self) -> str:
        """The axes."""
        return f"start_dim={self.start_dim}, end_dim={self.end_dim}"


class Unflatten(Module):
    """Splits the axis dim into axes of sizes unflattened_size, of which one may be -1."""

    def __init__(self, dim: int, unflattened_size: Sequence[int]) -> None:
        super().__init__()
        sizes = tuple(unflattened_size) if isinstance(unflattened_size, Sequence) else (unflattened_size,)
        if not all(isinstance(n, int) for n in sizes):
            raise DtypeError(f"Unflatten: unflattened_size must be a sequence of integers, got {unflattened_size!r}")
        self.dim, self.unflattened_size = dim, sizes

    def forward(self, input: Tensor) -> Tensor:
        """input with that axis as several."""
        return ops.unflatten(input, self.dim, self.unflattened_size)

    def extra_repr(self) -> str:
        """The axis and its parts."""
        return f"dim={self.dim}, unflattened_size={self.unflattened_size}"
