"""Images of other sizes, and images read at free places."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from pydl import _C, ops
from pydl.errors import ArgumentError, DtypeError, ShapeError
from pydl.nn.functional import pooling
from pydl.ops import resample, taps
from pydl.tensor import Tensor

__all__ = ["affine_grid", "grid_sample", "interpolate"]

_AXES = {
    "nearest": (1, 2, 3), "nearest-exact": (1, 2, 3), "area": (1, 2, 3),
    "linear": (1,), "bilinear": (2,), "bicubic": (2,), "trilinear": (3,),
}  # fmt: skip
_LINEAR = ("linear", "bilinear", "bicubic", "trilinear")


def interpolate(
    input: Tensor,
    size: int | Sequence[int] | None = None,
    scale_factor: float | Sequence[float] | None = None,
    mode: str = "nearest",
    align_corners: bool | None = None,
    recompute_scale_factor: bool | None = None,
    antialias: bool = False,
) -> Tensor:
    """(n, c, w), (n, c, h, w) or (n, c, d, h, w) with its last axes resampled to size, or by scale_factor.

    Args:
        mode: 'nearest' (as PyTorch and OpenCV round), 'nearest-exact', 'linear' (3 axes), 'bilinear', 'bicubic' (4),
            'trilinear' (5) or 'area' (means of equal parts).
        align_corners: the middles of the corner pixels fall together, not the edges of the images; linear and cubic.
        recompute_scale_factor: the scale follows from the sizes; else scale_factor itself is the scale where given.
        antialias: where axes shrink, the kernel is widened; 'bilinear' and 'bicubic'.
    Raises: ArgumentError, ShapeError, DtypeError.
    """
    axes = _check_mode(input, mode, align_corners, antialias)
    sizes, factors = _sizes(input, size, scale_factor, axes)
    if recompute_scale_factor and size is not None:
        raise ArgumentError("interpolate: recompute_scale_factor is not meaningful with an explicit size")
    if mode == "area":
        return getattr(pooling, f"adaptive_avg_pool{axes}d")(input, sizes)  # type: ignore[no-any-return]
    if recompute_scale_factor:
        factors = (None,) * axes
    factors = tuple(
        None if _by_sizes(mode, axes, antialias, n, out) else f
        for n, out, f in zip(input.shape[2:], sizes, factors, strict=True)
    )
    if (input.numel() == 0 and 0 in input.shape[1:]) or min(sizes) < 1:
        raise ShapeError(f"interpolate: input {input.shape} and size {sizes}: expected sizes greater than 0")
    made = [
        _map(mode, n, out, f, bool(align_corners), antialias, taps.float_type(input))
        for n, out, f in zip(input.shape[2:], sizes, factors, strict=True)
    ]
    return resample.resample(input, made)


def _by_sizes(mode: str, axes: int, antialias: bool, n: int, out: int) -> bool:
    """Where PyTorch goes by the sizes although a scale is given."""
    return (out == n and antialias) or (mode == "nearest" and axes == 2 and out in (n, 2 * n))


def _check_mode(x: Tensor, mode: str, align_corners: bool | None, antialias: bool) -> int:
    if mode not in _AXES:
        raise ArgumentError(f"interpolate: mode must be one of {', '.join(_AXES)}, got {mode!r}")
    if x.ndim not in (3, 4, 5):
        raise ShapeError(f"interpolate: expected an input of 3, 4 or 5 axes, got {x.shape}")
    if x.ndim - 2 not in _AXES[mode]:
        raise ShapeError(f"interpolate: mode {mode!r} expects an input of {_AXES[mode][0] + 2} axes, got {x.shape}")
    if align_corners is not None and mode not in _LINEAR:
        raise ArgumentError(f"interpolate: align_corners can only be set with {' | '.join(_LINEAR)}, got {mode!r}")
    if antialias and mode not in ("bilinear", "bicubic"):
        raise ArgumentError(f"interpolate: antialias needs mode 'bilinear' or 'bicubic', got {mode!r}")
    if not (x.dtype.is_floating_point or x.dtype is _C.uint8):
        raise DtypeError(f"interpolate: expected a floating dtype or uint8, got {x.dtype}")
    return x.ndim - 2


def _sizes(x: Tensor, size: Any, factor: Any, axes: int) -> tuple[tuple[int, ...], tuple[float | None, ...]]:
    """The sizes asked for, and the factors where they were given."""
    if (size is None) == (factor is None):
        raise ArgumentError(f"interpolate: expected one of size and scale_factor, got {size} and {factor}")
    name, value = ("size", size) if factor is None else ("scale_factor", factor)
    given = tuple(value) if isinstance(value, Sequence) else (value,) * axes
    if len(given) != axes or not all(isinstance(v, (int, float)) for v in given):
        raise ArgumentError(f"interpolate: {name} must be a number or {axes} of them for {x.shape}, got {value!r}")
    if factor is None:
        if not all(isinstance(v, int) for v in given):
            raise ArgumentError(f"interpolate: size must be integers, got {value!r}")
        return given, (None,) * axes
    if not all(0 < v < math.inf for v in given):
        raise ArgumentError(f"interpolate: scale_factor must be positive, got {value!r}")
    return tuple(math.floor(n * v) for n, v in zip(x.shape[2:], given, strict=True)), given


def _map(
    mode: str, n: int, out: int, factor: float | None, align_corners: bool, antialias: bool, dtype: Any
) -> taps.Map:
    if mode.startswith("nearest"):
        return taps.nearest(n, out, factor, 0.5 if mode == "nearest-exact" else 0.0, dtype=dtype)
    if antialias:
        return taps.smoothed(n, out, factor, align_corners, 2 if mode == "bicubic" else 1, dtype=dtype)
    return (taps.cubic if mode == "bicubic" else taps.linear)(n, out, factor, align_corners, dtype=dtype)


def grid_sample(
    input: Tensor,
    grid: Tensor,
    mode: str = "bilinear",
    padding_mode: str = "zeros",
    align_corners: bool | None = None,
) -> Tensor:
    """input read at the places of grid, between pixels.

    Args:
        input: (n, c, h, w) or (n, c, d, h, w).
        grid: (n, oh, ow, 2) or (n, od, oh, ow, 3): (x, y) or (x, y, z); -1 and 1 are the ends of the image. What is
            not a number counts as -1.
        mode: 'bilinear', 'nearest' or 'bicubic' (4 axes).
        padding_mode: what lies outside: 'zeros', the 'border' or a 'reflection'.
        align_corners: -1 and 1 are the middles of the outer pixels, not their edges.
    Returns: (n, c, oh, ow) or (n, c, od, oh, ow).
    Source: Jaderberg et al. 2015, Spatial transformer networks.
    """
    modes, paddings = ("bilinear", "nearest", "bicubic"), ("zeros", "border", "reflection")
    if mode not in modes:
        raise ArgumentError(f"grid_sample: mode must be one of {', '.join(modes)}, got {mode!r}")
    if padding_mode not in paddings:
        raise ArgumentError(f"grid_sample: padding_mode must be one of {', '.join(paddings)}, got {padding_mode!r}")
    how = {"mode": modes.index(mode), "padding": paddings.index(padding_mode), "align_corners": bool(align_corners)}
    return resample.GridSample.apply(input, grid, **how)


def affine_grid(theta: Tensor, size: Sequence[int], align_corners: bool | None = None) -> Tensor:
    """The grid of `grid_sample` that reads an image through affine maps.

    Args: theta: (n, 2, 3) or (n, 3, 4). size: that of the output, (n, c, h, w) or (n, c, d, h, w).
    Returns: (n, h, w, 2) or (n, d, h, w, 3).
    """
    axes = len(size) - 2
    if not theta.dtype.is_floating_point:
        raise DtypeError(f"affine_grid: expected theta of a floating dtype, got {theta.dtype}")
    if axes not in (2, 3) or theta.shape != (size[0], axes, axes + 1):
        raise ShapeError(
            f"affine_grid: theta {theta.shape} and size {tuple(size)} do not fit: expected (n, 2, 3) and 4 sizes "
            "or (n, 3, 4) and 5"
        )
    if min(size) < 1:
        raise ShapeError(f"affine_grid: expected sizes greater than 0, got {tuple(size)}")
    lines = []
    for n in size[:1:-1]:  # x first
        line = np.linspace(-1, 1, n) if n > 1 else np.zeros(1)
        lines.append(line if align_corners else line * (n - 1) / n)
    places = np.meshgrid(*lines[::-1], indexing="ij")[::-1]
    points = np.stack([*places, np.ones_like(places[0])], -1).reshape(-1, axes + 1)
    base = ops.from_numpy(points).to(theta.device, theta.dtype)
    return ops.matmul(base, theta.transpose(1, 2)).reshape(size[0], *size[2:], axes)
