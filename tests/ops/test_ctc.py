"""The fused CTC loss against a sum over the forward variables in NumPy."""

from typing import Any

import numpy as np
import pytest
from checks import RowChecks
from registry import row

import pydl
from pydl.errors import ArgumentError, BoundsError, DtypeError, ShapeError
from pydl.nn import functional as F
from pydl.ops import ctc as family

TARGETS = ([1, 2, 2], [3, 1], [], [2, 2, 2, 1])


def targets_of(n: int) -> tuple[list[int], list[int]]:
    """Flat targets and their lengths, for n sequences."""
    own = [TARGETS[i % 4] for i in range(n)]
    return [label for one in own for label in one], [len(one) for one in own]


def spelt(x: Any) -> Any:
    """Sequences of all lengths down to 8 in a batch."""
    t, n = x.shape[0] if x.ndim else 0, x.shape[1] if x.ndim == 3 else 1
    flat, counts = targets_of(n)
    return F.ctc_loss(
        x, pydl.tensor(flat, dtype=pydl.int64), [max(t - i, 8) for i in range(n)], counts, reduction="none"
    )


def formula(x: np.ndarray) -> np.ndarray:
    losses = []
    for i in range(x.shape[1]):
        states = [0] + [s for label in TARGETS[i % 4] for s in (label, 0)]
        alpha = np.full(len(states), -np.inf)
        alpha[:2] = x[0, i, states[:2]]
        for step in x[1 : max(x.shape[0] - i, 8), i]:
            ways = [alpha, np.r_[-np.inf, alpha[:-1]], np.full(len(states), -np.inf)]
            for s in range(3, len(states), 2):
                if states[s] != states[s - 2]:
                    ways[2][s] = alpha[s - 2]
            alpha = np.logaddexp.reduce(ways) + step[states]
        losses.append(-np.logaddexp.reduce(alpha[-2:]))
    return np.array(losses)


ROWS = [
    row(spelt, formula, shapes=[(9, 2, 4), (12, 5, 6), (8, 1, 5)], low=-4.0, high=-0.1, layouts=False, slack=8.0,
        name="ctc_loss", large=((300, 40, 8),)),
]  # fmt: skip


class TestRows(RowChecks):
    """Every row's tests."""


def drawn(t: int, n: int, c: int, s: int) -> tuple[np.ndarray, np.ndarray, list[int], list[int]]:
    rng = np.random.default_rng(t)
    x = rng.standard_normal((t, n, c))
    x -= np.logaddexp.reduce(x, axis=-1, keepdims=True)
    counts = rng.integers(0, s + 1, n)
    return x, rng.integers(1, c, (n, s)), rng.integers(2 * s + 1, t + 1, n).tolist(), counts.tolist()


@pytest.mark.parametrize("size", [(200, 6, 30, 40), (50, 9, 5, 17), (40, 3, 4, 1), (30, 2, 3, 0)])
def test_long_targets_against_torch(size: tuple[int, ...]) -> None:
    """States that fill vectors and that do not; gradients through a log softmax. In float32, at most twice as far from
    float64 as PyTorch."""
    torch = pytest.importorskip("torch")
    x, targets, steps, counts = drawn(*size)
    g, made = np.linspace(-1, 2, size[1]), {}
    for dtype in ("float64", "float32"):
        a, b = pydl.tensor(x).to(getattr(pydl, dtype)).requires_grad_(), torch.tensor(x, dtype=getattr(torch, dtype))
        b.requires_grad_()
        y = F.ctc_loss(F.log_softmax(a, -1), pydl.tensor(targets), steps, counts, reduction="none")
        e = torch.nn.functional.ctc_loss(
            torch.log_softmax(b, -1), torch.tensor(targets), torch.tensor(steps), torch.tensor(counts), reduction="none"
        )
        y.backward(pydl.tensor(g).to(y.dtype))
        e.backward(torch.tensor(g).to(e.dtype))
        made[dtype] = [(y.detach().numpy(), e.detach().numpy()), (a.grad.numpy(), b.grad.numpy())]
    for (ours, exact), (narrow, theirs) in zip(made["float64"], made["float32"], strict=True):
        np.testing.assert_allclose(ours, exact, rtol=1e-10, atol=1e-10)
        assert np.abs(narrow - exact).max(initial=0) <= 2 * np.abs(theirs - exact).max(initial=0) + 1e-6


def test_kernel_is_the_plain_definition() -> None:
    x, targets, steps, counts = drawn(30, 5, 6, 9)
    made = []
    for run in (family.ctc, family.CTC.reference):
        a = pydl.tensor(x).requires_grad_()
        y = run(a, pydl.tensor(targets), pydl.tensor(steps), pydl.tensor(counts), 0)
        (y * pydl.tensor(np.arange(5.0))).sum().backward()
        made.append((y.detach().numpy(), a.grad.numpy()))
    for ours, plain in zip(*made, strict=True):
        np.testing.assert_allclose(ours, plain, atol=1e-11)


def test_replay_of_a_training_step() -> None:
    """Lengths and targets that are tensors are read anew at every replay."""
    x, targets, steps, counts = drawn(30, 5, 6, 9)

    def step(x: Any, targets: Any, steps: Any, counts: Any) -> Any:
        y = F.ctc_loss(F.log_softmax(x, -1), targets, steps, counts)
        return y, pydl.autograd.grad([y], [x])[0]

    captured = pydl.capture(step)
    for shift in range(4):
        labels, lengths = (targets + shift) % 5 + 1, [max(n - shift, 0) for n in counts]
        args = [pydl.tensor(x + shift * x**2).requires_grad_(), *map(pydl.tensor, (labels, steps, lengths))]
        for ours, eager in zip(captured(*args), step(*args), strict=True):
            np.testing.assert_array_equal(ours.detach().numpy(), eager.detach().numpy())


def test_nan_stays_in_its_sequence() -> None:
    x, targets, _, _ = drawn(20, 3, 5, 4)
    x[3, 1, 0] = np.nan
    a = pydl.tensor(x).requires_grad_()
    y = F.ctc_loss(a, pydl.tensor(targets), [20] * 3, [4] * 3, reduction="none")
    y.sum().backward()
    assert np.isnan(y.detach().numpy()).tolist() == [False, True, False]
    assert np.isfinite(a.grad.numpy()[:, [0, 2]]).all()


@pytest.mark.parametrize(
    ("change", "error", "text"),
    [
        ({0: pydl.ones(4, 2)}, ShapeError, "expected (time, batch, classes)"),
        ({0: pydl.ones(4, 2, 3).half()}, DtypeError, "must be float32 or float64"),
        ({1: pydl.tensor([[1, 3], [1, 1]])}, BoundsError, "classes from 0 to 2, got 3"),
        ({1: pydl.ones(2, 2)}, DtypeError, "targets must be int64"),
        ({2: pydl.tensor([4, 5])}, ArgumentError, "input_lengths must be from 0 to 4"),
        ({3: pydl.tensor([-1, 2])}, ArgumentError, "target_lengths must be from 0 to 2"),
        ({3: pydl.tensor([1])}, ShapeError, "expected (2)"),
        ({4: 3}, ArgumentError, "blank must be a class"),
    ],
)
def test_wrong_arguments(change: dict[int, Any], error: type[Exception], text: str) -> None:
    args = [pydl.zeros(4, 2, 3), pydl.tensor([[1, 2], [1, 1]]), pydl.tensor([4, 4]), pydl.tensor([2, 2]), 0]
    for i, value in change.items():
        args[i] = value
    with pytest.raises(error) as raised:
        family.ctc(*args)
    assert text.replace("(2)", "") in str(raised.value)
