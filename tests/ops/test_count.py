"""Distinct elements, counts, histograms, look-up in sorted rows, combinations."""

import itertools
from typing import Any

import numpy as np
import pytest
from checks import RowChecks
from registry import ALL, INTS, row

import pydl
from pydl import ops
from pydl.autograd import gradcheck, gradgradcheck
from pydl.errors import ArgumentError, BoundsError, DtypeError, ShapeError

KINDS = ("float32", "float64", "float16", "bfloat16", "int64", "int32", "uint8", "bool")


def np_unique(x: Any, return_inverse: bool = False, return_counts: bool = False, dim: int | None = None) -> Any:
    made = np.unique(x, return_inverse=return_inverse, return_counts=return_counts, axis=dim if np.ndim(x) else None)
    if return_inverse:
        made = list(made)
        made[1] = made[1].reshape(np.shape(x)) if dim is None or not np.ndim(x) else made[1].reshape(-1)
    return tuple(made) if return_inverse or return_counts else made


def np_consecutive(x: Any, return_inverse: bool = False, return_counts: bool = False, dim: int | None = None) -> Any:
    slices = x.reshape(-1) if dim is None else np.moveaxis(x, dim, 0)
    new = np.array([i == 0 or bool((slices[i] != slices[i - 1]).any()) for i in range(len(slices))], dtype=bool)
    values = slices[new] if dim is None else np.moveaxis(slices[new], 0, dim)
    inverse, counts = np.cumsum(new) - 1, np.diff([*np.flatnonzero(new), len(new)])
    inverse = inverse.reshape(x.shape) if dim is None else inverse
    made = [values, *[inverse] * return_inverse, *[counts] * return_counts]
    return tuple(made) if len(made) > 1 else values


def np_histc(x: Any, bins: int = 100, min: float = 0, max: float = 0) -> Any:
    limits = None if min == max == 0 else (min, max)
    if limits is None and (not x.size or np.min(x) == np.max(x)):
        middle = np.min(x) if x.size else 0
        limits = (middle - 1, middle + 1)
    return np.histogram(x, bins, limits)[0].astype(float)


def np_histogram(x: Any, weight: Any = None, bins: Any = 10, range: Any = None, density: bool = False) -> Any:
    edges = bins.numpy().astype(float) if isinstance(bins, pydl.Tensor) else bins
    hist, edges = np.histogram(x, edges, range, density, weight)
    return hist.astype(float), edges.astype(float)


def np_search(edges: Any, x: Any, right: bool = False, **rest: Any) -> Any:
    side = "right" if right or rest.get("side") == "right" else "left"
    edges = np.sort(edges, -1)
    if edges.ndim == 1:
        found = np.searchsorted(edges, x, side)
    else:
        rows = zip(edges.reshape(-1, edges.shape[-1]), x.reshape(-1, x.shape[-1]), strict=True)
        found = np.array([np.searchsorted(e, v, side) for e, v in rows]).reshape(x.shape)
    return np.asarray(found).astype(np.int32 if rest.get("out_int32") else np.int64)


def sorted_first(edges: Any, x: Any, **rest: Any) -> Any:
    return ops.searchsorted(ops.sort(edges).values, x, **rest)


def np_combinations(x: Any, r: int = 2, with_replacement: bool = False) -> Any:
    ways = (itertools.combinations_with_replacement if with_replacement else itertools.combinations)(x, r)
    made = np.array(list(ways), dtype=x.dtype)
    return made.reshape(-1, r) if r else made.reshape(-1)[:0]


ASKED: list[dict[str, Any]] = [{}, {"return_inverse": True}, {"return_counts": True, "return_inverse": True}]
BINS = [{"bins": 5}, {"bins": 4, "min": -1, "max": 2}]
EDGES = pydl.tensor([-1.5, -0.5, 0.25, 2.0], dtype=pydl.float64)

