"""Normalisation of layers, groups, instances, channels and neighbours."""

import math
from collections.abc import Sequence

from pydl import _C, ops
from pydl.errors import ArgumentError, DtypeError, ShapeError
from pydl.nn.functional.padding import pad
from pydl.nn.functional.pooling import avg_pool1d
from pydl.ops.norm import BatchNorm, ChannelAffine, row_norm, rows_before
from pydl.tensor import Tensor

__all__ = ["batch_norm", "group_norm", "instance_norm", "layer_norm", "local_response_norm", "rms_norm"]


def _normalized(op: str, x: Tensor, shape: int | Sequence[int], *parameters: Tensor | None) -> int:
    """How many axes are normalised."""
    sizes = (shape,) if isinstance(shape, int) else tuple(shape)
    if not sizes or x.ndim < len(sizes) or x.shape[-len(sizes) :] != sizes:
        raise ShapeError(f"{op}: input {x.shape} does not end in normalized_shape {sizes}")
    for p in parameters:
        if p is not None and p.shape != sizes:
            raise ShapeError(f"{op}: a weight or bias of shape {p.shape} does not match normalized_shape {sizes}")
    return len(sizes)


def layer_norm(
    input: Tensor,
    normalized_shape: int | Sequence[int],
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    eps: float = 1e-5,
) -> Tensor:
    """(..., normalized_shape): (x - mean) / sqrt(var + eps) * weight + bias over the last axes, of any shape.

    Source: Ba, Kiros & Hinton 2016, Layer normalization.
    """
    axes = _normalized("layer_norm", input, normalized_shape, weight, bias)
    return row_norm(input, weight, bias, rows_before(input, axes), 1, 1, eps, True)


def rms_norm(
    input: Tensor, normalized_shape: int | Sequence[int], weight: Tensor | None = None, eps: float | None = None
) -> Tensor:
    """(..., normalized_shape): x / sqrt(mean(x^2) + eps) * weight over the last axes.

    Args: eps: the dtype's smallest step from 1 where left out.
    Source: Zhang & Sennrich 2019, Root mean square layer normalization.
    """
    axes = _normalized("rms_norm", input, normalized_shape, weight)
    if eps is None:
        if not input.is_floating_point():
            raise DtypeError(f"rms_norm: expected a floating dtype, got {input.dtype}")
        eps = {_C.float64: 2.0**-52, _C.float32: 2.0**-23, _C.float16: 2.0**-10, _C.bfloat16: 2.0**-7}[input.dtype]
    return row_norm(input, weight, None, rows_before(input, axes), 1, 1, eps, False)


def group_norm(
    input: Tensor, num_groups: int, weight: Tensor | None = None, bias: Tensor | None = None, eps: float = 1e-5
) -> Tensor:
    """(N, C, ...): each of num_groups groups of channels by its own mean and variance; weight and bias (C,).

    Source: Wu & He 2018, Group normalization.
    """
    if input.ndim < 2 or num_groups < 1 or input.shape[1] % num_groups:
        raise ShapeError(f"group_norm: {num_groups} groups do not divide the channels of input {input.shape}")
    _check_channels("group_norm", input, weight, bias)
    return row_norm(
        input, weight, bias, input.shape[0] * num_groups, num_groups, max(math.prod(input.shape[2:]), 1), eps, True
    )


def _check_channels(op: str, x: Tensor, *parameters: Tensor | None) -> None:
    for p in parameters:
        if p is not None and p.shape != (x.shape[1],):
            raise ShapeError(f"{op}: {p.shape} does not match input {x.shape}: expected ({x.shape[1]},)")


def batch_norm(
    input: Tensor,
    running_mean: Tensor | None,
    running_var: Tensor | None,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    training: bool = False,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Tensor:
    """(N, C, ...): each channel by its mean and variance over the batch, or by the running ones outside training.

    In training the running statistics, where given, are moved by momentum towards the batch's (the variance unbiased).

    Source: Ioffe & Szegedy 2015, Batch normalization.
    """
    if input.ndim < 2:
        raise ShapeError(f"batch_norm: expected at least 2 axes (N, C, ...), got {input.shape}")
    _check_channels("batch_norm", input, running_mean, running_var, weight, bias)
    if not training:
        if running_mean is None or running_var is None:
            raise ArgumentError("batch_norm: expected running_mean and running_var outside training")
        return _by_running(input, running_mean, running_var, weight, bias, eps)
    if input.numel() and input.numel() == input.shape[1]:
        raise ShapeError(f"batch_norm: expected more than 1 value per channel in training, got input {input.shape}")
    return BatchNorm.apply(
        input,
        weight,
        bias,
        running_mean=None if running_mean is None else running_mean.array,
        running_var=None if running_var is None else running_var.array,
        momentum=momentum,
        eps=eps,
    )


def _by_running(x: Tensor, mean: Tensor, var: Tensor, weight: Tensor | None, bias: Tensor | None, eps: float) -> Tensor:
    scale = ops.rsqrt(var + eps)
    scale = scale if weight is None else scale * weight
    shift = -mean * scale if bias is None else bias - mean * scale
    return ChannelAffine.apply(x, scale, shift)


def instance_norm(
    input: Tensor,
    running_mean: Tensor | None = None,
    running_var: Tensor | None = None,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    use_input_stats: bool = True,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Tensor:
    """(N, C, ...): each channel of each example by its own mean and variance.

    Running statistics, where given, are moved towards the mean of the batch's; without use_input_stats they are used.

    Source: Ulyanov, Vedaldi & Lempitsky 2016, Instance normalization.
    """
    if input.ndim < 3:
        raise ShapeError(f"instance_norm: expected at least 3 axes (N, C, ...), got {input.shape}")
    _check_channels("instance_norm", input, running_mean, running_var, weight, bias)
    n, c = input.shape[:2]
    if not use_input_stats:
        if running_mean is None or running_var is None:
            raise ArgumentError("instance_norm: expected running_mean and running_var without use_input_stats")
        return _by_running(input, running_mean, running_var, weight, bias, eps)
    if input.numel() and input.numel() == n * c:
        raise ShapeError(f"instance_norm: expected more than 1 value per channel, got input {input.shape}")
    if running_mean is not None and running_var is not None:
        var, mean = ops.var_mean(input.detach(), tuple(range(2, input.ndim)))
        for running, seen in ((running_mean, mean), (running_var, var)):
            running.copy_(running * (1 - momentum) + ops.mean(seen, 0) * momentum)
    return row_norm(input, weight, bias, n * c, c, math.prod(input.shape[2:]), eps, True)


def local_response_norm(input: Tensor, size: int, alpha: float = 1e-4, beta: float = 0.75, k: float = 1.0) -> Tensor:
    """(N, C, ...): x / (k + alpha * mean of x^2 over `size` neighbouring channels)^beta.

    Source: Krizhevsky, Sutskever & Hinton 2012, ImageNet classification with deep convolutional networks.
    """
    if input.ndim < 3:
        raise ShapeError(f"local_response_norm: expected at least 3 axes (N, C, ...), got {input.shape}")
    if size < 1:
        raise ArgumentError(f"local_response_norm: size must be at least 1, got {size}")
    if input.numel() == 0:
        return input
    n, c = input.shape[:2]
    squares = ops.movedim(ops.square(input).reshape(n, c, -1), 1, 2)
    near = avg_pool1d(pad(squares, (size // 2, (size - 1) // 2)), size, 1)
    divisor = ops.pow(ops.movedim(near, 2, 1).reshape(input.shape) * alpha + k, beta)
    return input / divisor
