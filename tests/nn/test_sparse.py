"""Gradients that hold the rows that were looked up, against PyTorch."""

import copy
import pickle
from typing import Any

import numpy as np
import pytest
from sparse_tables import DENSE, IDS, INDEX, ROWS, TABLE, VALUES, WIDTH, close, example, tables

import pydl
import pydl.nn.functional as F
from pydl import nn, optim
from pydl.errors import ArgumentError, DtypeError, ShapeError

# ---------------------------------------------------------------- the tensor


def test_facts() -> None:
    x = example()
    assert x.is_sparse and not x.to_dense().is_sparse and x.to_dense().to_dense() is not x
    assert (x.shape, x.dtype, x.ndim, x.numel(), x._nnz()) == ((5, 2), pydl.float64, 2, 10, 3)
    assert (x.sparse_dim(), x.dense_dim(), x.to_dense().sparse_dim()) == (1, 1, 0)
    np.testing.assert_array_equal(x.to_dense().numpy(), DENSE)
    np.testing.assert_array_equal(x._indices().numpy(), INDEX)
    np.testing.assert_array_equal(x._values().numpy(), VALUES)
    assert x.tolist() == DENSE.tolist()
    assert "nnz=3" in repr(x)


def test_coalesce() -> None:
    x = example().coalesce()
    assert x.is_coalesced() and x.coalesce() is x and not example().is_coalesced()
    np.testing.assert_array_equal(x.indices().numpy(), [[1, 3]])
    np.testing.assert_array_equal(x.values().numpy(), [[6, 8], [3, 4]])
    empty = pydl.sparse_coo_tensor(np.zeros((1, 0), np.int64), np.zeros((0, 2)), (5, 2)).coalesce()
    assert empty._nnz() == 0 and not empty.to_dense().numpy().any()


def test_operations_equal_dense_ones() -> None:
    x, dense, other = example(), pydl.tensor(DENSE), pydl.tensor(np.arange(10.0).reshape(5, 2))
    kept = [
        (x + x, dense + dense), (x - 2 * x, -dense), (x * 3, dense * 3), (pydl.tensor(0.5) * x, dense * 0.5),
        (x / 4, dense / 4), (-x, -dense), (x.float(), dense.float()), (x.clone(), dense),
    ]  # fmt: skip
    for made, expected in kept:
        assert made.is_sparse and made.dtype is expected.dtype
        np.testing.assert_array_equal(made.to_dense().numpy(), expected.numpy())
    gone = [
        (x + other, dense + other), (other - x, other - dense), (x * other, dense * other), (x.sum(0), dense.sum(0)),
        (x.norm(), dense.norm()), (x.abs().amax(), dense.amax()), (x == 0, dense == 0), (x[1], dense[1]),
        (x.argmax(), dense.argmax()), (x + 1, dense + 1), (1 / (x + 1), 1 / (dense + 1)), (x @ x.T, dense @ dense.T),
        (x.add(x, alpha=2), dense * 3), (x.reshape(-1), dense.reshape(-1)),
    ]  # fmt: skip
    for made, expected in gone:
        assert not made.to_dense().dtype.is_floating_point or made.dtype is expected.dtype
        np.testing.assert_array_equal(made.to_dense().numpy(), expected.numpy())


def test_changes_in_place() -> None:
    x = example()
    assert x.mul_(2) is x and x._nnz() == 3
    np.testing.assert_array_equal(x.to_dense().numpy(), 2 * DENSE)
    x.add_(example())
    np.testing.assert_array_equal(x.to_dense().numpy(), 3 * DENSE)
    x.clamp_(max=10)
    np.testing.assert_array_equal(x.to_dense().numpy(), np.minimum(3 * DENSE, 10))
    x.copy_(example())
    assert x._nnz() == 3
    assert x.zero_()._nnz() == 0 and not x.to_dense().numpy().any()
    with pytest.raises(ShapeError, match="copy_"):
        x.copy_(pydl.sparse_coo_tensor([[0]], [[1.0, 2.0]], (4, 2), dtype=pydl.float64))


def test_copies() -> None:
    x = example(requires_grad=True)
    for made in (copy.copy(x), copy.deepcopy(x), pickle.loads(pickle.dumps(x))):
        assert made.is_sparse and made.requires_grad
        np.testing.assert_array_equal(made.detach().to_dense().numpy(), DENSE)
    copied = copy.deepcopy(x)
    copied._values().zero_()
    assert x.detach().to_dense().numpy().any()


def test_gradients_pass() -> None:
    values = pydl.tensor(VALUES, requires_grad=True)
    made = pydl.sparse.SparseRows.apply(values, pydl.tensor(INDEX[0]), size=5)
    (made * pydl.tensor(np.arange(10.0).reshape(5, 2))).sum().backward()
    np.testing.assert_array_equal(values.grad.numpy(), np.arange(10.0).reshape(5, 2)[INDEX[0]])


