"""Rotation, translation, zoom and shearing: every output pixel looks up where it comes from.

Coordinates are counted from the middle of the image, x to the right and y down, the corner pixels' outer edges at
+-w/2 and +-h/2.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from pydl.data.transforms.draws import Draws, Floats
from pydl.data.transforms.geometry import Fill, fill_values
from pydl.data.transforms.resize import check_interpolation
from pydl.data.transforms.transform import Images, Transform, stored, working
from pydl.errors import ArgumentError

__all__ = ["RandomAffine", "RandomRotation", "affine"]


def inverse_matrix(angle: Floats, translate: Floats, scale: Floats, shear: Floats, center: Floats) -> Floats:
    """(n, 2, 3): from output to input coordinates, for T C R(angle) S(shear) scale C^-1.

    Args: angle (n,), shear (n, 2) in degrees; translate (n, 2), center (2,) as (x, y) in pixels; scale (n,).
    """
    rotation, (sx, sy) = np.deg2rad(angle), np.deg2rad(shear).T
    a, c = np.cos(rotation - sy) / np.cos(sy), np.sin(rotation - sy) / np.cos(sy)
    b, d = -a * np.tan(sx) - np.sin(rotation), -c * np.tan(sx) + np.cos(rotation)
    linear = np.stack([np.stack([d, -b], -1), np.stack([-c, a], -1)], -2) / scale[:, None, None]
    offset = center - (linear @ (translate + center)[:, :, None])[..., 0]
    return np.concatenate([linear, offset[:, :, None]], -1)


def _taken(x: Images, row: npt.NDArray[np.int64], column: npt.NDArray[np.int64], fill: Images) -> Images:
    """(n, c, h, w) at row, column (n, h', w') -> (n, c, h', w'); fill outside."""
    n, c, h, w = x.shape
    inside = ((row >= 0) & (row < h) & (column >= 0) & (column < w))[:, None]
    places = np.clip(row, 0, h - 1) * w + np.clip(column, 0, w - 1)
    start = (np.arange(n * c) * (h * w)).reshape(n, c, 1, 1)
    return np.where(inside, x.reshape(-1).take(start + places[:, None]), fill)


def sampled(x: Images, matrix: Floats, interpolation: str, fill: Images) -> Images:
    """(n, c, h, w) -> the same: each pixel from matrix (n, 2, 3) times its own place."""
    if x.size == 0:
        return x.copy()
    h, w = x.shape[2:]
    xs, ys = np.arange(w) + 0.5 - w / 2, (np.arange(h) + 0.5 - h / 2)[:, None]
    m = matrix[:, :, :, None, None]
    column, row = (m[:, k, 0] * xs + m[:, k, 1] * ys + m[:, k, 2] + (size - 1) / 2 for k, size in ((0, w), (1, h)))
    if interpolation == "nearest":
        return _taken(x, np.rint(row).astype(np.int64), np.rint(column).astype(np.int64), fill)
    top, left = np.floor(row), np.floor(column)
    v, u = ((p - q)[:, None].astype(working(x[:0]).dtype) for p, q in ((row, top), (column, left)))
    r, k, z = top.astype(np.int64), left.astype(np.int64), np.ascontiguousarray(working(x))
    above = (1 - u) * _taken(z, r, k, fill) + u * _taken(z, r, k + 1, fill)
    below = (1 - u) * _taken(z, r + 1, k, fill) + u * _taken(z, r + 1, k + 1, fill)
    return stored((1 - v) * above + v * below, x.dtype)


def affine(
    x: Images,
    angle: npt.ArrayLike = 0.0,
    translate: npt.ArrayLike = (0.0, 0.0),
    scale: npt.ArrayLike = 1.0,
    shear: npt.ArrayLike = (0.0, 0.0),
    interpolation: str = "nearest",
    fill: Fill = 0,
    center: Sequence[float] | None = None,
) -> Images:
    """(n, c, h, w) -> the same: sheared and scaled, rotated, and moved, about the centre.

    Args:
        angle: degrees, clockwise as one looks at the picture: a number or (n,).   scale: the zoom, likewise.
        translate: (right, down) in pixels: (2,) or (n, 2).   shear: degrees along x and y: (2,) or (n, 2).
        interpolation: 'nearest' or 'bilinear'.   fill: what lies outside: a number, or one for each channel.
        center: (x, y) from the upper left corner; None: the middle.
    """
    check_interpolation("affine", interpolation)
    n, _, h, w = x.shape
    middle = np.zeros(2) if center is None else np.asarray(center, float) - [w / 2, h / 2]
    angles, scales = (np.broadcast_to(np.asarray(v, float), (n,)) for v in (angle, scale))
    moves, shears = (np.broadcast_to(np.asarray(v, float), (n, 2)) for v in (translate, shear))
    if not np.all(scales > 0):
        raise ArgumentError("affine: scale must be > 0")
    matrix = inverse_matrix(angles, moves, scales, shears, middle)
    return sampled(x, matrix, interpolation, fill_values("affine", fill, x))


def span(name: str, what: str, value: float | Sequence[float]) -> tuple[float, float]:
    """(-value, value) or the pair that is given."""
    pair = (-value, value) if isinstance(value, (int, float)) else tuple(value)
    if len(pair) != 2 or not pair[0] <= pair[1] or not all(math.isfinite(v) for v in pair):
        raise ArgumentError(f"{name}: {what} must be a number >= 0 or (low, high), got {value!r}")
    return float(pair[0]), float(pair[1])


class RandomRotation(Transform):
    """Rotates each image, anticlockwise for positive angles; the size stays, as images of a batch share it.

    Args:
        degrees: the range: (low, high), or a number for (-degrees, degrees).
        interpolation: 'nearest' or 'bilinear'.
        center: (x, y) from the upper left corner; None: the middle.
        fill: what turns in from outside: a number, or one for each channel.
    """

    def __init__(
        self,
        degrees: float | Sequence[float],
        interpolation: str = "nearest",
        center: Sequence[float] | None = None,
        fill: Fill = 0,
    ) -> None:
        self.degrees = span("RandomRotation", "degrees", degrees)
        self.interpolation = check_interpolation("RandomRotation", interpolation)
        self.center, self.fill = center, fill

    def apply(self, x: Images, draws: Draws) -> Images:
        """(n, c, h, w) -> the same."""
        angle = -draws.between(*self.degrees)
        return affine(x, angle, interpolation=self.interpolation, fill=self.fill, center=self.center)


class RandomAffine(Transform):
    """Rotation, translation, zoom and shearing at once, about the centre.

    Args:
        degrees: range of the clockwise rotation: (low, high), or a number for (-degrees, degrees).
        translate: the largest shifts as shares of width and height, rounded to pixels.
        scale: range of the zoom (low, high).
        shear: a number: (-shear, shear) along x; two: their range; four: also the range along y. In degrees.
        interpolation, fill, center: as in RandomRotation.
    """

    def __init__(
        self,
        degrees: float | Sequence[float],
        translate: Sequence[float] | None = None,
        scale: Sequence[float] | None = None,
        shear: float | Sequence[float] | None = None,
        interpolation: str = "nearest",
        fill: Fill = 0,
        center: Sequence[float] | None = None,
    ) -> None:
        name = "RandomAffine"
        self.degrees = span(name, "degrees", degrees)
        if translate is not None and (len(translate) != 2 or not all(0 <= t <= 1 for t in translate)):
            raise ArgumentError(f"{name}: translate must be two shares between 0 and 1, got {translate!r}")
        self.translate = (0.0, 0.0) if translate is None else (float(translate[0]), float(translate[1]))
        self.scale = (1.0, 1.0) if scale is None else span(name, "scale", scale)
        if not self.scale[0] > 0:
            raise ArgumentError(f"{name}: scale must be > 0, got {scale!r}")
        along_y = not isinstance(shear, (int, float)) and shear is not None and len(shear) == 4
        x, y = (shear[:2], shear[2:]) if along_y else (0.0 if shear is None else shear, 0.0)  # type: ignore[index]
        self.shear = (span(name, "shear", x), span(name, "shear", y))
        self.interpolation = check_interpolation(name, interpolation)
        self.fill, self.center = fill, center

    def apply(self, x: Images, draws: Draws) -> Images:
        """(n, c, h, w) -> the same."""
        angle = draws.between(*self.degrees)
        most = (self.translate[0] * x.shape[3], self.translate[1] * x.shape[2])
        translate = np.stack([np.rint(draws.between(-m, m)) for m in most], 1)
        scale = draws.between(*self.scale)
        shear = np.stack([draws.between(*s) for s in self.shear], 1)
        return affine(x, angle, translate, scale, shear, self.interpolation, self.fill, self.center)
