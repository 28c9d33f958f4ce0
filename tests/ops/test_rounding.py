"""Integer, fraction and exponent."""

import numpy as np
import pytest
from checks import RowChecks
from registry import FLOATS, NUMBERS, NUMPY, row, unary

import pydl
from pydl import ops
from pydl.errors import DtypeError

BAD_DECIMALS = [
    (((3,), {"decimals": 1.5}), DtypeError, "round: decimals must be an integer, got float"),
    ((pydl.tensor([1]), {"decimals": 1}), DtypeError, "round: pydl.int64 is not supported with decimals"),
]

ROWS = [
    unary(ops.floor, np.floor, low=-9, high=9, dtypes=NUMBERS),
    unary(ops.ceil, np.ceil, low=-9, high=9, dtypes=NUMBERS),
    unary(ops.trunc, np.trunc, low=-9, high=9, dtypes=NUMBERS),
    unary(
        ops.round,
        lambda x, decimals=0: np.round(x, decimals),
        low=-9,
        high=9,
        dtypes=NUMBERS,
        errors=BAD_DECIMALS,
    ),
    unary(ops.frac, lambda x: x - np.trunc(x), specials=False),
    row(
        lambda x: ops.frexp(x)[0],
        lambda x: np.frexp(x)[0],
        name="frexp",
        low=0.6,
        high=0.9,
        tails=lambda n: ((n,),),
        large=((3, 35001),),
        errors=[((pydl.tensor([1]),), DtypeError, "frexp: pydl.int64 is not supported: expected a floating dtype")],
    ),
]


class TestRows(RowChecks):
    """Every row."""


@pytest.mark.parametrize("decimals", [1, 3, -1])
def test_round_decimals(decimals: int) -> None:
    x = np.random.default_rng(0).uniform(-90, 90, (4, 5))
    np.testing.assert_allclose(ops.round(pydl.tensor(x), decimals=decimals).numpy(), np.round(x, decimals), atol=1e-12)


def test_rounding_integers_gives_new_memory() -> None:
    """An operation in place on the result must not reach the input."""
    for fn in (ops.floor, ops.ceil, ops.round, ops.trunc):
        x = pydl.tensor([1, 2, 3])
        fn(x).add_(1)
        assert x.tolist() == [1, 2, 3]


@pytest.mark.parametrize("dtype", FLOATS)
def test_frexp_takes_apart_what_ldexp_puts_together(dtype: str) -> None:
    x = np.array([0.0, -0.0, 1.0, -3.5, 1e-7, 6e4, np.inf, -np.inf, np.nan]).astype(NUMPY[dtype])
    mantissa, exponent = ops.frexp(pydl.from_numpy(x))
    exact = np.frexp(x.astype(np.float64))
    assert (mantissa.dtype.name, exponent.dtype) == (dtype, pydl.int32)
    np.testing.assert_array_equal(mantissa.double().numpy(), exact[0])
    np.testing.assert_array_equal(exponent.numpy()[:6], exact[1][:6])
    np.testing.assert_array_equal(ops.ldexp(mantissa, exponent).double().numpy(), x.astype(np.float64))
