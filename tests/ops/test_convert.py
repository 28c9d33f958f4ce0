"""Conversions between dtypes, and the changes in place."""

from typing import Any

import numpy as np
import pytest
from registry import ALL, FLOATS, INTS, NUMPY

import pydl
from pydl.errors import ArgumentError, AutogradError, DeviceError, DtypeError, ShapeError


@pytest.mark.parametrize("to", ALL)
@pytest.mark.parametrize("start", ALL)
def test_all_pairs(start: str, to: str) -> None:
    """As NumPy's astype, for what both can hold; every length up to two vectors."""
    low = 0 if "uint8" in (start, to) else -100
    for n in range(34):
        a = np.random.default_rng(n).uniform(low, 100, n).astype(NUMPY[start])
        made = pydl.from_numpy(a).to(getattr(pydl, to))
        assert made.dtype.name == to
        np.testing.assert_array_equal(made.numpy(), a.astype(NUMPY[to]))


@pytest.mark.parametrize("to", ["float16", "bfloat16", "float32"])
@pytest.mark.parametrize("start", ["float64", "float32"])
def test_rounding_to_nearest_even(start: str, to: str) -> None:
    """Every kind of number: ties, denormals, overflow, infinities and NaN."""
    bits = np.random.default_rng(0).integers(0, 2**32, 20_000, dtype=np.uint32)
    with np.errstate(all="ignore"):
        a = bits.view(np.float32).astype(NUMPY[start])
    ties = (np.arange(1, 4000, dtype=np.float64) * 2.0**-12 + 1).astype(NUMPY[start])
    small = (np.arange(0, 3000, dtype=np.float64) * 2.0**-26).astype(NUMPY[start])
    edges = np.array([65504, 65519.9, 65520, 3.3e38, 3.39e38, np.inf, -np.inf, np.nan], dtype=NUMPY[start])
    for x in (a, ties, small, edges):
        with np.errstate(all="ignore"):
            expected = x.astype(NUMPY[to]).astype(np.float64)
        np.testing.assert_array_equal(pydl.from_numpy(x).to(getattr(pydl, to)).double().numpy(), expected)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_half_precision_is_exact_in_float32(dtype: str) -> None:
    every = np.arange(2**16, dtype=np.uint16).view(NUMPY[dtype])
    with np.errstate(all="ignore"):
        expected = every.astype(np.float32)
    np.testing.assert_array_equal(pydl.from_numpy(every).float().numpy(), expected)
    np.testing.assert_array_equal(pydl.from_numpy(expected).to(getattr(pydl, dtype)).float().numpy(), expected)


def test_ways_to_say_it() -> None:
    x = pydl.ones(3)
    assert x.to(pydl.float64).dtype is x.double().dtype is x.to("cpu", pydl.float64).dtype is pydl.float64
    assert x.to(pydl.tensor([1])).dtype is x.long().dtype is x.type_as(pydl.tensor([1])).dtype is pydl.int64
    assert x.to(pydl.float32) is x and x.cpu() is x and x.to(x) is x
    assert x.to(pydl.float32, copy=True) is not x
    assert x.half().dtype is pydl.float16 and x.bfloat16().dtype is pydl.bfloat16 and x.byte().dtype is pydl.uint8
    assert x.int().dtype is pydl.int32 and x.bool().dtype is pydl.bool and x.float() is x
    with pytest.raises(DtypeError, match=r"to: expected a dtype, a device or a tensor, got 3\.0"):
        x.to(3.0)
    if not pydl.cuda.is_available():
        with pytest.raises(DeviceError, match="cuda is not available"):
            x.cuda()


@pytest.mark.parametrize("dtype", FLOATS)
def test_the_gradient_comes_back_in_the_dtype_of_the_input(dtype: str) -> None:
    x = pydl.ones(3, requires_grad=True)
    (x.to(getattr(pydl, dtype)) * 2).sum().backward()
    assert x.grad.dtype is pydl.float32 and x.grad.tolist() == [2, 2, 2]


@pytest.mark.parametrize("dtype", [*INTS, "bool"])
def test_no_gradient_passes_through_integers(dtype: str) -> None:
    x = pydl.ones(3, requires_grad=True)
    y = x.to(getattr(pydl, dtype))
    assert not y.requires_grad and y.numpy().sum() == 3


# ---------------------------------------------------------------- in place


def test_changes_in_place() -> None:
    x = pydl.zeros(2, 3)
    same = x.view(6)
    assert x.fill_(2) is x and same.tolist() == [2] * 6
    x.copy_(pydl.tensor([1, 2, 3]))
    assert same.tolist() == [1, 2, 3, 1, 2, 3]
    x.t().mul_(2)
    assert same.tolist() == [2, 4, 6, 2, 4, 6]
    x[0].add_(1, alpha=10)
    assert same.tolist() == [12, 14, 16, 2, 4, 6]
    x.zero_()
    assert same.tolist() == [0] * 6


@pytest.mark.parametrize("name", ["add_", "sub_", "mul_", "div_", "pow_"])
def test_in_place_is_out_of_place(name: str) -> None:
    rng = np.random.default_rng(0)
    a, b = rng.uniform(1, 2, (2, 3, 4))
    x = pydl.tensor(a)
    expected = getattr(x, name[:-1])(pydl.tensor(b)).tolist()
    assert getattr(x, name)(pydl.tensor(b)).tolist() == expected == x.tolist()


@pytest.mark.parametrize(
    ("call", "error", "text"),
    [
        (lambda x: x.copy_(pydl.ones(4)), ShapeError, "copy_"),
        (lambda x: x.add_(pydl.ones(2, 3)), ShapeError, "add_: (2, 3) does not broadcast to (3,)"),
        (lambda x: x.requires_grad_().add_(1), AutogradError, "add_: a leaf that requires gradients"),
        (lambda x: x.detach().long().add_(0.5), DtypeError, "add_: the result has dtype pydl.float32"),
        (lambda x: x.requires_grad_()[:2].mul_(2), AutogradError, "mul_: a view of a leaf that requires gradients"),
        (lambda x: x.long().copy_(pydl.ones(3, requires_grad=True)), DtypeError, "does not fit dtype"),
        (lambda x: x.fill_("a"), DtypeError, "fill_: expected a tensor or a number, got str"),
    ],
)
def test_errors(call: Any, error: type[Exception], text: str) -> None:
    x = pydl.ones(3)
    with pytest.raises(error) as caught:
        call(x)
    assert text in str(caught.value)
    assert x.tolist() == [1, 1, 1]


def test_read_only_memory() -> None:
    a = np.zeros(3)
    a.flags.writeable = False
    with pytest.raises(ArgumentError, match="add_: the destination is read-only memory"):
        pydl.from_numpy(a).add_(1)


def test_writing_through_an_expanded_view() -> None:
    """Refused where one element stands for several, as it would be written several times."""
    x = pydl.zeros(1, 3)
    with pytest.raises(ArgumentError, match="add_: several elements of the destination share memory"):
        x.expand(4, 3).add_(1)
