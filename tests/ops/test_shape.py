"""Views and moves."""

import numpy as np
import pytest
from checks import RowChecks
from registry import move, one_by_one, via

import pydl
from pydl import ops
from pydl.errors import ArgumentError, BoundsError, DtypeError, ShapeError

LIKE = [((2, 6), (3, 4)), ((0, 4), (4, 0)), ((), (1, 1))]


ROWS = [
    move(
        one_by_one(ops.reshape),
        lambda x, sizes: np.reshape(x, sizes),
        name="reshape",
        shapes=[],
        large=((300, 401),),
        cases=[
            ((300, 401), {"sizes": (401, 300)}),
            ((3, 4), {"sizes": (2, 6)}),
            ((2, 3, 4), {"sizes": [-1, 4]}),
            ((), {"sizes": (1, 1)}),
            ((0, 4), {"sizes": (2, 0, 5)}),
            ((2, 3), {"sizes": (-1,)}),
            ((1,), {"sizes": ()}),
        ],
        errors=[
            (((3, 4), [5, 2]), ShapeError, "reshape: (3, 4) has 12 elements: it does not fit into shape (5, 2)"),
            (((3, 4), [-1, -1]), ShapeError, "more than one -1"),
            (((3, 4), [5, -1]), ShapeError, "does not fit"),
        ],
    ),
    move(
        one_by_one(ops.view),
        lambda x, sizes: np.reshape(x, sizes),
        name="view",
        shapes=[],
        layouts=False,
        cases=[((3, 4), {"sizes": (2, 6)}), ((0, 4), {"sizes": (4, 0)})],
        errors=[((pydl.ones(3, 4).t(), [12]), ShapeError, "cannot be seen as (12,) without a copy: use reshape")],
    ),
    move(ops.view_as, lambda x, y: np.reshape(x, y.shape), kinds="ff", shapes=LIKE, layouts=False),
    move(ops.reshape_as, lambda x, y: np.reshape(x, y.shape), kinds="ff", shapes=LIKE),
    move(
        ops.flatten,
        via("flatten"),
        shapes=[(2, 3, 4), (2, 3), (), (0, 3)],
        kwargs=[{}, {"end_dim": 0}],
        cases=[((2, 3, 4), {"start_dim": 1}), ((2, 3, 4), {"start_dim": -3, "end_dim": -2})],
        errors=[(((3, 4), 1, 0), ArgumentError, "start_dim 1 lies behind end_dim 0")],
    ),
    move(
        ops.unflatten,
        via("unflatten"),
        shapes=[(12, 2)],
        kwargs=[{"dim": 0, "sizes": (3, 4)}, {"dim": -2, "sizes": (-1, 2)}],
        errors=[(((12,), 0, [5, 2]), ShapeError, "unflatten: size 12 of dim 0 does not split into (5, 2)")],
    ),
    move(
        ops.squeeze,
        lambda x, dim=None: np.squeeze(x, dim) if dim is None or x.shape[dim] == 1 else x,
        shapes=[(1, 3, 1), (1, 1), (2, 1, 3)],
        kwargs=[{}, {"dim": 1}, {"dim": -2}],
        errors=[(((3, 1), 2), BoundsError, "squeeze: dim 2 is out of range")],
    ),
    move(
        ops.unsqueeze,
        lambda x, dim: np.expand_dims(x, dim),
        kwargs=[{"dim": 0}, {"dim": -1}],
        errors=[(((3, 1), 3), BoundsError, "unsqueeze: dim 3 is out of range: expected one in [-3, 2]")],
    ),
    move(
        one_by_one(ops.permute),
        lambda x, sizes: np.transpose(x, sizes),
        name="permute",
        large=((35, 40, 75),),
        shapes=[(35, 40, 75), (2, 3, 4), (0, 3, 1)],
        kwargs=[{"sizes": (2, 0, 1)}, {"sizes": (-1, 0, -2)}],
        errors=[
            (((2, 3, 4), [0, 1]), ShapeError, "permute: got 2 dims"),
            (((2, 3), [0, 0]), ShapeError, "is repeated"),
            (((2, 3), [0, -3]), BoundsError, "dim -3 is out of range"),
        ],
    ),
    move(
        ops.transpose,
        lambda x, dim0, dim1: np.swapaxes(x, dim0, dim1),
        shapes=[(2, 3, 4), (0, 3, 1)],
        kwargs=[{"dim0": 0, "dim1": 1}, {"dim0": -1, "dim1": 0}],
        covers=["swapaxes"],
        errors=[(((2, 3), 0, 2), BoundsError, "transpose: dim 2 is out of range")],
    ),
    move(
        ops.t,
        np.transpose,
        shapes=[(2, 3), (3,), (), (0, 3)],
        errors=[(((2, 3, 4),), ShapeError, "t: expected at most 2 axes, got shape (2, 3, 4)")],
    ),
    move(
        ops.movedim,
        np.moveaxis,
        covers=["moveaxis"],
        shapes=[(2, 3, 4)],
        kwargs=[{"source": 0, "destination": -1}, {"source": [2, 0], "destination": [0, 1]}],
        errors=[(((2, 3, 4), 0, [0, 1]), ArgumentError, "movedim: source 0 and destination [0, 1] do not pair up")],
    ),
    move(
        one_by_one(ops.expand),
        lambda x, sizes: np.broadcast_to(x, sizes),
        name="expand",
        shapes=[],
        cases=[
            ((3, 1), {"sizes": (3, 4)}),
            ((3,), {"sizes": (2, 3)}),
            ((), {"sizes": (2, 2)}),
            ((1,), {"sizes": (0,)}),
        ],
        errors=[(((3, 2), [3, 4]), ShapeError, "expand: (3, 2) does not expand to (3, 4)")],
    ),
    move(ops.expand_as, lambda x, y: np.broadcast_to(x, y.shape), kinds="ff", shapes=[((3, 1), (2, 3, 4)), ((), (2,))]),
    move(
        ops.broadcast_to, lambda x, size: np.broadcast_to(x, size), shapes=[(3, 1), (1,)], kwargs=[{"size": (2, 3, 4)}]
    ),
    move(
        one_by_one(ops.repeat),
        lambda x, sizes: via("tile")(np.asarray(x), sizes),
        name="repeat",
        shapes=[(2, 3)],
        kwargs=[{"sizes": (2, 1)}, {"sizes": (2, 1, 2)}, {"sizes": (0, 2)}],
        cases=[((2, 1, 2, 1, 3), {"sizes": (1, 2, 1, 2, 2)})],
        errors=[(((2, 3), [2]), ShapeError, "repeat: (2,) does not fit shape (2, 3): expected one count per axis")],
    ),
    move(
        one_by_one(ops.flip),
        lambda x, sizes: np.flip(x, sizes),
        name="flip",
        shapes=[(3, 4), (0, 4), (2, 3, 4)],
        kwargs=[{"sizes": (0,)}, {"sizes": (0, -1)}],
        errors=[(((3,), [1]), BoundsError, "flip: dim 1 is out of range")],
    ),
    move(
        ops.narrow,
        via("narrow"),
        shapes=[(3, 4)],
        kwargs=[{"dim": 1, "start": 1, "length": 2}, {"dim": 0, "start": -2, "length": 1}],
        errors=[(((3, 4), 0, 2, 2), BoundsError, "narrow: 2 to 4 is outside dim 0 of shape (3, 4)")],
    ),
    move(
        ops.select,
        via("select"),
        shapes=[(3, 4)],
        kwargs=[{"dim": 1, "index": 3}, {"dim": -2, "index": -1}],
        errors=[(((3, 4), 0, 3), BoundsError, "select: index 3 is out of range for dim 0 of shape (3, 4)")],
    ),
    move(
        lambda *xs, dim=0: ops.cat(xs, dim),
        lambda *xs, dim=0: np.concatenate(xs, dim),
        name="cat",
        kinds="fff",
        shapes=[((2, 3), (1, 3), (4, 3)), ((2, 3), (0, 3), (1, 3))],
        cases=[(((2, 3), (2, 1), (2, 0)), {"dim": -1})],
        tails=lambda n: ((n,), (3,), (n,)),
        large=((60, 700), (70, 700), (50, 700)),
        errors=[
            (((2, 3), (2, 4)), ShapeError, "cat: (2, 4) does not match (2, 3): expected equal sizes but in dim 0"),
            (((), ()), ShapeError, "cat: tensors without axes cannot be joined: use stack"),
            ((), ArgumentError, "cat: expected at least one tensor"),
        ],
        covers=["concat"],
    ),
    move(
        lambda *xs, dim=0: ops.stack(xs, dim),
        lambda *xs, dim=0: np.stack(xs, dim),
        name="stack",
        kinds="ff",
        shapes=[((2, 3), (2, 3)), ((), ()), ((0, 3), (0, 3))],
        kwargs=[{}, {"dim": -1}],
        errors=[
            (((2, 3), (2, 4)), ShapeError, "stack: (2, 4) does not match (2, 3): expected equal shapes"),
            ((), ArgumentError, "stack: expected at least one tensor"),
        ],
    ),
    move(ops.clone, np.array, large=((3, 35001),)),
    move(lambda x: ops.contiguous(x.flip(0)), lambda x: x[::-1], name="contiguous", shapes=[(3, 4), (5,), (2, 3, 4)]),
    move(ops.numel, np.size, grad=False),
]


