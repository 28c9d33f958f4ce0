"""Normalisation layers."""

from collections.abc import Sequence
from functools import partial
from typing import ClassVar

from pydl import _C, ops
from pydl.autograd import no_grad
from pydl.errors import ArgumentError, ShapeError
from pydl.nn import functional as F
from pydl.nn.module import Module
from pydl.nn.parameter import Parameter
from pydl.ops.create import DeviceLike
from pydl.tensor import Tensor

__all__ = [
    "BatchNorm1d",
    "BatchNorm2d",
    "BatchNorm3d",
    "GroupNorm",
    "InstanceNorm1d",
    "InstanceNorm2d",
    "InstanceNorm3d",
    "LayerNorm",
    "LocalResponseNorm",
    "RMSNorm",
]


def _filled(shape: int | Sequence[int], value: float, dtype: _C.dtype | None, device: DeviceLike) -> Tensor:
    sizes = (shape,) if isinstance(shape, int) else tuple(shape)
    return ops.full(sizes, value, dtype=dtype or ops.get_default_dtype(), device=device)


class _Norm(Module):
    """Weights and running statistics of num_features channels."""

    axes: ClassVar[tuple[int, ...]]  # how many an input may have
    running_mean: Tensor | None
    running_var: Tensor | None
    num_batches_tracked: Tensor | None

    def __init__(
        self,
        num_features: int,
        eps: float,
        momentum: float | None,
        affine: bool,
        track_running_stats: bool,
        device: DeviceLike,
        dtype: _C.dtype | None,
        bias: bool,
    ) -> None:
        super().__init__()
        if num_features < 1:
            raise ArgumentError(f"{type(self).__name__}: num_features must be at least 1, got {num_features}")
        self.num_features, self.eps, self.momentum = num_features, eps, momentum
        self.affine, self.track_running_stats = affine, track_running_stats
        new = partial(_filled, dtype=dtype, device=device)
        self.weight = Parameter(new(num_features, 1.0)) if affine else None
        self.bias = Parameter(new(num_features, 0.0)) if affine and bias else None
        running = track_running_stats
        self.register_buffer("running_mean", new(num_features, 0.0) if running else None)
        self.register_buffer("running_var", new(num_features, 1.0) if running else None)
        self.register_buffer("num_batches_tracked", ops.tensor(0, dtype=_C.int64) if running else None)

    def reset_running_stats(self) -> None:
        """Mean 0, variance 1, no batch seen."""
        for tensor, value in ((self.running_mean, 0), (self.running_var, 1), (self.num_batches_tracked, 0)):
            if tensor is not None:
                tensor.fill_(value)

    def reset_parameters(self) -> None:
        """Weight 1, bias 0, and the running statistics anew."""
        self.reset_running_stats()
        if self.weight is not None:
            self.weight.data.fill_(1)
        if self.bias is not None:
            self.bias.data.zero_()

    def _check(self, x: Tensor) -> None:
        if x.ndim not in self.axes:
            wanted = " or ".join(f"{n}D" for n in self.axes)
            raise ShapeError(f"{type(self).__name__}: expected {wanted} input, got shape {x.shape}")

    def extra_repr(self) -> str:
        """The settings, as PyTorch prints them."""
        return (
            f"{self.num_features}, eps={self.eps}, momentum={self.momentum}, affine={self.affine}, "
            f"bias={self.bias is not None}, track_running_stats={self.track_running_stats}"
        )


