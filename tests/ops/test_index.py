"""Indexing."""

from typing import Any

import numpy as np
import pytest
from checks import RowChecks
from registry import ALL, row, via

import pydl
from pydl import ops
from pydl.errors import ArgumentError, AutogradError, BoundsError, DtypeError, ShapeError

INDEX = {"dtypes": ALL, "whole": (-3, 2)}
FROM_0 = {"dtypes": ALL, "whole": (0, 2)}
HIGH, FLAGS = pydl.tensor([5]), pydl.tensor([True])


def np_take_along(x: Any, index: Any, dim: Any = None) -> Any:
    return np.take_along_axis(x.reshape(-1), index.reshape(-1), 0) if dim is None else np.take_along_axis(x, index, dim)


def np_gather(x: Any, index: Any, dim: int) -> Any:
    part = x[tuple(slice(None) if i == dim % x.ndim else slice(n) for i, n in enumerate(index.shape))]
    return np.take_along_axis(part, index, dim) if x.ndim else x.reshape(index.shape)


def np_scatter_add(x: Any, index: Any, src: Any, dim: int) -> Any:
    y = x.copy()
    for at in np.ndindex(*index.shape):
        to = list(at)
        if to:
            to[dim] = index[at]
        y[tuple(to)] += src[at]
    return y


def np_index_add(x: Any, index: Any, src: Any, dim: int, alpha: Any = 1) -> Any:
    y = x.copy()
    np.add.at(np.moveaxis(y, dim, 0), index, np.moveaxis((alpha * src).astype(x.dtype), dim, 0))
    return y


ROWS = [
    row(
        lambda x, index, dim: ops.index_select(x, dim, index),
        lambda x, index, dim: np.take(x, np.atleast_1d(index), dim) if np.ndim(x) else x,
        name="index_select",
        kinds="fi",
        shapes=[((3, 4), (5,)), ((3, 3, 3), (2,)), ((3, 4), (0,))],
        kwargs=[{"dim": 0}],
        cases=[(((2, 3), (4,)), {"dim": -1}), (((2, 3, 5), (4,)), {"dim": 1})],
        **INDEX,
        tails=lambda n: ((3, n), (2,)),
        large=((3, 35001), (7,)),
        errors=[
            (((3, 4), HIGH, 0), BoundsError, "index_select: index 5 is out of range for size 3"),
            (((3, 4), FLAGS, 0), DtypeError, "index_select: index must be int64 or int32, got bool"),
            (((3, 4), HIGH.reshape(1, 1), 0), ShapeError, "index must have one axis"),
        ],
    ),
    row(
        lambda x, index, dim: ops.gather(x, dim, index),
        np_gather,
        name="gather",
        kinds="fi",
        **INDEX,
        shapes=[((3, 4), (2, 4)), ((3, 2), (5, 1)), ((3, 3, 2), (0, 3, 2))],
        kwargs=[{"dim": 0}],
        cases=[(((2, 3), (2, 5)), {"dim": -1}), (((2, 3, 4), (2, 2, 3)), {"dim": 1})],
        tails=lambda n: ((3, n), (2, n)),
        large=((3, 35001), (4, 35001)),
        errors=[
            (((3, 4), HIGH, 0), ShapeError, "gather: index of shape (1,) does not fit (3, 4)"),
            (((3, 4), HIGH.reshape(1, 1), 0), BoundsError, "gather: index 5 is out of range for size 3"),
        ],
    ),
    row(
        ops.take_along_dim,
        np_take_along,
        kinds="fi",
        shapes=[((3, 4), (2, 4)), ((3, 1), (5, 4))],
        kwargs=[{"dim": 0}, {}],
        **INDEX,
        errors=[
            (
                ((3, 4), pydl.tensor([[0, 0]]), 0),
                ShapeError,
                "take_along_dim: shapes (1, 4) and (1, 2) do not broadcast",
            )
        ],
    ),
    row(
        lambda x, index, src, dim: ops.scatter_add(x, dim, index, src),
        np_scatter_add,
        name="scatter_add",
        kinds="fif",
        shapes=[((3, 4), (5, 4), (5, 4)), ((3, 4), (2, 3), (2, 4)), ((3, 4), (0, 4), (2, 4))],
        kwargs=[{"dim": 0}],
        cases=[(((2, 3), (2, 5), (2, 6)), {"dim": 1})],
        **FROM_0 | {"dtypes": ALL[:-1]},
        sums=True,
        tails=lambda n: ((3, n), (4, n), (4, n)),
        large=((3, 4001), (40, 4001), (40, 4001)),
        errors=[
            (
                ((3, 4), pydl.tensor([[0, 0], [0, 0]]), (1, 2), 0),
                ShapeError,
                "scatter_add: index of shape (2, 2) does not fit src (1, 2): expected no larger size",
            ),
            (((3, 4), HIGH.reshape(1, 1), (1, 1), 0), BoundsError, "scatter_add: index 5 is out of range for size 3"),
        ],
    ),
    row(
        lambda x, index, src, **k: ops.index_add(x, k.pop("dim"), index, src, **k),
        np_index_add,
        name="index_add",
        kinds="fif",
        shapes=[((3, 4), (5,), (5, 4)), ((3, 4), (0,), (0, 4))],
        kwargs=[{"dim": 0}, {"dim": 0, "alpha": 2}],
        cases=[(((2, 3), (4,), (2, 4)), {"dim": 1})],
        **FROM_0 | {"dtypes": ALL[:-1]},
        sums=True,
        large=((3, 4001), (40,), (40, 4001)),
        errors=[
            (((3, 4), HIGH, (1, 4), {"dim": 0}), BoundsError, "index_add: index 5 is out of range for size 3"),
            (((3, 4), HIGH, (1, 3), {"dim": 0}), ShapeError, "expected source (1, 4)"),
        ],
    ),
    row(
        ops.take,
        lambda x, index: np.take(x, index),
        kinds="fi",
        shapes=[((3, 4), (2, 3)), ((3,), ()), ((5,), (0,))],
        whole=(-3, 2),
        dtypes=ALL,
        errors=[(((3,), HIGH), BoundsError, "take: index 5 is out of range for size 3")],
    ),
    row(ops.argwhere, np.argwhere, whole=(-1, 1), dtypes=ALL, grad=False, result=lambda d: "int64"),
    row(
        ops.nonzero_static,
        via("nonzero_static"),
        shapes=[(3, 4), (7,), (0, 2)],
        kwargs=[{"size": 5}, {"size": 20, "fill_value": 7}, {"size": 0}],
        whole=(-1, 1),
        dtypes=("int64", "bool", "float32"),
        grad=False,
        result=lambda d: "int64",
        errors=[(((3,), {"size": -1}), ArgumentError, "nonzero_static: expected a size that is not negative")],
    ),
    row(
        ops.unravel_index,
        lambda x, shape: np.unravel_index(x, shape),
        kinds="i",
        shapes=[(3,), (2, 3), (), (0,)],
        kwargs=[{"shape": (2, 3)}, {"shape": (1, 2, 3)}, {"shape": 6}],
        whole=(0, 5),
        dtypes=("int64",),
        grad=False,
        errors=[((HIGH, {"shape": (2, 2)}), BoundsError, "unravel_index: index 5 is out of range for size 4")],
    ),
    row(ops.nonzero, lambda x: np.argwhere(x), whole=(-1, 1), dtypes=ALL, grad=False, result=lambda d: "int64"),
    row(
        ops.masked_select,
        lambda x, m: np.broadcast_to(x, np.broadcast(x, m).shape)[np.broadcast_to(m, np.broadcast(x, m).shape)],
        kinds="fb",
        shapes=[((3, 4), (3, 4)), ((4,), (3, 1)), ((), ()), ((0, 4), (4,))],
        dtypes=ALL,
        errors=[
            (((3,), FLAGS.expand(4)), ShapeError, "masked_select: shapes (3,) and (4,) do not broadcast"),
            (((3,), (3,)), DtypeError, "masked_select: mask must be bool"),
        ],
    ),
    row(
        ops.masked_fill,
        lambda x, m, value: np.where(m, np.asarray(value).astype(x.dtype), x),
        kinds="fb",
        dtypes=ALL[:-1],
        shapes=[((3, 4), (3, 4)), ((3, 4), (4,)), ((), ()), ((0, 4), (4,))],
        kwargs=[{"value": 7}, {"value": True}],
        tails=lambda n: ((n,), (n,)),
        large=((3, 35001), (35001,)),
    ),
    row(
        ops.one_hot,
        lambda x, num_classes=-1: np.eye(num_classes if num_classes > 0 else x.max() + 1, dtype=int)[x],
        kinds="i",
        shapes=[(3,), (2, 3), ()],
        whole=(0, 4),
        kwargs=[{}, {"num_classes": 7}],
        dtypes=("int64",),
        grad=False,
        errors=[
            (((3,),), DtypeError, "one_hot: expected int64"),
            ((pydl.tensor([-1]),), BoundsError, "one_hot: class indices must not be negative"),
            ((HIGH, 3), BoundsError, "one_hot: index 5 is out of range for 3 classes"),
        ],
    ),
]


