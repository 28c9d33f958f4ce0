"""Tensors put together, turned round and seen through windows."""

from typing import Any

import numpy as np
import pytest
from checks import RowChecks
from registry import ALL, move, via
from scipy import linalg

import pydl
from pydl import ops
from pydl.errors import ArgumentError, BoundsError, ShapeError

COVERS = ["concatenate", "swapdims", "broadcast_shapes", "tril_indices", "triu_indices"]
PAIR = [((2, 3), (2, 3)), ((3,), (3,)), ((), ()), ((2, 3, 4), (2, 3, 4))]


def joins(name: str, **options: Any) -> Any:
    """A function of a list of tensors."""
    ours = getattr(ops, name)
    call = lambda lib: lambda *xs: lib(xs)  # noqa: E731
    return move(
        call(ours),
        lambda *xs: getattr(np, {"row_stack": "vstack"}.get(name, name))(xs),
        name=name,
        kinds="ff",
        **{"shapes": PAIR} | options,
    )


ROWS = [
    move(
        ops.as_strided,
        lambda x, size, stride, storage_offset=None: np.lib.stride_tricks.as_strided(
            x.reshape(-1)[storage_offset or 0 :], size, [s * x.itemsize for s in stride]
        ).copy(),
        shapes=[(3, 4), (12,)],
        kwargs=[
            {"size": (2, 3), "stride": (4, 1)},
            {"size": (3, 2), "stride": (2, 2), "storage_offset": 1},
            {"size": (4, 3), "stride": (0, 1)},
            {"size": (), "stride": (), "storage_offset": 5},
        ],
        layouts=False,
        errors=[
            (((3,), [2, 2], [2, 1]), BoundsError, "leave the memory"),
            (((3,), [2], [1, 1]), ShapeError, "as_strided: size (2,) and stride (1, 1) do not pair up"),
            (((3,), [2], [-1]), ArgumentError, "has a negative stride"),
        ],
    ),
    move(
        ops.as_strided_scatter,
        via("as_strided_scatter"),
        kinds="ff",
        shapes=[((3, 4), (2, 3)), ((12,), (2, 3))],
        kwargs=[{"size": (2, 3), "stride": (4, 1)}, {"size": (2, 3), "stride": (1, 2), "storage_offset": 5}],
        cases=[(((5,), ()), {"size": (), "stride": (), "storage_offset": 3})],
        layouts=False,
        errors=[
            (((3,), (2, 2), [2, 2], [2, 1]), BoundsError, "leave the memory"),
            (((3,), (3,), [2], [1]), ShapeError, "as_strided_scatter: src (3,) does not fit: expected shape (2,)"),
        ],
    ),
    move(
        ops.unfold,
        lambda x, **k: via("Tensor.unfold")(x, **k),
        shapes=[(7,), (2, 5)],
        kwargs=[{"dimension": -1, "size": 3, "step": 1}, {"dimension": -1, "size": 2, "step": 3}],
        cases=[((4, 3), {"dimension": 0, "size": 2, "step": 2}), ((), {"dimension": 0, "size": 1, "step": 1})],
        errors=[(((3,), 0, 4, 1), ArgumentError, "unfold: size 4 and step 1 do not fit an axis of 3")],
    ),
    move(ops.atleast_1d, np.atleast_1d),
    move(ops.atleast_2d, np.atleast_2d),
    move(ops.atleast_3d, np.atleast_3d),
    move(
        ops.adjoint,
        lambda x: np.swapaxes(x, -1, -2),
        shapes=[(3, 4), (2, 3, 5)],
        errors=[(((3,),), ShapeError, "adjoint: expected at least 2 axes")],
    ),
    joins("column_stack"),
    joins("dstack"),
    joins("row_stack"),
    move(
        lambda *xs: ops.block_diag(*xs),
        lambda *xs: linalg.block_diag(*xs) if xs[0].dtype.kind in "iuf" else linalg.block_diag(*xs).astype(bool),
        name="block_diag",
        kinds="fff",
        shapes=[((2, 3), (1, 1), (2, 2)), ((), (2,), (3, 1))],
        errors=[(((2, 2, 2),), ShapeError, "block_diag: expected at most 2 axes")],
    ),
    move(
        ops.fliplr, np.fliplr, shapes=[(3, 4), (2, 3, 5)], errors=[(((3,),), ShapeError, "fliplr: expected at least 2")]
    ),
    move(
        ops.flipud, np.flipud, shapes=[(3,), (3, 4)], errors=[(((),), ShapeError, "flipud: expected at least 1 axis")]
    ),
    move(
        ops.rot90,
        via("rot90"),
        shapes=[(3, 4), (2, 3, 5)],
        kwargs=[{"k": k} for k in (0, 1, 2, 3, -1)],
        cases=[((2, 3, 4), {"dims": (2, 0)}), ((2, 3, 4), {"k": 3, "dims": (-1, 1)})],
        errors=[(((3, 3), 1, [0, 0]), ArgumentError, "rot90: expected two different dims")],
    ),
    move(
        ops.diag_embed,
        via("diag_embed"),
        shapes=[(3,), (2, 3)],
        kwargs=[{}, {"offset": 1}, {"offset": -2}, {"dim1": 0, "dim2": 1}],
        cases=[((2, 3), {"dim1": 2, "dim2": 0, "offset": 1})],
        errors=[(((3,), 0, 1, 1), ArgumentError, "diag_embed: dim1 and dim2 are the same axis")],
    ),
    move(ops.diagflat, via("diagflat"), shapes=[(2, 3), ()], kwargs=[{}, {"offset": -1}]),
]