class _BatchNorm(_Norm):
    def __init__(
        self,
        num_features: int,
        eps: float = 1e-5,
        momentum: float | None = 0.1,
        affine: bool = True,
        track_running_stats: bool = True,
        device: DeviceLike = None,
        dtype: _C.dtype | None = None,
        *,
        bias: bool = True,
    ) -> None:
        super().__init__(num_features, eps, momentum, affine, track_running_stats, device, dtype, bias)

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, ...): by the batch's statistics in training or if none are tracked, else by the running ones."""
        self._check(x)
        moving = self.training and self.running_mean is not None
        batch = self.training or self.running_mean is None
        mean, var = (self.running_mean, self.running_var) if moving or not batch else (None, None)
        if moving and self.num_batches_tracked is not None:
            self.num_batches_tracked.add_(1)
            if self.momentum is None:
                return self._averaging(x)
        return F.batch_norm(x, mean, var, self.weight, self.bias, batch, self.momentum or 0.0, self.eps)

    def _averaging(self, x: Tensor) -> Tensor:
        """The running statistics become the means over all batches."""
        assert self.running_mean is not None and self.running_var is not None and self.num_batches_tracked is not None
        mean, var = ops.zeros_like(self.running_mean), ops.zeros_like(self.running_var)
        y = F.batch_norm(x, mean, var, self.weight, self.bias, True, 1.0, self.eps)
        with no_grad():
            part = 1.0 / self.num_batches_tracked.to(mean.dtype)
            for running, seen in ((self.running_mean, mean), (self.running_var, var)):
                running.copy_(running + (seen - running) * part)
        return y


class BatchNorm1d(_BatchNorm):
    """(N, C) or (N, C, L): each channel by its mean and variance over the batch. Ioffe & Szegedy 2015."""

    axes = (2, 3)


class BatchNorm2d(_BatchNorm):
    """(N, C, H, W): each channel by its mean and variance over the batch. Ioffe & Szegedy 2015."""

    axes = (4,)


class BatchNorm3d(_BatchNorm):
    """(N, C, D, H, W): each channel by its mean and variance over the batch. Ioffe & Szegedy 2015."""

    axes = (5,)


