"""Values put at positions."""

from typing import Any

import numpy as np
import pytest
from checks import RowChecks
from registry import ALL, row, via

import pydl
from pydl import ops
from pydl.errors import ArgumentError, BoundsError, DtypeError, ShapeError

HIGH = pydl.tensor([5])
THREE = {"dtypes": ALL, "whole": (0, 2)}


def np_scatter(x: Any, index: Any, src: Any, dim: int) -> Any:
    """The last of equal positions wins."""
    y = x.copy()
    for at in np.ndindex(*index.shape):
        to = list(at)
        to[dim] = index[at]
        y[tuple(to)] = src[at] if np.ndim(src) else src
    return y


def np_index_copy(x: Any, index: Any, src: Any, dim: int) -> Any:
    y = x.copy()
    for i, to in enumerate(index):
        np.moveaxis(y, dim, 0)[to] = np.moveaxis(src, dim, 0)[i]
    return y


def np_index_fill(x: Any, index: Any, dim: int, value: Any) -> Any:
    y = x.copy()
    np.moveaxis(y, dim, 0)[index] = value
    return y


def np_index_put(x: Any, i: Any, j: Any, values: Any, accumulate: bool = False) -> Any:
    y = x.copy()
    if accumulate:
        np.add.at(y, (i, j), values)
    else:
        y[i, j] = values
    return y


def by_torch(name: str) -> Any:
    """torch's function of input, dim, index, source and more, given its tensors first."""
    return lambda x, index, src, dim, *rest, **k: via(name)(x, dim, index, src, *rest, **k)


def np_put(x: Any, index: Any, src: Any, accumulate: bool = False) -> Any:
    y = x.reshape(-1).copy()
    if accumulate:
        np.add.at(y, index.reshape(-1), src.reshape(-1))
    else:
        y[index.reshape(-1)] = src.reshape(-1)
    return y.reshape(x.shape)


KINDS = [
    {"dim": 0, "reduce": r, "include_self": s} for r in ("sum", "prod", "mean", "amax", "amin") for s in (True, False)
]
KEPT = {"low": 0.5, "whole": (0, 2), "dtypes": ("float64", "float32", "int64", "int32"), "slack": 4, "sums": True}