class TestRows(RowChecks):
    """Every row."""


def test_a_tensor_without_axes_takes_one_index() -> None:
    """More would write past its one element."""
    x = pydl.ones(())
    assert ops.index_select(x, 0, pydl.tensor([0])).shape == ()
    assert ops.index_add(x, 0, pydl.tensor([0]), pydl.ones(())).item() == 2
    for index in ([], [0, 0, 0]):
        at = pydl.tensor(index, dtype=pydl.int64)
        with pytest.raises(ShapeError, match="without axes takes one index"):
            ops.index_select(x, 0, at)
        with pytest.raises(ShapeError, match="do not fit"):
            ops.index_add(x, 0, at, pydl.ones(()))


@pytest.mark.parametrize("name", ["index_select", "gather", "scatter_add", "index_add", "take", "getitem"])
def test_changing_the_index_before_backward_is_noticed(name: str) -> None:
    """Its rule would read the new positions."""
    x, at = pydl.ones(3, requires_grad=True), pydl.tensor([0, 1])
    calls: dict[str, Any] = {
        "index_select": lambda: ops.index_select(x, 0, at),
        "gather": lambda: ops.gather(x, 0, at),
        "take": lambda: ops.take(x, at),
        "scatter_add": lambda: ops.scatter_add(pydl.zeros(3), 0, at, x),
        "index_add": lambda: ops.index_add(pydl.zeros(3), 0, at, x[:2]),
    }
    if name == "getitem":  # keeps positions of its own
        y = x[at]
        at.fill_(2)
        y.sum().backward()
        assert x.grad.tolist() == [1, 1, 0]
        return
    y = calls[name]()
    at.fill_(2)
    with pytest.raises(AutogradError, match="changed in place"):
        y.sum().backward()
