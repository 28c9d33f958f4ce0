"""Activation functions. `inplace` is accepted as PyTorch has it, without effect: operations never overwrite inputs."""

import warnings

from pydl import _C, ops
from pydl.errors import ArgumentError
from pydl.ops.activation import Relu, Sigmoid, Silu
from pydl.ops.elementary import Step
from pydl.tensor import Tensor

__all__ = [
    "celu",
    "elu",
    "gumbel_softmax",
    "hardsigmoid",
    "hardswish",
    "hardtanh",
    "leaky_relu",
    "log_softmax",
    "mish",
    "nrelu",
    "relu",
    "relu6",
    "rrelu",
    "selu",
    "sigmoid",
    "silu",
    "softmax",
    "softmin",
    "step",
    "threshold",
]


class Heaviside(Step):
    @staticmethod
    def kernel(x: _C.Array) -> _C.Array:
        t = Tensor(x)
        return (t >= 0).to(t.dtype).array  # type: ignore[no-any-return]


def step(input: Tensor) -> Tensor:
    """1 where x >= 0, else 0 (0 for NaN), in the dtype of input; the slope is 0 everywhere.

    McCulloch and Pitts' threshold unit: at 0 it fires.
    """
    return Heaviside.apply(input)


def relu(input: Tensor, inplace: bool = False) -> Tensor:
    """max(x, 0); the slope at 0 is 0."""
    return Relu.apply(input)


def sigmoid(input: Tensor) -> Tensor:
    """1 / (1 + exp(-x))."""
    return Sigmoid.apply(input)


def silu(input: Tensor, inplace: bool = False) -> Tensor:
    """x * sigmoid(x). Source: Elfwing et al. 2017 (arXiv:1702.03118)."""
    return Silu.apply(input)


def leaky_relu(input: Tensor, negative_slope: float = 0.01, inplace: bool = False) -> Tensor:
    """x where x > 0, else negative_slope * x."""
    return ops.leaky_relu(input, negative_slope)


def elu(input: Tensor, alpha: float = 1.0, inplace: bool = False) -> Tensor:
    """x where x > 0, else alpha * (exp(x) - 1). Source: Clevert et al. 2015 (arXiv:1511.07289)."""
    return ops.elu(input, alpha)


def selu(input: Tensor, inplace: bool = False) -> Tensor:
    """The self-normalising elu. Source: Klambauer et al. 2017 (arXiv:1706.02515)."""
    return ops.selu(input)


def celu(input: Tensor, alpha: float = 1.0, inplace: bool = False) -> Tensor:
    """max(0, x) + min(0, alpha * (exp(x / alpha) - 1)). Source: Barron 2017 (arXiv:1704.07483)."""
    if alpha == 0:
        raise ArgumentError("celu: alpha must not be 0")
    return ops.celu(input, alpha)


def mish(input: Tensor, inplace: bool = False) -> Tensor:
    """x * tanh(softplus(x)). Source: Misra 2019 (arXiv:1908.08681)."""
    return ops.mish(input)


def hardtanh(input: Tensor, min_val: float = -1.0, max_val: float = 1.0, inplace: bool = False) -> Tensor:
    """x limited to [min_val, max_val]; no gradient at the limits."""
    if min_val > max_val:
        raise ArgumentError(f"hardtanh: min_val {min_val} is larger than max_val {max_val}")
    return ops.hardtanh(input, min_val, max_val)


def relu6(input: Tensor, inplace: bool = False) -> Tensor:
    """x limited to [0, 6]."""
    return ops.relu6(input)


def hardsigmoid(input: Tensor, inplace: bool = False) -> Tensor:
    """relu6(x + 3) / 6."""
    return ops.hardsigmoid(input)


def hardswish(input: Tensor, inplace: bool = False) -> Tensor:
    """x * hardsigmoid(x). Source: Howard et al. 2019 (arXiv:1905.02244)."""
    return ops.hardswish(input)


def threshold(input: Tensor, threshold: float, value: float, inplace: bool = False) -> Tensor:
    """x where x > threshold, else value."""
    return ops.threshold(input, threshold, value)


