"""x[key] and x[key] = v, with NumPy's rules for keys: integers, slices, None, ..., integer and bool tensors.

A key is read once into a Spot, which then serves the value, the assignment and their gradients.
"""

import builtins
import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from pydl import _C
from pydl.autograd.mode import mode
from pydl.autograd.op import Op
from pydl.autograd.views import change, check_change, root_of
from pydl.errors import ArgumentError, BoundsError, DtypeError, ShapeError
from pydl.ops.index import AddAt, IndexSelect, last_ones
from pydl.ops.scalar import lift
from pydl.ops.shape import Reshape, broadcast_to, movedim, reshape
from pydl.ops.slices import Slice
from pydl.tensor import Tensor

__all__: list[str] = []


@dataclass
class Spot:
    """Where a key points to in a tensor.

    Attributes:
        op: the name for errors.
        starts, sizes, steps: the part that slices and integers leave, for every axis of the tensor.
        whole: whether that part is all of it.
        shape: that part without the axes of integers, with the new ones.
        lists: index tensors by the axis of that shape where they begin, each with the number of axes that it covers.
        rows: the lists as one: a position in all their axes together, (any shape) int64.
        once: whether no position comes twice: the only list is a mask.
    """

    op: str = "index"
    starts: list[int] = field(default_factory=list)
    sizes: list[int] = field(default_factory=list)
    steps: list[int] = field(default_factory=list)
    whole: bool = True
    shape: list[int] = field(default_factory=list)
    lists: dict[int, tuple[Tensor, int]] = field(default_factory=dict)
    rows: Tensor | None = None
    once: bool = False

    @property
    def axes(self) -> list[int]:
        """All axes that lists cover, in order."""
        return [a + i for a, (_, span) in sorted(self.lists.items()) for i in range(span)]

    @property
    def adjacent(self) -> bool:
        """Whether the axes of the lists are neighbours; then the result's axes stand in their place, else in front."""
        axes = self.axes
        return axes[-1] - axes[0] + 1 == len(axes)

    @property
    def lead(self) -> int:
        """How many axes of the result stand before those of the lists."""
        return self.axes[0] if self.adjacent else 0

    def result(self) -> list[int]:
        """The shape of x[key]."""
        if self.rows is None:
            return self.shape
        axes = set(self.axes)
        rest = [s for i, s in enumerate(self.shape) if i not in axes]
        return [*rest[: self.lead], *self.rows.shape, *rest[self.lead :]]


def _listed(key: Any) -> Any:
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


def _entry(key: Any) -> Any:
    if isinstance(key, (list, np.ndarray)):
        if isinstance(key, list) and any(isinstance(k, Tensor) for k in key):
            key = [int(k) for k in key]
        key = _listed(key)
    if isinstance(key, range):
        key = _listed(list(key))
    if isinstance(key, Tensor) and key.array.ndim == 0 and not key.array.is_floating:
        return key.item()
    return key


def _uses(key: Any) -> int:
    """How many axes an entry of a key takes."""
    if key is None or key is Ellipsis or _flag(key):
        return 0
    return key.array.ndim if isinstance(key, Tensor) and key.array.dtype is _C.bool else 1


def _expanded(key: Any, shape: tuple[int, ...], op: str) -> list[Any]:
    """The entries of a key, with as many full slices as it leaves out."""
    entries = [_entry(k) for k in key] if isinstance(key, tuple) else [_entry(key)]
    used, ndim = builtins.sum(map(_uses, entries)), len(shape)
    if used > ndim:
        raise BoundsError(f"{op}: {used} indices for shape {shape}: expected at most {ndim}")
    dots = [i for i, k in enumerate(entries) if k is Ellipsis]
    if len(dots) > 1:
        raise BoundsError(f"{op}: more than one ellipsis")
    at = dots[0] if dots else len(entries)
    return entries[:at] + [slice(None)] * (ndim - used) + entries[at + 1 :]


