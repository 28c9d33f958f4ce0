"""Matrix products."""

from typing import Any

import numpy as np
import pytest
from checks import TAILS, RowChecks
from registry import FLOATS, NUMBERS, row
from scipy import special

import pydl
from pydl import ops
from pydl.errors import ArgumentError, DtypeError, ShapeError

PRODUCTS = [
    ((8, 3), (3, 5)),
    ((3,), (3,)),
    ((3,), (3, 5)),
    ((8, 3), (3,)),
    ((2, 8, 3), (3, 5)),
    ((2, 4, 3), (2, 3, 5)),
    ((8, 3), (2, 3, 5)),
    ((2, 1, 4, 3), (3, 3, 2)),
    ((2, 4, 3), (3,)),
    ((3,), (2, 3, 4)),
    ((1, 3), (3, 1)),
]
EMPTY = [
    ((0, 3), (3, 5)),
    ((8, 0), (0, 5)),
    ((8, 3), (3, 0)),
    ((0, 4, 3), (3, 5)),
    ((0,), (0,)),
    ((0, 4, 3), (0, 3, 5)),
]
SUMS = {"sums": True, "dtypes": NUMBERS}
MIXED = [
    ((pydl.ones(2, 3), pydl.ones(3, 2, dtype=pydl.float64)), DtypeError, "expected one dtype, got float32 and float64")
]


def np_linear(x: Any, w: Any, *bias: Any, activation: str | None = None) -> Any:
    y = x @ w.T + (bias[0] if bias else 0)
    return {None: lambda v: v, "relu": lambda v: np.maximum(v, 0), "tanh": np.tanh, "sigmoid": special.expit}[
        activation
    ](y)


ACTIVATIONS = [{}, {"activation": "relu"}, {"activation": "tanh"}, {"activation": "sigmoid"}]

ROWS = [
    row(
        ops.matmul,
        np.matmul,
        kinds="ff",
        shapes=PRODUCTS + EMPTY,
        tails=lambda n: ((5, n), (n, 3)),
        large=((150, 170), (170, 130)),
        **SUMS,
        errors=[
            *MIXED,
            (
                ((8, 3), (4, 5)),
                ShapeError,
                "matmul: a (8, 3) does not match b (4, 5): expected b of shape (..., 3, ...)",
            ),
            (((), (3,)), ShapeError, "matmul: expected tensors with at least one axis, got () and (3,)"),
            (((2, 4, 3), (5, 3, 2)), ShapeError, "matmul: shapes (2,) and (5,) do not broadcast"),
            (((3, 3), 2.0), DtypeError, "matmul: expected tensors, got float"),
        ],
    ),
    row(
        ops.mm,
        np.matmul,
        kinds="ff",
        shapes=[((8, 3), (3, 5)), ((1, 7), (7, 1))],
        tails=lambda n: ((n, 4), (4, 3)),
        **SUMS,
        errors=[(((2, 8, 3), (3, 5)), ShapeError, "mm: expected 2 axes, got shape (2, 8, 3)")],
    ),
    row(
        ops.bmm,
        np.matmul,
        kinds="ff",
        shapes=[((2, 4, 3), (2, 3, 5)), ((0, 4, 3), (0, 3, 5))],
        tails=lambda n: ((2, 3, 4), (2, 4, n)),
        large=((30, 40, 30), (30, 30, 35)),
        **SUMS,
        errors=[(((2, 4, 3), (1, 3, 5)), ShapeError, "bmm: batch of (2, 4, 3) does not match (1, 3, 5)")],
    ),
    row(
        ops.mv,
        np.matmul,
        kinds="ff",
        shapes=[((4, 3), (3,))],
        tails=lambda n: ((3, n), (n,)),
        large=((400, 301), (301,)),
        **SUMS,
    ),
    row(
        ops.dot,
        np.dot,
        kinds="ff",
        shapes=[((3,), (3,))],
        tails=lambda n: ((n,), (n,)),
        large=((135001,), (135001,)),
        **SUMS,
        errors=[(((3,), (4,)), ShapeError, "does not match b (4,)")],
    ),
    row(
        ops.outer,
        np.outer,
        kinds="ff",
        shapes=[((3,), (4,)), ((0,), (4,))],
        dtypes=NUMBERS,
        errors=[(((3, 1), (4,)), ShapeError, "outer: expected 1 axes, got shape (3, 1)")],
    ),
    row(
        ops.inner,
        np.inner,
        kinds="ff",
        shapes=[((2, 3), (4, 3)), ((3,), (3,)), ((2, 2, 3), (3,)), ((0, 3), (4, 3)), ((), ())],
        errors=[(((3,), (4,)), ShapeError, "inner: (3,) does not match (4,): expected equal last sizes")],
        **SUMS,
    ),
    row(
        ops.addmm,
        lambda c, a, b, beta=1, alpha=1: beta * c + alpha * (a @ b),
        kinds="fff",
        sums=True,
        shapes=[((4, 5), (4, 3), (3, 5)), ((5,), (4, 3), (3, 5))],
        kwargs=[{}, {"beta": 0.5, "alpha": 2.0}, {"beta": 0}],
    ),
    row(
        ops.baddbmm,
        lambda c, a, b, beta=1, alpha=1: beta * c + alpha * (a @ b),
        kinds="fff",
        sums=True,
        shapes=[((2, 4, 5), (2, 4, 3), (2, 3, 5))],
        kwargs=[{}, {"beta": 0.5, "alpha": 2.0}, {"beta": 0}],
    ),
    row(
        ops.linear,
        np_linear,
        kinds="fff",
        kwargs=ACTIVATIONS,
        tails=lambda n: ((4, n), (n + 1, n), (n + 1,)),
        sums=True,
        shapes=[((4, 3), (5, 3), (5,)), ((2, 4, 3), (5, 3), (5,)), ((3,), (5, 3), (5,)), ((0, 3), (5, 3), (5,))],
        large=((200, 70), (90, 70), (90,)),
        slack=2,
        errors=[
            (
                ((32, 100), (10, 128), (10,)),
                ShapeError,
                "linear: input (32, 100) does not match weight (10, 128): expected last dimension 128",
            ),
            (((2, 3), (4, 3), (3,)), ShapeError, "linear: bias (3,) does not match weight (4, 3): expected (4,)"),
            (
                ((2, 3), (4, 3), (4,), {"activation": "gelu"}),
                ArgumentError,
                "activation must be None, 'relu', 'tanh' or 'sigmoid'",
            ),
        ],
    ),
    row(
        ops.linear,
        np_linear,
        name="linear_without_bias",
        kinds="ff",
        shapes=[((4, 3), (5, 3))],
        kwargs=ACTIVATIONS,
        sums=True,
    ),
]