ROWS = [
    row(
        ops.unique,
        np_unique,
        shapes=[(3, 4), (), (40,), (0,), (2, 3, 5)],
        kwargs=ASKED,
        cases=[((6, 2), {"dim": 0}), ((2, 9), {"dim": -1, "return_inverse": True, "return_counts": True})],
        whole=(0, 3),
        dtypes=("float64", "float32", "int64"),
        errors=[(((3, 4), {"dim": 2}), BoundsError, "unique: dim 2 is out of range")],
        grad=False,
    ),
    row(
        ops.unique,
        np_unique,
        name="unique_values",
        shapes=[(3, 4), (7,)],
        cases=[((6, 2), {"dim": 0})],
    ),
    row(
        ops.unique_consecutive,
        np_consecutive,
        shapes=[(3, 4), (), (40,), (0,)],
        kwargs=ASKED,
        cases=[((6, 1), {"dim": 0}), ((1, 9), {"dim": -1, "return_inverse": True, "return_counts": True})],
        whole=(0, 1),
        dtypes=("float64", "float32", "int64"),
        errors=[(((3, 4), {"dim": 2}), BoundsError, "unique_consecutive: dim 2 is out of range")],
    ),
    row(
        ops.bincount,
        lambda x, **k: np.bincount(x.astype(np.int64), **k),
        shapes=[(40,), (1,), (0,)],
        kwargs=[{}, {"minlength": 12}, {"minlength": 2}],
        dtypes=INTS,
        whole=(0, 9),
        grad=False,
        result=lambda d: "int64",
        errors=[
            ((pydl.tensor([1, -2]),), ArgumentError, "bincount: expected no negative integers, got -2"),
            (((3,),), DtypeError, "bincount: expected integers, got"),
            ((pydl.tensor([[1]]),), ShapeError, "bincount: expected a vector"),
            ((pydl.tensor([1, 2]), pydl.ones(3)), ShapeError, "and weights (3,)"),
            ((pydl.tensor([1, 2]), None, -1), ArgumentError, "expected minlength >= 0"),
        ],
    ),
    row(
        ops.histc,
        np_histc,
        shapes=[(60,), (3, 4), ()],
        kwargs=BINS,
        dtypes=("float64", "float32"),
        grad=False,
        errors=[
            (((3,), 0), ArgumentError, "histc: expected bins in [1, 2^31), got 0"),
            (((3,), 4, 2.0, 1.0), ArgumentError, "histc: expected a finite range with min <= max, got [2.0, 1.0]"),
            (((3,), 4, float("-inf"), 1.0), ArgumentError, "histc: expected a finite range"),
            ((pydl.tensor([1]),), DtypeError, "histc: expected a floating dtype"),
        ],
    ),
    row(
        lambda x, w, **k: ops.histogram(x, weight=w, **k),
        np_histogram,
        name="histogram",
        kinds="ff",
        shapes=[((60,), (60,)), ((3, 4), (3, 4))],
        kwargs=[{"bins": 5}, {"bins": 4, "range": (-1, 2)}, {"bins": EDGES}, {"bins": EDGES, "density": True}],
        low=(-2.0, 0.1),
        slack=8,  # NumPy takes differences of running sums
        dtypes=("float64",),
        grad=False,
        errors=[
            (((3,), (2,), {"bins": 3}), ShapeError, "histogram: weight (2,) does not match input (3,)"),
            (((3,), (3,), {"bins": 0}), ArgumentError, "histogram: expected bins in [1, 2^31), got 0"),
            (((3,), (3,), {"bins": pydl.ones(1)}), ArgumentError, "expected a vector of at least 2 edges"),
        ],
    ),
    row(
        sorted_first,
        np_search,
        name="searchsorted",
        kinds="ff",
        shapes=[((9,), (3, 4)), ((2, 5), (2, 3)), ((1,), (7,)), ((0,), (3,)), ((40,), ()), ((2, 3, 5), (2, 3, 1))],
        kwargs=[{}, {"right": True}, {"side": "right"}, {"side": "left"}],
        dtypes=("float64", "float32", *INTS),
        whole=(-4, 4),
        grad=False,
        tails=lambda n: ((n,), (5,)),
        large=((1000,), (3, 35001)),
        result=lambda d: "int64",
        errors=[
            (((2, 3), (3, 3)), ShapeError, "sorted_sequence (2, 3) and input (3, 3) do not fit"),
            (((3,), (3,), {"side": "up"}), ArgumentError, "side must be 'left' or 'right'"),
            (((3,), (3,), {"side": "left", "right": True}), ArgumentError, "as right says"),
            (((3,), pydl.tensor([1])), DtypeError, "of one dtype"),
        ],
    ),
    row(
        lambda x, edges, **k: ops.bucketize(x, ops.sort(edges).values, **k),
        lambda x, edges, **k: np_search(edges, x, **k),
        name="bucketize",
        kinds="ff",
        shapes=[((3, 4), (9,)), ((), (5,))],
        kwargs=[{}, {"right": True}],
        result=lambda d: "int64",
        dtypes=("float64", "float32", "int64"),
        grad=False,
        errors=[(((3,), (2, 2)), ShapeError, "bucketize: expected boundaries of one axis, got shape (2, 2)")],
    ),
    row(
        ops.isin,
        lambda x, tests, invert=False: np.isin(x, tests, invert=invert),
        kinds="ff",
        shapes=[((3, 4), (5,)), ((3, 4), (40,)), ((), (3, 4)), ((7,), (0,)), ((0, 3), (20,))],
        kwargs=[{}, {"invert": True}],
        dtypes=("float64", "float32", *INTS),
        whole=(0, 9),
        grad=False,
        errors=[((1, 2), DtypeError, "isin: expected at least one tensor")],
    ),
    row(
        ops.cartesian_prod,
        lambda *xs: np.stack([g.reshape(-1) for g in np.meshgrid(*xs, indexing="ij")], 1),
        kinds="fff",
        shapes=[((2,), (3,), (4,)), ((2,), (0,), (1,)), ((0,), (1,), (2,))],
        dtypes=ALL,
        errors=[(((2,), (3, 1), (2,)), ShapeError, "cartesian_prod: expected vectors, got shapes")],
    ),
    row(
        ops.combinations,
        np_combinations,
        shapes=[(5,), (4,), (1,), (0,)],
        kwargs=[{}, {"r": 3}, {"with_replacement": True}, {"r": 3, "with_replacement": True}, {"r": 1}, {"r": 0}],
        dtypes=ALL,
        errors=[
            (((3, 4),), ArgumentError, "combinations: expected a vector and r >= 0, got shape (3, 4) and r 2"),
            (((3,), -1), ArgumentError, "and r -1"),
            (((9000,), 4), ArgumentError, "are too many"),
        ],
    ),
]


