"""Training with gradients that hold the rows that were looked up: optimizers, clipping, scaling, against PyTorch."""

from typing import Any

import numpy as np
import pytest
from sparse_tables import DENSE, IDS, ROWS, TABLE, WIDTH, close, example, tables

import pydl
import pydl.nn.functional as F
from pydl import nn, optim
from pydl.amp import GradScaler
from pydl.errors import AutogradError, CaptureError

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
