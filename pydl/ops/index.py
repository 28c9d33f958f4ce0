"""Indexing: parts by slices (views), by lists of positions, and the additions that are their gradients."""

from typing import Any

import numpy as np

from pydl import _C
from pydl.autograd.mode import mode
from pydl.autograd.op import Op
from pydl.errors import ArgumentError, AutogradError, BoundsError, DtypeError, ShapeError
from pydl.ops.shape import Slice, broadcast_shape, movedim, reshape, wrap
from pydl.tensor import Tensor

__all__ = [
    "gather",
    "index_add",
    "index_select",
    "masked_fill",
    "masked_select",
    "nonzero",
    "one_hot",
    "scatter_add",
    "take_along_dim",
]


class IndexSelect(Op):
    uses = (1,)

    def kernel(x, index, dim):
        return _C.index_select(x, dim, index)

    def vjp(g, x, index, dim):
        return IndexAdd.apply(g, index, dim=dim, size=x.shape[dim] if x.ndim else 1), None


class IndexAdd(Op):
    """Zeros with the input added at index."""

    uses = (1,)

    def kernel(x, index, dim, size):
        return _C.index_add(x, dim, index, size)

    def vjp(g, x, index, dim, size):
        return IndexSelect.apply(g, index, dim=dim), None


class Gather(Op):
    uses = (1,)

    def kernel(x, index, dim):
        return _C.gather(x, dim, index)

    def vjp(g, x, index, dim):
        zeros = Tensor(_C.full(x.shape, 0, g.dtype, g.device))
        return ScatterAdd.apply(zeros, index, g, dim=dim), None


class ScatterAdd(Op):
    uses = (1,)

    def kernel(y, index, x, dim):
        return _C.scatter_add(y, dim, index, x)

    def vjp(g, y, index, x, dim):
        return g, None, lambda: _cut_back(Gather.apply(g, index, dim=dim), x)


def _cut_back(g, x):
    """Zeros in the shape of x around g, which covers its first part."""
    if g.shape == x.shape:
        return g
    from pydl.ops.shape import SliceGrad

    return SliceGrad.apply(g, shape=x.shape, starts=[0] * g.ndim, steps=[1] * g.ndim)


def index_select(input: Tensor, dim: int, index: Tensor) -> Tensor:
    """The slices of input at index (k,) along dim; negative indices count from the end.

    Raises: BoundsError, DtypeError unless index is int64 or int32.
    """
    return IndexSelect.apply(input, index, dim=wrap(dim, input.ndim, "index_select"))


def gather(input: Tensor, dim: int, index: Tensor) -> Tensor:
    """out[i][j][k] = input[i][index[i][j][k]][k] for dim = 1; index has as many axes as input. Returns its shape."""
    return Gather.apply(input, index, dim=wrap(dim, input.ndim, "gather"))


def take_along_dim(input: Tensor, indices: Tensor, dim: int | None = None) -> Tensor:
    """As gather, with input and indices broadcast against each other; over the flat elements where dim is None."""
    if dim is None:
        return gather(reshape(input, [-1]), 0, reshape(indices, [-1]))
    if input.ndim != indices.ndim:
        raise ShapeError(f"take_along_dim: {input.shape} and {indices.shape} do not fit: expected as many axes")
    at = wrap(dim, input.ndim, "take_along_dim")
    if not input.ndim:
        return gather(input, 0, indices)
    lead = broadcast_shape(
        "take_along_dim",
        tuple(1 if i == at else s for i, s in enumerate(input.shape)),
        tuple(1 if i == at else s for i, s in enumerate(indices.shape)),
    )
    widen = lambda x: x.expand([x.shape[at] if i == at else s for i, s in enumerate(lead)])  # noqa: E731
    return gather(widen(input), at, widen(indices))


def scatter_add(input: Tensor, dim: int, index: Tensor, src: Tensor) -> Tensor:
    """input with src added at index along dim: out[i][index[i][j][k]][k] += src[i][j][k] for dim = 1."""
    return ScatterAdd.apply(input, index, src, dim=wrap(dim, input.ndim, "scatter_add"))


def index_add(input: Tensor, dim: int, index: Tensor, source: Tensor, *, alpha: float = 1) -> Tensor:
    """input with alpha * source added at the slices index (k,) along dim."""
    at = wrap(dim, input.ndim, "index_add")
    check_slices("index_add", input, at, index, source)
    added = IndexAdd.apply(source, index, dim=at, size=input.shape[at] if input.ndim else 1)
    return input + (added if alpha == 1 else added * alpha)


