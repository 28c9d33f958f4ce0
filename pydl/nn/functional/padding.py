"""Padding in all modes."""

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

from pydl import ops
from pydl.errors import ArgumentError, ShapeError
from pydl.ops import resample, taps
from pydl.tensor import Tensor

__all__ = ["pad"]

_MODES = ("constant", "reflect", "replicate", "circular")


def pad(input: Tensor, pad: Sequence[int], mode: str = "constant", value: float | None = None) -> Tensor:
    """input with value (0), or with what its own elements give, around it.

    Args:
        pad: (before, after) of the last axis, then of the one before it, ...; negative numbers cut away.
        mode: 'constant' (at most all axes); 'reflect' (without the edge), 'replicate' (the edge) or 'circular', which
            pad the last 1 to 3 axes of inputs that have one or two more.
        value: of 'constant' alone.
    """
    if mode not in _MODES:
        raise ArgumentError(f"pad: mode must be one of {', '.join(_MODES)}, got {mode!r}")
    shape = input.shape
    if len(pad) % 2 or len(pad) > 2 * len(shape):
        raise ShapeError(f"pad: {tuple(pad)} does not fit shape {shape}: expected pairs for at most all axes")
    if value and mode != "constant":
        raise ArgumentError(f"pad: mode {mode!r} does not take a value, got {value}")
    if not value and 0 < len(pad) <= 6 and input.dtype.is_floating_point:
        return resample.resample(input, _maps(shape, tuple(map(int, pad)), mode, taps.float_type(input)))
    sides = _sides(pad)
    _check(shape, sides, mode)
    y = input
    for axis, (before, after) in enumerate(sides, len(shape) - len(sides)):
        if mode == "constant":
            y = _pad_axis(y, axis, before, after, 0.0 if value is None else value)
        else:
            places = ops.from_numpy(taps.padded_places(shape[axis], before, after, mode))
            y = ops.index_select(y, axis, places.to(y.device))
    return y


def _sides(pad: Sequence[int]) -> list[tuple[int, int]]:
    """(before, after) of each axis, outermost first."""
    return [(int(pad[i]), int(pad[i + 1])) for i in range(len(pad) - 2, -1, -2)]


@lru_cache(256)
def _maps(shape: tuple[int, ...], pad: tuple[int, ...], mode: str, dtype: Any) -> tuple[taps.Map, ...]:
    """The maps of the last axes. Kept: for small inputs, checks and look-ups are what takes time."""
    sides = _sides(pad)
    _check(shape, sides, mode)
    sizes = shape[len(shape) - len(sides) :]
    return tuple(taps.padding(n, *side, mode, dtype) for n, side in zip(sizes, sides, strict=True))


def _check(shape: tuple[int, ...], sides: list[tuple[int, int]], mode: str) -> None:
    axes = len(sides)
    if mode != "constant" and (not 1 <= axes <= 3 or len(shape) not in (axes + 1, axes + 2)):
        raise ShapeError(
            f"pad: mode {mode!r} pads the last 1 to 3 axes of inputs with one or two more, got {axes} for {shape}"
        )
    for axis, (before, after) in enumerate(sides, len(shape) - axes):
        _check_cut(shape[axis], axis, before, after)
        if mode != "constant":
            _check_sides(shape[axis], axis, before, after, mode)


def _check_cut(n: int, axis: int, before: int, after: int) -> None:
    if n + min(before, 0) + min(after, 0) < 0 or n + before + after < 0:
        raise ShapeError(f"pad: ({before}, {after}) cuts more than the size {n} of axis {axis}")


def _check_sides(n: int, axis: int, before: int, after: int, mode: str) -> None:
    left = n + min(before, 0) + min(after, 0) if mode == "circular" else n
    limit = {"reflect": n - 1, "circular": left}.get(mode, max(before, after))
    if max(before, after) > limit:
        raise ShapeError(f"pad: {mode} padding ({before}, {after}) of axis {axis}: expected at most {limit}")
    if n == 0 or n + before + after < 1:
        raise ShapeError(f"pad: {mode} padding ({before}, {after}) of an axis of {n} leaves or reads nothing")


def _pad_axis(x: Tensor, axis: int, before: int, after: int, value: float) -> Tensor:
    size = x.shape[axis] + min(before, 0) + min(after, 0)
    if before < 0 or after < 0:
        x = ops.narrow(x, axis, max(-before, 0), size)
    parts = [x]
    for count, first in ((before, True), (after, False)):
        if count > 0:
            edge = ops.full(
                [count if i == axis else s for i, s in enumerate(x.shape)], value, dtype=x.dtype, device=x.device
            )
            parts = [edge, *parts] if first else [*parts, edge]
    return x if len(parts) == 1 else ops.cat(parts, axis)
