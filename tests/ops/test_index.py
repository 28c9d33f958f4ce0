"""Indexing."""

from typing import Any

import numpy as np
import pytest
from checks import RowChecks
from registry import ALL, row

import pydl
from pydl import ops
from pydl.errors import ArgumentError, AutogradError, BoundsError, DtypeError, ShapeError

INDEX = {"dtypes": ALL, "whole": (-3, 2)}
FROM_0 = {"dtypes": ALL, "whole": (0, 2)}
HIGH, FLAGS = pydl.tensor([5]), pydl.tensor([True])


def np_take_along(x: Any, index: Any, dim: Any = None) -> Any:
    return np.take_along_axis(x.reshape(-1), index.reshape(-1), 0) if dim is None else np.take_along_axis(x, index, dim)


def np_gather(x: Any, index: Any, dim: int) -> Any:
    part = x[tuple(slice(None) if i == dim % x.ndim else slice(n) for i, n in enumerate(index.shape))]
    return np.take_along_axis(part, index, dim) if x.ndim else x.reshape(index.shape)


def np_scatter_add(x: Any, index: Any, src: Any, dim: int) -> Any:
    y = x.copy()
    for at in np.ndindex(*index.shape):
        to = list(at)
        if to:
            to[dim] = index[at]
        y[tuple(to)] += src[at]
    return y


def np_index_add(x: Any, index: Any, src: Any, dim: int, alpha: Any = 1) -> Any:
    y = x.copy()
    np.add.at(np.moveaxis(y, dim, 0), index, np.moveaxis((alpha * src).astype(x.dtype), dim, 0))
    return y