class _InstanceNorm(_Norm):
    def __init__(
        self,
        num_features: int,
        eps: float = 1e-5,
        momentum: float = 0.1,
        affine: bool = False,
        track_running_stats: bool = False,
        device: DeviceLike = None,
        dtype: _C.dtype | None = None,
        *,
        bias: bool = True,
    ) -> None:
        super().__init__(num_features, eps, momentum, affine, track_running_stats, device, dtype, bias)

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, ...) or (C, ...): each channel of each example by its own statistics, or by the running ones."""
        self._check(x)
        batched = x if x.ndim == self.axes[0] else x.unsqueeze(0)
        momentum = 0.0 if self.momentum is None else self.momentum
        own = self.training or not self.track_running_stats
        y = F.instance_norm(
            batched, self.running_mean, self.running_var, self.weight, self.bias, own, momentum, self.eps
        )
        return y if batched is x else y.squeeze(0)


class InstanceNorm1d(_InstanceNorm):
    """(N, C, L) or (C, L): each channel of each example by its mean and variance. Ulyanov et al. 2016."""

    axes = (3, 2)


class InstanceNorm2d(_InstanceNorm):
    """(N, C, H, W) or (C, H, W): each channel of each example by its mean and variance. Ulyanov et al. 2016."""

    axes = (4, 3)


class InstanceNorm3d(_InstanceNorm):
    """(N, C, D, H, W) or (C, D, H, W): each channel of each example by its mean and variance. Ulyanov et al. 2016."""

    axes = (5, 4)


class LayerNorm(Module):
    """(..., normalized_shape): by the mean and variance over the last axes. Ba, Kiros & Hinton 2016."""

    def __init__(
        self,
        normalized_shape: int | Sequence[int],
        eps: float = 1e-5,
        elementwise_affine: bool = True,
        bias: bool = True,
        device: DeviceLike = None,
        dtype: _C.dtype | None = None,
    ) -> None:
        super().__init__()
        self.normalized_shape = (normalized_shape,) if isinstance(normalized_shape, int) else tuple(normalized_shape)
        self.eps, self.elementwise_affine = eps, elementwise_affine
        new = partial(_filled, dtype=dtype, device=device)
        self.weight = Parameter(new(self.normalized_shape, 1.0)) if elementwise_affine else None
        self.bias = Parameter(new(self.normalized_shape, 0.0)) if elementwise_affine and bias else None

    def forward(self, x: Tensor) -> Tensor:
        """(..., normalized_shape) -> the same shape."""
        return F.layer_norm(x, self.normalized_shape, self.weight, self.bias, self.eps)

    def reset_parameters(self) -> None:
        """Weight 1, bias 0."""
        if self.weight is not None:
            self.weight.data.fill_(1)
        if self.bias is not None:
            self.bias.data.zero_()

    def extra_repr(self) -> str:
        """The settings, as PyTorch prints them."""
        return (
            f"{self.normalized_shape}, eps={self.eps}, elementwise_affine={self.elementwise_affine}, "
            f"bias={self.bias is not None}"
        )


class RMSNorm(Module):
    """(..., normalized_shape): by the root mean square over the last axes. Zhang & Sennrich 2019."""

    def __init__(
        self,
        normalized_shape: int | Sequence[int],
        eps: float | None = None,
        elementwise_affine: bool = True,
        device: DeviceLike = None,
        dtype: _C.dtype | None = None,
    ) -> None:
        super().__init__()
        self.normalized_shape = (normalized_shape,) if isinstance(normalized_shape, int) else tuple(normalized_shape)
        self.eps, self.elementwise_affine = eps, elementwise_affine
        made = _filled(self.normalized_shape, 1.0, dtype, device)
        self.weight = Parameter(made) if elementwise_affine else None

    def forward(self, x: Tensor) -> Tensor:
        """(..., normalized_shape) -> the same shape."""
        return F.rms_norm(x, self.normalized_shape, self.weight, self.eps)

    def reset_parameters(self) -> None:
        """Weight 1."""
        if self.weight is not None:
            self.weight.data.fill_(1)

    def extra_repr(self) -> str:
        """The settings, as PyTorch prints them."""
        return f"{self.normalized_shape}, eps={self.eps}, elementwise_affine={self.elementwise_affine}"


class GroupNorm(Module):
    """(N, C, ...): each of num_groups groups of channels by its own mean and variance. Wu & He 2018."""

    def __init__(
        self,
        num_groups: int,
        num_channels: int,
        eps: float = 1e-5,
        affine: bool = True,
        device: DeviceLike = None,
        dtype: _C.dtype | None = None,
        *,
        bias: bool = True,
    ) -> None:
        super().__init__()
        if num_groups < 1 or num_channels % num_groups:
            raise ArgumentError(f"GroupNorm: {num_groups} groups do not divide {num_channels} channels")
        self.num_groups, self.num_channels, self.eps, self.affine = num_groups, num_channels, eps, affine
        new = partial(_filled, dtype=dtype, device=device)
        self.weight = Parameter(new(num_channels, 1.0)) if affine else None
        self.bias = Parameter(new(num_channels, 0.0)) if affine and bias else None

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, ...) -> the same shape."""
        return F.group_norm(x, self.num_groups, self.weight, self.bias, self.eps)

    def reset_parameters(self) -> None:
        """Weight 1, bias 0."""
        if self.weight is not None:
            self.weight.data.fill_(1)
        if self.bias is not None:
            self.bias.data.zero_()

    def extra_repr(self) -> str:
        """The settings, as PyTorch prints them."""
        settings = f"{self.num_groups}, {self.num_channels}, eps={self.eps}, affine={self.affine}"
        return f"{settings}, bias={self.bias is not None}"


class LocalResponseNorm(Module):
    """(N, C, ...): by the power of `size` neighbouring channels. Krizhevsky, Sutskever & Hinton 2012."""

    def __init__(self, size: int, alpha: float = 1e-4, beta: float = 0.75, k: float = 1.0) -> None:
        super().__init__()
        self.size, self.alpha, self.beta, self.k = size, alpha, beta, k

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, ...) -> the same shape."""
        return F.local_response_norm(x, self.size, self.alpha, self.beta, self.k)

    def extra_repr(self) -> str:
        """The settings, as PyTorch prints them."""
        return f"{self.size}, alpha={self.alpha}, beta={self.beta}, k={self.k}"