ROWS = [
    row(
        lambda x, index, src, dim, reduce, **k: ops.scatter_reduce(x, dim, index, src, reduce, **k),
        by_torch("scatter_reduce"),
        name="scatter_reduce",
        kinds="fif",
        shapes=[((3, 4), (5, 4), (5, 4)), ((3, 4), (2, 3), (2, 4)), ((3,), (7,), (7,))],
        kwargs=KINDS,
        cases=[(((2, 3), (2, 5), (2, 6)), {"dim": 1, "reduce": "prod"}), (((0, 3), (0, 3), (0, 3)), KINDS[0])],
        **KEPT,
        large=((3, 4001), (40, 4001), (40, 4001)),
        errors=[
            (((3, 4), HIGH.reshape(1, 1), (1, 1), 0, "sum"), BoundsError, "scatter_reduce: index 5 is out of range"),
            (((3, 4), HIGH.reshape(1, 1), (1, 1), 0, "max"), ArgumentError, "scatter_reduce: reduce must be one of"),
        ],
    ),
    row(
        lambda x, index, src, dim, reduce, **k: ops.index_reduce(x, dim, index, src, reduce, **k),
        lambda x, i, src, **k: by_torch("scatter_reduce")(x, np.broadcast_to(i[:, None], src.shape), src, **k),
        name="index_reduce",
        kinds="fif",
        shapes=[((3, 4), (5,), (5, 4)), ((3, 2), (4,), (4, 2))],
        kwargs=KINDS[2:],
        **KEPT,
        large=((3, 4001), (40,), (40, 4001)),
        errors=[(((3, 4), HIGH, (1, 4), 0, "prod"), BoundsError, "index_reduce: index 5 is out of range for size 3")],
    ),
    row(
        ops.put,
        np_put,
        kinds="fif",
        shapes=[((3, 4), (5,), (5,)), ((3, 2), (2, 2), (4,)), ((), (1,), (1,))],
        kwargs=[{}, {"accumulate": True}],
        whole=(0, 0),
        dtypes=ALL[:-1],
        sums=True,
        errors=[
            (((3,), HIGH, (1,)), BoundsError, "put: index 5 is out of range for size 3"),
            (((3,), HIGH, (2,)), ShapeError, "put: source (2,) does not match index (1,): expected as many elements"),
        ],
    ),
    row(
        ops.select_scatter,
        via("select_scatter"),
        kinds="ff",
        shapes=[((3, 4), (4,))],
        kwargs=[{"dim": 0, "index": -1}],
        cases=[(((2, 3, 4), (2, 4)), {"dim": 1, "index": 2})],
        dtypes=ALL,
        errors=[(((3, 4), (3,), 0, 1), ShapeError, "select_scatter: src (3,) does not fit: expected shape (4,)")],
    ),
    row(
        ops.slice_scatter,
        via("slice_scatter"),
        kinds="ff",
        shapes=[((5, 2), (2, 2))],
        kwargs=[{"start": 1, "end": 4, "step": 2}, {"start": -2}],
        cases=[(((2, 3), (2, 1)), {"dim": 1, "end": 1}), (((2, 3), (2, 3)), {})],
        dtypes=ALL,
        errors=[(((3, 4), (3,)), ShapeError, "slice_scatter: src (3,) does not fit: expected shape (3, 4)")],
    ),
    row(
        ops.diagonal_scatter,
        via("diagonal_scatter"),
        kinds="ff",
        shapes=[((3, 3), (3,))],
        cases=[(((3, 4), (2,)), {"offset": -1}), (((2, 3, 3), (3, 2)), {"offset": 1, "dim1": 2, "dim2": 1})][:1],
        dtypes=ALL,
        errors=[(((3, 3), (2,)), ShapeError, "diagonal_scatter: src (2,) does not fit: expected shape (3,)")],
    ),
    row(
        lambda x, index, src, dim: ops.scatter(x, dim, index, src),
        np_scatter,
        name="scatter",
        kinds="fif",
        shapes=[((3, 4), (5, 4), (5, 4)), ((3, 4), (2, 3), (2, 4)), ((3, 4), (0, 4), (2, 4))],
        kwargs=[{"dim": 0}],
        cases=[(((2, 3), (2, 5), (2, 6)), {"dim": 1})],
        **THREE,
        errors=[
            (((3, 4), HIGH.reshape(1, 1), (1, 1), 0), BoundsError, "scatter: index 5 is out of range for size 3"),
            (((3, 4), HIGH, (1, 1), 0), ShapeError, "scatter: index of shape (1,) does not fit src (1, 1)"),
            (((3, 4), HIGH.reshape(1, 1) - 5, pydl.tensor([[1]]), 0), DtypeError, "scatter: expected values of dtype"),
            (((3, 4), pydl.ones(1, 1), (1, 1), 0), DtypeError, "scatter: index must be int64 or int32"),
        ],
    ),
    row(
        lambda x, index, dim, value: ops.scatter(x, dim, index, value),
        lambda x, index, dim, value: np_scatter(x, index, np.asarray(value).astype(x.dtype), dim),
        name="scatter_of_a_number",
        kinds="fi",
        shapes=[((3, 4), (5, 4))],
        kwargs=[{"dim": 0, "value": 1}],
        **THREE,
    ),
    row(
        lambda x, index, src, dim: ops.index_copy(x, dim, index, src),
        np_index_copy,
        name="index_copy",
        kinds="fif",
        shapes=[((3, 4), (5,), (5, 4)), ((3, 4), (0,), (0, 4))],
        kwargs=[{"dim": 0}],
        **THREE,
        cases=[(((2, 3), (4,), (2, 4)), {"dim": 1})],
        errors=[
            (((3, 4), HIGH, (1, 4), 0), BoundsError, "index_copy: index 5 is out of range for size 3"),
            (((3, 4), HIGH, (1, 3), 0), ShapeError, "index_copy: source (1, 3) and index (1,) do not fit"),
        ],
    ),
    row(
        lambda x, index, dim, value: ops.index_fill(x, dim, index, value),
        np_index_fill,
        name="index_fill",
        kinds="fi",
        shapes=[((3, 4), (2,)), ((3,), (0,))],
        kwargs=[{"dim": 0, "value": 1}],
        cases=[(((2, 3), (2,)), {"dim": -1, "value": 1})],
        **THREE,
        errors=[(((3, 4), HIGH, 0, 1), BoundsError, "index_fill: index 5 is out of range for size 3")],
    ),
    row(
        lambda x, i, j, v, **k: ops.index_put(x, [i, j], v, **k),
        np_index_put,
        name="index_put",
        kinds="fiif",
        shapes=[
            ((3, 3), (4,), (4,), (4,)),
            ((3, 3), (2, 1), (4,), ()),
            ((3, 3, 2), (4,), (4,), (2,)),
            ((3, 3), (0,), (0,), (0,)),
        ],
        kwargs=[{}, {"accumulate": True}],
        dtypes=ALL[:-1],
        whole=(0, 2),
        sums=True,
        errors=[
            (((3, 4), HIGH, HIGH, (1,)), BoundsError, "index_put: index 5 is out of range for size 3"),
            (((3, 6), HIGH - 3, HIGH, (2,)), ShapeError, "index_put: (2,) does not broadcast to (1,)"),
        ],
    ),
    row(
        ops.masked_scatter,
        via("masked_scatter"),
        kinds="fbf",
        shapes=[((3, 4), (3, 4), (12,)), ((3, 4), (4,), (3, 5))],
        dtypes=ALL,
        errors=[
            (((3,), pydl.ones(3).bool(), (2,)), ShapeError, "source (2,) has too few elements: expected 3"),
            (((3,), (3,), (3,)), DtypeError, "masked_scatter: mask must be bool"),
        ],
    ),
]