@pytest.mark.parametrize(
    "call, error, message",
    [
        (lambda: pydl.sparse_coo_tensor([[0, 1]], [[1.0]], (3, 1)), ShapeError, "do not fit"),
        (lambda: pydl.sparse_coo_tensor([[0], [1]], [1.0], (3, 3)), ShapeError, r"expected \(1, n\)"),
        (lambda: pydl.sparse_coo_tensor([[3]], [[1.0]], (3, 1)), ArgumentError, r"indices in \[0, 3\)"),
        (lambda: pydl.sparse_coo_tensor([[-1]], [[1.0]], (3, 1)), ArgumentError, r"indices in \[0, 3\)"),
        (lambda: pydl.sparse_coo_tensor([[0.5]], [[1.0]], (3, 1)), DtypeError, "indices of int64"),
        (lambda: pydl.sparse_coo_tensor([[0]], [[1.0]], (3, 2)), ShapeError, "size"),
        (lambda: example().values(), ArgumentError, "coalesce"),
        (lambda: pydl.ones(3).coalesce(), ArgumentError, "expected a sparse one"),
        (lambda: example().numpy(), DtypeError, "to_dense"),
        (lambda: np.from_dlpack(example()), BufferError, "to_dense"),
        (lambda: optim.SGD([example(requires_grad=True)], lr=1), DtypeError, "dense"),
        (lambda: optim.SparseAdam([pydl.ones(2, requires_grad=True)], eps=0), ArgumentError, "eps"),
    ],
)
def test_errors(call: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        call()


# ---------------------------------------------------------------- gradients of tables


@pytest.mark.parametrize("options", [{}, {"padding_idx": 4}, {"padding_idx": -2}, {"max_norm": 1.0}])
def test_embedding(options: dict[str, Any]) -> None:
    torch = pytest.importorskip("torch")
    a, b = tables(torch, **options)
    for net, lib in ((a, pydl), (b, torch)):
        (net(lib.tensor(IDS)) ** 2).sum().backward()
    assert a.weight.grad.is_sparse
    close(a.weight.grad.to_dense(), b.weight.grad.to_dense())
    close(a.weight.grad.coalesce().indices(), b.weight.grad.coalesce().indices())
    (a(pydl.tensor([[8]])) ** 2).sum().backward()  # adds up, and stays sparse
    (b(torch.tensor([[8]])) ** 2).sum().backward()
    assert a.weight.grad.is_sparse
    close(a.weight.grad.to_dense(), b.weight.grad.to_dense())
    (a.weight * 2).sum().backward()
    (b.weight * 2).sum().backward()
    assert not a.weight.grad.is_sparse
    close(a.weight.grad, b.weight.grad.to_dense())


@pytest.mark.parametrize("mode", ["sum", "mean"])
def test_embedding_bag(mode: str) -> None:
    torch = pytest.importorskip("torch")
    a, b = tables(torch, kind="EmbeddingBag", mode=mode, padding_idx=4)
    for net, lib in ((a, pydl), (b, torch)):
        (net(lib.tensor(IDS.reshape(-1)), lib.tensor([0, 2, 2])) ** 2).sum().backward()
    assert a.weight.grad.is_sparse
    close(a.weight.grad.to_dense(), b.weight.grad.to_dense())
    with pytest.raises(ArgumentError, match="sparse"):
        F.embedding_bag(pydl.tensor(IDS), a.weight, mode="max", sparse=True)


def test_equals_the_dense_gradient() -> None:
    """Of a table that is itself computed, looked up twice, by frequency; and the derivative of the gradient."""

    def loss(w: pydl.Tensor, sparse: bool) -> pydl.Tensor:
        ids = pydl.tensor(IDS)
        first = F.embedding(ids, w * w, scale_grad_by_freq=True, sparse=sparse)
        return (first**3).sum() + (F.embedding(ids[0], w, sparse=sparse) ** 3).sum()

    found = []
    for sparse in (True, False):
        w = pydl.tensor(TABLE, requires_grad=True)
        (g,) = pydl.autograd.grad(loss(w, sparse), w, create_graph=True)
        (second,) = pydl.autograd.grad((g.to_dense() ** 2).sum(), w)
        found.append((g.detach().to_dense().numpy(), second.to_dense().numpy()))
    np.testing.assert_allclose(found[0][0], found[1][0], 1e-12)
    np.testing.assert_allclose(found[0][1], found[1][1], 1e-12)
    w = pydl.tensor(TABLE, requires_grad=True)
    (g,) = pydl.autograd.grad((F.embedding(pydl.tensor(IDS), w, sparse=True) ** 2).sum(), w)
    assert g.is_sparse


def test_per_example_gradients() -> None:
    w = pydl.tensor(TABLE)
    each = pydl.func.vmap(pydl.func.grad(lambda w, i: (F.embedding(i, w, sparse=True) ** 2).sum()), (None, 0))
    expected = np.zeros((2, ROWS, WIDTH))
    for row in range(2):
        np.add.at(expected[row], IDS[row], 2 * TABLE[IDS[row]])
    np.testing.assert_allclose(each(w, pydl.tensor(IDS)).to_dense().numpy(), expected, 1e-12)


def test_the_gradient_owns_its_memory() -> None:
    w = pydl.tensor(TABLE, requires_grad=True)
    y = F.embedding(pydl.tensor(IDS), w, sparse=True)
    seed = pydl.ones(*y.shape, dtype=pydl.float64)
    y.backward(seed)
    w.grad.mul_(5)
    nn.utils.clip_grad_value_([w], 0.5)
    assert (seed.numpy() == 1).all()


def test_bad_ids_leave_no_gradient() -> None:
    w = pydl.tensor(TABLE, requires_grad=True)
    with pytest.raises(IndexError):
        F.embedding(pydl.tensor([ROWS]), w, sparse=True)
    empty = F.embedding(pydl.zeros(0, dtype=pydl.int64), w, sparse=True)
    empty.sum().backward()
    assert w.grad._nnz() == 0 and w.grad.shape == w.shape
