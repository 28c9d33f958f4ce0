"""Sorting, selection and quantiles."""

from typing import Any

import numpy as np
import pytest
from checks import RowChecks
from registry import ALL, FLOATS, LARGE, NUMPY, row

import pydl
from pydl import ops
from pydl.errors import ArgumentError, BoundsError, DtypeError, ShapeError

PAIRS = (*FLOATS, "int64")  # of (values, indices): the row says one dtype for both; the others are tested below
SHAPES = [(3, 4), (2, 3, 5), (4, 1, 3), (1,), (7,), (), (0, 4)]
FILLED = [s for s in SHAPES if 0 not in s]
BAD_DIM = (((3, 4), {"dim": 2}), BoundsError, "dim 2 is out of range: expected one in [-2, 1]")
KINDS = ("float32", "float64", "float16", "bfloat16", "int64", "int32", "uint8", "bool")


def order(x: Any, dim: int, descending: bool) -> Any:
    """The stable order, NaN as the largest: NumPy's for ascending; backwards from the end for descending."""
    if not np.ndim(x):
        return np.zeros((), np.int64)
    if not descending:
        return np.argsort(x, axis=dim, kind="stable")
    flipped = np.argsort(np.flip(x, dim), axis=dim, kind="stable")
    return np.flip(x.shape[dim] - 1 - flipped, dim)


def at(x: Any, places: Any, dim: int) -> Any:
    return np.take_along_axis(x, places, dim) if np.ndim(x) else x


def np_sort(x: Any, dim: int = -1, descending: bool = False, stable: bool = False) -> Any:
    places = order(x, dim, descending)
    return at(x, places, dim), places


def np_topk(x: Any, k: int, dim: int = -1, largest: bool = True, sorted: bool = True) -> Any:
    places = order(x, dim, largest)
    places = np.take(places, range(k), dim) if np.ndim(x) else places
    return at(x, places, dim), places


def np_kth(x: Any, k: int, dim: int = -1, keepdim: bool = False) -> Any:
    places = order(x, dim, False)
    if not np.ndim(x):
        return x, places
    places = np.take(places, [k - 1], dim)
    made = at(x, places, dim), places
    return made if keepdim else tuple(np.squeeze(m, dim) for m in made)