def _take_mask(spot: Spot, mask: Tensor, shape: tuple[int, ...]) -> None:
    """A mask covers as many axes as it has; it stands for the positions where it is true."""
    axis = len(spot.sizes)
    span = mask.ndim
    if mask.shape != shape[axis : axis + span]:
        raise ShapeError(f"{spot.op}: mask {mask.shape} does not match axes {shape[axis : axis + span]}")
    flat = Tensor(_C.nonzero(_C.reshape(mask.array, [-1])))
    spot.lists[len(spot.shape)] = reshape(flat, [-1]), span
    spot.once = True
    for n in mask.shape:
        _keep(spot, 0, n, 1)
        spot.shape.append(n)


def _keep(spot: Spot, start: int, size: int, step: int) -> None:
    spot.starts.append(start)
    spot.sizes.append(size)
    spot.steps.append(step)


def _bounds(key: slice, n: int, op: str) -> tuple[int, int, int]:
    """Where a slice of an axis of size n begins, how many elements it has and the step between them."""
    try:
        start, stop, step = key.indices(n)
    except TypeError:
        raise DtypeError(f"{op}: {key}: expected integers or None as bounds") from None
    except ValueError:
        raise ArgumentError(f"{op}: {key}: expected a step that is not 0") from None
    size = len(range(start, stop, step))
    return start if size else 0, size, step


def _take(spot: Spot, key: Any, n: int, shape: tuple[int, ...]) -> None:
    """One entry that takes one axis of size n."""
    if isinstance(key, slice):
        start, size, step = _bounds(key, n, spot.op)
        _keep(spot, start, size, step)
        spot.shape.append(size)
        spot.whole = spot.whole and size == n and step == 1
    elif isinstance(key, Tensor):
        if key.array.is_floating:
            raise DtypeError(f"{spot.op}: expected integers or bool, got {key.dtype}")
        index = key.array if key.array.dtype in (_C.int64, _C.int32) else _C.cast(key.array, _C.int64)
        spot.lists[len(spot.shape)] = Tensor(index), 1
        _keep(spot, 0, n, 1)
        spot.shape.append(n)
    else:
        i = int(key.__index__())
        if not -n <= i < n:
            raise BoundsError(f"{spot.op}: {i} is out of range for axis {len(spot.sizes)} of shape {shape}")
        _keep(spot, i % n, 1, 1)
        spot.whole = spot.whole and n == 1


def spot_of(key: Any, x: Tensor, op: str = "index") -> Spot:
    """Where key points to in x. Raises: BoundsError, DtypeError, ShapeError."""
    shape, spot = x.shape, Spot(op)
    for k in _expanded(key, shape, op):
        if k is None:
            spot.shape.append(1)
        elif _flag(k):  # an axis that is there or empty
            spot.lists[len(spot.shape)] = Tensor(_C.full((int(k),), 0, _C.int64, x.device)), 1
            spot.shape.append(1)
        elif not isinstance(k, (slice, Tensor)) and not hasattr(k, "__index__"):
            raise DtypeError(f"{spot.op}: expected integers, slices, None, ... or tensors, got {k!r}")
        elif isinstance(k, Tensor) and k.array.dtype is _C.bool:
            _take_mask(spot, k, shape)
        else:
            _take(spot, k, shape[len(spot.sizes)], shape)
    if len(spot.shape) > 8:
        raise ShapeError(f"{spot.op}: expected at most 8 axes, got {len(spot.shape)}")
    if spot.lists:
        _join(spot)
    return spot


def _join(spot: Spot) -> None:
    """Finds spot.rows. Raises: BoundsError for a position outside its axes."""
    parts = [(index, math.prod(spot.shape[a : a + span])) for a, (index, span) in sorted(spot.lists.items())]
    spot.once = spot.once and len(parts) == 1
    merged = _C.merge_indices(spot.op, [index.array for index, _ in parts], [n for _, n in parts])
    if mode.enabled and _C.shares_memory(merged, parts[0][0].array):  # the caller may change it before the gradient
        merged = _C.clone(merged)
    spot.rows = Tensor(merged)


def _sliced(x: Tensor, spot: Spot) -> Tensor:
    """The part of x that slices, integers and new axes make: a view."""
    part = x if spot.whole else Slice.apply(x, starts=spot.starts, sizes=spot.sizes, steps=spot.steps)
    return part if part.shape == tuple(spot.shape) else reshape(part, spot.shape)


