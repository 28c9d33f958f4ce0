"""Rearrangements composed of views, joins and selections."""

from typing import Any

import numpy as np
import pytest
from checks import RowChecks
from registry import ALL, move, one_by_one, row, via

import pydl
from pydl import ops
from pydl.errors import ArgumentError, ShapeError

ROWS = [
    move(ops.ravel, np.ravel),
    move(
        one_by_one(ops.tile),
        lambda x, sizes: np.tile(x, sizes),
        name="tile",
        shapes=[(2, 3)],
        kwargs=[{"sizes": (2,)}, {"sizes": (2, 1, 2)}],
    ),
    move(
        ops.roll,
        via("roll"),
        shapes=[(3, 4), (2, 3, 4), (0, 4)],
        kwargs=[{"shifts": 1}, {"shifts": -5}, {"shifts": 2, "dims": 1}, {"shifts": (1, -1), "dims": (0, 1)}],
        errors=[(((3, 4), [1, 2], 0), ArgumentError, "roll: shifts [1, 2] and dims 0 do not pair up")],
    ),
    move(
        lambda *xs: ops.hstack(xs),
        lambda *xs: np.hstack(xs),
        name="hstack",
        kinds="ff",
        shapes=[((2, 3), (2, 1)), ((2,), (3,)), ((), (2,))],
    ),
    move(
        lambda *xs: ops.vstack(xs),
        lambda *xs: np.vstack(xs),
        name="vstack",
        kinds="ff",
        shapes=[((2, 3), (1, 3)), ((3,), (3,)), ((), ())],
    ),
    move(
        lambda *xs, indexing="ij": ops.meshgrid(*xs, indexing=indexing),
        lambda *xs, indexing="ij": tuple(np.meshgrid(*xs, indexing=indexing)),
        name="meshgrid",
        kinds="fff",
        shapes=[((2,), (3,), (4,)), ((1,), (0,), (2,))],
        kwargs=[{}, {"indexing": "xy"}],
        errors=[
            (((2, 2), (3,)), ShapeError, "meshgrid: expected at most one axis, got shape (2, 2)"),
            (((2,), {"indexing": "ji"}), ArgumentError, "meshgrid: indexing must be 'ij' or 'xy', got 'ji'"),
        ],
    ),
    move(
        lambda *xs: ops.broadcast_tensors(*xs),
        lambda *xs: tuple(np.broadcast_arrays(*xs)),
        name="broadcast_tensors",
        kinds="fff",
        shapes=[((2, 1), (3,), ())],
        errors=[(((2,), (3,)), ShapeError, "broadcast_tensors: shapes (2,) and (3,) do not broadcast")],
    ),
    move(
        ops.tril,
        via("tril"),
        shapes=[(3, 4), (4, 2), (2, 3, 3), (0, 3)],
        kwargs=[{}, {"diagonal": 1}, {"diagonal": -1}],
        errors=[(((3,),), ShapeError, "tril: expected at least 2 axes, got shape (3,)")],
    ),
    move(
        ops.triu,
        via("triu"),
        shapes=[(3, 4), (4, 2), (2, 3, 3), (0, 3)],
        kwargs=[{}, {"diagonal": 1}, {"diagonal": -1}],
    ),
    move(
        ops.diagonal,
        via("diagonal"),
        shapes=[(3, 4), (4, 2)],
        kwargs=[{}, {"offset": 1}, {"offset": -2}],
        cases=[((2, 3, 4), {"dim1": -2, "dim2": -1}), ((2, 3, 4), {"offset": 1, "dim1": 2, "dim2": 0})],
        errors=[(((3, 3), {"dim1": 0, "dim2": -2}), ArgumentError, "diagonal: dim1 and dim2 are the same axis")],
    ),
    move(
        ops.diag,
        via("diag"),
        shapes=[(3, 4), (3,), (0,)],
        kwargs=[{}, {"diagonal": 1}, {"diagonal": -2}],
        errors=[(((2, 2, 2),), ShapeError, "diag: expected 1 or 2 axes, got shape (2, 2, 2)")],
    ),
    move(
        ops.repeat_interleave,
        via("repeat_interleave"),
        shapes=[(2, 3)],
        kwargs=[{"repeats": 2}, {"repeats": 3, "dim": 1}, {"repeats": 0, "dim": 0}],
    ),
    row(
        ops.trace,
        np.trace,
        shapes=[(3, 3), (3, 4), (0, 3)],
        dtypes=ALL,
        sums=True,
        result=lambda d: "int64" if d[0] in "uib" and d != "bfloat16" else d,
        errors=[(((3,),), ShapeError, "trace: expected 2 axes, got shape (3,)")],
    ),
]


class TestRows(RowChecks):
    """Every row."""


@pytest.mark.parametrize("counts", [[1, 0, 3], 2])
def test_repeat_interleave_by_a_tensor(counts: Any) -> None:
    x = np.arange(12).reshape(3, 4)
    repeats = pydl.tensor(counts) if isinstance(counts, list) else counts
    ours = ops.repeat_interleave(pydl.from_numpy(x), repeats, dim=0)
    np.testing.assert_array_equal(ours.numpy(), np.repeat(x, counts, axis=0))
