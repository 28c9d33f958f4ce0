"""Pooling over the last one, two or three axes of (N, C, ...) or (C, ...) tensors."""

import math
from collections.abc import Sequence

from pydl import _C, ops
from pydl.errors import ArgumentError, ShapeError
from pydl.ops import pool
from pydl.ops.pool import Sizes
from pydl.ops.scalar import require
from pydl.tensor import Tensor

__all__ = [
    "adaptive_avg_pool1d",
    "adaptive_avg_pool2d",
    "adaptive_avg_pool3d",
    "adaptive_max_pool1d",
    "adaptive_max_pool2d",
    "adaptive_max_pool3d",
    "avg_pool1d",
    "avg_pool2d",
    "avg_pool3d",
    "fractional_max_pool2d",
    "fractional_max_pool3d",
    "lp_pool1d",
    "lp_pool2d",
    "lp_pool3d",
    "max_pool1d",
    "max_pool2d",
    "max_pool3d",
    "max_unpool1d",
    "max_unpool2d",
    "max_unpool3d",
]

Output = int | Sequence[int | None] | None


def _output(op: str, x: Tensor, size: Output, axes: int) -> tuple[int, ...]:
    """The sizes that an adaptive pooling makes."""
    wanted = (size,) * axes if size is None or isinstance(size, int) else tuple(size)
    if len(wanted) != axes or x.ndim not in (axes + 1, axes + 2):
        raise ShapeError(f"{op}: input {x.shape} and output size {size} do not fit: expected {axes} pooled axes")
    return tuple(x.shape[x.ndim - axes + i] if s is None else s for i, s in enumerate(wanted))


def _lp_pool(op: str, x: Tensor, axes: int, p: float, kernel: Sizes, stride: Sizes | None, ceil_mode: bool) -> Tensor:
    if p == math.inf:
        return pool.max_pool(op, ops.abs(x), axes, kernel, stride, 0, 1, ceil_mode, False)  # type: ignore[return-value]
    if p == 0:
        raise ArgumentError(f"{op}: norm_type must not be 0")
    mean = pool.avg_pool(op, ops.pow(x, p), axes, kernel, stride, 0, ceil_mode, True, None)
    sums = ops.sign(mean) * ops.relu(ops.abs(mean)) * math.prod(pool.sizes(op, "kernel_size", kernel, axes))
    return ops.pow(sums, 1.0 / p)


def _unpool(
    op: str,
    x: Tensor,
    indices: Tensor,
    axes: int,
    kernel: Sizes,
    stride: Sizes | None,
    padding: Sizes,
    output: Sequence[int] | None,
) -> Tensor:
    if x.ndim not in (axes + 1, axes + 2) or indices.shape != x.shape:
        raise ShapeError(f"{op}: input {x.shape} and indices {indices.shape} must have one shape of {axes + 1} or more")
    k, p = pool.sizes(op, "kernel_size", kernel, axes), pool.sizes(op, "padding", padding, axes)
    s = k if stride is None else pool.sizes(op, "stride", stride, axes)
    usual = [(n - 1) * s[i] + k[i] - 2 * p[i] for i, n in enumerate(x.shape[-axes:])]
    size = usual if output is None else list(output)[-axes:]
    if len(size) != axes or any(not u - t < n < u + t for n, u, t in zip(size, usual, s, strict=True)):
        raise ShapeError(
            f"{op}: output_size {output} is not one that pools to {x.shape[-axes:]}: expected near {usual}"
        )
    lead, n = x.shape[:-axes], math.prod(size)
    places = indices.reshape(*lead, -1)
    require((places >= 0) & (places < n), f"{op}: an index is out of range for {n} places of size {tuple(size)}", True)
    zeros = ops.zeros((*lead, n), dtype=x.dtype, device=x.device)
    return ops.scatter(zeros, -1, places, x.reshape(*lead, -1)).reshape(*lead, *size)