class TestRows(RowChecks):
    """Every row."""


def test_in_place() -> None:
    x = pydl.zeros(3)
    assert x.scatter_(0, pydl.tensor([0, 2]), 1.0) is x
    assert x.index_fill_(0, pydl.tensor([1]), 7.0).tolist() == [1, 7, 1]


def test_put_by_a_mask() -> None:
    x = ops.index_put(pydl.zeros(3), [pydl.tensor([True, False, True])], pydl.tensor([1.0, 2.0]))
    assert x.tolist() == [1, 0, 2]
    with pytest.raises(ShapeError, match="index_put"):
        ops.index_put(pydl.zeros(3), [pydl.tensor([True, False])], pydl.ones(()))


@pytest.mark.parametrize("how", ["add", "multiply"])
def test_scatter_with_a_reduction(how: str) -> None:
    torch = pytest.importorskip("torch")
    x, at = np.arange(6.0).reshape(2, 3), np.array([[0, 1, 1], [1, 1, 0]])
    ours = ops.scatter(pydl.tensor(x), 0, pydl.tensor(at), value=3.0, reduce=how)
    theirs = torch.scatter(torch.tensor(x), 0, torch.tensor(at), 3.0, reduce=how)
    np.testing.assert_array_equal(ours.numpy(), theirs.numpy())
    with pytest.raises(ArgumentError, match="scatter: reduce must be"):
        ops.scatter(pydl.tensor(x), 0, pydl.tensor(at), 3.0, reduce="max")
    with pytest.raises(ArgumentError, match="scatter: expected either src or value"):
        ops.scatter(pydl.tensor(x), 0, pydl.tensor(at))


