"""Tensor: dtypes, views, copies in place, printing, pickling."""

import copy
import io
import pickle
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import pydl
from pydl.errors import ArgumentError, AutogradError

DTYPES = [pydl.bool, pydl.uint8, pydl.int32, pydl.int64, pydl.float16, pydl.bfloat16, pydl.float32, pydl.float64]


def grid(*shape: int) -> pydl.Tensor:
    return pydl.arange(int(np.prod(shape)), dtype=pydl.float32).reshape(shape)


# ---------------------------------------------------------------- facts


@pytest.mark.parametrize("dtype", DTYPES, ids=lambda d: d.name)
def test_dtypes(dtype: Any) -> None:
    """Sizes, names, identity; values survive."""
    x = pydl.tensor([0, 1, 1], dtype=dtype)
    assert x.dtype is dtype and repr(dtype) == f"pydl.{dtype.name}" and x.tolist() == [0, 1, 1]
    assert x.itemsize == x.element_size() == dtype.itemsize and x.nbytes == 3 * dtype.itemsize
    assert x.is_floating_point() == dtype.is_floating_point
    if dtype is not pydl.bfloat16:
        assert x.numpy().dtype == np.dtype(dtype.name)
    assert pickle.loads(pickle.dumps(dtype)) is dtype and copy.deepcopy(dtype) is dtype


def test_promotion_equals_torch() -> None:
    torch = pytest.importorskip("torch")
    for a in DTYPES:
        for b in DTYPES:
            expected = torch.promote_types(getattr(torch, a.name), getattr(torch, b.name))
            assert f"torch.{pydl.promote_types(a, b).name}" == str(expected)
            for shapes in [((2,), (2,)), ((2,), ()), ((), (2,)), ((), ())]:
                x, y = pydl.zeros(shapes[0], dtype=a), pydl.ones(shapes[1], dtype=b)
                theirs = torch.zeros(shapes[0], dtype=getattr(torch, a.name)) + torch.ones(
                    shapes[1], dtype=getattr(torch, b.name)
                )
                assert f"torch.{(x + y).dtype.name}" == str(theirs.dtype), (a, b, shapes)


def test_conversion_to_python() -> None:
    assert float(pydl.tensor([2.5])) == 2.5 and int(pydl.tensor([[7]])) == 7 and bool(pydl.tensor([0])) is False
    assert [10, 20, 30][pydl.tensor(1)] == 20 and f"{pydl.tensor(1.25):.1f}" == "1.2"
    assert isinstance(pydl.tensor(True).item(), bool) and isinstance(pydl.tensor(3).item(), int)
    assert len(grid(3, 2)) == 3 and [r.tolist() for r in grid(2, 2)] == [[0.0, 1.0], [2.0, 3.0]]
    assert pydl.tensor([1 << 60]).item() == 1 << 60


# ---------------------------------------------------------------- views

VIEWS: list[Any] = [
    lambda x: x[1:3],
    lambda x: x[:, ::2],
    lambda x: x[::-1],
    lambda x: x[2],
    lambda x: x[..., 1],
    lambda x: x[None],
    lambda x: x.T,
    lambda x: x.reshape(2, 8),
    lambda x: x.view(16),
    lambda x: x.permute(1, 0),
    lambda x: x.transpose(0, 1),
    lambda x: x.unsqueeze(1).squeeze(1),
    lambda x: x.flatten(),
    lambda x: x.unflatten(0, (2, 2)),
    lambda x: x.narrow(0, 1, 2),
    lambda x: x.select(1, 2),
    lambda x: x.split(2)[1],
    lambda x: x.chunk(2, 1)[1],
    lambda x: x.unbind(1)[3],
    lambda x: x.expand(3, 4, 4)[1],
    lambda x: x.movedim(0, 1),
    lambda x: x.detach(),
    lambda x: x.contiguous(),
    lambda x: x.T.T,
]