def _starts(op: str, n: int, out: int, k: int, sample: Tensor) -> Tensor:
    """(N, C, out) beginnings of windows of k in an axis of n, from samples (N, C)."""
    if not 1 <= k <= n or not 1 <= out <= n - k + 1:
        raise ShapeError(f"{op}: {out} windows of {k} do not fit an axis of {n}")
    if out == 1:
        return ops.full((*sample.shape, 1), n - k, dtype=_C.int64, device=sample.device)
    alpha = (n - k) / (out - 1)
    steps = ops.arange(out, dtype=sample.dtype, device=sample.device)
    u = sample.unsqueeze(-1)
    starts = ops.floor((steps + u) * alpha) - ops.floor(u * alpha)
    last = ops.eq(ops.arange(out, device=sample.device), out - 1)
    made: Tensor = ops.where(last, n - k, starts.to(_C.int64))
    return made


def _fractional(
    op: str,
    x: Tensor,
    axes: int,
    kernel: Sizes,
    output: Sizes | None,
    ratio: float | Sequence[float] | None,
    indices: bool,
    samples: Tensor | None,
) -> Tensor | tuple[Tensor, Tensor]:
    if (output is None) == (ratio is None):
        raise ArgumentError(f"{op}: expected one of output_size and output_ratio, got {output} and {ratio}")
    if x.ndim not in (axes + 1, axes + 2):
        raise ShapeError(f"{op}: expected {axes + 1} or {axes + 2} axes, got {x.shape}")
    if x.ndim == axes + 1:
        one = _fractional(op, x.unsqueeze(0), axes, kernel, output, ratio, True, samples)
        return (one[0].squeeze(0), one[1].squeeze(0)) if indices else one[0].squeeze(0)
    spatial, k = x.shape[2:], pool.sizes(op, "kernel_size", kernel, axes)
    if ratio is not None:
        given = (ratio,) * axes if isinstance(ratio, (int, float)) else tuple(ratio)
        if len(given) != axes or not all(0 < r < 1 for r in given):
            raise ArgumentError(f"{op}: output_ratio must be between 0 and 1, got {ratio}")
        output = [int(n * r) for n, r in zip(spatial, given, strict=True)]
    out = pool.sizes(op, "output_size", output, axes)  # type: ignore[arg-type]
    samples = ops.rand(*x.shape[:2], axes, dtype=x.dtype) if samples is None else samples
    if samples.shape != (*x.shape[:2], axes):
        raise ShapeError(f"{op}: _random_samples {samples.shape}: expected {(*x.shape[:2], axes)}")
    places = _window_places(op, spatial, out, k, samples)
    lead = (*x.shape[:2], *out)
    read = ops.gather(x.reshape(*x.shape[:2], -1), 2, places.reshape(*x.shape[:2], -1)).reshape(*lead, -1)
    values, at = ops.max(read, -1)
    found = ops.gather(places.reshape(*lead, -1), -1, at.unsqueeze(-1)).squeeze(-1)
    return (values, found) if indices else values


def _window_places(op: str, spatial: Sequence[int], out: Sequence[int], k: Sequence[int], samples: Tensor) -> Tensor:
    """(N, C, out..., k...) places in the flat spatial axes of the elements of each window."""
    axes = len(spatial)
    order = (1, 0) if axes == 2 else (0, 1, 2)  # PyTorch's samples are (width, height), but (depth, height, width)
    places: Tensor | int = 0
    for i in range(axes):
        starts = _starts(op, spatial[i], out[i], k[i], samples.select(2, order[i]))
        along = [1] * (2 * axes)
        along[i], along[axes + i] = out[i], k[i]
        each = starts.unsqueeze(-1) + ops.arange(k[i])  # (N, C, out, k)
        places = places * spatial[i] + each.reshape(*samples.shape[:2], *along)
    return places  # type: ignore[return-value]


def max_pool1d(
    input: Tensor,
    kernel_size: Sizes,
    stride: Sizes | None = None,
    padding: Sizes = 0,
    dilation: Sizes = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
) -> Tensor | tuple[Tensor, Tensor]:
    """(N, C, L): the largest of each window; with return_indices also its place in the flat spatial axes.

    stride is kernel_size where left out; padding counts as minus infinity; NaN is larger than any number.
    """
    return pool.max_pool("max_pool1d", input, 1, kernel_size, stride, padding, dilation, ceil_mode, return_indices)


def avg_pool1d(
    input: Tensor,
    kernel_size: Sizes,
    stride: Sizes | None = None,
    padding: Sizes = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
) -> Tensor:
    """(N, C, L): the mean of each window; count_include_pad says whether the padding's zeros count."""
    return pool.avg_pool("avg_pool1d", input, 1, kernel_size, stride, padding, ceil_mode, count_include_pad, None)