@pytest.mark.parametrize("zeros", [0, 1, 2, 3])
def test_products_at_zeros(zeros: int) -> None:
    """First and second derivatives where factors are 0, against the product written out."""
    values = np.array([0.5, 2.0, -1.5, 3.0])
    values[:zeros] = 0
    x = pydl.tensor(values, requires_grad=True)
    y = pydl.tensor([1.5], dtype=pydl.float64, requires_grad=True)
    at = pydl.zeros(4, dtype=pydl.int64)
    made = ops.scatter_reduce(y, 0, at, x, "prod").sum()
    plain = (y[0] * x[0]) * (x[1] * x[2] * x[3])
    weights = pydl.tensor([1.0, -2.0, 0.5, 3.0], dtype=pydl.float64)
    for result in (made, plain):
        gx, gy = pydl.autograd.grad(result, [x, y], create_graph=True)
        again = pydl.autograd.grad((gx * weights).sum() + gy.sum(), [x, y])
        if result is made:
            expected = [gx, gy, *again]
        else:
            for a, b in zip(expected, [gx, gy, *again], strict=True):
                np.testing.assert_allclose(a.detach().numpy(), b.detach().numpy(), atol=1e-12)


def test_equal_extremes_share_the_gradient() -> None:
    torch = pytest.importorskip("torch")
    b, at = [2.0, 2.0, 0.0, 1.0], [0, 0, 0, 1]
    for include, a in [(True, [2.0, 1.0]), (False, [5.0, 7.0])]:
        grads = []
        for lib in (pydl, torch):
            x, src = lib.tensor(a, requires_grad=True), lib.tensor(b, requires_grad=True)
            lib.scatter_reduce(x, 0, lib.tensor(at), src, "amax", include_self=include).sum().backward()
            grads.append([x.grad.tolist(), src.grad.tolist()])
        assert grads[0] == grads[1]


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
@pytest.mark.parametrize("rows", [True, False])
def test_half_precision_rounds_once(dtype: str, rows: bool) -> None:
    """1 + 2048 halves of a step: in float16 and bfloat16 each sum alone would stay where it is."""
    step = 2.0**-12 if dtype == "float16" else 2.0**-9
    x, src = pydl.ones(5, 3).to(getattr(pydl, dtype)), pydl.full((2048, 3), step).to(getattr(pydl, dtype))
    at = pydl.full((2048,), 3) if rows else pydl.full((2048, 3), 3)
    made = ops.index_add(x, 0, at, src) if rows else ops.scatter_add(x, 0, at, src)
    assert made[3].tolist() == [1 + 2048 * step] * 3
    assert made[2].tolist() == [1] * 3


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "int64"])
def test_many_rows_in_any_order(dtype: str) -> None:
    """Long indices with repeats, over the lengths where sorting takes one, two and three passes."""
    rng = np.random.default_rng(3)
    for n in (1, 7, 2048, 2049, 5_000_000):
        at = rng.integers(max(n - 3000, 0), n, 5000)
        src = rng.integers(-4, 5, (5000, 2))
        made = ops.index_add(
            pydl.zeros(n, 2).to(getattr(pydl, dtype)), 0, pydl.tensor(at), pydl.tensor(src).to(getattr(pydl, dtype))
        )
        expected = np.zeros((n, 2))
        np.add.at(expected, at, src)
        np.testing.assert_allclose(made.float().numpy(), expected, rtol=2.0**-8)


def test_places_in_a_view() -> None:
    """Memory that is not dense is written through, and only where it should be."""
    x = pydl.zeros(4, 6)
    part = x[:, 1::2].t()
    part.index_add_(0, pydl.tensor([0, 2, 2]), pydl.ones(3, 4))
    assert x.sum(0).tolist() == [0, 4, 0, 0, 0, 8]
    part.scatter_(1, pydl.tensor([[1], [0], [3]]), 9.0)
    assert x[1, 1].item() == x[0, 3].item() == x[3, 5].item() == 9
    assert x[:, ::2].sum().item() == 0


def test_nothing_is_written_before_the_index_is_checked() -> None:
    x = pydl.zeros(3)
    for call in (
        lambda: x.scatter_(0, pydl.tensor([0, 3]), 1.0),
        lambda: x.index_copy_(0, pydl.tensor([0, -4]), pydl.ones(2)),
        lambda: x.put_(pydl.tensor([0, 9]), pydl.ones(2)),
        lambda: x.__setitem__([0, 3], 1.0),
    ):
        with pytest.raises(BoundsError, match="is out of range for size 3"):
            call()
    assert x.tolist() == [0, 0, 0]
