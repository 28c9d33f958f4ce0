"""Gradients that hold the rows that were looked up, and the optimizers that take them, against PyTorch."""

import copy
import pickle
from typing import Any

import numpy as np
import pytest

import pydl
import pydl.nn.functional as F
from pydl import nn, optim
from pydl.amp import GradScaler
from pydl.errors import ArgumentError, AutogradError, CaptureError, DtypeError, ShapeError

ROWS, WIDTH = 9, 3
IDS = np.array([[1, 7, 1], [4, 4, 1]])
TABLE = np.random.default_rng(0).standard_normal((ROWS, WIDTH))
INDEX, VALUES = [[1, 3, 1]], np.array([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]])
DENSE = np.array([[0, 0], [6, 8], [0, 0], [3, 4], [0, 0]], np.float64)


def example(**more: Any) -> pydl.Tensor:
    return pydl.sparse_coo_tensor(INDEX, VALUES, (5, 2), **more)


def tables(torch: Any, dtype: str = "float64", kind: str = "Embedding", **options: Any) -> tuple[Any, Any]:
    """The same sparse table of both libraries."""
    ours, theirs = getattr(pydl, dtype), getattr(torch, dtype)
    return (
        getattr(nn, kind)(ROWS, WIDTH, sparse=True, _weight=pydl.tensor(TABLE, dtype=ours), **options),
        getattr(torch.nn, kind)(ROWS, WIDTH, sparse=True, _weight=torch.tensor(TABLE, dtype=theirs), **options),
    )


def close(ours: Any, theirs: Any, tolerance: float = 1e-12) -> None:
    np.testing.assert_allclose(ours.detach().numpy(), theirs.detach().numpy(), tolerance, tolerance)


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


# ---------------------------------------------------------------- optimizers

CASES: list[tuple[str, dict[str, Any]]] = [
    ("SGD", {"lr": 0.1}), ("SGD", {"lr": 0.1, "maximize": True}), ("SGD", {"lr": 0.1, "momentum": 0.9}),
    ("Adagrad", {"lr": 0.1, "lr_decay": 0.1, "initial_accumulator_value": 0.5}),
    ("Adagrad", {"lr": 0.1, "maximize": True}), ("SparseAdam", {"lr": 0.1}),
    ("SparseAdam", {"lr": 0.1, "betas": (0.5, 0.7), "maximize": True}),
]  # fmt: skip


@pytest.mark.filterwarnings("ignore:Sparse invariant checks")
@pytest.mark.parametrize("name, options", CASES)
def test_steps(name: str, options: dict[str, Any]) -> None:
    torch = pytest.importorskip("torch")
    a, b = tables(torch)
    ours, theirs = (
        getattr(optim, name)(a.parameters(), **options),
        getattr(torch.optim, name)(b.parameters(), **options),
    )
    rng = np.random.default_rng(1)
    for step in range(12):
        ids = rng.integers(0, ROWS, 4)
        for net, optimizer, lib in ((a, ours, pydl), (b, theirs, torch)):
            optimizer.zero_grad()
            (net(lib.tensor(ids)) ** 2).sum().backward()
            optimizer.step()
        close(a.weight, b.weight)
        if step == 5:  # goes on from a state, also PyTorch's
            state = theirs.state_dict()["state"]
            if options.get("momentum"):
                continue  # PyTorch's buffer is a sparse tensor here
            ours = getattr(optim, name)(a.parameters(), **options)
            plain = {k: {n: v.numpy() if torch.is_tensor(v) else v for n, v in s.items()} for k, s in state.items()}
            plain = {
                k: {n: pydl.tensor(v) if n != "step" else float(v) for n, v in s.items()} for k, s in plain.items()
            }
            ours.load_state_dict({"state": plain, "param_groups": ours.state_dict()["param_groups"]})


@pytest.mark.parametrize("name", ["SGD", "Adagrad"])
def test_sparse_and_dense_gradients_in_turn(name: str) -> None:
    """Both give the same steps: of one parameter, beside one whose gradients are always dense."""
    found = []
    for sparse in ([True] * 6, [False] * 6, [True, False, False, True, True, False]):
        w, v = (pydl.tensor(TABLE, requires_grad=True) for _ in range(2))
        optimizer = getattr(optim, name)([v, w], lr=0.1)
        for step, kind in enumerate(sparse):
            optimizer.zero_grad()
            ids = pydl.tensor([step, 3, 3])
            (F.embedding(ids, w, sparse=kind) ** 2 + v[:3] * step).sum().backward()
            optimizer.step()
        found.append([t.detach().numpy() for t in (w, v)])
    for other in found[1:]:
        np.testing.assert_allclose(other[0], found[0][0], 1e-12)
        np.testing.assert_allclose(other[1], found[0][1], 1e-12)


@pytest.mark.parametrize("dtype", [pydl.bfloat16, pydl.float16])
def test_rows_of_sixteen_bits(dtype: Any) -> None:
    """A step is as good as one in float32 that is rounded."""
    for name in ("SGD", "Adagrad", "SparseAdam"):
        w = pydl.tensor(TABLE, dtype=dtype, requires_grad=True)
        wide = w.detach().float().requires_grad_()
        for p in (w, wide):
            (F.embedding(pydl.tensor(IDS), p, sparse=True).float() ** 2).sum().backward()
            getattr(optim, name)([p], lr=0.1).step()
        np.testing.assert_allclose(w.detach().float().numpy(), wide.detach().numpy(), atol=0.05)


