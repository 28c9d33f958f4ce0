"""Matrix products of NaN, infinities, integers and half precision."""

import numpy as np
import pytest
from checks import TAILS

import pydl
from pydl import ops
from pydl.errors import ArgumentError


def test_nan_and_infinity_are_not_lost() -> None:
    a = np.ones((20, 20), np.float32)
    a[3, 4], a[7, 8] = np.nan, np.inf
    y = (pydl.from_numpy(a) @ pydl.zeros(20, 20)).numpy()
    assert np.isnan(y[3]).all() and np.isnan(y[7]).all() and (np.delete(y, [3, 7], 0) == 0).all()


@pytest.mark.parametrize("shape", [(20, 20, 20), (3, 40, 90), (90, 40, 2), (60, 600, 70), (500, 40, 33)])
def test_one_nan_or_infinity_reaches_one_row_and_column(shape: tuple[int, int, int]) -> None:
    """On every path, and no other row or column: no padding is multiplied."""
    m, k, n = shape
    for bad in (np.nan, np.inf):
        a, b = np.ones((m, k), np.float32), np.ones((k, n), np.float32)
        a[m // 2, k // 2] = bad
        y = (pydl.from_numpy(a) @ pydl.from_numpy(b)).numpy()
        assert not np.isfinite(y[m // 2]).any() and np.isfinite(np.delete(y, m // 2, 0)).all()
        a[m // 2, k // 2], b[k - 1, n - 1] = 1, bad
        y = (pydl.from_numpy(a) @ pydl.from_numpy(b)).numpy()
        assert not np.isfinite(y[:, n - 1]).any() and np.isfinite(y[:, : n - 1]).all()


@pytest.mark.parametrize("dtype", ["int32", "int64", "uint8"])
def test_integers_take_whole_factors(dtype: str) -> None:
    rng = np.random.default_rng(0)
    c, a, b = (rng.integers(0, 9, s).astype(dtype) for s in ((5, 4), (5, 3), (3, 4)))
    tensors = [pydl.from_numpy(x) for x in (c, a, b)]
    np.testing.assert_array_equal(ops.addmm(*tensors, beta=3, alpha=2).numpy(), 3 * c + 2 * (a @ b))
    np.testing.assert_array_equal(ops.addmm(tensors[0][:1], *tensors[1:]).numpy(), c[:1] + a @ b)
    with pytest.raises(ArgumentError, match="addmm: alpha and beta must be whole numbers for"):
        ops.addmm(*tensors, beta=0.5)


def test_half_precision_adds_in_float32() -> None:
    for dtype in (pydl.float16, pydl.bfloat16):
        assert (pydl.ones(4096, dtype=dtype) @ pydl.ones(4096, dtype=dtype)).item() == 4096


def test_integers_wrap_around() -> None:
    a = np.full((3, 4), 2**30, dtype=np.int32)
    with np.errstate(over="ignore"):
        np.testing.assert_array_equal((pydl.from_numpy(a) @ pydl.from_numpy(a.T.copy())).numpy(), a @ a.T)


def test_tails_reach_the_widest_vector() -> None:
    assert max(TAILS) == 2 * 16 + 1