ROWS = [
    row(
        lambda x, index, dim: ops.index_select(x, dim, index),
        lambda x, index, dim: np.take(x, np.atleast_1d(index), dim) if np.ndim(x) else x,
        name="index_select",
        kinds="fi",
        shapes=[((3, 4), (5,)), ((3, 3, 3), (2,)), ((3, 4), (0,))],
        kwargs=[{"dim": 0}],
        cases=[(((2, 3), (4,)), {"dim": -1}), (((2, 3, 5), (4,)), {"dim": 1})],
        **INDEX,
        tails=lambda n: ((3, n), (2,)),
        large=((3, 35001), (7,)),
        errors=[
            (((3, 4), HIGH, 0), BoundsError, "index_select: index 5 is out of range for size 3"),
            (((3, 4), FLAGS, 0), DtypeError, "index_select: index must be int64 or int32, got bool"),
            (((3, 4), HIGH.reshape(1, 1), 0), ShapeError, "index must have one axis"),
        ],
    ),
    row(
        lambda x, index, dim: ops.gather(x, dim, index),
        np_gather,
        name="gather",
        kinds="fi",
        **INDEX,
        shapes=[((3, 4), (2, 4)), ((3, 2), (5, 1)), ((3, 3, 2), (0, 3, 2))],
        kwargs=[{"dim": 0}],
        cases=[(((2, 3), (2, 5)), {"dim": -1}), (((2, 3, 4), (2, 2, 3)), {"dim": 1})],
        tails=lambda n: ((3, n), (2, n)),
        large=((3, 35001), (4, 35001)),
        errors=[
            (((3, 4), HIGH, 0), ShapeError, "gather: index of shape (1,) does not fit (3, 4)"),
            (((3, 4), HIGH.reshape(1, 1), 0), BoundsError, "gather: index 5 is out of range for size 3"),
        ],
    ),
    row(
        ops.take_along_dim,
        np_take_along,
        kinds="fi",
        shapes=[((3, 4), (2, 4)), ((3, 1), (5, 4))],
        kwargs=[{"dim": 0}, {}],
        **INDEX,
        errors=[
            (
                ((3, 4), pydl.tensor([[0, 0]]), 0),
                ShapeError,
                "take_along_dim: shapes (1, 4) and (1, 2) do not broadcast",
            )
        ],
    ),
    row(
        lambda x, index, src, dim: ops.scatter_add(x, dim, index, src),
        np_scatter_add,
        name="scatter_add",
        kinds="fif",
        shapes=[((3, 4), (5, 4), (5, 4)), ((3, 4), (2, 3), (2, 4)), ((3, 4), (0, 4), (2, 4))],
        kwargs=[{"dim": 0}],
        cases=[(((2, 3), (2, 5), (2, 6)), {"dim": 1})],
        **FROM_0 | {"dtypes": ALL[:-1]},
        sums=True,
        tails=lambda n: ((3, n), (4, n), (4, n)),
        large=((3, 4001), (40, 4001), (40, 4001)),
        errors=[
            (
                ((3, 4), pydl.tensor([[0, 0], [0, 0]]), (1, 2), 0),
                ShapeError,
                "scatter_add: index of shape (2, 2) does not fit src (1, 2): expected no larger size in dim 0",
            ),
            (((3, 4), HIGH.reshape(1, 1), (1, 1), 0), BoundsError, "scatter_add: index 5 is out of range for size 3"),
        ],
    ),
    row(
        lambda x, index, src, **k: ops.index_add(x, k.pop("dim"), index, src, **k),
        np_index_add,
        name="index_add",
        kinds="fif",
        shapes=[((3, 4), (5,), (5, 4)), ((3, 4), (0,), (0, 4))],
        kwargs=[{"dim": 0}, {"dim": 0, "alpha": 2}],
        cases=[(((2, 3), (4,), (2, 4)), {"dim": 1})],
        **FROM_0 | {"dtypes": ALL[:-1]},
        sums=True,
        large=((3, 4001), (40,), (40, 4001)),
        errors=[
            (((3, 4), HIGH, (1, 4), {"dim": 0}), BoundsError, "index_add: index 5 is out of range for size 3"),
            (((3, 4), HIGH, (1, 3), {"dim": 0}), ShapeError, "expected source (1, 4)"),
        ],
    ),
    row(ops.nonzero, lambda x: np.argwhere(x), whole=(-1, 1), dtypes=ALL, grad=False, result=lambda d: "int64"),
    row(
        ops.masked_select,
        lambda x, m: np.broadcast_to(x, np.broadcast(x, m).shape)[np.broadcast_to(m, np.broadcast(x, m).shape)],
        kinds="fb",
        shapes=[((3, 4), (3, 4)), ((4,), (3, 1)), ((), ()), ((0, 4), (4,))],
        dtypes=ALL,
        errors=[
            (((3,), FLAGS.expand(4)), ShapeError, "masked_select: shapes (3,) and (4,) do not broadcast"),
            (((3,), (3,)), DtypeError, "masked_select: mask must be bool"),
        ],
    ),
    row(
        ops.masked_fill,
        lambda x, m, value: np.where(m, np.asarray(value).astype(x.dtype), x),
        kinds="fb",
        dtypes=ALL[:-1],
        shapes=[((3, 4), (3, 4)), ((3, 4), (4,)), ((), ()), ((0, 4), (4,))],
        kwargs=[{"value": 7}, {"value": True}],
        tails=lambda n: ((n,), (n,)),
        large=((3, 35001), (35001,)),
    ),
    row(
        ops.one_hot,
        lambda x, num_classes=-1: np.eye(num_classes if num_classes > 0 else x.max() + 1, dtype=int)[x],
        kinds="i",
        shapes=[(3,), (2, 3), ()],
        whole=(0, 4),
        kwargs=[{}, {"num_classes": 7}],
        dtypes=("int64",),
        grad=False,
        errors=[
            (((3,),), DtypeError, "one_hot: expected int64"),
            ((pydl.tensor([-1]),), BoundsError, "one_hot: class indices must not be negative"),
            ((HIGH, 3), BoundsError, "one_hot: index 5 is out of range for 3 classes"),
        ],
    ),
]


class TestRows(RowChecks):
    """Every row."""


# ---------------------------------------------------------------- x[...]

