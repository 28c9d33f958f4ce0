"""What the tests of pydl.xp compare with NumPy: how, and on which numbers."""

from typing import Any

import numpy as np

FLOATS, INTS = ("float32", "float64"), ("uint8", "int32", "int64")
SPECIAL = [0.0, -0.0, 1.0, -1.0, 0.5, -2.5, 3.5, np.inf, -np.inf, np.nan, 1e-3]
A = np.random.default_rng(0).normal(size=(2, 3, 4)) * 3


def same(mine: Any, theirs: Any, exact: bool = True) -> None:
    """Shapes, dtypes and values; zeros of the same sign."""
    theirs = np.asarray(theirs)
    assert mine.shape == theirs.shape, (mine.shape, theirs.shape)
    assert mine.dtype.name == theirs.dtype.name, (mine.dtype, theirs.dtype)
    a = mine.numpy()
    if exact or theirs.dtype.kind != "f":
        np.testing.assert_array_equal(a, theirs)
        if theirs.dtype.kind == "f":
            number = ~np.isnan(theirs)
            np.testing.assert_array_equal(np.signbit(a)[number], np.signbit(theirs)[number])
    else:
        np.testing.assert_allclose(a, theirs, rtol=20 * np.finfo(theirs.dtype).eps, atol=1e-300)


def values(dtype: str) -> np.ndarray:
    if dtype == "bool":
        return np.array([True, False, True])
    if dtype == "uint8":
        return np.arange(0, 250, 7, dtype=dtype)
    return np.arange(-20, 20, 3, dtype=dtype) if dtype in INTS else np.array(SPECIAL + list(A.flat), dtype=dtype)