def check_slices(op: str, x: Tensor, dim: int, index: Tensor, source: Tensor) -> None:
    """Raises unless source has the shape of x with one slice per index along dim."""
    expected = tuple(index.numel() if i == dim else s for i, s in enumerate(x.shape))
    if index.ndim > 1 or source.shape != expected or (not x.ndim and index.numel() != 1):
        raise ShapeError(f"{op}: source {source.shape} and index {index.shape} do not fit: expected source {expected}")
    if source.dtype is not x.dtype:
        raise DtypeError(f"{op}: expected source of dtype {x.dtype}, got {source.dtype}")


def nonzero(input: Tensor, *, as_tuple: bool = False) -> Any:
    """The positions of what is not 0, (n, ndim) int64; as_tuple: one vector per axis."""
    found = Tensor(_C.nonzero(input.array))
    return tuple(found[:, i] for i in range(input.ndim)) if as_tuple else found


def masked_select(input: Tensor, mask: Tensor) -> Tensor:
    """The elements where mask is true, in one vector; both are broadcast."""
    if mask.dtype is not _C.bool:
        raise DtypeError(f"masked_select: mask must be bool, got {mask.dtype}")
    shape = broadcast_shape("masked_select", input.shape, mask.shape)
    return input.expand(shape)[mask.expand(shape)]


def masked_fill(input: Tensor, mask: Tensor, value: Any) -> Tensor:
    """value where mask is true, else input, broadcast; in the dtype of input."""
    from pydl.ops.compare import where

    fill = value.to(input.dtype) if isinstance(value, Tensor) else Tensor(_C.scalar(value, input.dtype, input.device))
    return where(mask, fill, input)


# ---------------------------------------------------------------- x[...]


def _expanded(key: Any, ndim: int, shape: tuple[int, ...]) -> list[Any]:
    """The key as one entry per axis, None for a new axis; masks as the positions where they are true."""
    entries: list[Any] = []
    for k in key if isinstance(key, tuple) else (key,):
        if isinstance(k, (list, np.ndarray)):
            k = _positions(k)
        if isinstance(k, Tensor) and k.ndim == 0 and not k.array.is_floating:
            k = k.item()
        entries.append(k)
    used = builtin_sum(
        k.ndim
        if isinstance(k, Tensor) and k.array.dtype is _C.bool
        else int(not (k is None or k is Ellipsis or _flag(k)))
        for k in entries
    )
    if used > ndim:
        raise BoundsError(f"index: {used} indices for shape {shape}: expected at most {ndim}")
    if builtin_sum(k is Ellipsis for k in entries) > 1:
        raise BoundsError("index: more than one ellipsis")
    at = next((i for i, k in enumerate(entries) if k is Ellipsis), len(entries))
    return entries[:at] + [slice(None)] * (ndim - used) + entries[at + 1 :]


builtin_sum = sum


def _positions(key: Any) -> Tensor:
    """A list or an array of positions or flags as a tensor; an empty list holds no positions."""
    try:
        values = np.asarray(key)
    except ValueError as error:
        raise DtypeError(f"index: expected integers or bools, got {key!r}") from error
    if not values.size and isinstance(key, list):
        values = values.astype(np.int64)
    if values.dtype.kind not in "iub":
        raise DtypeError(f"index: expected integers or bools, got {key!r}")
    return Tensor(_C.from_numpy(values if values.dtype.kind == "b" else values.astype(np.int64)))


def _flag(key: Any) -> bool:
    return isinstance(key, (bool, np.bool_))


def _split(key: Any, x: Tensor) -> tuple[Tensor, dict[int, Tensor]]:
    """The view by slices, integers and new axes; and the index tensors, by the axis of that view."""
    shape = x.shape
    starts: list[int] = []
    sizes: list[int] = []
    steps: list[int] = []
    out: list[int] = []
    lists: dict[int, Tensor] = {}
    axis = 0
    for k in _expanded(key, len(shape), shape):
        if k is None:
            out.append(1)
            continue
        if _flag(k):  # an axis that is there or empty
            lists[len(out)] = Tensor(_C.full((int(k),), 0, _C.int64, x.device))
            out.append(1)
            continue
        if not isinstance(k, (slice, Tensor)) and not hasattr(k, "__index__"):
            raise DtypeError(f"index: expected integers, slices, None, ... or tensors, got {k!r}")
        if isinstance(k, Tensor) and k.array.dtype is _C.bool:
            if k.shape != shape[axis : axis + k.ndim]:
                raise ShapeError(f"index: mask {k.shape} does not match axes {shape[axis : axis + k.ndim]}")
            for column in nonzero(k, as_tuple=True):
                lists[len(out)] = column
                start, size, step = 0, shape[axis], 1
                starts.append(start), sizes.append(size), steps.append(step), out.append(size)
                axis += 1
            continue
        n = shape[axis]
        if isinstance(k, slice):
            start, stop, step = k.indices(n)
            size = len(range(start, stop, step))
            start = start if size else 0
            out.append(size)
        elif isinstance(k, Tensor):
            lists[len(out)] = k
            start, size, step = 0, n, 1
            out.append(n)
        else:
            i = int(k.__index__())  # type: ignore[union-attr]
            if not -n <= i < n:
                raise BoundsError(f"index: {i} is out of range for axis {axis} of shape {shape}")
            start, size, step = i % n, 1, 1
        starts.append(start), sizes.append(size), steps.append(step)
        axis += 1
    view = x if tuple(sizes) == shape and all_ones(steps) else Slice.apply(x, starts=starts, sizes=sizes, steps=steps)
    return (view if view.shape == tuple(out) else reshape(view, out)), lists


