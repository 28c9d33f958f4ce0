"""Channels moved into space and back, and channels shuffled."""

from pydl import ops
from pydl.errors import ArgumentError, ShapeError
from pydl.tensor import Tensor

__all__ = ["channel_shuffle", "pixel_shuffle", "pixel_unshuffle"]


def _image(name: str, x: Tensor, factor: int) -> tuple[list[int], int, int, int]:
    """Leading sizes, channels, height and width of (..., c, h, w)."""
    if x.ndim < 3:
        raise ShapeError(f"{name}: expected (..., c, h, w), got shape {x.shape}")
    if factor <= 0:
        raise ArgumentError(f"{name}: the factor must be positive, got {factor}")
    return [*x.shape[:-3]], x.shape[-3], x.shape[-2], x.shape[-1]


def pixel_shuffle(input: Tensor, upscale_factor: int) -> Tensor:
    """(..., c r^2, h, w) to (..., c, h r, w r). Source: Shi et al. 2016 (arXiv:1609.05158)."""
    r = upscale_factor
    lead, channels, h, w = _image("pixel_shuffle", input, r)
    if channels % (r * r):
        raise ShapeError(f"pixel_shuffle: {channels} channels of {input.shape} are no multiple of {r}^2")
    c, n = channels // (r * r), len(lead)
    parts = ops.reshape(input, [*lead, c, r, r, h, w])
    moved = ops.permute(parts, [*range(n), n, n + 3, n + 1, n + 4, n + 2])
    return ops.reshape(moved, [*lead, c, h * r, w * r])


def pixel_unshuffle(input: Tensor, downscale_factor: int) -> Tensor:
    """(..., c, h r, w r) to (..., c r^2, h, w): the inverse of `pixel_shuffle`."""
    r = downscale_factor
    lead, c, height, width = _image("pixel_unshuffle", input, r)
    if height % r or width % r:
        raise ShapeError(f"pixel_unshuffle: height and width of {input.shape} are no multiples of {r}")
    n = len(lead)
    parts = ops.reshape(input, [*lead, c, height // r, r, width // r, r])
    moved = ops.permute(parts, [*range(n), n, n + 2, n + 4, n + 1, n + 3])
    return ops.reshape(moved, [*lead, c * r * r, height // r, width // r])


def channel_shuffle(input: Tensor, groups: int) -> Tensor:
    """(n, c, ...): channel i of group g goes to place i groups + g. Source: Zhang et al. 2018 (arXiv:1707.01083)."""
    if input.ndim < 3:
        raise ShapeError(f"channel_shuffle: expected (n, c, ...) with at least 3 axes, got shape {input.shape}")
    if groups <= 0 or input.shape[1] % groups:
        raise ArgumentError(f"channel_shuffle: {input.shape[1]} channels cannot be split into {groups} groups")
    n, c = input.shape[:2]
    parts = ops.reshape(input, [n, groups, c // groups, *input.shape[2:]])
    return ops.reshape(ops.transpose(parts, 1, 2), input.shape)
