"""Tensors from sizes, numbers and other libraries' arrays."""

from typing import Any

import ml_dtypes
import numpy as np
import pytest
from registry import ALL, NUMPY

import pydl
from pydl import ops
from pydl.errors import ArgumentError, DtypeError, ShapeError

COVERS = [
    "arange",
    "as_tensor",
    "asarray",
    "empty",
    "empty_like",
    "eye",
    "from_dlpack",
    "from_numpy",
    "full",
    "full_like",
    "get_default_dtype",
    "is_floating_point",
    "is_tensor",
    "linspace",
    "logspace",
    "ones",
    "ones_like",
    "set_default_dtype",
    "tensor",
    "zeros",
    "zeros_like",
]


@pytest.mark.parametrize("dtype", ALL)
@pytest.mark.parametrize("shape", [(), (0,), (3,), (2, 3), (70_001,)])
def test_filled(dtype: str, shape: tuple[int, ...]) -> None:
    d = getattr(pydl, dtype)
    for made, value in (
        (ops.zeros(shape, dtype=d), 0),
        (ops.ones(*shape, dtype=d), 1),
        (ops.full(shape, 1, dtype=d), 1),
        (ops.zeros_like(pydl.ones(shape, dtype=d)), 0),
        (ops.ones_like(pydl.zeros(shape), dtype=d), 1),
        (ops.full_like(pydl.ones(shape, dtype=d), 1), 1),
    ):
        assert made.shape == shape and made.dtype is d
        np.testing.assert_array_equal(made.numpy(), np.full(shape, value, NUMPY[dtype]))
    for made in (ops.empty(shape, dtype=d), ops.empty_like(pydl.zeros(shape, dtype=d))):
        assert made.shape == shape and made.dtype is d


@pytest.mark.parametrize(
    ("data", "dtype", "shape"),
    [
        (3, "int64", ()),
        (2.5, "float32", ()),
        (True, "bool", ()),
        ([1, 2.5], "float32", (2,)),
        ([[1, 2], [3, 4]], "int64", (2, 2)),
        ([True, False], "bool", (2,)),
        ([], "float32", (0,)),
        ([[], []], "float32", (2, 0)),
        (np.float32([1, 2]), "float32", (2,)),
        (np.arange(3), "int64", (3,)),
        (np.arange(3, dtype=np.int16), "int32", (3,)),
        (np.arange(3, dtype=np.uint32), "int64", (3,)),
        (np.arange(3, dtype=">f4"), "float32", (3,)),
        (np.ones((2, 2), dtype=ml_dtypes.bfloat16), "bfloat16", (2, 2)),
        ([np.float32(1), 2], "float32", (2,)),
        (range(3), "int64", (3,)),
        ((1, (2)), "int64", (2,)),
        ([pydl.tensor(1.0), pydl.tensor(2.0)], "float32", (2,)),
    ],
)
def test_tensor(data: Any, dtype: str, shape: tuple[int, ...]) -> None:
    made = ops.tensor(data)
    assert made.dtype.name == dtype and made.shape == shape
    flat = [float(v) for v in np.array([float(v) for v in np.ravel(np.array(data, dtype=object))])] if shape else [data]
    assert made.double().reshape(-1).tolist() == flat


def test_tensor_copies() -> None:
    a = np.zeros(3)
    x = pydl.from_numpy(a)
    made = [ops.tensor(a), ops.tensor(x), ops.asarray(a, copy=True)]
    shared = [x, ops.asarray(a), ops.as_tensor(x), ops.from_dlpack(a)]
    a[:] = 1
    assert all(m.tolist() == [0, 0, 0] for m in made) and all(s.tolist() == [1, 1, 1] for s in shared)


def test_as_tensor_of_other_dtype_and_lists() -> None:
    assert ops.as_tensor(np.ones(2), dtype=pydl.float32).dtype is pydl.float32
    assert ops.as_tensor([1.0, 2.0]).tolist() == [1, 2]
    assert ops.is_tensor(ops.tensor(1)) and not ops.is_tensor(1)
    assert ops.is_floating_point(ops.tensor(1.0)) and not ops.is_floating_point(ops.tensor(1))


@pytest.mark.parametrize("dtype", ALL)
def test_numpy_and_back(dtype: str) -> None:
    """Zero-copy, whatever the strides."""
    a = np.ones((3, 4), dtype=NUMPY[dtype])
    for view in (a, a.T, a[::2], a[::-1], a[:, 1:2], a[0, 0, ...], a[:0], np.broadcast_to(a[0], (5, 4))):
        x = pydl.from_numpy(view)
        assert x.dtype.name == dtype and x.shape == view.shape
        np.testing.assert_array_equal(x.numpy(), view)
        np.testing.assert_array_equal((x + x).numpy() if dtype != "bool" else x.numpy(), view + view)
    x = pydl.from_numpy(a)
    x[0, 0] = 0
    assert a[0, 0] == 0


@pytest.mark.parametrize(
    "args", [(5,), (2, 9), (2, 9, 2), (9, 2, -3), (0,), (5, 2), (0.5, 3), (0, 1, 0.1), (-1.5, 1.5, 0.25)]
)
def test_arange(args: tuple[float, ...]) -> None:
    made, expected = ops.arange(*args), np.arange(*args)
    assert made.dtype is (pydl.int64 if expected.dtype.kind == "i" else pydl.float32)
    np.testing.assert_allclose(made.numpy(), expected, rtol=1e-6)


