"""Reductions."""

from typing import Any

import numpy as np
import pytest
from checks import RowChecks
from registry import ALL, FLOATS, INTS, LARGE, row
from scipy import special

import pydl
from pydl import ops
from pydl.errors import ArgumentError, BoundsError, DtypeError, ShapeError

SHAPES = [(3, 4), (2, 3, 5), (4, 1, 3), (1,), (7,)]
NONE = [(), (0, 4), (3, 0)]
DIMS = [{}, {"dim": 0}, {"dim": -1, "keepdim": True}]
PAIRS = [((2, 3, 5), {"dim": (0, 2)}), ((2, 3, 5), {"dim": [-1, 0], "keepdim": True}), ((), {"dim": 0}), ((), {})]
BAD_DIM = [
    (((3, 4), {"dim": 2}), BoundsError, "dim 2 is out of range: expected one in [-2, 1]"),
    (((3, 4), {"dim": (0, -2)}), ShapeError, "appears twice"),
]


def over(fn: Any, **fixed: Any) -> Any:
    """A NumPy reduction with dim and keepdim."""

    def reference(x: Any, dim: Any = None, keepdim: bool = False, **rest: Any) -> Any:
        axis = tuple(dim) if isinstance(dim, list) else dim
        axis = None if np.ndim(x) == 0 else axis
        return fn(x, axis=axis, keepdims=keepdim, **fixed, **rest)

    return reference


def whole(dtype: str) -> str:
    return dtype if dtype in FLOATS else "int64"


def reduction(fn: Any, reference: Any, **options: Any) -> Any:
    rest = {"shapes": SHAPES, "kwargs": DIMS, "cases": PAIRS, "tails": lambda n: ((3, n),), "large": (LARGE,)}
    return row(fn, reference, **rest | {"errors": BAD_DIM} | options)


def np_norm(x: Any, p: Any = 2.0, dim: Any = None, keepdim: bool = False) -> Any:
    power = 2.0 if p == "fro" else p
    axis = tuple(range(x.ndim)) if dim is None else dim
    if np.isinf(power):
        return (np.max if power > 0 else np.min)(np.abs(x), axis=axis, keepdims=keepdim)
    if power == 0:
        return np.sum(x != 0, axis=axis, keepdims=keepdim).astype(x.dtype)
    return np.sum(np.abs(x) ** power, axis=axis, keepdims=keepdim) ** (1 / power)


def np_mean(x: Any, dim: Any = None, keepdim: bool = False, **_: Any) -> Any:
    return np.mean(x, axis=dim, keepdims=keepdim)


def np_var(x: Any, dim: Any = None, unbiased: bool = True, keepdim: bool = False, correction: Any = None) -> Any:
    less = int(unbiased) if correction is None else correction
    return np.var(x, axis=tuple(dim) if isinstance(dim, list) else dim, keepdims=keepdim, ddof=less)


def np_logsumexp(x: Any, dim: Any, keepdim: bool = False) -> Any:
    return special.logsumexp(x, axis=dim, keepdims=keepdim) if np.ndim(x) else x


def extremes(arg: Any, best: Any) -> Any:
    def reference(x: Any, dim: Any = None, keepdim: bool = False) -> Any:
        if dim is None:
            return best(x)
        if np.ndim(x) == 0:
            return x, np.int64(0)
        return best(x, axis=dim, keepdims=keepdim), arg(x, axis=dim, keepdims=keepdim)

    return reference


VARIANCES = [{}, {"dim": 0}, {"dim": -1, "unbiased": False}, {"correction": 0.5, "keepdim": True}]
SPREAD = {"shapes": [(3, 4), (5, 3, 4)], "layouts": False, "large": (LARGE,), "tails": lambda n: ((n + 1, 5),)}
WITHOUT_NAN = [((3, 4), {}), ((3, 4), {"dim": 0}), ((2, 3, 4), {"dim": (0, 2)})]
EMPTY = [(((0, 3), {"dim": 0}), ShapeError, "is empty: expected at least one element")]
ARG_EMPTY = [(((0, 3), {"dim": 0}), ShapeError, "expected at least one element, got shape (0, 3)")]
INT_ONLY = [((pydl.tensor([1, 2]),), DtypeError, "mean: expected a floating dtype, got pydl.int64")]