def np_median(x: Any, dim: int | None = None, keepdim: bool = False) -> Any:
    if dim is None:
        return np.sort(x.reshape(-1))[(x.size - 1) // 2]
    return np_kth(x, (x.shape[dim] + 1) // 2 if np.ndim(x) else 1, dim, keepdim)


def np_mode(x: Any, dim: int = -1, keepdim: bool = False) -> Any:
    def one(v: Any) -> Any:
        found, counts = np.unique(v, return_counts=True)
        best = found[np.argmax(counts)]
        return np.array([best, np.flatnonzero(v == best)[-1]], dtype=object)

    if not np.ndim(x):
        return x, np.zeros((), np.int64)
    made = np.apply_along_axis(one, dim, x)
    parts = [np.take(made, [i], dim) for i in (0, 1)]
    parts = parts if keepdim else [np.squeeze(p, dim) for p in parts]
    return parts[0].astype(x.dtype), parts[1].astype(np.int64)


def np_quantile(fn: Any) -> Any:
    def reference(x: Any, q: Any, dim: Any = None, keepdim: bool = False, interpolation: str = "linear") -> Any:
        points = q.numpy() if isinstance(q, pydl.Tensor) else q
        axis = None if not np.ndim(x) else dim
        return np.asarray(fn(x, points, axis=axis, keepdims=keepdim, method=interpolation))

    return reference


DIMS: list[dict[str, Any]] = [{}, {"dim": 0}, {"dim": -1, "descending": True}]
KEEP: list[dict[str, Any]] = [{"dim": 0}, {"dim": -1, "keepdim": True}]
FEW = pydl.tensor([0.0, 0.31, 1.0, 0.5], dtype=pydl.float64)
QUANTILES: list[dict[str, Any]] = [
    {"q": 0.3},
    {"q": FEW, "dim": 0},
    {"q": FEW, "dim": -1, "keepdim": True, "interpolation": "lower"},
    {"q": FEW, "keepdim": True},
    {"q": 0.7, "dim": -1, "interpolation": "higher"},
    {"q": 0.5, "dim": 0, "interpolation": "midpoint"},
    {"q": 0.4, "dim": 0, "keepdim": True, "interpolation": "nearest"},
]
BAD_QUANTILES = [
    (((3, 4), 1.5), ArgumentError, "expected q in [0, 1], got 1.5"),
    (((3, 4), float("nan")), ArgumentError, "expected q in [0, 1]"),
    (((3, 4), pydl.zeros(2, 2)), ArgumentError, "expected q to be a number or a floating vector"),
    (((3, 4), 0.5, {"interpolation": "cubic"}), ArgumentError, "interpolation must be one of"),
    (((0,), 0.5), ShapeError, "is empty: expected at least one element"),
    ((pydl.tensor([1, 2]), 0.5), DtypeError, "expected a floating dtype, got"),
    (((3, 4), 0.5, 2), BoundsError, "dim 2 is out of range"),
]

ROWS = [
    row(
        ops.sort,
        np_sort,
        shapes=SHAPES,
        kwargs=DIMS,
        dtypes=PAIRS,
        tails=lambda n: ((3, n),),
        large=(LARGE,),
        errors=[BAD_DIM],
    ),
    row(
        ops.argsort,
        lambda x, dim=-1, descending=False: order(x, dim, descending),
        shapes=SHAPES,
        kwargs=DIMS,
        dtypes=ALL,
        grad=False,
        tails=lambda n: ((3, n),),
        large=(LARGE,),
        result=lambda d: "int64",
        errors=[BAD_DIM],
    ),
    row(ops.msort, lambda x: np.sort(x, 0) if np.ndim(x) else x, shapes=SHAPES, dtypes=ALL, large=(LARGE[::-1],)),
    row(
        ops.topk,
        np_topk,
        shapes=FILLED,
        kwargs=[{"k": 1}, {"k": 1, "dim": 0, "largest": False}],
        cases=[
            ((3, 40), {"k": 4}),
            ((3, 4), {"k": 0}),
            ((2, 300), {"k": 299, "largest": False}),
            ((90, 2), {"k": 7, "dim": 0}),
        ],
        dtypes=PAIRS,
        tails=lambda n: ((3, n),),
        large=(LARGE,),
        errors=[
            (((3, 4), 5), BoundsError, "topk: k 5 is out of range: expected one in [0, 4]"),
            (((3, 4), -1), BoundsError, "topk: k -1 is out of range"),
            (((), 0), BoundsError, "topk: k 0 is out of range: expected one in [1, 1]"),
            (((3, 4), 1, 2), BoundsError, "topk: dim 2 is out of range"),
        ],
    ),
    row(
        ops.kthvalue,
        np_kth,
        shapes=FILLED,
        kwargs=[{"k": 1}, {"k": 1, "dim": 0, "keepdim": True}],
        cases=[((3, 40), {"k": 17}), ((2, 300), {"k": 300}), ((90, 2), {"k": 45, "dim": 0})],
        dtypes=PAIRS,
        tails=lambda n: ((3, n),),
        large=(LARGE,),
        errors=[
            (((3, 4), 5), BoundsError, "kthvalue: k 5 is out of range: expected one in [1, 4]"),
            (((3, 4), 0), BoundsError, "kthvalue: k 0 is out of range"),
            (((3, 0), 1), ShapeError, "is empty: expected at least one element"),
        ],
    ),
    row(
        ops.mode,
        np_mode,
        shapes=FILLED,
        kwargs=KEEP,
        whole=(0, 3),
        dtypes=PAIRS,
        errors=[BAD_DIM, (((3, 0),), ShapeError, "mode: axis of shape (3, 0) is empty")],
    ),
    row(
        ops.median,
        np_median,
        shapes=FILLED,
        kwargs=[{}, *KEEP],
        cases=[((3, 70), {"dim": 1}), ((300, 2), {"dim": 0})],
        dtypes=PAIRS,
        tails=lambda n: ((3, n),),
        large=(LARGE,),
        errors=[BAD_DIM, (((3, 0), {"dim": 1}), ShapeError, "median: axis of shape (3, 0) is empty")],
    ),
    row(ops.nanmedian, np_median, shapes=FILLED, kwargs=[{}, *KEEP], dtypes=PAIRS, errors=[BAD_DIM]),
    row(ops.quantile, np_quantile(np.quantile), shapes=FILLED, kwargs=QUANTILES, slack=2, errors=BAD_QUANTILES),
    row(ops.nanquantile, np_quantile(np.nanquantile), shapes=FILLED, kwargs=QUANTILES, slack=2, errors=BAD_QUANTILES),
]


class TestRows(RowChecks):
    """Every row."""


def values(kind: str, n: int, dtype: str, rng: np.random.Generator) -> np.ndarray:
    """Two rows of numbers that are hard on a sort in one way each."""
    x = rng.normal(size=(2, n)) * 100
    if kind == "ties":
        x = np.round(x / 50)
    elif kind == "specials":
        x = rng.choice([0.0, -0.0, 1.0, np.inf, -np.inf, np.nan, 1e-40, -1e-40], (2, n))
    elif kind == "wide":
        x = x * 10.0 ** rng.integers(-30, 16, (2, n))
    elif kind == "outlier":
        x[:, : n // 2] = 1e15 + np.arange(n // 2)
        x[:, -1:] = -1e18
    elif kind == "ascending":
        x = np.sort(x)
    elif kind == "same":
        x = np.full((2, n), 7.0)
    if dtype in ("int64", "int32", "uint8", "bool"):
        limits = np.iinfo(NUMPY[dtype]) if dtype != "bool" else np.iinfo(np.uint8)
        x = np.clip(np.nan_to_num(x, posinf=1e18, neginf=-1e18), limits.min, int(limits.max) // 2)
    with np.errstate(all="ignore"):
        return np.asarray(x).astype(NUMPY[dtype])


@pytest.mark.parametrize("dtype", KINDS)
@pytest.mark.parametrize("n", [5, 64, 65, 200, 1000, 5000, 140_000])
def test_every_length_and_spread(n: int, dtype: str) -> None:
    """The paths of the kernels: the network, one digit or several, long rows, keys of more than 32 bits."""
    rng = np.random.default_rng(n)
    for kind in ("plain", "ties", "specials", "wide", "outlier", "ascending", "same"):
        x = values(kind, n, dtype, rng)
        t, wide = pydl.from_numpy(x), x.astype(np.float32) if dtype == "bfloat16" else x
        for down in (False, True):
            expected = order(wide, 1, down)
            made = ops.sort(t, 1, down)
            np.testing.assert_array_equal(made.indices.numpy(), expected, err_msg=kind)
            assert made.values.numpy().tobytes() == np.take_along_axis(x, expected, 1).tobytes() or kind == "specials"
            np.testing.assert_array_equal(made.values.double().numpy(), np.take_along_axis(wide, expected, 1))
            for k in {1, 3, n // 20, n // 3}:
                best = ops.topk(t, k, 1, down)
                np.testing.assert_array_equal(best.indices.numpy(), expected[:, :k], err_msg=f"{kind} {k}")
        for k in {1, n // 3, n}:
            made = ops.kthvalue(t, k, 1)
            np.testing.assert_array_equal(made.indices.numpy(), order(wide, 1, False)[:, k - 1], err_msg=kind)
        middle = order(wide, 1, False)[:, (n - 1) // 2]
        if not np.isnan(wide.astype(float)).any():
            np.testing.assert_array_equal(ops.median(t, 1).indices.numpy(), middle, err_msg=kind)


@pytest.mark.parametrize("rows", [1, 3, 8, 21])
def test_rows_of_any_number(rows: int) -> None:
    """The network takes as many rows at a time as a vector has lanes; the last group may be smaller."""
    rng = np.random.default_rng(rows)
    for dtype in (np.float32, np.float64, np.int64):
        for n in (2, 33, 64, 100, 500, 513):
            x = (rng.normal(size=(rows, n)) * 1e6).astype(dtype)
            np.testing.assert_array_equal(ops.argsort(pydl.from_numpy(x)).numpy(), order(x, 1, False))
            np.testing.assert_array_equal(
                ops.median(pydl.from_numpy(x), 1).indices.numpy(), np_median(x, 1)[1], err_msg=f"{dtype} {n}"
            )


def test_bits_of_zeros_and_order_of_integers() -> None:
    """-0 stays -0 in its place; the ends of int64 are no special values."""
    x = np.array([0.0, -0.0, -1.0, -0.0, 0.0])
    assert np.signbit(ops.sort(pydl.from_numpy(x)).values.numpy()).tolist() == [True, False, True, True, False]
    ends = np.array([2**63 - 1, -(2**63), 0, -1, 2**63 - 1])
    assert ops.argsort(pydl.from_numpy(ends)).tolist() == [1, 3, 2, 0, 4]
    assert ops.median(pydl.from_numpy(ends)).item() == 0
    assert ops.topk(pydl.from_numpy(ends), 2).indices.tolist() == [0, 4]


@pytest.mark.parametrize("name", ["median", "nanmedian"])
@pytest.mark.parametrize("n", [5, 300, 140_000])
def test_medians_with_nan(name: str, n: int) -> None:
    torch = pytest.importorskip("torch")
    x = np.random.default_rng(n).normal(size=(4, n))
    x[1, n // 2], x[2, 1:], x[3] = np.nan, np.nan, np.nan
    ours, theirs = getattr(ops, name)(pydl.tensor(x), 1), getattr(torch, name)(torch.tensor(x), 1)
    np.testing.assert_array_equal(ours.values.numpy(), theirs.values.numpy())
    if name == "median":  # of a row with NaN: the first
        assert ours.indices.tolist()[1:] == [n // 2, 1, 0]
    np.testing.assert_array_equal(getattr(ops, name)(pydl.tensor(x)).numpy(), getattr(torch, name)(torch.tensor(x)))


def test_quantiles_with_nan_and_infinities() -> None:
    x = np.array([[1.0, np.nan, 3.0, 2.0], [np.nan] * 4, [np.inf, 1.0, np.inf, np.inf]])
    t, q = pydl.tensor(x, dtype=pydl.float64), pydl.tensor([0.0, 0.5, 0.6], dtype=pydl.float64)
    assert np.isnan(ops.quantile(t, q, 1).numpy()[:, :2]).all()
    np.testing.assert_array_equal(ops.quantile(t, q, 1).numpy()[:, 2], [1, np.inf, np.inf])
    np.testing.assert_allclose(ops.nanquantile(t, q, 1).numpy()[:, 0], [1, 2, 2.2])
    assert np.isnan(ops.nanquantile(t, q, 1).numpy()[:, 1]).all()


@pytest.mark.parametrize("interpolation", ["linear", "lower", "higher", "midpoint", "nearest"])
def test_quantiles_as_torch(interpolation: str) -> None:
    torch = pytest.importorskip("torch")
    x, q = np.random.default_rng(0).normal(size=(5, 9)), np.linspace(0, 1, 9)
    ours = ops.quantile(pydl.tensor(x), pydl.tensor(q), 1, interpolation=interpolation)
    theirs = torch.quantile(torch.tensor(x), torch.tensor(q), 1, interpolation=interpolation)
    np.testing.assert_allclose(ours.numpy(), theirs.numpy(), rtol=1e-12)


def test_empty_and_without_axes() -> None:
    """A tensor without axes is its own row of one; nothing has a median only where NaN can say so."""
    assert ops.sort(pydl.tensor(3.0)).indices.item() == 0
    assert ops.topk(pydl.tensor(3.0), 1).values.item() == 3 and ops.mode(pydl.tensor(3)).values.item() == 3
    assert ops.sort(pydl.zeros(3, 0)).values.shape == (3, 0) and ops.sort(pydl.zeros(0, 3), 0).indices.shape == (0, 3)
    assert np.isnan(ops.median(pydl.zeros(0)).item()) and ops.topk(pydl.zeros(0, 3), 2).values.shape == (0, 2)
    with pytest.raises(ShapeError, match="median: axis of shape"):
        ops.median(pydl.zeros(0, dtype=pydl.int64))


def test_same_order_for_any_number_of_threads() -> None:
    """Long rows are cut among threads; equal elements keep their order all the same."""
    x = np.random.default_rng(0).integers(0, 50, 300_000).astype(np.float32)
    made = []
    for threads in (1, 2):
        pydl.set_num_threads(threads)
        t = pydl.from_numpy(x)
        made.append([ops.argsort(t).numpy(), ops.topk(t, 100).indices.numpy(), ops.kthvalue(t, 9).indices.numpy()])
    np.testing.assert_array_equal(made[0][0], order(x, 0, False))
    for one, two in zip(*made, strict=True):
        np.testing.assert_array_equal(one, two)


@pytest.mark.parametrize("name", ["sort", "topk", "kthvalue", "median", "mode", "quantile"])
def test_gradients_as_torch(name: str) -> None:
    torch = pytest.importorskip("torch")
    x = np.random.default_rng(0).normal(size=(4, 70))
    args = {"sort": (1, True), "topk": (9, 1), "kthvalue": (30, 1), "median": (1,), "mode": (1,), "quantile": (0.3, 1)}
    found = []
    for lib, t in ((ops, pydl.tensor(x, requires_grad=True)), (torch, torch.tensor(x, requires_grad=True))):
        made = getattr(lib, name)(t, *args[name])
        y = made if name == "quantile" else made.values
        (y**2).sum().backward()
        found.append(t.grad.numpy())
    np.testing.assert_allclose(*found, rtol=1e-12)


def test_unwanted_gradients_are_not_recorded() -> None:
    x = pydl.tensor([3.0, 1.0], requires_grad=True)
    with pydl.no_grad():
        assert not ops.sort(x).values.requires_grad
    assert ops.sort(x).values.requires_grad and not ops.argsort(x).requires_grad


def test_methods() -> None:
    x = pydl.tensor([[3.0, 1.0, 2.0]])
    values_, indices = x.sort(descending=True)
    assert values_.tolist() == [[3, 2, 1]] and indices.tolist() == [[0, 2, 1]]
    assert x.topk(1).values.item() == 3 and x.median().item() == 2 and x.quantile(0.5).item() == 2
    assert x.argsort(stable=True).tolist() == [[1, 2, 0]] and x.msort().shape == (1, 3)
