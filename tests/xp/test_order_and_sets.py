"""Searching, sorting and sets of pydl.xp against NumPy."""

from typing import Any

import numpy as np
import pytest
from agreement import FLOATS, INTS, A, same

import pydl
from pydl import xp
from pydl.errors import ArgumentError, BoundsError, DtypeError, ShapeError


@pytest.mark.parametrize("dtype", [*INTS, *FLOATS])
def test_order(dtype: str) -> None:
    """Stable both ways."""
    a = np.random.default_rng(1).integers(0, 4, (3, 20)).astype(dtype)
    x = pydl.tensor(a)
    for axis in (-1, 0):
        same(xp.sort(x, axis=axis), np.sort(a, axis=axis))
        same(xp.argsort(x, axis=axis), np.argsort(a, axis=axis, kind="stable"))
        turned = np.argsort(-a.astype(np.float64), axis=axis, kind="stable")
        same(xp.argsort(x, axis=axis, descending=True), turned)
        same(xp.sort(x, axis=axis, descending=True, stable=False), np.take_along_axis(a, turned, axis))
    for keepdims in (False, True):
        for axis in (None, 0, 1):
            same(xp.argmax(x, axis=axis, keepdims=keepdims), np.argmax(a, axis=axis, keepdims=keepdims))
            same(xp.argmin(x, axis=axis, keepdims=keepdims), np.argmin(a, axis=axis, keepdims=keepdims))
    for mine, theirs in zip(xp.nonzero(x), np.nonzero(a), strict=True):
        same(mine, theirs)
    vector, wanted = np.sort(a[0]), a[1:]
    for side in ("left", "right"):
        same(
            xp.searchsorted(pydl.tensor(vector), pydl.tensor(wanted), side=side), np.searchsorted(vector, wanted, side)
        )
        sorter = np.argsort(a[0], kind="stable")
        same(xp.searchsorted(x[0], pydl.tensor(wanted), side=side, sorter=pydl.tensor(sorter)),
             np.searchsorted(a[0], wanted, side, sorter))  # fmt: skip


def test_order_errors() -> None:
    x = xp.asarray([1.0, 2.0])
    calls: list[tuple[Any, Any]] = [
        (lambda: xp.sort(xp.asarray(1.0)), ShapeError),
        (lambda: xp.sort(x, axis=1), BoundsError),
        (lambda: xp.sort(xp.asarray([True])), DtypeError),
        (lambda: xp.nonzero(xp.asarray(1)), ShapeError),
        (lambda: xp.searchsorted(x, x, side="middle"), ArgumentError),
        (lambda: xp.searchsorted(xp.ones((2, 2)), x), ShapeError),
        (lambda: xp.searchsorted(x, xp.asarray([1])), DtypeError),
        (lambda: xp.where(x, x, x), DtypeError),
        (lambda: xp.where(x > 0, 1.0, 2.0), DtypeError),
        (lambda: xp.where(x > 0, x, xp.asarray([1, 2])), DtypeError),
    ]
    for call, error in calls:
        with pytest.raises(error):
            call()


@pytest.mark.parametrize("dtype", ["bool", *INTS, *FLOATS, "bfloat16"])
def test_sets(dtype: str) -> None:
    a = np.array([[3, 1, 2, 1], [2, 2, 0, 3]]).astype("float64" if dtype == "bfloat16" else dtype)
    x = pydl.tensor(a, dtype=getattr(pydl, dtype))
    made, theirs = xp.unique_all(x), np.unique_all(a)
    assert made.values.dtype is x.dtype and made.inverse_indices.shape == x.shape
    for field in made._fields:
        assert getattr(made, field).tolist() == getattr(theirs, field).tolist(), field
    assert xp.unique_values(x).tolist() == theirs.values.tolist()
    assert [t.tolist() for t in xp.unique_counts(x)] == [theirs.values.tolist(), theirs.counts.tolist()]
    each = xp.unique_all(xp.asarray([np.nan, 1.0, np.nan, 0.0, -0.0]))  # each NaN is one value
    assert each.values.shape == (4,) and sorted(each.counts.tolist()) == [1, 1, 1, 2]
    assert [t.tolist() for t in xp.unique_inverse(x)] == [theirs.values.tolist(), theirs.inverse_indices.tolist()]


def test_gradients_pass_through() -> None:
    """The namespace is the same differentiable operations."""
    x = pydl.tensor(A[0]).requires_grad_()
    y = xp.sum(xp.sort(xp.maximum(x, xp.flip(x)), axis=0) * xp.clip(xp.exp(x), 0.1, 2.0)) + xp.mean(
        xp.take(x, xp.asarray([1]), axis=0)
    )
    (g,) = pydl.autograd.grad(y, x)
    assert g.shape == x.shape and bool(xp.any(g != 0))
    assert pydl.autograd.gradcheck(lambda t: xp.linalg.trace(xp.matmul(t, t.mT)) + xp.var(t) + xp.copysign(t, -t), [x])