ROWS = [
    reduction(ops.sum, over(np.sum), sums=True, shapes=SHAPES + NONE, dtypes=ALL, result=whole),
    reduction(ops.mean, over(np.mean), sums=True, errors=INT_ONLY),
    reduction(
        ops.prod,
        over(np.prod),
        shapes=SHAPES + NONE,
        low=0.5,
        whole=(-2, 2),
        dtypes=ALL,
        result=whole,
        slack=4,
        large=((350, 301),),
        kwargs=[{"dim": -1}, {}, {"dim": 0, "keepdim": True}],
    ),
    reduction(ops.amax, over(np.max), dtypes=ALL, errors=EMPTY),
    reduction(ops.amin, over(np.min), dtypes=ALL, errors=EMPTY),
    reduction(ops.any, over(np.any), shapes=SHAPES + NONE, whole=(0, 1), dtypes=ALL, grad=False),
    reduction(ops.all, over(np.all), shapes=SHAPES + NONE, whole=(0, 1), dtypes=ALL, grad=False),
    reduction(
        ops.argmax,
        over(np.argmax),
        cases=PAIRS[2:],
        dtypes=ALL,
        grad=False,
        errors=BAD_DIM[:1],
        result=lambda d: "int64",
    ),
    reduction(
        ops.argmin,
        over(np.argmin),
        cases=PAIRS[2:],
        dtypes=ALL,
        grad=False,
        errors=BAD_DIM[:1],
        result=lambda d: "int64",
    ),
    row(
        ops.max,
        extremes(np.argmax, np.max),
        shapes=SHAPES,
        kwargs=DIMS,
        cases=PAIRS[2:],
        errors=ARG_EMPTY,
        tails=lambda n: ((3, n),),
    ),
    row(
        ops.min,
        extremes(np.argmin, np.min),
        shapes=SHAPES,
        kwargs=DIMS,
        cases=PAIRS[2:],
        errors=ARG_EMPTY,
        tails=lambda n: ((3, n),),
    ),
    row(
        ops.cumsum,
        lambda x, dim: np.cumsum(x, dim) if np.ndim(x) else x,
        shapes=[*SHAPES, (0, 4), ()],
        kwargs=[{"dim": 0}, {"dim": -1}],
        dtypes=ALL,
        result=whole,
        tails=lambda n: ((n,),),
        large=(LARGE,),
        errors=[(((3, 4), 2), BoundsError, "cumsum: dim 2 is out of range")],
        sums=True,
    ),
    row(
        ops.var,
        np_var,
        kwargs=VARIANCES,
        sums=True,
        **SPREAD,
        errors=[((pydl.tensor([1, 2]),), DtypeError, "expected a floating dtype")],
    ),
    row(ops.std, lambda x, **k: np.sqrt(np_var(x, **k)), kwargs=VARIANCES, slack=2, **SPREAD),
    row(ops.var_mean, lambda x, **k: (np_var(x, **k), np_mean(x, **k)), kwargs=VARIANCES, sums=True, **SPREAD),
    row(ops.std_mean, lambda x, **k: (np.sqrt(np_var(x, **k)), np_mean(x, **k)), kwargs=VARIANCES, sums=True, **SPREAD),
    row(
        ops.count_nonzero,
        lambda x, dim=None: np.asarray(np.count_nonzero(x, axis=dim)),
        shapes=[],
        cases=WITHOUT_NAN,
        whole=(0, 1),
        dtypes=ALL,
        grad=False,
        result=lambda d: "int64",
    ),
    row(ops.nansum, over(np.nansum), shapes=[], cases=WITHOUT_NAN, sums=True),
    row(ops.nanmean, over(np.nanmean), shapes=[], cases=WITHOUT_NAN, sums=True),
    row(
        ops.aminmax,
        lambda x, dim=None, keepdim=False: (
            np.min(x, axis=dim, keepdims=keepdim),
            np.max(x, axis=dim, keepdims=keepdim),
        ),
        shapes=SHAPES,
        kwargs=DIMS,
    ),
    row(
        ops.cumprod,
        lambda x, dim: np.cumprod(x, dim) if np.ndim(x) else x,
        shapes=[*SHAPES, (0, 4), ()],
        kwargs=[{"dim": 0}, {"dim": -1}],
        dtypes=ALL,
        whole=(-2, 2),
        result=whole,
        tails=lambda n: ((2, n),),
        slack=4,
        low=0.3,
        errors=[(((3, 4), 2), BoundsError, "cumprod: dim 2 is out of range")],
    ),
    row(
        ops.diff,
        lambda x, n=1, dim=-1: np.diff(x, n, dim),
        shapes=[(3, 4), (1,), (2, 3, 5), (0, 4)],
        kwargs=[{}, {"n": 2}, {"dim": 0}, {"n": 0}],
        dtypes=ALL,
        sums=False,
        slack=2,
        errors=[(((),), ArgumentError, "diff: expected at least one axis and n >= 0, got shape () and n 1")],
    ),
    row(
        ops.logsumexp,
        np_logsumexp,
        shapes=SHAPES,
        kwargs=[{"dim": 0}, {"dim": -1, "keepdim": True}],
        cases=[PAIRS[0]],
        tails=lambda n: ((3, n),),
        large=(LARGE,),
        slack=2,
    ),
    row(
        ops.norm,
        np_norm,
        shapes=SHAPES,
        low=0.2,
        kwargs=[
            {},
            {"p": 1},
            {"p": 3.0, "dim": 0},
            {"p": 0, "dim": -1},
            {"p": float("inf"), "dim": 0, "keepdim": True},
            {"p": -float("inf")},
            {"p": "fro", "dim": -1},
        ],
        slack=2,
        large=(LARGE,),
        errors=[
            (((3,), {"p": "two"}), ArgumentError, "norm: p must be a number, 'fro' or 'nuc', got 'two'"),
            (((3,), {"p": "nuc"}), ArgumentError, "norm: 'nuc' needs two dims"),
        ],
    ),
]


