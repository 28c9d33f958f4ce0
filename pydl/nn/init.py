"""Ways to fill a tensor in place before training. All return the tensor; none is recorded.

generator: where random numbers come from; the default generator where it is left out.
"""

import math
import warnings

import numpy as np

from pydl import _C, ops
from pydl.autograd.mode import no_grad
from pydl.errors import ArgumentError, ShapeError
from pydl.ops.random import Generator
from pydl.tensor import Tensor

__all__ = [
    "calculate_gain",
    "constant_",
    "dirac_",
    "eye_",
    "kaiming_normal_",
    "kaiming_uniform_",
    "lecun_normal_",
    "lecun_uniform_",
    "normal_",
    "ones_",
    "orthogonal_",
    "sparse_",
    "trunc_normal_",
    "uniform_",
    "xavier_normal_",
    "xavier_uniform_",
    "zeros_",
]

_LINEAR = ("linear", "conv1d", "conv2d", "conv3d", "conv_transpose1d", "conv_transpose2d", "conv_transpose3d")


def calculate_gain(nonlinearity: str, param: float | None = None) -> float:
    """The factor by which weights in front of this nonlinearity are scaled up.

    Args: param: the negative slope of 'leaky_relu' (0.01).
    """
    if nonlinearity in _LINEAR or nonlinearity == "sigmoid":
        return 1.0
    if nonlinearity == "leaky_relu":
        return math.sqrt(2.0 / (1 + (0.01 if param is None else float(param)) ** 2))
    gains = {"tanh": 5.0 / 3, "relu": math.sqrt(2.0), "selu": 3.0 / 4}
    if nonlinearity not in gains:
        raise ArgumentError(f"calculate_gain: unknown nonlinearity {nonlinearity!r}")
    return gains[nonlinearity]


def _fans(tensor: Tensor, name: str) -> tuple[int, int]:
    """How many inputs and outputs one unit has: (out, in, *kernel)."""
    if tensor.ndim < 2:
        raise ShapeError(f"{name}: expected at least 2 axes (out, in, ...), got shape {tensor.shape}")
    field = math.prod(tensor.shape[2:])
    return tensor.shape[1] * field, tensor.shape[0] * field


def _fill(tensor: Tensor, values: Tensor | float, name: str) -> Tensor:
    with no_grad():
        return tensor.copy_(values.detach() if isinstance(values, Tensor) else values)


def uniform_(tensor: Tensor, a: float = 0.0, b: float = 1.0, generator: Generator | None = None) -> Tensor:
    """Uniform in [a, b)."""
    with no_grad():
        return tensor.uniform_(a, b, generator=generator)


def normal_(tensor: Tensor, mean: float = 0.0, std: float = 1.0, generator: Generator | None = None) -> Tensor:
    """Normal."""
    if std < 0:
        raise ArgumentError(f"normal_: std must not be negative, got {std}")
    with no_grad():
        return tensor.normal_(mean, std, generator=generator)


def constant_(tensor: Tensor, val: float) -> Tensor:
    """val everywhere."""
    return _fill(tensor, val, "constant_")


def ones_(tensor: Tensor) -> Tensor:
    """1 everywhere."""
    return constant_(tensor, 1.0)


def zeros_(tensor: Tensor) -> Tensor:
    """0 everywhere."""
    return constant_(tensor, 0.0)


def eye_(tensor: Tensor) -> Tensor:
    """The identity matrix."""
    if tensor.ndim != 2:
        raise ShapeError(f"eye_: expected 2 axes, got shape {tensor.shape}")
    return _fill(tensor, ops.eye(*tensor.shape, dtype=tensor.dtype), "eye_")


