"""Outputs too large for the caches go past them by streaming stores: the same numbers, whatever the alignment."""

import numpy as np
import pytest

import pydl
from pydl import Tensor, ops

LARGE = 6_300_007  # 25 MB of float32, a length that no vector divides


def values(count: int, dtype: type) -> np.ndarray:
    return np.random.default_rng(0).standard_normal(count).astype(dtype)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("offset", [0, 1, 3])
def test_unary(dtype: type, offset: int) -> None:
    """Neighbours of the output stay as they are, and each element is the one that a small array gives."""
    x = values(LARGE, dtype)
    y = np.full(LARGE + offset + 1, 7, dtype)
    pydl.from_numpy(y)[offset : offset + LARGE] = ops.relu(pydl.from_numpy(x))
    assert np.array_equal(y[offset:-1], np.maximum(x, 0))
    assert (y[:offset] == 7).all() and y[-1] == 7


@pytest.mark.parametrize("name", ["exp", "gelu", "tanh"])
def test_same_bits_as_in_parts(name: str) -> None:
    fn = getattr(ops, name)
    x = pydl.from_numpy(values(LARGE, np.float32))
    parts = [fn(x[start : start + 1_000_000]).numpy() for start in range(0, LARGE, 1_000_000)]
    assert np.array_equal(fn(x).numpy(), np.concatenate(parts))


def test_binary_and_broadcast() -> None:
    a, b = values(LARGE, np.float32), values(LARGE, np.float32)[::-1].copy()
    assert np.array_equal((pydl.from_numpy(a) + pydl.from_numpy(b)).numpy(), a + b)
    assert np.array_equal((pydl.from_numpy(a) * 3.0).numpy(), a * np.float32(3))
    grid, row = values(2048 * 4099, np.float32).reshape(2048, 4099), values(4099, np.float32)
    assert np.array_equal((pydl.from_numpy(grid) - pydl.from_numpy(row)).numpy(), grid - row)
    assert np.array_equal((pydl.from_numpy(row) - pydl.from_numpy(grid)).numpy(), row - grid)


@pytest.mark.parametrize("columns", [33, 1023, 1024, 1027])
def test_rows_of_a_wider_array(columns: int) -> None:
    """Rows that start at any place of a cache line."""
    rows = (25 << 20) // 4 // columns + 1
    wide = values(rows * (columns + 5), np.float32).reshape(rows, columns + 5)
    x: Tensor = pydl.from_numpy(wide)[:, 2 : 2 + columns]
    assert np.array_equal(ops.relu(x).numpy(), np.maximum(wide[:, 2 : 2 + columns], 0))


def test_in_place() -> None:
    x = values(LARGE, np.float32)
    t = pydl.from_numpy(x.copy())
    t += 1.0
    assert np.array_equal(t.numpy(), x + np.float32(1))


@pytest.mark.parametrize("threads", [1, 2])
def test_threads(threads: int) -> None:
    before = pydl.get_num_threads()
    pydl.set_num_threads(threads)
    try:
        x = values(LARGE, np.float32)
        assert np.array_equal((pydl.from_numpy(x) + pydl.from_numpy(x)).numpy(), x + x)
    finally:
        pydl.set_num_threads(before)