X = np.arange(2 * 3 * 4 * 5).reshape(2, 3, 4, 5)
KEYS: list[Any] = [
    0,
    -1,
    slice(None),
    slice(None, None, -1),
    slice(5, 0, -2),
    ...,
    None,
    (0, 1),
    (..., 0),
    (slice(1), ..., -1),
    (None, 0),
    (slice(None), None, 1),
    ([0, 1, 1],),
    ([1, 0], [2, 1]),
    (slice(None), [0, 2]),
    (slice(None), [[0], [2]], [1, 3]),
    ([0, 1], slice(None), [1, 2]),
    (..., [1, 3], slice(None, None, 2)),
    X > 50,
    (slice(None), X[0, :, 0, 0] > 10),
    (0, X[0, :, :, 0] > 10),
    X[..., 0] > 30,
    ([],),
    (slice(0), 0),
    (True,),
    (False,),
    (slice(None, None, -1), [2, 0], None),
    (X[:, 0, 0, 0] >= 0, slice(None), [1, 2]),
    np.array([1, 0], dtype=np.int16),
    np.int64(1),
    (np.array(1), slice(2)),
]


def _ours(key: Any) -> Any:
    """Arrays as tensors."""
    convert = lambda k: pydl.from_numpy(k) if isinstance(k, np.ndarray) and k.dtype != np.int16 else k  # noqa: E731
    return tuple(map(convert, key)) if isinstance(key, tuple) else convert(key)


@pytest.mark.parametrize("key", KEYS, ids=[str(i) for i in range(len(KEYS))])
def test_get_and_set(key: Any) -> None:
    """As NumPy, with the gradient of what was read, and values put in."""
    np.testing.assert_array_equal(pydl.from_numpy(X)[_ours(key)].numpy(), X[key])
    a, x = X.copy(), pydl.tensor(X)
    a[key] = -X[key]
    x[_ours(key)] = pydl.tensor(-X[key])
    np.testing.assert_array_equal(x.numpy(), a)
    a[key] = 7
    x[_ours(key)] = 7
    np.testing.assert_array_equal(x.numpy(), a)
    t = pydl.tensor(X.astype(float), requires_grad=True)
    t[_ours(key)].sum().backward()
    counts = np.zeros(X.shape)
    np.add.at(counts, key, 1)
    np.testing.assert_array_equal(np.zeros(X.shape) if t.grad is None else t.grad.numpy(), counts)


def test_integers_beside_lists_act_first() -> None:
    """As in torch: the axis of the integer is gone before the lists meet; NumPy moves the result's axes in front."""
    torch = pytest.importorskip("torch")
    for key in [(0, slice(None), [1, 2]), (slice(None), 1, slice(None), [0, 1]), ([0, 1], 2, [0, 1])]:
        np.testing.assert_array_equal(pydl.from_numpy(X)[key].numpy(), torch.tensor(X)[key].numpy())


@pytest.mark.parametrize(
    ("key", "error", "text"),
    [
        (2, BoundsError, "index: 2 is out of range for axis 0 of shape (2, 3, 4, 5)"),
        ((0,) * 5, BoundsError, "index: 5 indices for shape (2, 3, 4, 5): expected at most 4"),
        ((..., ...), BoundsError, "more than one ellipsis"),
        ([2], BoundsError, "a position is out of range for size 2 of axis 0"),
        (1.0, DtypeError, "expected integers, slices"),
        ([0.5], DtypeError, "index: expected integers or bools, got [0.5]"),
        ("a", DtypeError, "expected integers, slices"),
        (pydl.ones(2), DtypeError, "index: expected integers or bool"),
        (pydl.ones(3).bool(), ShapeError, "index: mask (3,) does not match axes (2,)"),
        (([0, 1], [0, 1, 2]), ShapeError, "index: shapes (2,) and (3,) do not broadcast"),
        ((None,) * 5, ShapeError, "at most 8 axes"),
    ],
)
def test_wrong_keys(key: Any, error: type[Exception], text: str) -> None:
    for call in (lambda x: x[key], lambda x: x.__setitem__(key, 0)):
        with pytest.raises(error) as caught:
            call(pydl.tensor(X))
        assert text in str(caught.value)


