"""Running extremes, running log-sums, the trapezoidal rule."""

from typing import Any

import numpy as np
import pytest
from checks import RowChecks
from registry import FLOATS, row
from scipy import integrate

import pydl
from pydl import ops
from pydl.errors import BoundsError, DtypeError, ShapeError

PAIRS = (*FLOATS, "int64")  # of (values, indices): the row says one dtype for both; the others are tested below
SHAPES = [(3, 4), (2, 3, 5), (4, 1, 3), (1,), (5,), (7,), (0, 4), (0, 3)]
DIMS: list[dict[str, Any]] = [{"dim": 0}, {"dim": -1}]
BAD_DIM = (((3, 4), {"dim": 2}), BoundsError, "dim 2 is out of range: expected one in [-2, 1]")


def running(ufunc: Any) -> Any:
    def reference(x: Any, dim: int) -> Any:
        if not np.ndim(x):
            return x, np.zeros((), np.int64)
        y = ufunc.accumulate(x, dim)
        count = np.arange(x.shape[dim]).reshape([-1 if i == dim % x.ndim else 1 for i in range(x.ndim)])
        return y, np.maximum.accumulate(np.where(x == y, count, 0), dim)

    return reference


def np_logcumsumexp(x: Any, dim: int) -> Any:
    return np.logaddexp.accumulate(x, dim) if np.ndim(x) and x.size else x


def np_trapezoid(y: Any, x: Any = None, dx: Any = None, dim: int = -1) -> Any:
    return integrate.trapezoid(y, x, 1.0 if dx is None else dx, dim)


def np_cumulative(y: Any, x: Any = None, dx: Any = None, dim: int = -1) -> Any:
    return integrate.cumulative_trapezoid(y, x, 1.0 if dx is None else dx, dim)


POINTS = [((5,), (5,)), ((3, 4), (4,)), ((3, 4), (3, 4)), ((2, 3, 5), (5,)), ((1, 2), (2,))]
APART: list[dict[str, Any]] = [{}, {"dim": 0}, {"dx": 0.25}, {"dim": 0, "dx": 2.0}]
FULL = [(3, 4), (2, 3, 5), (4, 2, 3), (2, 1), (5,), (7,)]
BAD = [
    (((),), ShapeError, "expected at least one axis, got shape ()"),
    (((3,), (4,)), ShapeError, "x (4,) does not match y (3,)"),
    (((3, 4), (3,)), ShapeError, "x (3,) does not match y (3, 4): expected 4 points along dim -1"),
    (((3, 4), (4,), {"dx": 1.0}), DtypeError, "expected x or dx, got both"),
    BAD_DIM,
]

ROWS = [
    row(
        ops.cummax,
        running(np.maximum),
        shapes=[*SHAPES, ()],
        kwargs=DIMS,
        dtypes=PAIRS,
        tails=lambda n: ((3, n),),
        large=((3, 35001, 2),),
        errors=[BAD_DIM],
    ),
    row(
        ops.cummin,
        running(np.minimum),
        shapes=[*SHAPES, ()],
        kwargs=DIMS,
        dtypes=PAIRS,
        tails=lambda n: ((3, n),),
        errors=[BAD_DIM],
    ),
    row(
        ops.logcumsumexp,
        np_logcumsumexp,
        shapes=[*SHAPES, ()],
        kwargs=DIMS,
        slack=2,
        tails=lambda n: ((n, 2),),
        errors=[BAD_DIM, ((pydl.tensor([1, 2]), 0), DtypeError, "logcumsumexp: expected a floating dtype, got")],
    ),
    row(
        ops.trapezoid,
        np_trapezoid,
        shapes=FULL,
        kwargs=APART,
        sums=True,
        errors=BAD,
        dtypes=(*FLOATS, "int64"),
        result=lambda d: "float32" if d == "int64" else d,
        covers=["trapz"],
    ),
    row(ops.trapezoid, np_trapezoid, name="trapezoid_of_points", kinds="ff", shapes=POINTS, sums=True, slack=2),
    row(ops.cumulative_trapezoid, np_cumulative, shapes=FULL, kwargs=APART, sums=True, errors=BAD),
    row(
        ops.cumulative_trapezoid,
        np_cumulative,
        name="cumulative_trapezoid_of_points",
        kinds="ff",
        shapes=POINTS,
        sums=True,
        slack=2,
    ),
]