def adaptive_max_pool1d(
    input: Tensor, output_size: Output, return_indices: bool = False
) -> Tensor | tuple[Tensor, Tensor]:
    """(N, C, L) to output_size (None keeps an axis): the largest of parts of nearly equal size."""
    sizes = _output("adaptive_max_pool1d", input, output_size, 1)
    return pool.adaptive_max_pool("adaptive_max_pool1d", input, sizes, return_indices)


def adaptive_avg_pool1d(input: Tensor, output_size: Output) -> Tensor:
    """(N, C, L) to output_size (None keeps an axis): the mean of parts of nearly equal size."""
    return pool.adaptive_avg_pool(input, _output("adaptive_avg_pool1d", input, output_size, 1))


def lp_pool1d(
    input: Tensor, norm_type: float, kernel_size: Sizes, stride: Sizes | None = None, ceil_mode: bool = False
) -> Tensor:
    """(N, C, L): the p-norm of each window, p = norm_type; of signed powers where p is odd."""
    return _lp_pool("lp_pool1d", input, 1, norm_type, kernel_size, stride, ceil_mode)


def max_unpool1d(
    input: Tensor,
    indices: Tensor,
    kernel_size: Sizes,
    stride: Sizes | None = None,
    padding: Sizes = 0,
    output_size: Sequence[int] | None = None,
) -> Tensor:
    """Zeros with each maximum put back in the place that max_pool1d took it from; the last one where places are shared.

    Args: output_size: the size before pooling, where several would have given input's.
    """
    return _unpool("max_unpool1d", input, indices, 1, kernel_size, stride, padding, output_size)


def max_pool2d(
    input: Tensor,
    kernel_size: Sizes,
    stride: Sizes | None = None,
    padding: Sizes = 0,
    dilation: Sizes = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
) -> Tensor | tuple[Tensor, Tensor]:
    """(N, C, H, W): the largest of each window; with return_indices also its place in the flat spatial axes.

    stride is kernel_size where left out; padding counts as minus infinity; NaN is larger than any number.
    """
    return pool.max_pool("max_pool2d", input, 2, kernel_size, stride, padding, dilation, ceil_mode, return_indices)


def avg_pool2d(
    input: Tensor,
    kernel_size: Sizes,
    stride: Sizes | None = None,
    padding: Sizes = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor_override: int | None = None,
) -> Tensor:
    """(N, C, H, W): the mean of each window; count_include_pad says whether the padding's zeros count.

    divisor_override: divides the sums in place of the windows' sizes.
    """
    return pool.avg_pool(
        "avg_pool2d", input, 2, kernel_size, stride, padding, ceil_mode, count_include_pad, divisor_override
    )


def adaptive_max_pool2d(
    input: Tensor, output_size: Output, return_indices: bool = False
) -> Tensor | tuple[Tensor, Tensor]:
    """(N, C, H, W) to output_size (None keeps an axis): the largest of parts of nearly equal size."""
    sizes = _output("adaptive_max_pool2d", input, output_size, 2)
    return pool.adaptive_max_pool("adaptive_max_pool2d", input, sizes, return_indices)


def adaptive_avg_pool2d(input: Tensor, output_size: Output) -> Tensor:
    """(N, C, H, W) to output_size (None keeps an axis): the mean of parts of nearly equal size."""
    return pool.adaptive_avg_pool(input, _output("adaptive_avg_pool2d", input, output_size, 2))


def lp_pool2d(
    input: Tensor, norm_type: float, kernel_size: Sizes, stride: Sizes | None = None, ceil_mode: bool = False
) -> Tensor:
    """(N, C, H, W): the p-norm of each window, p = norm_type; of signed powers where p is odd."""
    return _lp_pool("lp_pool2d", input, 2, norm_type, kernel_size, stride, ceil_mode)


def max_unpool2d(
    input: Tensor,
    indices: Tensor,
    kernel_size: Sizes,
    stride: Sizes | None = None,
    padding: Sizes = 0,
    output_size: Sequence[int] | None = None,
) -> Tensor:
    """Zeros with each maximum put back in the place that max_pool2d took it from; the last one where places are shared.

    Args: output_size: the size before pooling, where several would have given input's.
    """
    return _unpool("max_unpool2d", input, indices, 2, kernel_size, stride, padding, output_size)


