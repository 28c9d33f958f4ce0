"""Activation functions as modules. `inplace` is accepted as PyTorch has it and changes nothing."""

import warnings

from pydl import _C, ops
from pydl.errors import ShapeError
from pydl.nn import functional as F
from pydl.nn import init
from pydl.nn.module import Module
from pydl.nn.parameter import Parameter
from pydl.ops.activation import LogSigmoid as LogSigmoidOp
from pydl.ops.activation import Relu, Silu
from pydl.ops.activation import Sigmoid as SigmoidOp
from pydl.ops.create import DeviceLike
from pydl.ops.elementary import Tanh as TanhOp
from pydl.tensor import Tensor

__all__ = [
    "CELU",
    "ELU",
    "GELU",
    "SELU",
    "Activation",
    "Hardshrink",
    "Hardsigmoid",
    "Hardswish",
    "Hardtanh",
    "LeakyReLU",
    "LogSigmoid",
    "Mish",
    "NReLU",
    "PReLU",
    "RReLU",
    "ReLU",
    "ReLU6",
    "SiLU",
    "Sigmoid",
    "Sign",
    "Softplus",
    "Softshrink",
    "Softsign",
    "Step",
    "Tanh",
    "Tanhshrink",
    "Threshold",
]


class Activation(Module):
    """Settings named in `shown` are printed; inplace only where it is set."""

    shown: tuple[str, ...] = ()
    inplace = False

    def extra_repr(self) -> str:
        """Settings."""
        parts = [f"{name}={getattr(self, name)!r}" for name in self.shown]
        return ", ".join([*parts, "inplace=True"] if self.inplace else parts)


class _InPlace(Activation):
    def __init__(self, inplace: bool = False) -> None:
        super().__init__()
        self.inplace = inplace


class ReLU(_InPlace):
    """max(x, 0)."""

    def forward(self, input: Tensor) -> Tensor:
        """(...) -> (...)."""
        return Relu.apply(input)


class Sigmoid(Activation):
    """1 / (1 + exp(-x))."""

    def forward(self, input: Tensor) -> Tensor:
        """(...) -> (...)."""
        return SigmoidOp.apply(input)


class Tanh(Activation):
    """The hyperbolic tangent."""

    def forward(self, input: Tensor) -> Tensor:
        """(...) -> (...)."""
        return TanhOp.apply(input)


class SiLU(_InPlace):
    """x * sigmoid(x)."""

    def forward(self, input: Tensor) -> Tensor:
        """(...) -> (...)."""
        return Silu.apply(input)


class LogSigmoid(Activation):
    """log(sigmoid(x))."""

    def forward(self, input: Tensor) -> Tensor:
        """(...) -> (...)."""
        return LogSigmoidOp.apply(input)


class GELU(Activation):
    """x times the normal distribution function; approximate='tanh' for the tanh formula."""

    shown = ("approximate",)

    def __init__(self, approximate: str = "none") -> None:
        super().__init__()
        self.approximate = approximate

    def forward(self, input: Tensor) -> Tensor:
        """(...) -> (...)."""
        return ops.gelu(input, self.approximate)


class Mish(_InPlace):
    """x * tanh(softplus(x))."""

    def forward(self, input: Tensor) -> Tensor:
        """(...) -> (...)."""
        return ops.mish(input)


class SELU(_InPlace):
    """The self-normalising elu."""

    def forward(self, input: Tensor) -> Tensor:
        """(...) -> (...)."""
        return ops.selu(input)


class ReLU6(_InPlace):
    """x limited to [0, 6]."""

    def forward(self, input: Tensor) -> Tensor:
        """(...) -> (...)."""
        return ops.relu6(input)


class Hardsigmoid(_InPlace):
    """relu6(x + 3) / 6."""

    def forward(self, input: Tensor) -> Tensor:
        """(...) -> (...)."""
        return ops.hardsigmoid(input)


class Hardswish(_InPlace):
    """x * hardsigmoid(x)."""

    def forward(self, input: Tensor) -> Tensor:
        """(...) -> (...)."""
        return ops.hardswish(input)


class Softsign(Activation):
    """x / (1 + |x|)."""

    def forward(self, input: Tensor) -> Tensor:
        """(...) -> (...)."""
        return ops.softsign(input)


class Tanhshrink(Activation):
    """x - tanh(x)."""

    def forward(self, input: Tensor) -> Tensor:
        """(...) -> (...)."""
        return ops.tanhshrink(input)


class Sign(Activation):
    """-1, 0 or 1; the slope is 0 everywhere."""

    def forward(self, input: Tensor) -> Tensor:
        """(...) -> (...)."""
        return ops.sign(input)


class Step(Activation):
    """1 where x >= 0, else 0; the slope is 0 everywhere."""

    def forward(self, input: Tensor) -> Tensor:
        """(...) -> (...)."""
        return F.step(input)


class ELU(Activation):
    """x where x > 0, else alpha * (exp(x) - 1)."""

    shown = ("alpha",)

    def __init__(self, alpha: float = 1.0, inplace: bool = False) -> None:
        super().__init__()
        self.alpha, self.inplace = alpha, inplace

    def forward(self, input: Tensor) -> Tensor:
        """(...) -> (...)."""
        return ops.elu(input, self.alpha)