def test_a_slice_step_of_zero() -> None:
    with pytest.raises(ValueError, match="step"):
        pydl.tensor(X)[::0]


def test_setting_what_does_not_fit() -> None:
    x = pydl.zeros(3, 4)
    with pytest.raises(ShapeError, match=r"setitem: \(3,\) does not broadcast to \(4,\)|do not broadcast"):
        x[0] = pydl.ones(3)
    with pytest.raises(ShapeError, match="does not fit the indexed part"):
        x[[0, 1]] = pydl.ones(3)
    with pytest.raises(DtypeError, match="setitem: expected a tensor or a number, got str"):
        x[0] = "a"


def test_setting_in_the_graph_is_refused() -> None:
    x = pydl.zeros(3, requires_grad=True)
    with pytest.raises(AutogradError, match="cannot be changed in place"):
        x[0] = 1.0
    with pydl.no_grad():
        x[0] = 1.0
    assert x.tolist() == [1, 0, 0]


def test_setting_read_only_memory() -> None:
    a = np.zeros(3)
    a.flags.writeable = False
    x = pydl.from_numpy(a)
    for key in (0, [0, 1]):
        with pytest.raises(ArgumentError, match="read-only memory"):
            x[key] = 1.0
    assert a.tolist() == [0, 0, 0]


@pytest.mark.parametrize("dtype", ALL)
def test_setting_in_every_dtype(dtype: str) -> None:
    x = pydl.zeros(4, dtype=getattr(pydl, dtype))
    x[[0, 2]] = 1
    x[3:] = pydl.tensor([1.0])
    assert x.tolist() == [1, 0, 1, 1]


def test_setting_from_itself() -> None:
    """The source is read whole before it is overwritten."""
    x = pydl.arange(5)
    x[1:] = x[:-1]
    assert x.tolist() == [0, 0, 1, 2, 3]


def test_setting_bumps_the_version() -> None:
    x = pydl.ones(3, requires_grad=True)
    buffer = pydl.ones(3)
    y = (x * buffer).sum()
    buffer[[0]] = 5.0
    with pytest.raises(AutogradError, match="changed in place"):
        y.backward()


def test_a_tensor_without_axes_takes_one_index() -> None:
    """More would write past its one element."""
    x = pydl.ones(())
    assert ops.index_select(x, 0, pydl.tensor([0])).shape == ()
    assert ops.index_add(x, 0, pydl.tensor([0]), pydl.ones(())).item() == 2
    for index in ([], [0, 0, 0]):
        at = pydl.tensor(index, dtype=pydl.int64)
        with pytest.raises(ShapeError, match="without axes takes one index"):
            ops.index_select(x, 0, at)
        with pytest.raises(ShapeError, match="do not fit"):
            ops.index_add(x, 0, at, pydl.ones(()))


@pytest.mark.parametrize("name", ["index_select", "gather", "scatter_add", "index_add", "take", "getitem"])
def test_changing_the_index_before_backward_is_noticed(name: str) -> None:
    """Its rule would read the new positions."""
    x, at = pydl.ones(3, requires_grad=True), pydl.tensor([0, 1])
    calls: dict[str, Any] = {
        "index_select": lambda: ops.index_select(x, 0, at),
        "gather": lambda: ops.gather(x, 0, at),
        "scatter_add": lambda: ops.scatter_add(pydl.zeros(3), 0, at, x),
        "index_add": lambda: ops.index_add(pydl.zeros(3), 0, at, x[:2]),
    }
    if name in ("take", "getitem"):  # these keep positions of their own
        y = ops.take(x, at) if name == "take" else x[at]
        at.fill_(2)
        y.sum().backward()
        assert x.grad.tolist() == [1, 1, 0]
        return
    y = calls[name]()
    at.fill_(2)
    with pytest.raises(AutogradError, match="changed in place"):
        y.sum().backward()