class TestRows(RowChecks):
    """Every row."""


@pytest.mark.parametrize("name", ["amax", "amin", "max", "min", "argmax", "argmin"])
def test_nan_wins(name: str) -> None:
    """As in torch: NaN is the extreme, the first of several."""
    torch = pytest.importorskip("torch")
    for at in (0, 3, 17, 39):
        x = np.random.default_rng(0).normal(size=(2, 40)).astype(np.float32)
        x[0, at], x[1, 39] = np.nan, np.nan
        kwargs = {} if name[:2] == "am" else {"dim": 1}
        ours, theirs = getattr(ops, name)(pydl.tensor(x), **kwargs), getattr(torch, name)(torch.tensor(x), **kwargs)
        if name in ("max", "min"):
            np.testing.assert_array_equal(ours.indices.numpy(), theirs.indices.numpy())
            ours, theirs = ours.values, theirs.values
        np.testing.assert_array_equal(ours.numpy(), theirs.numpy())


def test_equal_extremes() -> None:
    """The first position; amax shares the gradient among equals, max gives it to the first."""
    x = pydl.tensor([[1.0, 3.0, 3.0], [2.0, 2.0, 2.0]], requires_grad=True)
    assert ops.argmax(x, 1).tolist() == [1, 0]
    ops.amax(x, 1).sum().backward()
    np.testing.assert_allclose(x.grad.numpy(), [[0, 0.5, 0.5], [1 / 3, 1 / 3, 1 / 3]], rtol=1e-6)
    x.grad = None
    ops.max(x, 1).values.sum().backward()
    assert x.grad.tolist() == [[0, 1, 0], [1, 0, 0]]


def test_products_with_zeros() -> None:
    """Gradients of a product that is 0, once and twice over, to second order."""
    for zeros in ([1], [1, 3], []):
        x = np.random.default_rng(0).uniform(0.5, 2, (2, 5))
        x[0, zeros] = 0
        t = pydl.tensor(x, requires_grad=True)
        assert pydl.autograd.gradcheck(lambda t: ops.prod(t, 1), t)
        assert pydl.autograd.gradgradcheck(lambda t: ops.prod(t, 1), t)


