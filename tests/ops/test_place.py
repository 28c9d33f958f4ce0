"""Values put at positions."""

from typing import Any

import numpy as np
import pytest
from checks import RowChecks
from registry import ALL, row, via

import pydl
from pydl import ops
from pydl.errors import BoundsError, DtypeError, ShapeError

HIGH = pydl.tensor([5])
THREE = {"dtypes": ALL, "whole": (0, 2)}


def np_scatter(x: Any, index: Any, src: Any, dim: int) -> Any:
    """The last of equal positions wins."""
    y = x.copy()
    for at in np.ndindex(*index.shape):
        to = list(at)
        to[dim] = index[at]
        y[tuple(to)] = src[at] if np.ndim(src) else src
    return y


def np_index_copy(x: Any, index: Any, src: Any, dim: int) -> Any:
    y = x.copy()
    for i, to in enumerate(index):
        np.moveaxis(y, dim, 0)[to] = np.moveaxis(src, dim, 0)[i]
    return y


def np_index_fill(x: Any, index: Any, dim: int, value: Any) -> Any:
    y = x.copy()
    np.moveaxis(y, dim, 0)[index] = value
    return y


def np_index_put(x: Any, i: Any, j: Any, values: Any, accumulate: bool = False) -> Any:
    y = x.copy()
    if accumulate:
        np.add.at(y, (i, j), values)
    else:
        y[i, j] = values
    return y


ROWS = [
    row(
        lambda x, index, src, dim: ops.scatter(x, dim, index, src),
        np_scatter,
        name="scatter",
        kinds="fif",
        shapes=[((3, 4), (5, 4), (5, 4)), ((3, 4), (2, 3), (2, 4)), ((3, 4), (0, 4), (2, 4))],
        kwargs=[{"dim": 0}],
        cases=[(((2, 3), (2, 5), (2, 6)), {"dim": 1})],
        **THREE,
        errors=[
            (((3, 4), HIGH.reshape(1, 1), (1, 1), 0), BoundsError, "scatter: index 5 is out of range for size 3"),
            (((3, 4), HIGH, (1, 1), 0), ShapeError, "scatter: index (1,) does not fit input (3, 4) and src (1, 1)"),
            (((3, 4), HIGH.reshape(1, 1) - 5, pydl.tensor([[1]]), 0), DtypeError, "scatter: expected values of dtype"),
            (((3, 4), pydl.ones(1, 1), (1, 1), 0), DtypeError, "scatter: index must be int64 or int32"),
        ],
    ),
    row(
        lambda x, index, dim, value: ops.scatter(x, dim, index, value),
        lambda x, index, dim, value: np_scatter(x, index, np.asarray(value).astype(x.dtype), dim),
        name="scatter_a_number",
        kinds="fi",
        shapes=[((3, 4), (5, 4))],
        kwargs=[{"dim": 0, "value": 1}],
        **THREE,
    ),
    row(
        lambda x, index, src, dim: ops.index_copy(x, dim, index, src),
        np_index_copy,
        name="index_copy",
        kinds="fif",
        shapes=[((3, 4), (5,), (5, 4)), ((3, 4), (0,), (0, 4))],
        kwargs=[{"dim": 0}],
        **THREE,
        cases=[(((2, 3), (4,), (2, 4)), {"dim": 1})],
        errors=[
            (((3, 4), HIGH, (1, 4), 0), BoundsError, "index_copy: index 5 is out of range for size 3"),
            (((3, 4), HIGH, (1, 3), 0), ShapeError, "index_copy: source (1, 3) and index (1,) do not fit"),
        ],
    ),
    row(
        lambda x, index, dim, value: ops.index_fill(x, dim, index, value),
        np_index_fill,
        name="index_fill",
        kinds="fi",
        shapes=[((3, 4), (2,)), ((3,), (0,))],
        kwargs=[{"dim": 0, "value": 1}],
        cases=[(((2, 3), (2,)), {"dim": -1, "value": 1})],
        **THREE,
        errors=[(((3, 4), HIGH, 0, 1), BoundsError, "index_fill: index 5 is out of range for size 3")],
    ),
    row(
        lambda x, i, j, v, **k: ops.index_put(x, [i, j], v, **k),
        np_index_put,
        name="index_put",
        kinds="fiif",
        shapes=[
            ((3, 3), (4,), (4,), (4,)),
            ((3, 3), (2, 1), (4,), ()),
            ((3, 3, 2), (4,), (4,), (2,)),
            ((3, 3), (0,), (0,), (0,)),
        ],
        kwargs=[{}, {"accumulate": True}],
        dtypes=ALL[:-1],
        whole=(0, 2),
        sums=True,
        errors=[
            (((3, 4), HIGH, HIGH, (1,)), BoundsError, "index_put: index 5 is out of range for size 3"),
            (((3, 6), HIGH - 3, HIGH, (2,)), ShapeError, "index_put: values (2,) do not fit the indexed part (1,)"),
        ],
    ),
    row(
        ops.masked_scatter,
        via("masked_scatter"),
        kinds="fbf",
        shapes=[((3, 4), (3, 4), (12,)), ((3, 4), (4,), (3, 5))],
        dtypes=ALL,
        errors=[
            (((3,), pydl.ones(3).bool(), (2,)), ShapeError, "source (2,) has too few elements: expected 3"),
            (((3,), (3,), (3,)), DtypeError, "masked_scatter: mask must be bool"),
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
]


class TestRows(RowChecks):
    """Every row."""


def test_in_place() -> None:
    x = pydl.zeros(3)
    assert x.scatter_(0, pydl.tensor([0, 2]), 1.0) is x
    assert x.index_fill_(0, pydl.tensor([1]), 7.0).tolist() == [1, 7, 1]


def test_put_by_a_mask() -> None:
    x = ops.index_put(pydl.zeros(3), [pydl.tensor([True, False, True])], pydl.tensor([1.0, 2.0]))
    assert x.tolist() == [1, 0, 2]
    with pytest.raises(ShapeError, match="index_put"):
        ops.index_put(pydl.zeros(3), [pydl.tensor([True, False])], pydl.ones(()))
