"""Views and moves: the same numbers in another shape or place. Each one's gradient is another of them."""

import math
from collections.abc import Sequence
from operator import index
from typing import Any

import numpy as np

from pydl import _C
from pydl.autograd.op import Op, Unary
from pydl.autograd.views import ViewOp, track
from pydl.errors import ArgumentError, BoundsError, DtypeError, ShapeError
from pydl.ops.slices import Cat, Slice
from pydl.tensor import Tensor

__all__ = [
    "broadcast_to",
    "cat",
    "clone",
    "concat",
    "contiguous",
    "expand",
    "expand_as",
    "flatten",
    "flip",
    "moveaxis",
    "movedim",
    "narrow",
    "numel",
    "permute",
    "reshape",
    "reshape_as",
    "select",
    "squeeze",
    "stack",
    "swapaxes",
    "t",
    "transpose",
    "unflatten",
    "unsqueeze",
    "view",
    "view_as",
]


def wrap(dim: int, ndim: int, op: str) -> int:
    """dim counted from the start."""
    span = max(ndim, 1)
    try:
        at = index(dim)
    except TypeError:
        raise DtypeError(f"{op}: expected an integer for dim, got {dim!r}") from None
    if not -span <= at < span:
        raise BoundsError(f"{op}: dim {dim} is out of range: expected one in [{-span}, {span - 1}]")
    return at % span


def sizes_of(args: tuple[Any, ...]) -> list[int]:
    """Sizes given one by one or as one sequence."""
    if len(args) == 1 and isinstance(args[0], (tuple, list)):
        args = tuple(args[0])
    try:
        return [index(s) for s in args]
    except TypeError:
        raise DtypeError(f"sizes: expected integers, got {args}") from None


def broadcast_shape(op: str, *shapes: tuple[int, ...]) -> tuple[int, ...]:
    """The shape that all broadcast to."""
    try:
        return np.broadcast_shapes(*shapes)
    except ValueError:
        raise ShapeError(f"{op}: shapes {' and '.join(map(str, shapes))} do not broadcast") from None


class Alias(Unary):
    """The same tensor at another place in the graph."""

    uses = ()

    def kernel(x):
        return x

    def vjp(g, x):
        return (g,)


def alias(x: Tensor) -> Tensor:
    """x as a new tensor whose gradient is x's."""
    return Alias.apply(x)


class Cast(Op):
    uses = ()

    def kernel(x, dtype):
        return x if x.dtype is dtype else _C.copy_like(x, dtype)

    def vjp(g, x, dtype):
        return (g.to(x.dtype),)


class Clone(Unary):
    uses = ()

    def kernel(x):
        return _C.copy_like(x, x.dtype)

    def vjp(g, x):
        return (g,)


class Contiguous(Unary):
    kernel = _C.contiguous
    uses = ()

    def vjp(g, x):
        return (g,)


class Reshape(ViewOp):
    kernel = _C.reshape

    @classmethod
    def note(cls, made, x, attrs):
        if _C.shares_memory(made.array, x.array):
            track(made, x, cls, attrs)

    def vjp(g, x, shape):
        return (reshape(g, x.shape),)


class View(Reshape):
    kernel = _C.view

    @classmethod
    def again(cls, x, shape):
        return Reshape.apply(x, shape=shape)


class Permute(ViewOp):
    kernel = _C.permute

    def vjp(g, x, axes):
        back = [0] * len(axes)
        for i, axis in enumerate(axes):
            back[axis] = i
        return (permute(g, back),)


class Expand(ViewOp):
    kernel = _C.expand

    def vjp(g, x, shape):
        return (g,)  # the engine sums over what was expanded


# ---------------------------------------------------------------- shape


def reshape(input: Tensor, *shape: Any) -> Tensor:
    """The same elements in another shape; one size may be -1. A view where the strides allow."""
    return Reshape.apply(input, shape=sizes_of(shape))


