"""The same elements in other shapes, orders and pieces."""

from collections.abc import Sequence

from pydl import ops
from pydl.errors import ArgumentError, DtypeError, ShapeError
from pydl.ops.shape import wrap
from pydl.tensor import Tensor
from pydl.xp.dtypes import checked, result_type

__all__ = [
    "concat",
    "expand_dims",
    "flip",
    "moveaxis",
    "permute_dims",
    "repeat",
    "reshape",
    "roll",
    "squeeze",
    "stack",
    "tile",
    "unstack",
]

Axes = int | tuple[int, ...]


def _alike(op: str, arrays: Sequence[Tensor]) -> list[Tensor]:
    """The arrays in the dtype that they promote to."""
    if not isinstance(arrays, (list, tuple)):
        raise DtypeError(f"{op}: expected a sequence of arrays, got {type(arrays).__name__}")
    if not arrays:
        raise ArgumentError(f"{op}: expected at least one array")
    d = result_type(*[checked(op, x) for x in arrays])
    return [x.to(d) for x in arrays]


def concat(arrays: Sequence[Tensor], /, *, axis: int | None = 0) -> Tensor:
    """The arrays joined along an axis that they have; without axis, all their elements in a row."""
    parts = _alike("concat", arrays)
    if axis is None:
        return ops.cat([x.reshape(-1) for x in parts], 0)
    for x in parts:
        if x.ndim == 0:
            raise ShapeError("concat: arrays without axes cannot be joined: expected axis=None or stack")
    return ops.cat(parts, axis)


def stack(arrays: Sequence[Tensor], /, *, axis: int = 0) -> Tensor:
    """Arrays of one shape joined along a new axis."""
    return ops.stack(_alike("stack", arrays), axis)


def expand_dims(x: Tensor, /, axis: Axes) -> Tensor:
    """x with an axis of size 1 at axis, or at each of several places in the result."""
    checked("expand_dims", x)
    if isinstance(axis, int):
        return ops.unsqueeze(x, axis)
    n = x.ndim + len(axis)
    places = sorted(wrap(a, n, "expand_dims") for a in axis)
    if len(set(places)) != len(places):
        raise ArgumentError(f"expand_dims: expected different axes, got {axis}")
    for a in places:
        x = ops.unsqueeze(x, a)
    return x


def squeeze(x: Tensor, /, axis: Axes) -> Tensor:
    """x without the named axes, which have size 1."""
    checked("squeeze", x)
    axes = [wrap(a, x.ndim, "squeeze") for a in ((axis,) if isinstance(axis, int) else axis)]
    for a in axes:
        if x.shape[a] != 1:
            raise ShapeError(f"squeeze: axis {a} of shape {x.shape} is not of size 1")
    return ops.reshape(x, [n for i, n in enumerate(x.shape) if i not in axes])


def flip(x: Tensor, /, *, axis: Axes | None = None) -> Tensor:
    """The elements in reverse order along the axes, all of them where none is given."""
    axes = range(checked("flip", x).ndim) if axis is None else (axis,) if isinstance(axis, int) else axis
    return ops.flip(x, *axes)


def moveaxis(x: Tensor, source: Axes, destination: Axes, /) -> Tensor:
    """The axes in source put at destination, the others in order."""
    return ops.movedim(checked("moveaxis", x), source, destination)


def permute_dims(x: Tensor, /, axes: tuple[int, ...]) -> Tensor:
    """The axes in another order."""
    return ops.permute(checked("permute_dims", x), *axes)


def repeat(x: Tensor, repeats: int | Tensor, /, *, axis: int | None = None) -> Tensor:
    """Each element along axis as often as repeats says; without axis of the flat elements."""
    return ops.repeat_interleave(checked("repeat", x), repeats, axis)


def reshape(x: Tensor, /, shape: tuple[int, ...], *, copy: bool | None = None) -> Tensor:
    """x in another shape, one size may be -1; copy: True always copies, False raises where a view is not possible."""
    checked("reshape", x)
    sizes = (shape,) if isinstance(shape, int) else tuple(shape)
    if copy is False:
        return x.view(sizes)
    y = x.reshape(sizes)
    return y.clone() if copy else y


def roll(x: Tensor, /, shift: Axes, *, axis: Axes | None = None) -> Tensor:
    """The elements moved on by shift along axis, those at the end to the start; without axis of the flat elements."""
    if axis is None:
        return ops.roll(checked("roll", x), shift)
    shifts = [shift] if isinstance(shift, int) else list(shift)
    axes = [axis] if isinstance(axis, int) else list(axis)
    return ops.roll(checked("roll", x), shifts * len(axes) if len(shifts) == 1 else shifts, axes)


def tile(x: Tensor, repetitions: tuple[int, ...], /) -> Tensor:
    """x repeated along each axis."""
    return ops.tile(checked("tile", x), *repetitions)


def unstack(x: Tensor, /, *, axis: int = 0) -> tuple[Tensor, ...]:
    """The elements along axis, each without that axis."""
    if checked("unstack", x).ndim == 0:
        raise ShapeError("unstack: an array without axes has no parts")
    return ops.unbind(x, axis)