class TestRows(RowChecks):
    """Every row."""


@pytest.mark.parametrize("name", ["cummax", "cummin"])
def test_extremes_as_torch(name: str) -> None:
    """Ties give the last index; NaN stays, with the index of the latest."""
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(0)
    for shape, dim in (((300,), 0), ((5, 40, 70), 1), ((5, 40, 70), 2)):
        x = np.round(rng.normal(size=shape) * 3)
        x[..., -7::3] = np.nan
        for dtype in ("float32", "float64", "float16", "bfloat16", "int64", "uint8", "bool"):
            whole = np.abs(np.nan_to_num(x)) if dtype in ("uint8", "bool", "int64") else x
            ours = getattr(ops, name)(pydl.tensor(whole).to(getattr(pydl, dtype)), dim)
            theirs = getattr(torch, name)(torch.tensor(whole).to(getattr(torch, dtype)), dim)
            np.testing.assert_array_equal(ours.indices.numpy(), theirs.indices.numpy())
            np.testing.assert_array_equal(ours.values.double().numpy(), theirs.values.double().numpy())


def test_logcumsumexp_of_large_and_infinite_numbers() -> None:
    torch = pytest.importorskip("torch")
    x = np.array([-np.inf, -np.inf, -800.0, 0.0, 800.0, 801.0, -900.0])
    ours, theirs = pydl.tensor(x, requires_grad=True), torch.tensor(x, requires_grad=True)
    made, expected = ops.logcumsumexp(ours, 0), torch.logcumsumexp(theirs, 0)
    np.testing.assert_allclose(made.detach().numpy(), expected.detach().numpy(), rtol=1e-14)
    made[2:].sum().backward()
    expected[2:].sum().backward()
    np.testing.assert_allclose(ours.grad.numpy()[2:], theirs.grad.numpy()[2:], rtol=1e-12)
    assert ops.logcumsumexp(pydl.tensor([1.0, np.inf, 2.0]), 0).tolist()[1:] == [np.inf, np.inf]


def test_running_extremes_meet_nan() -> None:
    """NaN wins from where it stands on; of equal elements the last counts."""
    torch = pytest.importorskip("torch")
    x = [1.0, 3.0, 3.0, float("nan"), 5.0, float("nan"), 2.0]
    for name in ("cummax", "cummin"):
        ours, theirs = getattr(pydl.tensor(x), name)(0), getattr(torch.tensor(x), name)(0)
        np.testing.assert_array_equal(ours.values.numpy(), theirs.values.numpy())
        np.testing.assert_array_equal(ours.indices.numpy(), theirs.indices.numpy())


def test_logcumsumexp_of_extremes() -> None:
    x = [-1000.0, 0.0, 1000.0, float("-inf"), 1000.0]
    made = ops.logcumsumexp(pydl.tensor(x, dtype=pydl.float64), 0)
    np.testing.assert_allclose(made.numpy(), np.logaddexp.accumulate(x))


def test_trapezoids_as_torch() -> None:
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(0)
    y, x = rng.normal(size=(3, 4, 5)), rng.normal(size=(4, 1))
    for name in ("trapezoid", "cumulative_trapezoid"):
        ours, theirs = getattr(ops, name), getattr(torch, name)
        np.testing.assert_allclose(
            ours(pydl.tensor(y), pydl.tensor(x), dim=1).numpy(), theirs(torch.tensor(y), torch.tensor(x), dim=1).numpy()
        )
        few = pydl.zeros(3, 1)
        assert ours(few).tolist() == theirs(torch.zeros(3, 1)).tolist()