class CELU(ELU):
    """max(0, x) + min(0, alpha * (exp(x / alpha) - 1))."""

    def forward(self, input: Tensor) -> Tensor:
        """(...) -> (...)."""
        return F.celu(input, self.alpha)


class LeakyReLU(Activation):
    """x where x > 0, else negative_slope * x."""

    shown = ("negative_slope",)

    def __init__(self, negative_slope: float = 0.01, inplace: bool = False) -> None:
        super().__init__()
        self.negative_slope, self.inplace = negative_slope, inplace

    def forward(self, input: Tensor) -> Tensor:
        """(...) -> (...)."""
        return ops.leaky_relu(input, self.negative_slope)


class PReLU(Activation):
    """x where x > 0, else weight * x, with a weight that is learned.

    Attributes: weight (num_parameters,): one for all, or one per channel (axis 1); `init` at first.
    """

    shown = ("num_parameters",)

    def __init__(
        self, num_parameters: int = 1, init: float = 0.25, device: DeviceLike = None, dtype: _C.dtype | None = None
    ) -> None:
        super().__init__()
        self.num_parameters, self.init = num_parameters, init
        self.weight = Parameter(ops.empty(num_parameters, device=device, dtype=dtype))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Sets the weights back to `init`."""
        init.constant_(self.weight, self.init)

    def forward(self, input: Tensor) -> Tensor:
        """(...) -> (...)."""
        if self.num_parameters > 1 and (input.ndim < 2 or input.shape[1] != self.num_parameters):
            raise ShapeError(f"PReLU: input {input.shape} does not match weight ({self.num_parameters},)")
        return ops.prelu(input, self.weight)


class RReLU(Activation):
    """leaky_relu whose slope is drawn from [lower, upper) for each element in training, and is their mean else."""

    shown = ("lower", "upper")

    def __init__(self, lower: float = 1.0 / 8, upper: float = 1.0 / 3, inplace: bool = False) -> None:
        super().__init__()
        self.lower, self.upper, self.inplace = lower, upper, inplace

    def forward(self, input: Tensor) -> Tensor:
        """(...) -> (...)."""
        return F.rrelu(input, self.lower, self.upper, self.training)


class NReLU(Activation):
    """max(0, x + N(0, sigma^2)) in training, max(0, x) else; sigma None: variance sigmoid(x), the paper's."""

    shown = ("sigma",)

    def __init__(self, sigma: float | None = 1.0) -> None:
        super().__init__()
        self.sigma = sigma

    def forward(self, input: Tensor) -> Tensor:
        """(...) -> (...)."""
        return F.nrelu(input, self.sigma, self.training)


class Softplus(Activation):
    """log(1 + exp(beta x)) / beta; x itself where beta x > threshold."""

    shown = ("beta", "threshold")

    def __init__(self, beta: float = 1.0, threshold: float = 20.0) -> None:
        super().__init__()
        self.beta, self.threshold = beta, threshold

    def forward(self, input: Tensor) -> Tensor:
        """(...) -> (...)."""
        return ops.softplus(input, self.beta, self.threshold)


class Hardtanh(Activation):
    """x limited to [min_val, max_val]; min_value and max_value are their old names."""

    shown = ("min_val", "max_val")

    def __init__(
        self,
        min_val: float = -1.0,
        max_val: float = 1.0,
        inplace: bool = False,
        min_value: float | None = None,
        max_value: float | None = None,
    ) -> None:
        super().__init__()
        for old, new in ((min_value, "min_val"), (max_value, "max_val")):
            if old is not None:
                text = f"Hardtanh: {new.replace('val', 'value')} is deprecated: its name is {new}"
                warnings.warn(text, FutureWarning, stacklevel=2)
        self.min_val = min_val if min_value is None else min_value
        self.max_val = max_val if max_value is None else max_value
        self.inplace = inplace

    def forward(self, input: Tensor) -> Tensor:
        """(...) -> (...)."""
        return F.hardtanh(input, self.min_val, self.max_val)


class _Shrink(Activation):
    def __init__(self, lambd: float = 0.5) -> None:
        super().__init__()
        self.lambd = lambd

    def extra_repr(self) -> str:
        """The width."""
        return str(self.lambd)


class Softshrink(_Shrink):
    """x moved towards 0 by lambd, 0 where it would cross."""

    def forward(self, input: Tensor) -> Tensor:
        """(...) -> (...)."""
        return ops.softshrink(input, self.lambd)


class Hardshrink(_Shrink):
    """x where |x| > lambd, else 0."""

    def forward(self, input: Tensor) -> Tensor:
        """(...) -> (...)."""
        return ops.hardshrink(input, self.lambd)


class Threshold(Activation):
    """x where x > threshold, else value."""

    shown = ("threshold", "value")

    def __init__(self, threshold: float, value: float, inplace: bool = False) -> None:
        super().__init__()
        self.threshold, self.value, self.inplace = threshold, value, inplace

    def forward(self, input: Tensor) -> Tensor:
        """(...) -> (...)."""
        return ops.threshold(input, self.threshold, self.value)
