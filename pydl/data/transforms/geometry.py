"""Mirroring, padding, cutting out and shifting: every pixel stays the pixel that it was."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from pydl.data.transforms.draws import Draws, Ints
from pydl.data.transforms.transform import Images, Transform, check_p
from pydl.errors import ArgumentError, ShapeError

__all__ = ["CenterCrop", "Pad", "RandomCrop", "RandomHorizontalFlip", "RandomShift", "RandomVerticalFlip"]

Size: TypeAlias = "int | Sequence[int]"
Fill: TypeAlias = "float | Sequence[float]"

_MODES = {"constant": "constant", "edge": "edge", "reflect": "reflect", "symmetric": "symmetric"}


def two(name: str, what: str, value: Size, least: int = 1) -> tuple[int, int]:
    """One size for both axes, or (h, w)."""
    pair = (value, value) if isinstance(value, (int, np.integer)) else tuple(value)
    pair = pair * 2 if len(pair) == 1 else pair
    if len(pair) != 2 or any(isinstance(v, bool) or int(v) != v or v < least for v in pair):
        raise ArgumentError(f"{name}: {what} must be a number >= {least} or two, got {value!r}")
    return int(pair[0]), int(pair[1])


def sides(name: str, padding: Size) -> tuple[int, int, int, int]:
    """(left, top, right, bottom) from one number, (left and right, top and bottom), or all four."""
    p = (padding,) if isinstance(padding, (int, np.integer)) else tuple(padding)
    if len(p) not in (1, 2, 4) or any(int(v) != v or v < 0 for v in p):
        raise ArgumentError(f"{name}: padding must be 1, 2 or 4 numbers >= 0, got {padding!r}")
    left, top, right, bottom = p if len(p) == 4 else (p * (4 // len(p)))
    return int(left), int(top), int(right), int(bottom)


def fill_values(name: str, fill: Fill, x: Images) -> npt.NDArray[Any]:
    """fill as (1, 1 or c, 1, 1), in the dtype of x."""
    values = np.atleast_1d(np.asarray(fill, x.dtype if x.dtype != np.uint8 else np.float64))
    if values.ndim != 1 or len(values) not in (1, x.shape[1]):
        raise ShapeError(f"{name}: {fill!r} to fill {x.shape[1]} channels: expected a number, or one for each")
    return values.astype(x.dtype)[None, :, None, None]


def padded(name: str, x: Images, border: tuple[int, int, int, int], fill: Fill, mode: str) -> Images:
    """(n, c, h, w) -> (n, c, top + h + bottom, left + w + right)."""
    left, top, right, bottom = border
    if not any(border):
        return x
    (n, c, h, w), most = x.shape, {"reflect": 1, "symmetric": 0}
    if mode in most and (max(top, bottom) > h - most[mode] or max(left, right) > w - most[mode]):
        raise ShapeError(f"{name}: a border of {border} is too wide for {mode!r} on an image of {h}x{w}")
    if mode != "constant":
        return np.pad(x, ((0, 0), (0, 0), (top, bottom), (left, right)), mode=_MODES[mode])  # type: ignore[call-overload,no-any-return]
    y = np.empty((n, c, top + h + bottom, left + w + right), x.dtype)
    y[:] = fill_values(name, fill, x)
    y[:, :, top : top + h, left : left + w] = x
    return y


def check_mode(name: str, mode: str) -> str:
    """mode, if there is one of that name."""
    if mode not in _MODES:
        raise ArgumentError(f"{name}: padding_mode must be one of {tuple(_MODES)}, got {mode!r}")
    return mode


def cut(x: Images, top: Ints, left: Ints, size: tuple[int, int]) -> Images:
    """(n, c, h, w) -> (n, c, *size): from each image the window at its own (top, left)."""
    windows = np.lib.stride_tricks.sliding_window_view(x, size, (2, 3))  # type: ignore[call-overload]
    picked: Images = windows[np.arange(len(x)), :, top, left]
    return picked


class RandomHorizontalFlip(Transform):
    """Mirrors left and right with probability p."""

    def __init__(self, p: float = 0.5) -> None:
        self.p = check_p("RandomHorizontalFlip", p)

    def apply(self, x: Images, draws: Draws) -> Images:
        """(n, c, h, w) -> the same."""
        return np.where(draws.chance(self.p)[:, None, None, None], x[..., ::-1], x)


class RandomVerticalFlip(Transform):
    """Mirrors top and bottom with probability p."""

    def __init__(self, p: float = 0.5) -> None:
        self.p = check_p("RandomVerticalFlip", p)

    def apply(self, x: Images, draws: Draws) -> Images:
        """(n, c, h, w) -> the same."""
        return np.where(draws.chance(self.p)[:, None, None, None], x[..., ::-1, :], x)


class Pad(Transform):
    """Adds a border.

    Args:
        padding: one number, (left and right, top and bottom) or (left, top, right, bottom).
        fill: a number, or one for each channel.
        padding_mode: 'constant' (fill), 'edge', 'reflect' (without the edge) or 'symmetric' (with it).
    """

    def __init__(self, padding: Size, fill: Fill = 0, padding_mode: str = "constant") -> None:
        self.padding = sides("Pad", padding)
        self.fill, self.padding_mode = fill, check_mode("Pad", padding_mode)

    def apply(self, x: Images, draws: Draws) -> Images:
        """(n, c, h, w) -> (n, c, h', w')."""
        return padded("Pad", x, self.padding, self.fill, self.padding_mode)


class CenterCrop(Transform):
    """The middle of each image; zeros surround one that is smaller. Args: size: a number or (h, w)."""

    def __init__(self, size: Size) -> None:
        self.size = two("CenterCrop", "size", size)

    def apply(self, x: Images, draws: Draws) -> Images:
        """(n, c, h, w) -> (n, c, *size)."""
        (h, w), (th, tw) = x.shape[2:], self.size
        dh, dw = max(th - h, 0), max(tw - w, 0)
        x = padded("CenterCrop", x, (dw // 2, dh // 2, (dw + 1) // 2, (dh + 1) // 2), 0, "constant")
        top, left = round((x.shape[2] - th) / 2), round((x.shape[3] - tw) / 2)
        return x[:, :, top : top + th, left : left + tw]


class RandomCrop(Transform):
    """A window of each image, every place equally likely.

    Args:
        size: a number or (h, w).
        padding: a border added first, as in Pad.   pad_if_needed: one is added to images smaller than size.
        fill, padding_mode: of the border, as in Pad.
    Raises: ShapeError where size is larger than the image.
    """

    def __init__(
        self,
        size: Size,
        padding: Size | None = None,
        pad_if_needed: bool = False,
        fill: Fill = 0,
        padding_mode: str = "constant",
    ) -> None:
        self.size = two("RandomCrop", "size", size)
        self.padding = None if padding is None else sides("RandomCrop", padding)
        self.pad_if_needed = pad_if_needed
        self.fill, self.padding_mode = fill, check_mode("RandomCrop", padding_mode)

    def apply(self, x: Images, draws: Draws) -> Images:
        """(n, c, h, w) -> (n, c, *size)."""
        th, tw = self.size
        if self.padding is not None:
            x = padded("RandomCrop", x, self.padding, self.fill, self.padding_mode)
        if self.pad_if_needed:
            dw, dh = max(tw - x.shape[3], 0), max(th - x.shape[2], 0)
            x = padded("RandomCrop", x, (dw, dh, dw, dh), self.fill, self.padding_mode)
        h, w = x.shape[2:]
        if th > h or tw > w:
            raise ShapeError(f"RandomCrop: a window of {th}x{tw} does not fit an image of {h}x{w}")
        return cut(x, draws.integers(0, h - th), draws.integers(0, w - tw), self.size)


class RandomShift(Transform):
    """Moves each image by whole pixels, every shift equally likely.

    Args:
        shift: the most pixels in each direction: a number or (down and up, right and left).
        fill, padding_mode: what moves in, as in Pad.
    """

    def __init__(self, shift: Size, fill: Fill = 0, padding_mode: str = "constant") -> None:
        self.shift = two("RandomShift", "shift", shift, least=0)
        self.fill, self.padding_mode = fill, check_mode("RandomShift", padding_mode)

    def apply(self, x: Images, draws: Draws) -> Images:
        """(n, c, h, w) -> the same."""
        (dh, dw), size = self.shift, (x.shape[2], x.shape[3])
        wide = padded("RandomShift", x, (dw, dh, dw, dh), self.fill, self.padding_mode)
        return cut(wide, draws.integers(0, 2 * dh), draws.integers(0, 2 * dw), size)
