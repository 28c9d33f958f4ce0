"""Activation functions."""

from typing import Any

import numpy as np
import pytest
from checks import RowChecks
from registry import row, unary, via
from scipy import special

import pydl
from pydl import ops
from pydl.errors import ArgumentError, DtypeError, ShapeError
from pydl.ops.activation import SoftplusUnit


def torch_row(name: str, **options: Any) -> Any:
    """A function that torch.nn.functional has under the same name."""
    return unary(getattr(ops, name), via(f"nn.functional.{name}"), **{"low": -4, "high": 4} | options)


def np_gelu(x: Any, approximate: str = "none") -> Any:
    if approximate == "tanh":
        return 0.5 * x * (1 + np.tanh(np.sqrt(2 / np.pi) * (x + 0.044715 * x**3)))
    return x * special.ndtr(x)


ROWS = [
    unary(ops.relu, lambda x: np.maximum(x, 0), dtypes=("float64", "float32", "float16", "bfloat16", "int64", "uint8")),
    unary(ops.sigmoid, special.expit, low=-9, high=9),
    unary(ops.logsigmoid, special.log_expit, low=-9, high=9),
    unary(ops.silu, lambda x: x * special.expit(x), low=-9, high=9, specials=False),
    unary(
        ops.gelu,
        np_gelu,
        low=-5,
        high=5,
        kwargs=[{}, {"approximate": "tanh"}],
        specials=False,
        slack=2,
        errors=[(((3,), {"approximate": "x"}), ArgumentError, "approximate must be 'none' or 'tanh', got 'x'")],
    ),
    torch_row(
        "softplus",
        low=-9,
        high=9,
        kwargs=[{}, {"beta": 2.0}, {"beta": 0.5, "threshold": 1.0}],
        errors=[
            (((3,), {"beta": "x"}), DtypeError, "softplus: beta must be a number, got str"),
            ((1.0,), DtypeError, "softplus: expected a tensor, got float"),
        ],
    ),
    unary(SoftplusUnit.apply, lambda x: np.logaddexp(0, x), name="softplus_unit", low=-30, high=30),
    torch_row("leaky_relu", kwargs=[{}, {"negative_slope": 0.3}]),
    torch_row("elu", kwargs=[{}, {"alpha": 0.7}]),
    torch_row("selu"),
    torch_row("celu", kwargs=[{}, {"alpha": 0.7}]),
    torch_row("mish", specials=False, slack=2),
    torch_row("hardtanh", kwargs=[{}, {"min_val": -0.1, "max_val": 0.7}]),
    torch_row("relu6", low=-3, high=9),
    torch_row("hardsigmoid", specials=False),
    torch_row("hardswish", specials=False),
    torch_row("softsign", specials=False),
    torch_row("tanhshrink", slack=2),
    torch_row("softshrink", kwargs=[{}, {"lambd": 0.8}], specials=False),
    torch_row("hardshrink", kwargs=[{}, {"lambd": 0.8}]),
    torch_row("threshold", kwargs=[{"threshold": 0.5, "value": -0.1}]),
    row(
        ops.prelu,
        via("nn.functional.prelu"),
        kinds="ff",
        low=(-2, 0.1),
        high=(2, 0.5),
        large=((3, 35001), (1,)),
        shapes=[((3, 4), (1,)), ((3, 4), (4,)), ((2, 3, 5), (3,)), ((0, 4), (4,)), ((5,), (1,))],
        errors=[(((3, 4), (3,)), ShapeError, "prelu: weight (3,) does not match input (3, 4): expected (1,) or (4,)")],
    ),
    row(
        ops.glu,
        via("nn.functional.glu"),
        shapes=[(3, 4), (2, 4, 6), (0, 4)],
        kwargs=[{"dim": -1}],
        cases=[((4, 3), {"dim": 0})],
        tails=lambda n: ((2, 2 * n),),
        large=((40, 6000),),
        errors=[(((3, 5),), ShapeError, "glu: expected an even size in dim -1, got shape (3, 5)")],
    ),
]


class TestRows(RowChecks):
    """Every row."""


@pytest.mark.parametrize("name", ["silu", "gelu", "mish", "softsign", "hardswish", "hardsigmoid", "softshrink"])
def test_far_out(name: str) -> None:
    """Large numbers and NaN, against torch."""
    torch = pytest.importorskip("torch")
    x = np.array([-1e4, -100.0, -30.0, 30.0, 100.0, 1e4, np.nan], dtype=np.float32)
    theirs = getattr(torch.nn.functional, name)(torch.tensor(x)).numpy()
    np.testing.assert_allclose(getattr(ops, name)(pydl.tensor(x)).numpy(), theirs, rtol=1e-5, atol=1e-7)


def test_limits_are_exact_in_float64() -> None:
    x = pydl.tensor([-5.0, 5.0], dtype=pydl.float64)
    assert ops.hardtanh(x, -0.1, 0.3).tolist() == [-0.1, 0.3]


@pytest.mark.parametrize("name", ["relu", "leaky_relu", "elu", "hardtanh", "relu6", "softshrink", "hardshrink"])
def test_slopes_at_kinks(name: str) -> None:
    """As torch has them."""
    torch = pytest.importorskip("torch")
    points = [-6.0, -1.0, -0.5, 0.0, 0.5, 1.0, 6.0]
    x, t = pydl.tensor(points, requires_grad=True), torch.tensor(points, requires_grad=True)
    getattr(ops, name)(x).sum().backward()
    getattr(torch.nn.functional, name)(t).sum().backward()
    np.testing.assert_allclose(x.grad.numpy(), t.grad.numpy(), rtol=2e-5)