@pytest.mark.parametrize("view", VIEWS)
def test_views_share_memory(view: Any) -> None:
    """A write through the view is seen, and the NumPy array of it has the same values."""
    x = grid(4, 4)
    v = view(x)
    assert pydl._C.shares_memory(v.array, x.array) and np.shares_memory(v.numpy(), x.numpy())
    before = v.numpy().copy()
    x.add_(100.0)
    np.testing.assert_array_equal(v.numpy(), before + 100)
    v.fill_(-1.0)
    assert (x.numpy() == -1).sum() == v.numel()


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_reshape_is_numpys(data: Any) -> None:
    """Any chain of slices and transposes, then any reshape: NumPy's values; a view exactly where torch has one."""
    torch = pytest.importorskip("torch")
    shape = data.draw(st.lists(st.integers(0, 4), min_size=1, max_size=4))
    n = int(np.prod(shape))
    x, a = pydl.arange(n).reshape(shape), torch.arange(n).reshape(shape)
    for _ in range(data.draw(st.integers(0, 3))):
        axis = data.draw(st.integers(0, x.ndim - 1))
        other = data.draw(st.integers(0, x.ndim - 1))
        start, step = data.draw(st.integers(0, 2)), data.draw(st.integers(1, 2))
        key = (slice(None),) * axis + (slice(start, None, step),)
        x, a = x[key].transpose(axis, other), a[key].transpose(axis, other)
    sizes = data.draw(st.permutations(list(a.shape)))
    if len(sizes) > 1 and data.draw(st.booleans()):
        sizes = [sizes[0] * sizes[1], *sizes[2:]]
    np.testing.assert_array_equal(x.reshape(sizes).numpy(), a.reshape(sizes).numpy())
    try:
        theirs = a.view(sizes)
    except RuntimeError:
        theirs = None
    if theirs is not None and a.numel():
        assert x.view(sizes).tolist() == theirs.tolist()


# ---------------------------------------------------------------- in place


def test_overlapping_copy() -> None:
    """As if the source was read whole first, also where two tensors came from one array by themselves."""
    x = grid(10)
    x[1:].copy_(x[:-1])
    assert x.tolist() == [0, 0, 1, 2, 3, 4, 5, 6, 7, 8]
    x = grid(10)
    x.copy_(x[::-1])
    assert x.tolist() == list(range(9, -1, -1))
    a = np.arange(10, dtype=np.float32)
    pydl.from_numpy(a[1:]).copy_(pydl.from_numpy(a[:-1]))
    assert a.tolist() == [0, 0, 1, 2, 3, 4, 5, 6, 7, 8]
    m = grid(3, 3)
    m.copy_(m.T)
    np.testing.assert_array_equal(m.numpy(), np.arange(9.0).reshape(3, 3).T)
    m += m.T
    np.testing.assert_array_equal(m.numpy(), m.numpy().T)


def test_copy_converts_and_broadcasts() -> None:
    x = pydl.zeros(2, 3, dtype=pydl.int32)
    assert x.copy_(pydl.tensor([1.7, 2.2, -3.9])) is x and x.tolist() == [[1, 2, -3]] * 2
    with pytest.raises(ArgumentError, match="share memory"):
        pydl.zeros(3).expand(2, 3).copy_(pydl.ones(2, 3))
    with pytest.raises(ValueError, match="broadcast"):
        pydl.zeros(3).copy_(pydl.ones(2, 3))


def test_augmented_assignment_does_not_change_others() -> None:
    """x += 1 makes a new tensor where a graph records, as any operator; views of x keep their values."""
    x = pydl.ones(3, requires_grad=True)
    y = x * 1
    z = y
    y += 1
    assert z.tolist() == [1.0] * 3 and y.tolist() == [2.0] * 3
    y.sum().backward()
    assert x.grad.tolist() == [1.0] * 3


# ---------------------------------------------------------------- printing


