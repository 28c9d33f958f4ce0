"""How tensors are written."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

import pydl
from pydl.errors import ArgumentError


@pytest.fixture(autouse=True)
def _defaults() -> Iterator[None]:
    """Each test starts from the default options and puts them back."""
    pydl.set_printoptions(profile="default")
    yield
    pydl.set_printoptions(profile="default")


def test_numbers() -> None:
    assert repr(pydl.tensor([1.0, -2.5])) == "tensor([ 1. , -2.5])" and repr(pydl.tensor(3)) == "tensor(3)"
    assert repr(pydl.tensor([1.23456789])) == "tensor([1.2346])" and repr(pydl.tensor(3.5)) == "tensor(3.5)"
    assert repr(pydl.tensor([[True], [False]])) == "tensor([[ True],\n        [False]])"
    assert repr(pydl.tensor([float("nan"), float("inf"), -float("inf")])) == "tensor([ nan,  inf, -inf])"
    assert repr(pydl.tensor([1e30, 1.0])) == "tensor([1.e+30, 1.e+00])"
    assert repr(pydl.tensor([1e-5, 2e-5])) == "tensor([1.e-05, 2.e-05])"
    assert repr(pydl.tensor([12345.678, 0.0])) == "tensor([12345.678,     0.   ])"
    assert repr(pydl.tensor([0.0, float("inf")])) == "tensor([ 0., inf])"
    assert str(pydl.ones(2)) == repr(pydl.ones(2)) == f"{pydl.ones(2)}" and f"{pydl.tensor(1.25):.1f}" == "1.2"


def test_facts() -> None:
    """The dtype where the numbers do not show it, the shape where they do not, the place in the graph."""
    assert repr(pydl.ones(1).bfloat16()) == "tensor([1.], dtype=pydl.bfloat16)"
    assert repr(pydl.tensor([1], dtype=pydl.uint8)) == "tensor([1], dtype=pydl.uint8)"
    assert repr(pydl.zeros(2, 0, 3)) == "tensor([], shape=(2, 0, 3))"
    assert repr(pydl.zeros(0, dtype=pydl.int32)) == "tensor([], shape=(0,), dtype=pydl.int32)"
    x = pydl.ones(2, requires_grad=True)
    assert repr(x) == "tensor([1., 1.], requires_grad=True)"
    assert repr(x * 2) == "tensor([2., 2.], grad_fn=<MulBackward>)" and repr(x.detach()) == "tensor([1., 1.])"
    with pydl.no_grad():
        assert repr(x * 2) == "tensor([2., 2.])"


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "int64", "bool"])
def test_summaries(dtype: str) -> None:
    """The corners, and the shape; whatever the layout."""
    x = pydl.arange(60 * 70).reshape(60, 70).to(getattr(pydl, dtype))
    text = repr(x)
    assert text.count("...") == 7 and ("4199" in text) == (dtype in ("float32", "int64")) and len(text) < 600
    assert "shape=(60, 70)" in text and repr(x.T.T) == text and "shape=" not in repr(x[:10, :10])
    assert repr(pydl.zeros(1).expand(1 << 40)) == "tensor([0., 0., 0., ..., 0., 0., 0.], shape=(1099511627776,))"
    assert repr(pydl.zeros(2, 3000)[:, ::-1]).startswith("tensor([[0., 0., 0., ..., 0., 0., 0.],")
    assert "..." in repr(pydl.arange(1001)) and "..." not in repr(pydl.arange(1000))


def test_options() -> None:
    x = pydl.tensor([1.23456789, 1000.0])
    pydl.set_printoptions(precision=2)
    assert repr(x) == "tensor([   1.23, 1000.  ])"
    pydl.set_printoptions(sci_mode=True)
    assert repr(x) == "tensor([1.23e+00, 1.00e+03])" and pydl.get_printoptions()["precision"] == 2
    pydl.set_printoptions(profile="default", sci_mode=False)
    assert repr(pydl.tensor([1e10, 1.0])) == "tensor([10000000000.0000, 1.0000])"
    assert pydl.get_printoptions()["precision"] == 4
    pydl.set_printoptions(threshold=5, edgeitems=1)
    assert (
        repr(pydl.arange(10)) == "tensor([0, ..., 9], shape=(10,))"
        and repr(pydl.arange(5)) == "tensor([0, 1, 2, 3, 4])"
    )
    pydl.set_printoptions(profile="full")
    assert "..." not in repr(pydl.arange(3000)) and "shape=" not in repr(pydl.arange(3000))
    pydl.set_printoptions(profile="short")
    assert repr(pydl.arange(3000.0)) == "tensor([   0.,    1., ..., 2998., 2999.], shape=(3000,))"
    pydl.set_printoptions(profile="default", linewidth=30)
    assert max(map(len, repr(pydl.arange(40)).splitlines())) <= 31
    before = np.get_printoptions()
    repr(pydl.ones(3))
    assert np.get_printoptions() == before  # NumPy's own are left alone


@pytest.mark.parametrize(
    "wrong",
    [{"precision": -1}, {"threshold": "a"}, {"profile": "huge"}, {"edgeitems": True}, {"linewidth": float("nan")}],
)
def test_wrong_options(wrong: dict[str, Any]) -> None:
    before = pydl.get_printoptions()
    with pytest.raises(ArgumentError, match="set_printoptions: "):
        pydl.set_printoptions(**wrong)
    assert pydl.get_printoptions() == before


def test_printing_records_nothing() -> None:
    x = pydl.ones(3, requires_grad=True)
    y = x * 2
    repr(y)
    y.sum().backward()
    assert x.grad is not None and x.grad.tolist() == [2.0] * 3
