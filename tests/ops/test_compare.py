"""Comparison, logic and selection."""

import numpy as np
import pytest
from checks import RowChecks
from registry import ALL, FLOATS, INTS, NUMBERS, TWO, binary, row, unary, via

import pydl
from pydl import ops
from pydl.errors import ArgumentError, DtypeError, ShapeError

BITS = (*INTS, "bool")
FLAGS = {"dtypes": ALL, "grad": False}
NO_FLOAT = [((pydl.ones(3), pydl.ones(3)), DtypeError, "float32 is not supported: expected integers or bool")]
SELECT = [((3, 4), (3, 4), (3, 4)), ((4,), (3, 1), (3, 4)), ((3, 1), (), ()), ((), (2,), (2,)), ((0, 4), (0, 4), (4,))]
BAD_SELECT = [
    ((pydl.ones(3), pydl.ones(3), pydl.ones(3)), DtypeError, "where: condition must be bool, got float32"),
    ((pydl.ones(3).bool(), (2,), (3,)), ShapeError, "where: shapes (2,) and (3,) do not broadcast"),
    ((pydl.ones(3).bool(), (3,)), ArgumentError, "where: give both input and other, or neither"),
]

ROWS = [
    *[
        binary(getattr(ops, name), getattr(np, full), **FLAGS)
        for name, full in {
            "eq": "equal",
            "ne": "not_equal",
            "lt": "less",
            "le": "less_equal",
            "gt": "greater",
            "ge": "greater_equal",
            "logical_and": "logical_and",
            "logical_or": "logical_or",
            "logical_xor": "logical_xor",
        }.items()
    ],
    *[
        row(
            getattr(ops, name),
            getattr(np, name),
            kinds="ff",
            shapes=TWO,
            dtypes=BITS,
            grad=False,
            errors=NO_FLOAT,
            tails=lambda n: ((n,), (n,)),
        )
        for name in ("bitwise_and", "bitwise_or", "bitwise_xor")
    ],
    unary(
        ops.bitwise_not,
        np.invert,
        dtypes=BITS,
        grad=False,
        specials=False,
        large=None,
        errors=[(((3,),), DtypeError, "bitwise_not: expected integers or bool")],
    ),
    unary(ops.logical_not, np.logical_not, **FLAGS),
    unary(ops.isposinf, np.isposinf, **FLAGS),
    unary(ops.isneginf, np.isneginf, **FLAGS),
    unary(ops.signbit, lambda x: np.signbit(np.asarray(x, dtype=np.float64)), **FLAGS),
    unary(ops.isreal, lambda x: np.ones(np.shape(x), bool), **FLAGS),
    unary(ops.clamp_min, lambda x, min: np.maximum(x, min), dtypes=NUMBERS, kwargs=[{"min": 1}]),
    unary(ops.clamp_max, lambda x, max: np.minimum(x, max), dtypes=NUMBERS, kwargs=[{"max": 1}]),
    *[
        row(
            getattr(ops, name),
            via(name),
            kinds="ff",
            shapes=TWO,
            dtypes=INTS,
            grad=False,
            tails=lambda n: ((n,), (n,)),
            errors=NO_FLOAT,
        )
        for name in ("bitwise_left_shift", "bitwise_right_shift")
    ],
    unary(ops.isnan, np.isnan, **FLAGS),
    unary(ops.isinf, np.isinf, **FLAGS),
    unary(ops.isfinite, np.isfinite, **FLAGS),
    row(
        ops.where,
        np.where,
        kinds="bff",
        shapes=SELECT,
        dtypes=ALL,
        errors=BAD_SELECT,
        tails=lambda n: ((n,), (n,), (n,)),
        large=((3, 35001), (3, 35001), (35001,)),
    ),
    unary(
        ops.clamp,
        lambda x, min=None, max=None: np.clip(x, min, max),
        dtypes=NUMBERS,
        kwargs=[{"min": 1, "max": 2}, {"min": 1}, {"max": 1}, {"min": 2, "max": 1}],
        errors=[(((3,),), ArgumentError, "clamp: give min, max or both")],
    ),
    unary(
        ops.nan_to_num,
        lambda x, **k: np.nan_to_num(x, **k),
        kwargs=[{}, {"nan": 1.0, "posinf": 2.0, "neginf": -2.0}],
        dtypes=NUMBERS,
        specials=False,
    ),
    row(
        ops.isclose,
        lambda a, b, **k: np.isclose(a, b, **k),
        kinds="ff",
        shapes=TWO,
        dtypes=ALL,
        grad=False,
        kwargs=[{}, {"rtol": 0.5}, {"atol": 1.0}],
        whole=(0, 4),
    ),
    row(
        ops.allclose,
        lambda a, b, **k: np.allclose(a, b, **k),
        kinds="ff",
        shapes=TWO,
        dtypes=ALL,
        grad=False,
        kwargs=[{}, {"atol": 9.0}],
        layouts=False,
    ),
    row(
        ops.equal,
        np.array_equal,
        kinds="ff",
        shapes=[((3, 4), (3, 4)), ((3,), (4,)), ((), ()), ((0,), (0,))],
        dtypes=ALL,
        grad=False,
        whole=(0, 1),
        layouts=False,
    ),
]