@pytest.mark.parametrize("fn", [ops.max, ops.min])
def test_two_tensors(fn: Any) -> None:
    a, b = np.array([1.0, 5.0]), np.array([2.0, 4.0])
    expected = (np.maximum if fn is ops.max else np.minimum)(a, b)
    np.testing.assert_array_equal(fn(pydl.tensor(a), pydl.tensor(b)).numpy(), expected)


def test_logsumexp_of_infinities() -> None:
    x = pydl.tensor([[-np.inf, -np.inf], [np.inf, 0.0], [1e4, 1e4], [-1e4, -1e4]])
    expected = [-np.inf, np.inf, 1e4 + np.log(2), -1e4 + np.log(2)]
    np.testing.assert_allclose(ops.logsumexp(x, 1).numpy(), expected, rtol=1e-6)
    assert ops.logsumexp(pydl.zeros(3, 0), 1).tolist() == [-np.inf] * 3


@pytest.mark.parametrize("dtype", [pydl.float32, pydl.float64, pydl.float16])
def test_logsumexp_of_long_rows(dtype: Any) -> None:
    """Rows in several pieces, with infinities and NaN, and their gradients."""
    x = np.random.default_rng(0).normal(0, 2, (4, 70000)).astype(np.float16)
    x[1, 50000], x[2, 3], x[3, :] = np.inf, np.nan, -np.inf
    wide = x.astype(np.float64)
    t = pydl.tensor(x).to(dtype).requires_grad_()
    y = ops.logsumexp(t, 1, keepdim=True)
    expected = special.logsumexp(wide, axis=1, keepdims=True)
    rtol = 1e-3 if dtype is pydl.float16 else 1e-6
    np.testing.assert_allclose(y.detach().to(pydl.float64).numpy(), expected, rtol=rtol)
    (g,) = pydl.autograd.grad(y[0].sum(), [t])
    slope = np.exp(wide[0] - expected[0])
    np.testing.assert_allclose(g[0].to(pydl.float64).numpy(), slope, rtol=1e-2 if rtol > 1e-6 else 1e-5, atol=1e-7)


def test_variance_of_a_large_mean() -> None:
    """Two passes: a mean of 1e4 does not drown a variance of 1."""
    x = np.random.default_rng(0).normal(1e4, 1, (3, 500)).astype(np.float32)
    np.testing.assert_allclose(ops.var(pydl.tensor(x), 1).numpy(), np.var(x.astype(float), axis=1, ddof=1), rtol=1e-4)


def test_variance_of_too_few() -> None:
    assert np.isnan(ops.var(pydl.ones(1, 3), 0).numpy()).all()
    assert ops.var(pydl.tensor([1.0, 3.0]), False).item() == 1.0  # torch.var(x, unbiased)


def test_norm_of_zero_has_slope_zero() -> None:
    for p in (1, 2, 3):
        x = pydl.zeros(3, requires_grad=True)
        ops.norm(x, p).backward()
        assert x.grad.tolist() == [0, 0, 0]


def test_dtype_of_a_sum() -> None:
    x = pydl.ones(3, dtype=pydl.float16)
    assert ops.sum(x, dtype=pydl.float64).dtype is pydl.float64
    assert ops.prod(x, dtype=pydl.float32).dtype is pydl.float32
    assert ops.mean(pydl.tensor([1, 2]), dtype=pydl.float32).item() == 1.5
    assert ops.cumsum(x, 0, dtype=pydl.float64).dtype is pydl.float64


def test_half_precision_sums_in_float32() -> None:
    """4096 ones would stop at 2048 in float16 and at 256 in bfloat16."""
    for dtype in (pydl.float16, pydl.bfloat16):
        assert ops.sum(pydl.ones(4096, dtype=dtype)).item() == 4096


@pytest.mark.parametrize("dtype", INTS)
def test_sum_of_integers_is_int64(dtype: str) -> None:
    x = pydl.full((1000,), 200, dtype=getattr(pydl, dtype))
    assert ops.sum(x).item() == 200_000


def test_sums_without_nan() -> None:
    x = np.array([[1.0, np.nan, 3.0], [np.nan, np.nan, np.nan]])
    assert ops.nansum(pydl.tensor(x), 1).tolist() == [4, 0]
    assert ops.nanmean(pydl.tensor(x), 1)[0].item() == 2 and np.isnan(ops.nanmean(pydl.tensor(x), 1)[1].item())