class TestRows(RowChecks):
    """Every row."""


@pytest.mark.parametrize("dtype", KINDS)
def test_unique_of_every_dtype(dtype: str) -> None:
    """All results against torch's, of many equal elements; long enough for threads."""
    torch = pytest.importorskip("torch")
    x = np.random.default_rng(0).integers(0, 9, (3, 50_000))
    ours = ops.unique(pydl.tensor(x).to(getattr(pydl, dtype)), True, True, True)
    theirs = torch.unique(torch.tensor(x).to(getattr(torch, dtype)), True, True, True)
    for a, b in zip(ours, theirs, strict=True):
        np.testing.assert_array_equal(a.double().numpy(), b.double().numpy())


@pytest.mark.parametrize("dim", [0, 1, -1])
def test_unique_slices(dim: int) -> None:
    torch = pytest.importorskip("torch")
    x = np.random.default_rng(1).integers(0, 2, (30, 4, 3)) * np.array([1.0, -2.0, 0.5])
    for name in ("unique", "unique_consecutive"):
        ours = getattr(ops, name)(pydl.tensor(x), return_inverse=True, return_counts=True, dim=dim)
        theirs = getattr(torch, name)(torch.tensor(x), return_inverse=True, return_counts=True, dim=dim)
        for a, b in zip(ours, theirs, strict=True):
            np.testing.assert_array_equal(a.numpy(), b.numpy())


def test_every_nan_is_distinct() -> None:
    x = pydl.tensor([float("nan"), 1.0, float("nan"), -0.0, 0.0])
    values, inverse, counts = ops.unique(x, return_inverse=True, return_counts=True)
    assert values.numpy()[:2].tolist() == [0, 1] and np.isnan(values.numpy()[2:]).all() and values.shape == (4,)
    assert inverse.tolist() == [2, 1, 3, 0, 0] and counts.tolist() == [2, 1, 1, 1]
    assert ops.unique_consecutive(x[:3]).shape == (3,)


def test_counts_of_many() -> None:
    """Few bins are counted in parts, many are not; the same counts."""
    rng = np.random.default_rng(0)
    for dtype, top in ((np.uint8, 256), (np.int32, 1000), (np.int64, 100_000), (np.int64, 1)):
        x = rng.integers(0, top, 300_001).astype(dtype)
        made = []
        for threads in (1, 2):
            pydl.set_num_threads(threads)
            made.append(ops.bincount(pydl.from_numpy(x)).numpy())
        np.testing.assert_array_equal(made[0], np.bincount(x))
        np.testing.assert_array_equal(made[1], made[0])


def test_weighted_counts() -> None:
    x, w = np.array([0, 3, 3, 1]), np.array([0.5, 1.0, -2.0, 4.0])
    for dtype, result in ((pydl.float32, pydl.float32), (pydl.float64, pydl.float64), (pydl.int64, pydl.float64)):
        made = ops.bincount(pydl.tensor(x), pydl.tensor(w).to(dtype), 6)
        assert made.dtype is result
        kept = pydl.tensor(w).to(dtype).double().numpy()
        np.testing.assert_allclose(made.double().numpy(), np.bincount(x, kept, 6))
    weights = pydl.tensor(w, requires_grad=True)
    assert gradcheck(lambda w: ops.bincount(pydl.tensor(x), w), weights)
    assert gradgradcheck(lambda w: ops.bincount(pydl.tensor(x), w), weights)