class TestRows(RowChecks):
    """Every row."""


def test_shapes_that_broadcast() -> None:
    assert ops.broadcast_shapes((2, 1), (3,), 1) == (2, 3)
    with pytest.raises(ShapeError, match="broadcast_shapes"):
        ops.broadcast_shapes((2,), (3,))


def test_atleast_of_several() -> None:
    made = ops.atleast_2d(pydl.ones(()), pydl.ones(3))
    assert [x.shape for x in made] == [(1, 1), (1, 3)]
    assert [x.shape for x in ops.atleast_1d([pydl.ones(()), pydl.ones(3)])] == [(1,), (3,)]


def test_windows_are_views() -> None:
    x = pydl.arange(6)
    windows = x.unfold(0, 3, 1)
    x[2] = 9
    assert windows[:, 2].tolist() == [9, 3, 4, 5]
    assert windows[2, 0].item() == 9


def test_strided_views_of_views() -> None:
    """The offset counts from the start of the memory, as in torch."""
    torch = pytest.importorskip("torch")
    for lib in (pydl, torch):
        x = lib.arange(12).reshape(3, 4)[1:]
        assert x.as_strided((2, 2), (1, 4)).tolist() == [[4, 8], [5, 9]]
        assert x.as_strided((2,), (1,), 0).tolist() == [0, 1]
    base = pydl.arange(12.0).requires_grad_()
    (base.reshape(3, 4).t().as_strided((2, 3), (1, 1), 2) * 2).sum().backward()
    assert base.grad.tolist() == [0, 0, 2, 4, 4, 2, *[0] * 6]


def test_strided_parts_of_views_are_replaced() -> None:
    """The memory around a view belongs to nobody: what would lie there is lost."""
    torch = pytest.importorskip("torch")
    made = []
    for lib in (pydl, torch):
        x = lib.arange(12.0).reshape(3, 4)
        y = x.t()[1:].as_strided_scatter(lib.full((2, 2), -1.0), (2, 2), (1, 4), 1)
        assert x.tolist() == lib.arange(12.0).reshape(3, 4).tolist()
        made.append(y.tolist())
    assert made[0] == made[1]


def test_summing_to_a_size() -> None:
    x = pydl.ones(2, 3, 4)
    assert x.sum_to_size(3, 1).tolist() == [[8], [8], [8]]
    assert x.sum_to_size((2, 3, 4)).shape == (2, 3, 4)
    with pytest.raises(ShapeError, match="sum_to_size"):
        x.sum_to_size(2, 2)


@pytest.mark.parametrize("shape", [(3, 3), (5, 2), (2, 5), (3, 3, 3), (7, 3), (0, 2)])
@pytest.mark.parametrize("wrap", [False, True])
def test_filling_the_diagonal(shape: tuple[int, ...], wrap: bool) -> None:
    torch = pytest.importorskip("torch")
    ours, theirs = pydl.zeros(*shape), torch.zeros(*shape)
    assert ours.fill_diagonal_(2.0, wrap) is ours
    if shape[0]:
        theirs.fill_diagonal_(2.0, wrap)
    np.testing.assert_array_equal(ours.numpy(), theirs.numpy())


@pytest.mark.parametrize("dtype", ALL)
@pytest.mark.parametrize("shape", [(37, 130), (8, 8), (16, 200), (3, 5, 70), (129, 1, 33), (4, 3)])
def test_transposes_in_every_dtype(dtype: str, shape: tuple[int, ...]) -> None:
    """Whole blocks, their edges, and lines too short for blocks; in any order of axes, flipped and sliced."""
    values = np.arange(np.prod(shape)).reshape(shape) % 199
    x = pydl.tensor(values).to(getattr(pydl, dtype))
    exact = values.astype(bool) if dtype == "bool" else values
    turned = np.moveaxis(exact, 0, -1)
    np.testing.assert_array_equal(x.movedim(0, -1).contiguous().float().numpy(), turned.astype(np.float32))
    reverse = x.permute(*range(x.ndim - 1, -1, -1))
    np.testing.assert_array_equal(reverse.contiguous().float().numpy(), exact.T.astype(np.float32))
    flipped = reverse.flip(0)[:, 1:].contiguous()
    np.testing.assert_array_equal(flipped.float().numpy(), exact.T[::-1, 1:].astype(np.float32))
    target = pydl.zeros(*reversed(shape)).to(x.dtype)
    target.permute(*range(x.ndim - 1, -1, -1))[1:].copy_(x[1:])
    expected = np.zeros_like(exact)
    expected[1:] = exact[1:]
    np.testing.assert_array_equal(target.float().numpy(), expected.T.astype(np.float32))


@pytest.mark.parametrize("name", ["tril_indices", "triu_indices"])
@pytest.mark.parametrize("offset", [0, 1, -2])
def test_indices_of_triangles(name: str, offset: int) -> None:
    for rows, columns in [(3, 4), (4, 2), (0, 3)]:
        ours = getattr(ops, name)(rows, columns, offset)
        assert ours.dtype is pydl.int64
        np.testing.assert_array_equal(ours.numpy(), np.stack(getattr(np, name)(rows, offset, columns)))
    with pytest.raises(ArgumentError, match=f"{name}: expected sizes"):
        getattr(ops, name)(-1, 2)


def test_sections_that_no_machine_can_hold() -> None:
    for split in (ops.tensor_split, ops.hsplit):
        with pytest.raises(ArgumentError, match=r"tensor_split: .* sections of an axis of size 0"):
            split(pydl.ones(0), 2**40)
    assert len(ops.tensor_split(pydl.ones(2), 100)) == 100
