"""Differences, slopes, norms and moments."""

from typing import Any

import numpy as np
import pytest
from checks import RowChecks
from registry import row

import pydl
from pydl import ops
from pydl.errors import ArgumentError, ShapeError

FLOAT = ("float64", "float32")


def np_gradient(x: Any, spacing: Any = 1, dim: Any = None, edge_order: int = 1) -> Any:
    made = np.gradient(x, *(spacing if isinstance(spacing, list) else [spacing]), axis=dim, edge_order=edge_order)
    return tuple(made) if isinstance(made, (list, tuple)) else (made,)


def np_renorm(x: Any, p: float, dim: int, maxnorm: float) -> Any:
    axes = tuple(i for i in range(x.ndim) if i != dim % x.ndim)
    size = (np.abs(x) ** p).sum(axis=axes, keepdims=True) ** (1 / p)
    return x * np.where(size > maxnorm, maxnorm / (size + 1e-7), 1.0)


def np_cov(x: Any, correction: int = 1) -> Any:
    return np.cov(x, ddof=correction)


ROWS = [
    row(
        ops.gradient,
        np_gradient,
        shapes=[(5,), (4, 3)],
        kwargs=[{}, {"edge_order": 2}, {"spacing": 0.5}, {"dim": 0}],
        cases=[((3, 4), {"spacing": [0.5, 2.0], "edge_order": 2}), ((3, 4), {"dim": (1, 0)})],
        dtypes=FLOAT,
        sums=True,
        slack=4,
        errors=[
            (((1,),), ShapeError, "gradient: expected at least 2 samples along dim 0"),
            (((3,), {"spacing": [1.0, 2.0]}), ArgumentError, "gradient: expected one spacing per dim"),
        ],
    ),
    row(
        ops.renorm,
        np_renorm,
        shapes=[(3, 4), (2, 3, 4)],
        kwargs=[{"p": 2, "dim": 0, "maxnorm": 1.0}, {"p": 1, "dim": -1, "maxnorm": 5.0}],
        dtypes=FLOAT,
        errors=[(((3,), 2, 0, 1.0), ArgumentError, "renorm: expected p > 0, maxnorm >= 0 and at least 2 axes")],
    ),
    row(
        ops.cov,
        np_cov,
        shapes=[(3, 5), (6,)],
        kwargs=[{}, {"correction": 0}],
        layouts=False,
        dtypes=FLOAT,
        sums=True,
        slack=4,
        errors=[(((2, 2, 2),), ShapeError, "cov: expected at most 2 axes")],
    ),
    row(ops.corrcoef, np.corrcoef, shapes=[(3, 5), (2, 9)], layouts=False, dtypes=FLOAT, slack=16),
]


class TestRows(RowChecks):
    """Every row."""


def test_weighted_covariances() -> None:
    rng = np.random.default_rng(0)
    x, counts, weights = rng.standard_normal((3, 6)), np.array([1, 2, 3, 1, 1, 2]), rng.random(6)
    for f, a in [(counts, None), (None, weights), (counts, weights)]:
        given = {"fweights": f if f is None else pydl.tensor(f), "aweights": a if a is None else pydl.tensor(a)}
        np.testing.assert_allclose(ops.cov(pydl.tensor(x), **given).numpy(), np.cov(x, fweights=f, aweights=a))


def test_slopes_at_uneven_places() -> None:
    x, at = np.array([1.0, 2.0, 4.0, 7.0, 11.0]), np.array([0.0, 1.0, 1.5, 3.5, 4.0])
    for order in (1, 2):
        ours = ops.gradient(pydl.tensor(x), spacing=(pydl.tensor(at),), edge_order=order)[0]
        np.testing.assert_allclose(ours.numpy(), np.gradient(x, at, edge_order=order))


def test_differences_with_ends() -> None:
    x = np.array([1.0, 4.0, 9.0])
    ours = ops.diff(
        pydl.tensor(x),
        prepend=pydl.tensor(0.0, dtype=pydl.float64),
        append=pydl.tensor([16.0, 25.0], dtype=pydl.float64),
    )
    np.testing.assert_array_equal(ours.numpy(), np.diff(x, prepend=0.0, append=[16.0, 25.0]))


def test_norms_in_half_precision_do_not_overflow() -> None:
    assert ops.norm(pydl.full((100,), 1000.0).half()).item() == 10000


def test_products_so_far_at_zeros() -> None:
    """First and second derivatives where a factor is 0, against torch."""
    torch = pytest.importorskip("torch")
    grads = []
    for lib in (pydl, torch):
        x = lib.tensor([2.0, 0.0, 3.0, 0.5], dtype=lib.float64, requires_grad=True)
        w = lib.tensor([1.0, -2.0, 0.5, 3.0], dtype=lib.float64)
        first = lib.autograd.grad((lib.cumprod(x, 0) * w).sum(), x, create_graph=True)[0]
        grads.append([first.tolist(), lib.autograd.grad((first * w).sum(), x)[0].tolist()])
    np.testing.assert_allclose(grads[0], grads[1])