def view(input: Tensor, *shape: Any) -> Tensor:
    """As reshape, but never a copy: ShapeError where the strides do not allow a view."""
    if len(shape) == 1 and isinstance(shape[0], _C.dtype):
        raise DtypeError("view: reinterpreting bits as another dtype is not supported: use .to(dtype) to convert")
    return View.apply(input, shape=sizes_of(shape))


def view_as(input: Tensor, other: Tensor) -> Tensor:
    """input as a view of the shape of other."""
    return view(input, other.shape)


def reshape_as(input: Tensor, other: Tensor) -> Tensor:
    """input in the shape of other."""
    return reshape(input, other.shape)


def flatten(input: Tensor, start_dim: int = 0, end_dim: int = -1) -> Tensor:
    """The axes from start_dim to end_dim as one."""
    start, end = wrap(start_dim, input.ndim, "flatten"), wrap(end_dim, input.ndim, "flatten")
    if start > end:
        raise ArgumentError(f"flatten: start_dim {start_dim} lies behind end_dim {end_dim}")
    shape = input.shape
    return reshape(input, [*shape[:start], math.prod(shape[start : end + 1]), *shape[end + 1 :]])


def unflatten(input: Tensor, dim: int, sizes: Sequence[int]) -> Tensor:
    """One axis as several; one of the sizes may be -1."""
    if not input.ndim:
        raise ShapeError("unflatten: a tensor without axes has none to split")
    at, shape = wrap(dim, input.ndim, "unflatten"), input.shape
    known = math.prod(s for s in sizes if s != -1)
    full = [shape[at] // known if s == -1 and known else s for s in sizes]
    if math.prod(full) != shape[at]:
        raise ShapeError(f"unflatten: size {shape[at]} of dim {dim} does not split into {tuple(sizes)}")
    return reshape(input, [*shape[:at], *full, *shape[at + 1 :]])


def squeeze(input: Tensor, dim: int | Sequence[int] | None = None) -> Tensor:
    """Without the axes of size 1, or without those named where their size is 1."""
    shape = input.shape
    if dim is None:
        return reshape(input, [s for s in shape if s != 1])
    named = {wrap(d, input.ndim, "squeeze") for d in ([dim] if isinstance(dim, int) else dim)}
    return reshape(input, [s for i, s in enumerate(shape) if s != 1 or i not in named])


def unsqueeze(input: Tensor, dim: int) -> Tensor:
    """With an axis of size 1 at dim."""
    at, shape = wrap(dim, input.ndim + 1, "unsqueeze"), input.shape
    return reshape(input, [*shape[:at], 1, *shape[at:]])


# ---------------------------------------------------------------- axes


def permute(input: Tensor, *dims: Any) -> Tensor:
    """The axes in the order of dims."""
    axes = sizes_of(dims)
    return Permute.apply(input, axes=[wrap(d, input.ndim, "permute") for d in axes])


def transpose(input: Tensor, dim0: int, dim1: int) -> Tensor:
    """Two axes exchanged."""
    n = input.ndim
    a, b = wrap(dim0, n, "transpose"), wrap(dim1, n, "transpose")
    axes = list(range(n))
    if n:
        axes[a], axes[b] = b, a
    return Permute.apply(input, axes=axes)


def t(input: Tensor) -> Tensor:
    """The transpose of a matrix; a vector is left as it is."""
    if input.ndim > 2:
        raise ShapeError(f"t: expected at most 2 axes, got shape {input.shape}")
    return transpose(input, 0, 1) if input.ndim == 2 else input


def movedim(input: Tensor, source: int | Sequence[int], destination: int | Sequence[int]) -> Tensor:
    """The axes in source put at destination, the others in order."""
    n = input.ndim
    froms = [wrap(d, n, "movedim") for d in ([source] if isinstance(source, int) else source)]
    tos = [wrap(d, n, "movedim") for d in ([destination] if isinstance(destination, int) else destination)]
    if len(froms) != len(tos) or len(set(froms)) != len(froms) or len(set(tos)) != len(tos):
        raise ArgumentError(f"movedim: source {source} and destination {destination} do not pair up")
    rest = iter(d for d in range(n) if d not in froms)
    at = dict(zip(tos, froms, strict=True))
    return Permute.apply(input, axes=[at[i] if i in at else next(rest) for i in range(n)])


def expand(input: Tensor, *sizes: Any) -> Tensor:
    """Axes of size 1 stretched to sizes, without a copy; -1 keeps a size, new axes go in front."""
    return Expand.apply(input, shape=sizes_of(sizes))


def expand_as(input: Tensor, other: Tensor) -> Tensor:
    """input expanded to the shape of other."""
    return Expand.apply(input, shape=other.shape)


def broadcast_to(input: Tensor, size: Sequence[int]) -> Tensor:
    """input expanded to size."""
    return Expand.apply(input, shape=list(size))


def flip(input: Tensor, *dims: Any) -> Tensor:
    """The elements in reverse order along dims."""
    axes = {wrap(d, input.ndim, "flip") for d in sizes_of(dims)}
    shape = input.shape
    return Slice.apply(
        input,
        starts=[max(s - 1, 0) if i in axes else 0 for i, s in enumerate(shape)],
        sizes=shape,
        steps=[-1 if i in axes else 1 for i in range(len(shape))],
    )


# ---------------------------------------------------------------- parts


def narrow(input: Tensor, dim: int, start: int, length: int) -> Tensor:
    """length elements from start on along dim; a view."""
    at, shape = wrap(dim, input.ndim, "narrow"), input.shape
    if not shape:
        raise ShapeError("narrow: a tensor without axes has no parts")
    start = start + shape[at] if start < 0 else start
    if start < 0 or length < 0 or start + length > shape[at]:
        raise BoundsError(f"narrow: {start} to {start + length} is outside dim {dim} of shape {shape}")
    starts, sizes = [0] * len(shape), list(shape)
    starts[at], sizes[at] = start, length
    return Slice.apply(input, starts=starts, sizes=sizes, steps=[1] * len(shape))


def select(input: Tensor, dim: int, index: int) -> Tensor:
    """One element along dim, without that axis; a view."""
    at, shape = wrap(dim, input.ndim, "select"), input.shape
    if not input.ndim or not -shape[at] <= index < shape[at]:
        raise BoundsError(f"select: index {index} is out of range for dim {dim} of shape {shape}")
    part = narrow(input, at, index % shape[at], 1)
    return reshape(part, [*shape[:at], *shape[at + 1 :]])


def _parts(op: str, tensors: Sequence[Tensor]) -> list[Tensor]:
    parts = list(tensors)
    if not parts:
        raise ArgumentError(f"{op}: expected at least one tensor")
    for part in parts:
        if not isinstance(part, Tensor):
            raise DtypeError(f"{op}: expected tensors, got {type(part).__name__}")
    return parts


def cat(tensors: Sequence[Tensor], dim: int = 0) -> Tensor:
    """The tensors joined along an axis that they have."""
    parts = _parts("cat", tensors)
    return Cat.apply(*parts, dim=wrap(dim, parts[0].ndim, "cat"))


def stack(tensors: Sequence[Tensor], dim: int = 0) -> Tensor:
    """Tensors of one shape joined along a new axis."""
    parts = _parts("stack", tensors)
    for part in parts:
        if part.shape != parts[0].shape:
            raise ShapeError(f"stack: {part.shape} does not match {parts[0].shape}: expected equal shapes")
    at = wrap(dim, parts[0].ndim + 1, "stack")
    return Cat.apply(*[unsqueeze(p, at) for p in parts], dim=at)


def clone(input: Tensor) -> Tensor:
    """A copy with memory of its own and its axes in the same order there; gradients pass through."""
    return Clone.apply(input)


def contiguous(input: Tensor) -> Tensor:
    """The same elements without gaps in memory; itself if they are so."""
    return input if input.array.is_dense else Contiguous.apply(input)


def numel(input: Tensor) -> int:
    """The number of elements."""
    return input.array.size


swapaxes = transpose
moveaxis = movedim
concat = cat