def all_ones(steps: list[int]) -> bool:
    return all(s == 1 for s in steps)


def _flat_index(view: Tensor, lists: dict[int, Tensor]) -> tuple[Tensor, Tensor, int]:
    """view with the indexed axes in front and merged; the position in them; where the result's new axes belong."""
    axes = sorted(lists)
    shape = broadcast_shape("index", *[lists[a].shape for a in axes])
    flat = None
    for a in axes:
        if lists[a].array.is_floating:
            raise DtypeError(f"index: expected integers or bool, got {lists[a].dtype}")
        n, at = view.shape[a], lists[a].to(_C.int64)
        if at.numel() and not (bool((at >= -n).all()) and bool((at < n).all())):
            raise BoundsError(f"index: a position is out of range for size {n} of axis {a}")
        at = at + (at < 0).to(_C.int64) * n
        flat = at if flat is None else flat * n + at
    moved = movedim(view, axes, list(range(len(axes))))
    merged = reshape(moved, [int(np.prod(moved.shape[: len(axes)])), *moved.shape[len(axes) :]])
    adjacent = axes == list(range(axes[0], axes[-1] + 1))
    assert flat is not None
    return merged, flat.expand(shape), axes[0] if adjacent else 0


def getitem(input: Tensor, key: Any) -> Tensor:
    """input[key] with NumPy's rules: integers, slices (negative steps too), None, ..., integer and bool tensors."""
    view, lists = _split(key, input)
    if not lists:
        return view
    merged, flat, at = _flat_index(view, lists)
    rows = IndexSelect.apply(merged, reshape(flat, [-1]), dim=0)
    out = reshape(rows, [*flat.shape, *merged.shape[1:]])
    return movedim(out, list(range(flat.ndim)), list(range(at, at + flat.ndim))) if at else out


def setitem(input: Tensor, key: Any, value: Any) -> None:
    """input[key] = value, in place and outside the graph.

    Raises: AutogradError if input or value takes part in a graph that is being recorded.
    """
    from pydl.ops.scalar import lift

    source = lift(value, input, "setitem")
    if mode.enabled and (input.requires_grad or source.requires_grad):
        raise AutogradError("setitem: a tensor in the graph cannot be changed in place: use where, cat or scatter_add")
    plain = input.detach()
    view, lists = _split(key, plain)
    if not lists:
        _C.copy_into(source.array, view.array, "setitem")
        return
    if plain.array.read_only:
        raise ArgumentError("setitem: the destination is read-only memory")
    _flat_index(view, lists)  # checks the positions
    places = tuple(_C.to_numpy(lists[a].array) if a in lists else slice(None) for a in range(view.ndim))
    half = view.dtype is _C.bfloat16  # NumPy has none; float32 holds it exactly
    changed = _C.cast(view.array, _C.float32) if half else view.array
    try:
        _C.to_numpy(changed)[places] = _C.to_numpy(_C.cast(source.array, changed.dtype))
    except ValueError as error:
        raise ShapeError(f"setitem: {source.shape} does not fit the indexed part of shape {input.shape}") from error
    if half:
        _C.copy_into(changed, view.array, "setitem")
    plain.array.bump()


def one_hot(input: Tensor, num_classes: int = -1) -> Tensor:
    """(...,) int64 -> (..., num_classes) int64, 1 at each index; -1: as many classes as the largest index needs."""
    if input.array.dtype is not _C.int64:
        raise DtypeError(f"one_hot: expected int64, got {input.dtype}")
    if input.numel() and int(input.min()) < 0:
        raise BoundsError("one_hot: class indices must not be negative")
    top = int(input.max()) + 1 if input.numel() else 0
    classes = max(top, 1) if num_classes == -1 else num_classes
    if top > classes:
        raise BoundsError(f"one_hot: index {top - 1} is out of range for {classes} classes")
    steps = Tensor(_C.arange(0, classes, 1, _C.int64, input.device))
    return (input.unsqueeze(-1) == steps).to(_C.int64)
