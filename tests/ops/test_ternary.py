"""Arithmetic on three inputs in one pass."""

from typing import Any

import pytest
from checks import RowChecks
from registry import row

import pydl
from pydl import ops
from pydl.errors import DtypeError, ShapeError

THREE = [((3, 4), (3, 4), (3, 4)), ((3, 1), (4,), ()), ((0, 4), (4,), (1, 4))]
WHOLE = {"tails": lambda n: ((n,),) * 3, "large": ((3, 35001),) * 3}

ROWS = [
    row(
        ops.lerp,
        lambda a, b, w: a + w * (b - a),
        kinds="fff",
        shapes=THREE,
        low=(-2, -2, 0),
        high=(2, 2, 1),
        slack=2,
        **WHOLE,
    ),
    row(
        ops.lerp,
        lambda a, b, weight: a + weight * (b - a),
        name="lerp_by_number",
        kinds="ff",
        slack=2,
        kwargs=[{"weight": 0.25}, {"weight": 1.0}],
        errors=[(((3,), (4,), 0.5), ShapeError, "do not broadcast")],
    ),
    row(
        ops.addcmul,
        lambda a, b, c, value=1: a + value * b * c,
        kinds="fff",
        shapes=THREE,
        kwargs=[{}, {"value": 0.5}],
        **WHOLE,
    ),
    row(
        ops.addcdiv,
        lambda a, b, c, value=1: a + value * b / c,
        kinds="fff",
        shapes=THREE,
        kwargs=[{}, {"value": 0.5}],
        low=(-2, -2, 0.5),
        **WHOLE,
    ),
]


class TestRows(RowChecks):
    """Every row."""


def test_lerp_ends_exactly() -> None:
    a, b = pydl.tensor([1e8, 0.1]), pydl.tensor([1.0, 0.7])
    for one in (1.0, pydl.ones(2)):
        assert ops.lerp(a, b, one).tolist() == b.tolist()


def test_mixed_dtypes_promote() -> None:
    """What the kernels do not take is composed: integers, and floats of different widths."""
    x, whole = pydl.tensor([0.5, 1.5]), pydl.tensor([2, 4])
    assert ops.addcmul(x, whole, whole).tolist() == [4.5, 17.5]
    assert ops.addcmul(whole, whole, whole, value=2).tolist() == [10, 36]
    assert ops.addcdiv(x, whole, whole, value=3).tolist() == [3.5, 4.5]
    made = ops.lerp(x, x.double(), 0.25)
    assert made.dtype is pydl.float64 and made.tolist() == [0.5, 1.5]
    assert ops.lerp(x, x + 1, pydl.tensor([0.25, 0.75], dtype=pydl.float64)).tolist() == [0.75, 2.25]


def test_a_number_as_weight_keeps_no_input() -> None:
    a, b = pydl.ones(500, requires_grad=True) * 2, pydl.ones(500)
    y = ops.lerp(a, b, 0.25)
    a.add_(1)  # would spoil the gradient if its rule read a
    y.sum().backward()
    assert y.tolist() == [1.75] * 500


@pytest.mark.parametrize("call", [
    lambda x: ops.lerp(x, x, "w"),
    lambda x: ops.lerp(x, 2.0, 0.5),
    lambda x: ops.addcmul(x, 2.0, 3.0),
    lambda x: ops.addcdiv(x, x, x, value="v"),
])  # fmt: skip
def test_what_is_no_tensor(call: Any) -> None:
    with pytest.raises(DtypeError, match=r"(lerp|addcmul|addcdiv): "):
        call(pydl.ones(2))