def rrelu(
    input: Tensor,
    lower: float = 1.0 / 8,
    upper: float = 1.0 / 3,
    training: bool = False,
    inplace: bool = False,
    *,
    generator: ops.Generator | None = None,
) -> Tensor:
    """x where x > 0, else x times a slope: in training drawn from [lower, upper) for each element, else their mean.

    Source: Xu et al. 2015 (arXiv:1505.00853).
    """
    if lower > upper:
        raise ArgumentError(f"rrelu: lower {lower} is larger than upper {upper}")
    if not training:
        return ops.leaky_relu(input, (lower + upper) / 2)
    slopes = ops.rand(input.shape, generator=generator, dtype=input.dtype) * (upper - lower) + lower
    y: Tensor = ops.where(input > 0, input, input * slopes)
    return y


def nrelu(
    input: Tensor,
    sigma: float | None = 1.0,
    training: bool = True,
    *,
    generator: ops.Generator | None = None,
) -> Tensor:
    """max(0, x + N(0, sigma^2)) in training, max(0, x) else.

    Args: sigma: standard deviation of the noise; None: the paper's, whose variance is sigmoid(x), taken as a constant.
    Source: Nair & Hinton 2010, Rectified linear units improve restricted Boltzmann machines.
    """
    if sigma is not None and sigma < 0:
        raise ArgumentError(f"nrelu: sigma must not be negative, got {sigma}")
    if not training:
        return Relu.apply(input)
    spread = ops.sqrt(ops.sigmoid(input.detach())) if sigma is None else sigma
    return Relu.apply(input + ops.randn(input.shape, generator=generator, dtype=input.dtype) * spread)


def _chosen(name: str, dim: int | None, ndim: int, stacklevel: int) -> int:
    """dim, or PyTorch's old choice with its warning."""
    if dim is not None:
        return dim
    text = f"{name}: dim was not given; 0 for 0, 1 or 3 axes, else 1, is taken: pass dim"
    warnings.warn(text, stacklevel=stacklevel + 1)  # `typed` stands between the function and its caller
    return 0 if ndim in (0, 1, 3) else 1


def softmax(input: Tensor, dim: int | None = None, _stacklevel: int = 3, dtype: _C.dtype | None = None) -> Tensor:
    """exp(x) / sum(exp(x)) along dim, without overflow."""
    return ops.softmax(input, _chosen("softmax", dim, input.ndim, _stacklevel) if dim is None else dim, dtype)


def log_softmax(input: Tensor, dim: int | None = None, _stacklevel: int = 3, dtype: _C.dtype | None = None) -> Tensor:
    """log(softmax(x)) along dim, without overflow."""
    return ops.log_softmax(input, _chosen("log_softmax", dim, input.ndim, _stacklevel) if dim is None else dim, dtype)


def softmin(input: Tensor, dim: int | None = None, _stacklevel: int = 3, dtype: _C.dtype | None = None) -> Tensor:
    """softmax(-x) along dim."""
    return ops.softmax(-input, _chosen("softmin", dim, input.ndim, _stacklevel) if dim is None else dim, dtype)


def gumbel_softmax(
    logits: Tensor,
    tau: float = 1,
    hard: bool = False,
    eps: float = 1e-10,
    dim: int = -1,
    *,
    generator: ops.Generator | None = None,
) -> Tensor:
    """softmax((logits + Gumbel noise) / tau) along dim: a sample from the categorical distribution, relaxed.

    Args:
        hard: return the one-hot vector of the largest entry; its gradient is that of the relaxed sample.
        eps: accepted, without effect, as in PyTorch.
    Source: Jang et al. 2017 (arXiv:1611.01144); Maddison et al. 2017 (arXiv:1611.00712).
    """
    if not tau > 0:
        raise ArgumentError(f"gumbel_softmax: tau must be positive, got {tau}")
    u = ops.rand(logits.shape, generator=generator, dtype=logits.dtype)
    noise = -ops.log(-ops.log(ops.clamp(u, min=2.0**-24)))
    soft = ops.softmax((logits + noise) / tau, dim)
    if not hard:
        return soft
    top = ops.argmax(soft.detach(), dim, True)
    hot = ops.movedim(ops.one_hot(ops.movedim(top, dim, -1).squeeze(-1), logits.shape[dim]), -1, dim)
    return hot.to(soft.dtype) - soft.detach() + soft