def dirac_(tensor: Tensor, groups: int = 1) -> Tensor:
    """(out, in, *kernel) with 1 in the kernel's middle at (i, i) of each group: a convolution that copies channels."""
    if not 3 <= tensor.ndim <= 5:
        raise ShapeError(f"dirac_: expected 3 to 5 axes, got shape {tensor.shape}")
    if groups < 1 or tensor.shape[0] % groups:
        raise ArgumentError(f"dirac_: {tensor.shape[0]} output channels cannot be split into {groups} groups")
    per_group = tensor.shape[0] // groups
    values = np.zeros(tensor.shape, np.float32)
    middle = tuple(s // 2 for s in tensor.shape[2:])
    for g in range(groups):
        for d in range(min(per_group, tensor.shape[1])):
            values[(g * per_group + d, d, *middle)] = 1
    return _fill(tensor, ops.from_numpy(values), "dirac_")


# ---------------------------------------------------------------- truncated normal


def _inverse_erf(x: np.ndarray) -> np.ndarray:
    """For |x| < 1: a start good to 5 %, then Halley's steps, each of which triples the digits.

    Source of the start: Giles 2012, Approximating the erfinv function, table 5 (near 0 and far from it); beyond w = 16,
    where those end, one step on erfc(y) ~ exp(-y^2) / (y sqrt(pi)).
    """
    w = -np.log((1 - x) * (1 + x))
    near = [2.81022636e-08, 3.43273939e-07, -3.5233877e-06, -4.39150654e-06, 0.00021858087,
            -0.00125372503, -0.00417768164, 0.246640727, 1.50140941]  # fmt: skip
    far = [-0.000200214257, 0.000100950558, 0.00134934322, -0.00367342844, 0.00573950773,
           -0.0076224613, 0.00943887047, 1.00167406, 2.83297682]  # fmt: skip
    tail = np.maximum(w, 16) + math.log(2)  # -log(1 - |x|) there
    start = np.where(w < 5, np.polyval(near, w - 2.5), np.polyval(far, np.sqrt(w) - 3)) * x
    y = np.where(w < 16, start, np.copysign(np.sqrt(tail - np.log(np.sqrt(tail * math.pi))), x))
    for _ in range(3):
        erf = _C.to_numpy(_C.erf(_C.from_numpy(np.ascontiguousarray(y))))
        step = (erf - x) * (math.sqrt(math.pi) / 2) * np.exp(y * y)
        y = y - step / (1 + y * step)
    return np.asarray(y)


def trunc_normal_(
    tensor: Tensor,
    mean: float = 0.0,
    std: float = 1.0,
    a: float = -2.0,
    b: float = 2.0,
    generator: Generator | None = None,
) -> Tensor:
    """Normal, drawn from the part of the distribution in [a, b]; a and b are values, not multiples of std."""
    if std <= 0 or a >= b:
        raise ArgumentError(f"trunc_normal_: expected std > 0 and a < b, got std {std}, a {a}, b {b}")
    low, high = (math.erf((edge - mean) / (std * math.sqrt(2))) for edge in (a, b))
    if low == high:
        warnings.warn("trunc_normal_: [a, b] lies so far from the mean that nothing is left of the distribution there",
                      stacklevel=2)  # fmt: skip
        return constant_(tensor, a if a > mean else b)
    u = ops.rand(tensor.shape, generator=generator, dtype=_C.float64).numpy()
    edge = 1 - 2.0**-53
    values = _inverse_erf(np.clip(low + u * (high - low), -edge, edge)) * (std * math.sqrt(2)) + mean
    return _fill(tensor, ops.from_numpy(np.clip(values, a, b)), "trunc_normal_")


# ---------------------------------------------------------------- scaled by the number of inputs and outputs


def xavier_uniform_(tensor: Tensor, gain: float = 1.0, generator: Generator | None = None) -> Tensor:
    """Uniform in +-gain sqrt(6 / (in + out)). Source: Glorot & Bengio 2010, equation 16."""
    bound = gain * math.sqrt(6.0 / sum(_fans(tensor, "xavier_uniform_")))
    return uniform_(tensor, -bound, bound, generator)


def xavier_normal_(tensor: Tensor, gain: float = 1.0, generator: Generator | None = None) -> Tensor:
    """Normal with variance gain^2 2 / (in + out). Source: Glorot & Bengio 2010, equation 12."""
    return normal_(tensor, 0.0, gain * math.sqrt(2.0 / sum(_fans(tensor, "xavier_normal_"))), generator)


def _kaiming_std(tensor: Tensor, a: float, mode: str, nonlinearity: str, name: str) -> float:
    if mode not in ("fan_in", "fan_out"):
        raise ArgumentError(f"{name}: mode must be 'fan_in' or 'fan_out', got {mode!r}")
    fan = _fans(tensor, name)[mode == "fan_out"]
    return calculate_gain(nonlinearity, a) / math.sqrt(max(fan, 1))


def kaiming_uniform_(
    tensor: Tensor,
    a: float = 0,
    mode: str = "fan_in",
    nonlinearity: str = "leaky_relu",
    generator: Generator | None = None,
) -> Tensor:
    """Uniform with variance gain^2 / fan. Source: He et al. 2015 (arXiv:1502.01852), equations 10 and 14.

    Args: a: negative slope of 'leaky_relu'. mode: 'fan_in' keeps the size of activations, 'fan_out' that of gradients.
    """
    bound = math.sqrt(3.0) * _kaiming_std(tensor, a, mode, nonlinearity, "kaiming_uniform_")
    return uniform_(tensor, -bound, bound, generator)


def kaiming_normal_(
    tensor: Tensor,
    a: float = 0,
    mode: str = "fan_in",
    nonlinearity: str = "leaky_relu",
    generator: Generator | None = None,
) -> Tensor:
    """Normal with variance gain^2 / fan; arguments as of `kaiming_uniform_`."""
    return normal_(tensor, 0.0, _kaiming_std(tensor, a, mode, nonlinearity, "kaiming_normal_"), generator)


def lecun_uniform_(tensor: Tensor, generator: Generator | None = None) -> Tensor:
    """Uniform with variance 1 / in. Source: LeCun et al. 1998, Efficient BackProp, section 4.6."""
    bound = math.sqrt(3.0 / max(_fans(tensor, "lecun_uniform_")[0], 1))
    return uniform_(tensor, -bound, bound, generator)


def lecun_normal_(tensor: Tensor, generator: Generator | None = None) -> Tensor:
    """Normal with variance 1 / in. Source: LeCun et al. 1998, Efficient BackProp, section 4.6."""
    return normal_(tensor, 0.0, 1 / math.sqrt(max(_fans(tensor, "lecun_normal_")[0], 1)), generator)


# ---------------------------------------------------------------- matrices


def orthogonal_(tensor: Tensor, gain: float = 1, generator: Generator | None = None) -> Tensor:
    """gain times a random matrix (first axis, all others) with orthonormal rows or columns, whichever are fewer.

    Source: Saxe et al. 2013 (arXiv:1312.6120); the signs make it uniform over such matrices (Mezzadri 2007).
    """
    if tensor.ndim < 2:
        raise ShapeError(f"orthogonal_: expected at least 2 axes, got shape {tensor.shape}")
    if not tensor.numel():
        return tensor
    rows, columns = tensor.shape[0], tensor.numel() // tensor.shape[0]
    drawn = ops.randn(rows, columns, generator=generator, dtype=_C.float64).numpy()
    q, r = np.linalg.qr(drawn.T if rows < columns else drawn)
    q = q * np.sign(np.diag(r))
    q = (q.T if rows < columns else q) * gain
    return _fill(tensor, ops.from_numpy(np.ascontiguousarray(q).reshape(tensor.shape)), "orthogonal_")


def sparse_(tensor: Tensor, sparsity: float, std: float = 0.01, generator: Generator | None = None) -> Tensor:
    """Normal with mean 0, and the share `sparsity` of each column 0. Source: Martens 2010."""
    if tensor.ndim != 2:
        raise ShapeError(f"sparse_: expected 2 axes, got shape {tensor.shape}")
    if not 0 <= sparsity <= 1:
        raise ArgumentError(f"sparse_: sparsity must be in [0, 1], got {sparsity}")
    rows, columns = tensor.shape
    zeros = math.ceil(sparsity * rows)
    values = ops.normal(0.0, std, tensor.shape, generator=generator, dtype=_C.float64).numpy()
    for j in range(columns):
        values[ops.randperm(rows, generator=generator).numpy()[:zeros], j] = 0
    return _fill(tensor, ops.from_numpy(values), "sparse_")