def _merged(view: Tensor, spot: Spot) -> Tensor:
    """The view with the axes of the lists as one, at spot.lead."""
    axes, lead = spot.axes, spot.lead
    if not spot.adjacent:
        view = movedim(view, axes, list(range(len(axes))))
    shape, end = view.shape, lead + len(axes)
    return reshape(view, [*shape[:lead], math.prod(shape[lead:end]), *shape[end:]])


def read(x: Tensor, spot: Spot) -> Tensor:
    """What stands at the spot; without lists a view."""
    view = _sliced(x, spot)
    if spot.rows is None:
        return view
    merged = _merged(view, spot)
    found = IndexSelect.apply(merged, reshape(spot.rows, [-1]), dim=spot.lead)
    return found if spot.rows.ndim == 1 else reshape(found, spot.result())


# ---------------------------------------------------------------- writing


def _source(value: Tensor, spot: Spot, dtype: _C.dtype) -> Tensor:
    """value in the shape of the spot and in dtype; axes of size 1 in front of it may be more."""
    wanted = spot.result()
    while value.ndim > len(wanted) and value.shape[0] == 1:
        value = reshape(value, value.shape[1:])
    try:
        return broadcast_to(value, wanted).to(dtype)
    except ShapeError:
        raise ShapeError(
            f"{spot.op}: {value.shape} does not broadcast to {tuple(wanted)}: it does not fit the indexed part"
        ) from None


def _assign(x: Tensor, spot: Spot, value: Tensor) -> None:
    """Puts value at the spot of x, in its memory. Neither takes part in a graph."""
    view = _sliced(x, spot)
    if spot.rows is None:
        _C.copy_into(_source(value, spot, x.dtype).array, view.array, "setitem")
        return
    if spot.once and value.numel() == 1:
        _assign_one(view, spot, value)
        return
    source = _source(value, spot, x.dtype)
    merged = _merged(view, spot)
    lead, rows = spot.lead, reshape(spot.rows, [-1])
    shape = source.shape
    lines = reshape(source, [*shape[:lead], rows.numel(), *shape[lead + spot.rows.ndim :]])
    _C.place_inside("setitem", "put", merged.array, lead, rows.array, lines.array, True)
    if not _C.shares_memory(merged.array, view.array):  # the axes could not be merged without a copy
        axes = spot.axes
        target = view if spot.adjacent else movedim(view, axes, list(range(len(axes))))
        _C.copy_into(_C.reshape(merged.array, target.shape), target.array, "setitem")


def _assign_one(view: Tensor, spot: Spot, value: Tensor) -> None:
    """One number wherever the only mask is true."""
    ((lead, (_, span)),) = spot.lists.items()
    shape = [n if lead <= a < lead + span else 1 for a, n in enumerate(view.shape)]
    assert spot.rows is not None
    hit = _C.full([math.prod(shape)], 0, _C.bool, view.device)
    one = _C.full([spot.rows.numel()], 1, _C.bool, view.device)
    _C.place_inside("setitem", "put", hit, 0, spot.rows.array, one, True)
    _C.fill_where(view.array, _C.reshape(hit, shape), _C.reshape(_C.cast(value.array, view.dtype), []))


class Cleared(Op):
    """0 at the spot."""

    uses = ()

    def kernel(x, spot):
        made = Tensor(_C.clone(x))
        _assign(made, spot, Tensor(_C.full((), 0, x.dtype, x.device)))
        return made.array

    def vjp(g, x, spot):
        return (Cleared.apply(g, spot=spot),)


class Placed(Op):
    """The first input with the second at the spot; of a position that comes twice the last one counts."""

    uses = ()

    def kernel(x, value, spot):
        made = Tensor(_C.clone(x))
        _assign(made, spot, Tensor(value))
        return made.array

    def vjp(g, x, value, spot):
        return lambda: Cleared.apply(g, spot=spot), lambda: _read_last(g, spot)