def max_pool3d(
    input: Tensor,
    kernel_size: Sizes,
    stride: Sizes | None = None,
    padding: Sizes = 0,
    dilation: Sizes = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
) -> Tensor | tuple[Tensor, Tensor]:
    """(N, C, D, H, W): the largest of each window; with return_indices also its place in the flat spatial axes.

    stride is kernel_size where left out; padding counts as minus infinity; NaN is larger than any number.
    """
    return pool.max_pool("max_pool3d", input, 3, kernel_size, stride, padding, dilation, ceil_mode, return_indices)


def avg_pool3d(
    input: Tensor,
    kernel_size: Sizes,
    stride: Sizes | None = None,
    padding: Sizes = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor_override: int | None = None,
) -> Tensor:
    """(N, C, D, H, W): the mean of each window; count_include_pad says whether the padding's zeros count.

    divisor_override: divides the sums in place of the windows' sizes.
    """
    return pool.avg_pool(
        "avg_pool3d", input, 3, kernel_size, stride, padding, ceil_mode, count_include_pad, divisor_override
    )


def adaptive_max_pool3d(
    input: Tensor, output_size: Output, return_indices: bool = False
) -> Tensor | tuple[Tensor, Tensor]:
    """(N, C, D, H, W) to output_size (None keeps an axis): the largest of parts of nearly equal size."""
    sizes = _output("adaptive_max_pool3d", input, output_size, 3)
    return pool.adaptive_max_pool("adaptive_max_pool3d", input, sizes, return_indices)


def adaptive_avg_pool3d(input: Tensor, output_size: Output) -> Tensor:
    """(N, C, D, H, W) to output_size (None keeps an axis): the mean of parts of nearly equal size."""
    return pool.adaptive_avg_pool(input, _output("adaptive_avg_pool3d", input, output_size, 3))


def lp_pool3d(
    input: Tensor, norm_type: float, kernel_size: Sizes, stride: Sizes | None = None, ceil_mode: bool = False
) -> Tensor:
    """(N, C, D, H, W): the p-norm of each window, p = norm_type; of signed powers where p is odd."""
    return _lp_pool("lp_pool3d", input, 3, norm_type, kernel_size, stride, ceil_mode)


def max_unpool3d(
    input: Tensor,
    indices: Tensor,
    kernel_size: Sizes,
    stride: Sizes | None = None,
    padding: Sizes = 0,
    output_size: Sequence[int] | None = None,
) -> Tensor:
    """Zeros with each maximum put back in the place that max_pool3d took it from; the last one where places are shared.

    Args: output_size: the size before pooling, where several would have given input's.
    """
    return _unpool("max_unpool3d", input, indices, 3, kernel_size, stride, padding, output_size)


def fractional_max_pool2d(
    input: Tensor,
    kernel_size: Sizes,
    output_size: Sizes | None = None,
    output_ratio: float | Sequence[float] | None = None,
    return_indices: bool = False,
    _random_samples: Tensor | None = None,
) -> Tensor | tuple[Tensor, Tensor]:
    """(N, C, H, W): the largest of windows at random distances; Graham 2014, Fractional max-pooling.

    Args:
        output_size: or output_ratio of the input's size, in (0, 1).
        _random_samples: (N, C, 2) numbers in [0, 1) that place the windows; drawn where left out.
    """
    return _fractional(
        "fractional_max_pool2d", input, 2, kernel_size, output_size, output_ratio, return_indices, _random_samples
    )


def fractional_max_pool3d(
    input: Tensor,
    kernel_size: Sizes,
    output_size: Sizes | None = None,
    output_ratio: float | Sequence[float] | None = None,
    return_indices: bool = False,
    _random_samples: Tensor | None = None,
) -> Tensor | tuple[Tensor, Tensor]:
    """(N, C, D, H, W): the largest of windows at random distances; Graham 2014, Fractional max-pooling.

    Args:
        output_size: or output_ratio of the input's size, in (0, 1).
        _random_samples: (N, C, 3) numbers in [0, 1) that place the windows; drawn where left out.
    """
    return _fractional(
        "fractional_max_pool3d", input, 3, kernel_size, output_size, output_ratio, return_indices, _random_samples
    )
