"""Elementary functions of one input."""

from typing import Any

import numpy as np
from checks import RowChecks
from registry import NUMBERS, unary
from scipy import special

import pydl
from pydl import ops
from pydl.errors import DtypeError

NO_BOOL = [((pydl.tensor([True]),), DtypeError, "bool is not supported: expected a numeric dtype")]


def np_logit(x: Any) -> Any:
    return np.log(x / (1 - x))


ROWS = [
    unary(ops.neg, np.negative, dtypes=NUMBERS, errors=[*NO_BOOL, ((3.0,), DtypeError, "neg: expected a tensor")]),
    unary(ops.abs, np.abs, dtypes=NUMBERS),
    unary(ops.square, np.square, dtypes=NUMBERS),
    unary(ops.sign, np.sign, dtypes=NUMBERS, specials=False),
    unary(ops.exp, np.exp, low=-5, high=5, dtypes=NUMBERS),
    unary(ops.exp2, np.exp2, low=-5, high=5),
    unary(ops.expm1, np.expm1),
    unary(ops.log, np.log, low=0.1, high=9, whole=(1, 9), dtypes=NUMBERS),
    unary(ops.log2, np.log2, low=0.1, high=9),
    unary(ops.log10, np.log10, low=0.1, high=9),
    unary(ops.log1p, np.log1p, low=-0.8, high=9),
    unary(ops.sqrt, np.sqrt, low=0.1, high=9, whole=(0, 9), dtypes=NUMBERS),
    unary(ops.rsqrt, lambda x: 1 / np.sqrt(x), low=0.1, high=9),
    unary(ops.reciprocal, lambda x: 1 / x, low=0.3, high=9),
    unary(ops.sin, np.sin, low=-9, high=9, dtypes=NUMBERS),
    unary(ops.cos, np.cos, low=-9, high=9),
    unary(ops.tan, np.tan, low=-1.3, high=1.3),
    unary(ops.asin, np.arcsin, low=-0.9, high=0.9),
    unary(ops.acos, np.arccos, low=-0.9, high=0.9),
    unary(ops.atan, np.arctan),
    unary(ops.sinh, np.sinh),
    unary(ops.cosh, np.cosh),
    unary(ops.tanh, np.tanh, dtypes=NUMBERS),
    unary(ops.asinh, np.arcsinh),
    unary(ops.acosh, np.arccosh, low=1.2, high=9),
    unary(ops.atanh, np.arctanh, low=-0.9, high=0.9),
    unary(ops.erf, special.erf),
    unary(ops.erfc, special.erfc),
    unary(ops.positive, np.positive, dtypes=NUMBERS, errors=[((pydl.tensor([True]),), DtypeError, "positive: bool")]),
    unary(
        ops.logit,
        lambda x, eps=None: np_logit(x if eps is None else np.clip(x, eps, 1 - eps)),
        low=0.1,
        high=0.9,
        kwargs=[{}, {"eps": 0.3}],
        specials=False,
        slack=2,
        errors=[(((3,), {"eps": "x"}), DtypeError, "logit: eps must be a number, got str")],
    ),
    unary(ops.deg2rad, np.deg2rad, low=-360, high=360),
    unary(ops.rad2deg, np.rad2deg),
]


class TestRows(RowChecks):
    """Every row."""


def test_sign_of_zeros_and_nan() -> None:
    y = ops.sign(pydl.tensor([0.0, -0.0, float("nan"), float("inf"), -float("inf")]))
    assert y.tolist() == [0, 0, 0, 1, -1]


def test_other_names() -> None:
    """As torch has them, of functions and of methods."""
    pairs = {"absolute": "abs", "negative": "neg", "sgn": "sign", "arccos": "acos", "arcsin": "asin", "arctan": "atan",
             "arccosh": "acosh", "arcsinh": "asinh", "arctanh": "atanh"}  # fmt: skip
    for name, full in pairs.items():
        assert getattr(ops, name) is getattr(ops, full)
        assert getattr(pydl.Tensor, name) is getattr(pydl.Tensor, full)
        assert hasattr(pydl.Tensor, name + "_")