class TestRows(RowChecks):
    """Every row."""


def test_equal_to_itself() -> None:
    for dtype in FLOATS:
        x = pydl.randn(3, 4).to(getattr(pydl, dtype))
        assert ops.equal(x, x.clone()) and ops.allclose(x, x.clone())
        assert not ops.equal(x, x + 1)


def test_isclose_of_special_values() -> None:
    v = np.array([np.nan, np.inf, -np.inf, 0.0, 1.0])
    a, b = (g.reshape(-1) for g in np.meshgrid(v, v))
    for equal_nan in (False, True):
        ours = ops.isclose(pydl.tensor(a), pydl.tensor(b), equal_nan=equal_nan)
        np.testing.assert_array_equal(ours.numpy(), np.isclose(a, b, equal_nan=equal_nan))


def test_where_with_the_condition_alone() -> None:
    c = np.array([[True, False, True], [False, False, True]])
    for ours, theirs in zip(ops.where(pydl.tensor(c)), np.nonzero(c), strict=True):
        np.testing.assert_array_equal(ours.numpy(), theirs)


@pytest.mark.parametrize(("a", "b", "name"), [(1, 2, "int64"), (1.0, 2, "float32"), (True, False, "bool")])
def test_where_of_two_numbers(a: float, b: float, name: str) -> None:
    y = ops.where(pydl.tensor([True, False]), a, b)
    assert y.dtype.name == name
    assert y.tolist() == [a, b]


def test_clamp_with_tensors() -> None:
    x = np.random.default_rng(0).normal(size=(3, 4))
    low, high = np.full((4,), -0.5), np.array([[0.1], [0.2], [0.3]])
    y = ops.clamp(pydl.tensor(x), pydl.tensor(low), pydl.tensor(high))
    np.testing.assert_array_equal(y.numpy(), np.clip(x, low, high))


def test_clamp_passes_the_gradient_at_a_limit() -> None:
    x = pydl.tensor([-2.0, -1.0, 0.0, 1.0, 2.0], requires_grad=True)
    ops.clamp(x, -1, 1).sum().backward()
    assert x.grad.tolist() == [0, 1, 1, 1, 0]


def test_comparison_with_what_is_not_a_number() -> None:
    x = pydl.tensor([1.0])
    assert (x == None) is False  # noqa: E711
    assert (x != "a") is True
    with pytest.raises(TypeError):
        x < [1]  # noqa: B015


@pytest.mark.parametrize("dtype", FLOATS)
def test_nan_to_num(dtype: str) -> None:
    """The largest numbers of each dtype, as torch has them."""
    torch = pytest.importorskip("torch")
    v = [float("nan"), float("inf"), -float("inf"), 1.5]
    ours = ops.nan_to_num(pydl.tensor(v, dtype=getattr(pydl, dtype))).double().tolist()
    assert ours == torch.nan_to_num(torch.tensor(v, dtype=getattr(torch, dtype))).double().tolist()


def test_shift_operators() -> None:
    x = pydl.tensor([1, -8, 3])
    assert (x << 2).tolist() == [4, -32, 12]
    assert (x >> 1).tolist() == [0, -4, 1]
    assert (1 << pydl.tensor([0, 3, 64])).tolist() == [1, 8, 0]


@pytest.mark.parametrize("name", ["isnan", "signbit", "logical_not", "bitwise_not", "isreal", "nan_to_num", "clamp"])
def test_what_is_no_tensor(name: str) -> None:
    with pytest.raises(DtypeError, match=f"{name}: expected a tensor, got float"):
        getattr(ops, name)(1.0, *([0] if name == "clamp" else []))