def test_other_rows_stay_as_they_are() -> None:
    """SparseAdam leaves them alone; Adam would move them by their means."""
    net = nn.Embedding(ROWS, WIDTH, sparse=True)
    optimizer = optim.SparseAdam(net.parameters(), lr=0.1)
    for ids in ([1, 2], [5]):
        before = net.weight.detach().clone().numpy()
        optimizer.zero_grad()
        net(pydl.tensor(ids)).sum().backward()
        optimizer.step()
        moved = (net.weight.detach().numpy() != before).any(1)
        assert moved.nonzero()[0].tolist() == ids


@pytest.mark.parametrize("name", ["Adam", "AdamW", "RMSprop", "Adadelta", "Lion", "LAMB", "Muon", "Adafactor"])
def test_others_refuse(name: str) -> None:
    net = nn.Embedding(ROWS, WIDTH, sparse=True)
    before = net.weight.detach().clone().numpy()
    (net(pydl.tensor(IDS)) ** 2).sum().backward()
    with pytest.raises(AutogradError, match=f"{name}: the gradient .* is sparse"):
        getattr(optim, name)(net.parameters()).step()
    np.testing.assert_array_equal(net.weight.detach().numpy(), before)


def test_sparse_adam_refuses_dense_gradients() -> None:
    net = nn.Linear(2, 2)
    net(pydl.ones(1, 2)).sum().backward()
    with pytest.raises(AutogradError, match=r"SparseAdam: .* is dense"):
        optim.SparseAdam(net.parameters()).step()


@pytest.mark.parametrize("name", ["LBFGS", "Lookahead"])
def test_what_reads_gradients_whole(name: str) -> None:
    """L-BFGS, and an optimizer around one that takes them: the same steps as with dense gradients."""
    found = []
    for sparse in (True, False):
        net = nn.Embedding(ROWS, WIDTH, sparse=sparse, _weight=pydl.tensor(TABLE))
        lbfgs = name == "LBFGS"
        optimizer: Any = optim.LBFGS(net.parameters()) if lbfgs else optim.Lookahead(optim.SGD(net.parameters(), 0.1))

        def closure(net: nn.Module = net) -> pydl.Tensor:
            net.zero_grad()
            loss = (net(pydl.tensor(IDS)) ** 4).sum()
            loss.backward()
            return loss

        for _ in range(7):
            optimizer.step(closure)
        found.append(net.weight.detach().numpy())
    np.testing.assert_allclose(*found, rtol=1e-9)


# ---------------------------------------------------------------- what trainings do with gradients


def test_clipping_and_clearing() -> None:
    torch = pytest.importorskip("torch")
    a, b = tables(torch)
    (a(pydl.tensor(IDS)) ** 2).sum().backward()
    b.sparse = False
    (b(torch.tensor(IDS)) ** 2).sum().backward()
    close(nn.utils.clip_grad_norm_(a.parameters(), 0.5), torch.nn.utils.clip_grad_norm_(b.parameters(), 0.5))
    assert a.weight.grad.is_sparse
    close(a.weight.grad.to_dense(), b.weight.grad)
    nn.utils.clip_grad_value_(a.parameters(), 0.1)
    torch.nn.utils.clip_grad_value_(b.parameters(), 0.1)
    close(a.weight.grad.to_dense(), b.weight.grad)
    close(nn.utils.get_total_norm([a.weight.grad]), torch.nn.utils.get_total_norm([b.weight.grad]))
    optim.SGD(a.parameters(), lr=1).zero_grad(set_to_none=False)
    assert a.weight.grad.is_sparse and a.weight.grad._nnz() == 0
    a.float()
    assert a.weight.grad.dtype is pydl.float32


def test_scaled_losses() -> None:
    found = []
    for scale in (None, 1024.0):
        net = nn.Embedding(ROWS, WIDTH, sparse=True, _weight=pydl.tensor(TABLE))
        optimizer = optim.SparseAdam(net.parameters(), lr=0.1)
        scaler = GradScaler(init_scale=scale or 1.0, enabled=scale is not None)
        scaler.scale((net(pydl.tensor(IDS)) ** 2).sum()).backward()
        scaler.step(optimizer)
        scaler.update()
        found.append(net.weight.detach().numpy())
    np.testing.assert_allclose(*found, rtol=1e-12)


def test_saving(tmp_path: Any) -> None:
    """A file holds the dense tensor."""
    pydl.save({"g": example()}, tmp_path / "g.safetensors")
    np.testing.assert_array_equal(pydl.load(tmp_path / "g.safetensors")["g"].numpy(), DENSE)


def test_capture_says_why_it_refuses() -> None:
    net = nn.Embedding(ROWS, WIDTH, sparse=True)
    optimizer = optim.SGD(net.parameters(), lr=0.1)

    @pydl.capture
    def step(ids: pydl.Tensor) -> pydl.Tensor:
        optimizer.zero_grad()
        loss = (net(ids) ** 2).sum()
        loss.backward()
        optimizer.step()
        return loss

    step(pydl.tensor(IDS))
    with pytest.raises(CaptureError, match="sparse=False"):
        step(pydl.tensor(IDS))


def test_anomalies_are_found() -> None:
    w = pydl.tensor(TABLE, requires_grad=True)
    with pydl.autograd.detect_anomaly():
        (F.embedding(pydl.tensor(IDS), w, sparse=True) ** 2).sum().backward()
    assert w.grad.is_sparse