def test_histograms_as_torch() -> None:
    torch = pytest.importorskip("torch")
    x = np.random.default_rng(0).normal(size=2000).astype(np.float32)
    x[:3] = [np.nan, 5.0, -5.0]
    for bins, low, high in ((7, -3.0, 3.0), (100, 0.0, 1.0), (1, -9.0, 9.0)):
        ours, theirs = ops.histc(pydl.tensor(x), bins, low, high), torch.histc(torch.tensor(x), bins, low, high)
        np.testing.assert_array_equal(ours.numpy(), theirs.numpy())
    y = x[3:]
    for low in (0.0, 2.0):  # an empty range: that of the data
        ours, theirs = ops.histc(pydl.tensor(y), 9, low, low), torch.histc(torch.tensor(y), 9, low, low)
        np.testing.assert_array_equal(ours.numpy(), theirs.numpy())
    for ours, theirs in ((ops.histc, torch.histc), (ops.histogram, torch.histogram)):  # of equal elements
        for a, b in zip(ours(pydl.full((3,), 2.0), 4), theirs(torch.full((3,), 2.0), 4), strict=True):
            assert a.tolist() == b.tolist()
    for bins in (5, 64):
        ours, theirs = ops.histogram(pydl.tensor(y), bins), torch.histogram(torch.tensor(y), bins)
        np.testing.assert_array_equal(ours.hist.numpy(), theirs.hist.numpy())
        np.testing.assert_allclose(ours.bin_edges.numpy(), theirs.bin_edges.numpy(), rtol=1e-5, atol=1e-6)
    with pytest.raises(ArgumentError, match="finite range"):
        ops.histc(pydl.tensor([1.0, float("inf")]))
    assert ops.histc(pydl.tensor([1.0, 3.0]).half(), 2).tolist() == [1, 1]


def test_histogram_density_and_gradient() -> None:
    x, w = np.random.default_rng(0).normal(size=50), np.random.default_rng(1).uniform(0.5, 1, 50)
    hist, edges = ops.histogram(pydl.tensor(x), 6, weight=pydl.tensor(w), density=True)
    np.testing.assert_allclose(hist.numpy(), np.histogram(x, 6, weights=w, density=True)[0])
    assert abs((hist * (edges[1:] - edges[:-1])).sum().item() - 1) < 1e-12
    weights = pydl.tensor(w, requires_grad=True)
    assert gradcheck(lambda w: ops.histogram(pydl.tensor(x), 6, weight=w, density=True).hist, weights)


def test_search_with_a_sorter() -> None:
    rng = np.random.default_rng(0)
    edges, x = rng.normal(size=(4, 100)), rng.normal(size=(4, 30))
    t = pydl.tensor(edges)
    found = ops.searchsorted(t, pydl.tensor(x), sorter=ops.argsort(t))
    np.testing.assert_array_equal(found.numpy(), np_search(edges, x))
    with pytest.raises(BoundsError, match="sorter has an index out of range for size 100"):
        ops.searchsorted(t, pydl.tensor(x), sorter=ops.argsort(t) + 1)
    with pytest.raises(ShapeError, match="expected int64 of that shape"):
        ops.searchsorted(t, pydl.tensor(x), sorter=ops.argsort(t).int())


def test_search_of_numbers_and_nan() -> None:
    edges, whole = pydl.tensor([1.0, 2.0, 3.0]), pydl.tensor([1, 2, 3])
    assert ops.searchsorted(edges, 2).item() == 1 and ops.searchsorted(whole, 2.5).item() == 2
    assert ops.searchsorted(edges, edges, out_int32=True).dtype is pydl.int32
    assert ops.bucketize(whole, whole, out_int32=True, right=True).tolist() == [1, 2, 3]
    assert ops.bucketize(2.0, edges, right=True).item() == 2
    assert ops.searchsorted(edges, pydl.tensor([float("nan"), float("inf"), -float("inf")])).tolist() == [3, 3, 0]
    assert ops.searchsorted(pydl.tensor([1.0, float("nan")]), pydl.tensor([0.0, 1.0, 5.0])).tolist() == [0, 0, 1]


def test_isin_promotes_and_knows_no_nan() -> None:
    nan = float("nan")
    assert ops.isin(pydl.tensor([1, 2]), pydl.tensor([2.0, nan])).tolist() == [False, True]
    assert ops.isin(pydl.tensor([nan, 1.0]), pydl.tensor([nan] * 9 + [1.0])).tolist() == [False, True]
    assert ops.isin(3, pydl.tensor([1, 3])).item() is True and ops.isin(pydl.tensor([1, 3]), 3).tolist() == [
        False,
        True,
    ]


def test_one_vector_is_its_own_product() -> None:
    x = pydl.tensor([1.0, 2.0])
    assert ops.cartesian_prod(x) is x
    with pytest.raises(ShapeError):
        ops.cartesian_prod()