class TestRows(RowChecks):
    """Every row."""


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_every_small_size(dtype: str) -> None:
    """All m, n, k around the tile sizes, each transposed or not."""
    rng = np.random.default_rng(0)
    sizes = [1, 2, 5, 8, 13, 16, 17, 31, 33]
    for m in sizes:
        for n in sizes:
            for k in (1, 3, 16, 33):
                a, b = rng.normal(size=(k, m)).astype(dtype).T, rng.normal(size=(k, n)).astype(dtype)
                tolerance = 1e-5 if dtype == "float32" else 1e-13
                np.testing.assert_allclose(
                    (pydl.from_numpy(a) @ pydl.from_numpy(b)).numpy(), a @ b, rtol=0, atol=tolerance * 30
                )


@pytest.mark.parametrize("shape", [(257, 300, 129), (1, 700, 300), (300, 700, 1), (64, 1030, 64)])
def test_beyond_one_block(shape: tuple[int, int, int]) -> None:
    m, k, n = shape
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(m, k)), rng.normal(size=(k, n))
    for dtype in FLOATS[:2]:
        x, y = a.astype(dtype), b.astype(dtype)
        exact = x.astype(float) @ y.astype(float)
        limit = 8 * np.sqrt(k) * np.finfo(dtype).eps * (np.abs(x).astype(float) @ np.abs(y)).max() / np.sqrt(k)
        assert np.abs((pydl.from_numpy(x) @ pydl.from_numpy(y)).numpy() - exact).max() <= limit


def test_nan_and_infinity_are_not_lost() -> None:
    a = np.ones((20, 20), np.float32)
    a[3, 4], a[7, 8] = np.nan, np.inf
    y = (pydl.from_numpy(a) @ pydl.zeros(20, 20)).numpy()
    assert np.isnan(y[3]).all() and np.isnan(y[7]).all() and (np.delete(y, [3, 7], 0) == 0).all()


def test_half_precision_adds_in_float32() -> None:
    for dtype in (pydl.float16, pydl.bfloat16):
        assert (pydl.ones(4096, dtype=dtype) @ pydl.ones(4096, dtype=dtype)).item() == 4096


def test_integers_wrap_around() -> None:
    a = np.full((3, 4), 2**30, dtype=np.int32)
    with np.errstate(over="ignore"):
        np.testing.assert_array_equal((pydl.from_numpy(a) @ pydl.from_numpy(a.T.copy())).numpy(), a @ a.T)


def test_tails_reach_the_widest_vector() -> None:
    assert max(TAILS) == 2 * 16 + 1
