"""Padding in all modes."""

from collections.abc import Sequence

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
    if len(pad) % 2 or len(pad) > 2 * input.ndim:
        raise ShapeError(f"pad: {tuple(pad)} does not fit shape {input.shape}: expected pairs for at most all axes")
    sides = [(int(pad[i]), int(pad[i + 1])) for i in range(len(pad) - 2, -1, -2)]  # outermost first
    if mode != "constant":
        return _pad_from_input(input, sides, mode, value)
    for i, (before, after) in enumerate(sides):
        _check_cut(input, input.ndim - len(sides) + i, before, after)
    if 1 <= len(sides) <= 3 and not value and input.dtype.is_floating_point:
        return _mapped(input, sides, mode)
    y = input
    for i, (before, after) in enumerate(sides):
        y = _pad_axis(y, input.ndim - len(sides) + i, before, after, 0.0 if value is None else value)
    return y


def _pad_from_input(x: Tensor, sides: list[tuple[int, int]], mode: str, value: float | None) -> Tensor:
    if value:
        raise ArgumentError(f"pad: mode {mode!r} does not take a value, got {value}")
    axes = len(sides)
    if not 1 <= axes <= 3 or x.ndim not in (axes + 1, axes + 2):
        raise ShapeError(
            f"pad: mode {mode!r} pads the last 1 to 3 axes of inputs with one or two more, got {axes} for {x.shape}"
        )
    for i, (before, after) in enumerate(sides):
        _check_sides(x, x.ndim - axes + i, before, after, mode)
    if x.dtype.is_floating_point:
        return _mapped(x, sides, mode)
    for i, (before, after) in enumerate(sides):
        axis = x.ndim - axes + i
        places = ops.from_numpy(taps.padded_places(x.shape[axis], before, after, mode))
        x = ops.index_select(x, axis, places.to(x.device))
    return x


def _mapped(x: Tensor, sides: list[tuple[int, int]], mode: str) -> Tensor:
    sizes = x.shape[x.ndim - len(sides) :]
    dtype = taps.float_type(x)
    return resample.resample(
        x, [taps.padding(n, before, after, mode, dtype) for n, (before, after) in zip(sizes, sides, strict=True)]
    )


def _check_cut(x: Tensor, axis: int, before: int, after: int) -> None:
    if x.shape[axis] + min(before, 0) + min(after, 0) < 0 or x.shape[axis] + before + after < 0:
        raise ShapeError(f"pad: ({before}, {after}) cuts more than the size {x.shape[axis]} of axis {axis}")


def _check_sides(x: Tensor, axis: int, before: int, after: int, mode: str) -> None:
    _check_cut(x, axis, before, after)
    n = x.shape[axis]
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