def test_long_ranges_are_exact() -> None:
    assert ops.arange(100_003).tolist() == list(range(100_003))
    assert ops.arange(2**53 + 1, 2**53 + 4).tolist() == [2**53 + 1, 2**53 + 2, 2**53 + 3]
    x = ops.arange(0, 1, 1e-6, dtype=pydl.float32).numpy()
    np.testing.assert_allclose(x, np.arange(1_000_000) * 1e-6, rtol=1e-6)


def test_spaces() -> None:
    np.testing.assert_allclose(ops.linspace(-1, 2, 7).numpy(), np.linspace(-1, 2, 7), rtol=1e-6)
    np.testing.assert_allclose(ops.logspace(-2, 2, 5).numpy(), np.logspace(-2, 2, 5), rtol=1e-6)
    np.testing.assert_allclose(ops.logspace(0, 3, 4, base=2.0, dtype=pydl.float64).numpy(), [1, 2, 4, 8], rtol=1e-15)
    assert ops.linspace(0, 1, 1).tolist() == [0] and ops.linspace(0, 1, 0).shape == (0,)


@pytest.mark.parametrize(("n", "m"), [(3, None), (3, 5), (5, 3), (0, None), (0, 2)])
def test_eye(n: int, m: int | None) -> None:
    np.testing.assert_array_equal(ops.eye(n, m).numpy(), np.eye(n, m))


def test_the_default_dtype() -> None:
    assert ops.get_default_dtype() is pydl.float32
    ops.set_default_dtype(pydl.float64)
    try:
        for made in (ops.zeros(2), ops.tensor(1.0), ops.tensor([1.0]), ops.rand(2), ops.arange(0.5, 2), ops.eye(2)):
            assert made.dtype is pydl.float64
        whole = ops.tensor([1, 2])
        for made in (whole / 2, whole / whole, whole * 0.5, ops.sin(whole), ops.where(whole > 1, 0.1, 0.2)):
            assert made.dtype is pydl.float64
        assert ops.where(whole > 1, 0.1, 0.2).tolist() == [0.2, 0.1]
    finally:
        ops.set_default_dtype(pydl.float32)


@pytest.mark.parametrize(
    ("call", "error", "text"),
    [
        (lambda: ops.tensor([[1], [1, 2]]), ArgumentError, "the nested lists are ragged"),
        (lambda: ops.tensor("abc"), DtypeError, "tensor: expected numbers, got NumPy dtype <U3"),
        (lambda: ops.tensor([None]), DtypeError, "tensor: expected numbers, got NumPy dtype object"),
        (lambda: ops.tensor(1j), DtypeError, "tensor: expected numbers, got NumPy dtype complex128"),
        (lambda: ops.tensor(2**70), ArgumentError, "does not fit into int64"),
        (lambda: ops.tensor([2**70]), DtypeError, "tensor: expected numbers"),
        (lambda: ops.zeros(-1), ShapeError, "full: shape (-1,) has a negative size"),
        (lambda: ops.empty(2, -1), ShapeError, "empty: shape (2, -1) has a negative size"),
        (lambda: ops.zeros(2**40, 2**40), ShapeError, "does not fit into memory"),
        (lambda: ops.zeros([1] * 9), ShapeError, "expected at most 8 axes, got 9"),
        (lambda: ops.arange(0, 5, 0), ArgumentError, "arange: start, end and step must be finite and step not 0"),
        (lambda: ops.arange(float("inf")), ArgumentError, "arange: start, end and step must be finite"),
        (lambda: ops.linspace(0, 1, -1), ArgumentError, "linspace: steps must not be negative, got -1"),
        (lambda: ops.from_numpy([1.0]), DtypeError, "from_numpy: expected a NumPy array, got list"),
        (lambda: ops.from_numpy(np.ones(2, complex)), DtypeError, "numpy dtype complex128 is not supported"),
        (lambda: ops.from_dlpack([1.0]), DtypeError, "from_dlpack: list has no __dlpack__"),
        (lambda: ops.set_default_dtype(pydl.int64), DtypeError, "set_default_dtype: expected a floating dtype"),
        (lambda: ops.zeros(3, device="tpu"), ArgumentError, "'tpu' is not a device"),
    ],
)
def test_errors(call: Any, error: type[Exception], text: str) -> None:
    with pytest.raises(error) as caught:
        call()
    assert text in str(caught.value)


def test_requires_grad() -> None:
    for made in (
        ops.zeros(2, requires_grad=True),
        ops.tensor([1.0], requires_grad=True),
        ops.ones_like(pydl.ones(2), requires_grad=True),
    ):
        assert made.requires_grad and made.is_leaf
    with pytest.raises(DtypeError, match="only floating tensors can require gradients"):
        ops.tensor([1], requires_grad=True)
    with pytest.raises(DtypeError, match="only floating tensors can require gradients"):
        ops.zeros(2, dtype=pydl.int64, requires_grad=True)