def _read_last(g: Tensor, spot: Spot) -> Tensor:
    """g at the spot; 0 where a later value took the place."""
    from pydl.ops.compare import where

    found = read(g, spot)
    if spot.rows is None or spot.once:
        return found
    axes = spot.axes
    shape = spot.shape
    counts = last_ones(reshape(spot.rows, [-1]), math.prod(shape[a] for a in axes))
    stays = reshape(counts, [*spot.rows.shape, *[1] * (found.ndim - spot.lead - spot.rows.ndim)])
    return where(stays, found, False)


def placed(x: Tensor, key: Any, value: Tensor, op: str) -> Tensor:
    """A copy of x with value at x[key], differentiable by both."""
    spot = spot_of(key, x, op)
    return Placed.apply(x, _source(value, spot, x.dtype), spot=spot)


def added(x: Tensor, key: Any, value: Tensor, op: str) -> Tensor:
    """A copy of x with value added at x[key], where positions repeat too. The key holds index tensors, no new axes."""
    spot = spot_of(key, x, op)
    if spot.rows is None:
        raise ArgumentError(f"{op}: expected at least one index tensor")
    source, lead, rows = _source(value, spot, x.dtype), spot.lead, reshape(spot.rows, [-1])
    shape = source.shape
    lines = reshape(source, [*shape[:lead], rows.numel(), *shape[lead + spot.rows.ndim :]])
    made = AddAt.apply(_merged(x, spot), rows, lines, dim=lead, rows=True, op=op)
    axes = spot.axes
    if spot.adjacent:
        return reshape(made, x.shape)
    moved = movedim(x.detach(), axes, list(range(len(axes)))).shape
    return movedim(reshape(made, moved), list(range(len(axes))), axes)


def getitem(input: Tensor, key: Any) -> Tensor:
    """input[key] with NumPy's rules: integers, slices (negative steps too), None, ..., integer and bool tensors.

    Without index tensors the result is a view. Raises: BoundsError, DtypeError, ShapeError.
    """
    shape = input.shape
    if shape and key.__class__ is int and -shape[0] <= key < shape[0]:  # the two most common keys, without a Spot
        rest = shape[1:]
        row = Slice.apply(input, starts=[key % shape[0], *[0] * len(rest)], sizes=[1, *rest], steps=[1] * len(shape))
        return Reshape.apply(row, shape=rest)
    if shape and key.__class__ is slice:
        return _span(input, key, shape)
    return read(input, spot_of(key, input))


def _span(x: Tensor, key: slice, shape: tuple[int, ...]) -> Tensor:
    """x[key] along the first axis; x itself if that is all of it."""
    start, size, step = _bounds(key, shape[0], "index")
    if size == shape[0] and step == 1:
        return x
    rest = shape[1:]
    starts, steps = [start, *[0] * len(rest)], [step, *[1] * len(rest)]
    return Slice.apply(x, starts=starts, sizes=[size, *rest], steps=steps)


def setitem(input: Tensor, key: Any, value: Any) -> None:
    """input[key] = value, in place. Gradients flow to value from its place, and to what input was from the rest.

    Raises: AutogradError if input is a leaf that requires gradients or a view of one.
    """
    source = lift(value, input, "setitem")
    recorded = mode.enabled and (input.requires_grad or source.requires_grad)
    if recorded:
        check_change(input, "setitem")
    spot, plain = spot_of(key, input, "setitem"), Tensor(input.array)
    if not recorded:
        _assign(plain, spot, Tensor(source.array))
    elif spot.rows is not None or not _is_there(source, input, _sliced(plain, spot)):
        source = _source(source, spot, input.dtype)
        _assign(plain, spot, Tensor(source.array))
        change(input, Placed, source, {"spot": spot})


def _is_there(value: Tensor, x: Tensor, part: Tensor) -> bool:
    """Whether value is the view of x at this part already, as after x[i] op= y."""
    a, b = value.array, part.array
    return (
        value is not x
        and root_of(value) is root_of(x)
        and (a.data_ptr, a.shape, a.strides, a.dtype) == (b.data_ptr, b.shape, b.strides, b.dtype)
    )