@pytest.mark.parametrize("dtype", DTYPES, ids=lambda d: d.name)
@pytest.mark.parametrize("shape", [(), (0,), (2, 0, 3), (1,), (2, 3), (60, 70)])
def test_repr(dtype: Any, shape: tuple[int, ...]) -> None:
    text = repr(pydl.ones(shape, dtype=dtype))
    assert text.startswith("tensor(") and text.endswith(")") and len(text) < 2000
    assert (f"dtype=pydl.{dtype.name}" in text) == (dtype not in (pydl.float32, pydl.int64, pydl.bool))
    assert ("..." in text) == (shape == (60, 70))
    assert ("shape=" in text) == (0 in shape or shape == (60, 70))


def test_repr_of_values() -> None:
    assert repr(pydl.tensor([1.0, -2.5])) == "tensor([ 1. , -2.5])"
    assert repr(pydl.tensor([True, False])) == "tensor([ True, False])"
    assert "nan" in repr(pydl.tensor([float("nan"), float("inf"), -0.0]))
    assert repr(pydl.tensor(3)) == "tensor(3)" and str(pydl.tensor([])) == "tensor([], shape=(0,))"
    x = pydl.ones(2, requires_grad=True)
    assert "requires_grad=True" in repr(x) and "grad_fn=<MulBackward>" in repr(x * 2)
    assert "e+30" in repr(pydl.tensor([1e30, 1.0]))
    assert f"{pydl.ones(2)}" == repr(pydl.ones(2))


# ---------------------------------------------------------------- copies


@pytest.mark.parametrize("dtype", DTYPES, ids=lambda d: d.name)
@pytest.mark.parametrize("protocol", [2, pickle.HIGHEST_PROTOCOL])
def test_pickle(dtype: Any, protocol: int) -> None:
    values = pydl.tensor([[0.0, 1.0, 2.0], [3.0, 0.5, -1.0]]).to(dtype)
    for x in (values, values.T, values[:, ::2], values[:0], values[0, 0], values.expand(2, 2, 3)):
        y = pickle.loads(pickle.dumps(x, protocol))
        assert y.dtype is dtype and y.shape == x.shape and y.tolist() == x.tolist()
        assert not pydl._C.shares_memory(x.array, y.array)
        y.fill_(1)  # writable


def test_pickle_keeps_requires_grad_and_refuses_graphs() -> None:
    x = pydl.ones(2, requires_grad=True)
    assert pickle.loads(pickle.dumps(x)).requires_grad
    for action in (pickle.dumps, copy.deepcopy):
        with pytest.raises(AutogradError, match="detach"):
            action(x * 2)
    device = pydl.device("cpu")
    assert pickle.loads(pickle.dumps(device)) == device
    stream = io.BytesIO()
    pickle.dump({"x": x, "same": x}, stream)
    loaded = pickle.loads(stream.getvalue())
    assert loaded["x"] is loaded["same"]


def test_deepcopy() -> None:
    x = pydl.ones(2, requires_grad=True)
    (x * 3).sum().backward()
    y, z = copy.deepcopy([x, x])
    assert y is z and y is not x and y.requires_grad and y.grad is not x.grad and y.grad.tolist() == [3.0, 3.0]
    with pydl.no_grad():
        y.fill_(0.0)
        y.grad.fill_(0.0)
    assert x.tolist() == [1.0, 1.0] and x.grad.tolist() == [3.0, 3.0]
    shallow = copy.copy(x)
    assert pydl._C.shares_memory(shallow.array, x.array) and shallow.is_leaf
    assert copy.copy(x * 2).is_leaf


def test_tensor_is_no_container_of_surprises() -> None:
    x = pydl.ones(2)
    with pytest.raises(AttributeError):
        x.unknown = 3
    assert x in [x] and {x: 1}[x] == 1 and x is not None
    assert (x == None) is False and (x != None) is True  # noqa: E711
    y = iter(x)
    assert next(y).item() == 1.0