class TestRows(RowChecks):
    """Every row."""


def test_views_share_memory() -> None:
    x = pydl.zeros(3, 4)
    views = [
        x.view(12),
        x.t(),
        x[1],
        x[::2],
        x.expand(2, 3, 4),
        x.squeeze(),
        x.unsqueeze(0),
        x.narrow(0, 1, 1),
        x.flip(0),
    ]
    for v in views:
        assert pydl._C.shares_memory(v.array, x.array)
    assert not pydl._C.shares_memory(x.clone().array, x.array)


def test_reshape_of_strided_views() -> None:
    """A view where strides allow, else a copy; never wrong."""
    x = np.arange(120).reshape(2, 3, 4, 5)
    for axes in [(0, 1, 2, 3), (1, 0, 2, 3), (0, 1, 3, 2), (3, 2, 1, 0)]:
        for shape in [(120,), (6, 20), (2, 60), (24, 5), (2, 3, 20), (4, 30), (1, 120, 1), (5, 24)]:
            ours = pydl.from_numpy(x).permute(axes).reshape(shape)
            np.testing.assert_array_equal(ours.numpy(), x.transpose(axes).reshape(shape))


def test_more_axes_than_there_may_be() -> None:
    x = pydl.zeros([1] * 8)
    for call in (lambda: x.unsqueeze(0), lambda: x.expand([2] + [1] * 8), lambda: ops.stack([x, x])):
        with pytest.raises(ShapeError, match="at most 8 axes"):
            call()
    assert x.repeat([2] * 8).shape == (2,) * 8


def test_sizes_must_be_whole() -> None:
    for call in (lambda: pydl.zeros(2.5), lambda: pydl.zeros(3).reshape(1.5, 2), lambda: pydl.zeros("3")):
        with pytest.raises(DtypeError, match="expected integers"):
            call()


def test_parts_must_be_tensors() -> None:
    for call in (lambda: ops.cat([1, 2]), lambda: ops.stack([pydl.ones(2), 3])):
        with pytest.raises(DtypeError, match=r"expected tensors, got int"):
            call()
