"""CTC loss against PyTorch and against the sum over all alignments."""

from itertools import groupby, product
from typing import Any

import numpy as np
import pytest

import pydl
from pydl import nn
from pydl.autograd import gradcheck, gradgradcheck
from pydl.errors import ArgumentError, BoundsError, DtypeError, ShapeError
from pydl.nn import functional as F


def inputs(t: int, n: int, c: int, dtype: Any = np.float64) -> np.ndarray:
    x = np.random.default_rng(0).standard_normal((t, n, c))
    return np.asarray((x - np.log(np.exp(x).sum(-1, keepdims=True))).astype(dtype))


@pytest.mark.parametrize("reduction", ["none", "sum", "mean"])
@pytest.mark.parametrize("blank", [0, 2])
@pytest.mark.parametrize("flat", [False, True])
@pytest.mark.parametrize("zero_infinity", [False, True])
def test_against_torch(reduction: str, blank: int, flat: bool, zero_infinity: bool) -> None:
    """Repeated labels, empty targets, short inputs, one that is too short for its target."""
    torch = pytest.importorskip("torch")
    x = inputs(7, 5, 6)
    own = np.array([[1, 1, 3, 4], [5, 3, 5, 0], [4, 4, 4, 4], [1, 5, 3, 1], [3, 1, 1, 1]])
    own[own == blank] = 5
    input_lengths, lengths = [7, 4, 3, 7, 5], [4, 3, 4 if zero_infinity else 2, 0, 1]
    targets = np.concatenate([row[:n] for row, n in zip(own, lengths, strict=True)]) if flat else own
    a, b = pydl.tensor(x).requires_grad_(), torch.tensor(x, requires_grad=True)
    y = F.ctc_loss(a, pydl.tensor(targets), input_lengths, pydl.tensor(lengths), blank, reduction, zero_infinity)
    e = torch.nn.functional.ctc_loss(
        torch.log_softmax(b, -1), torch.tensor(targets), torch.tensor(input_lengths), torch.tensor(lengths), blank,
        reduction, zero_infinity,
    )  # fmt: skip
    np.testing.assert_allclose(y.detach().numpy(), e.detach().numpy(), atol=1e-12)
    y.sum().backward()
    a.grad, found = None, a.grad
    z = F.ctc_loss(F.log_softmax(a, -1), pydl.tensor(targets), input_lengths, lengths, blank, reduction, zero_infinity)
    z.sum().backward()
    e.sum().backward()
    assert np.isfinite(found.numpy()).all()
    np.testing.assert_allclose(a.grad.numpy(), b.grad.numpy(), atol=1e-12)


def test_all_alignments() -> None:
    """The definition: the sum over all paths that collapse to the target."""
    x = inputs(5, 1, 3)
    for target in ([1], [1, 2], [1, 1], [2, 1, 2], []):
        paths = product(range(3), repeat=5)
        fitting = [p for p in paths if [k for k, _ in groupby(p) if k] == target]
        total = sum(np.exp(sum(x[t, 0, k] for t, k in enumerate(p))) for p in fitting)
        loss = F.ctc_loss(pydl.tensor(x), pydl.tensor([target], dtype=pydl.int64), [5], [len(target)], reduction="sum")
        np.testing.assert_allclose(loss.item(), -np.log(total), rtol=1e-12)


def test_derivatives() -> None:
    x = pydl.tensor(inputs(4, 2, 3)).requires_grad_()
    call = lambda x: F.ctc_loss(x, pydl.tensor([[1, 2], [1, 1]]), [4, 3], [2, 2], reduction="none")  # noqa: E731
    assert gradcheck(call, [x], rtol=1e-6)
    assert gradgradcheck(call, [x], rtol=1e-5)


def test_without_batch_and_module() -> None:
    torch = pytest.importorskip("torch")
    x = inputs(6, 1, 4)[:, 0]
    y = nn.CTCLoss(reduction="none")(pydl.tensor(x), pydl.tensor([1, 3]), pydl.tensor(6), pydl.tensor(2))
    e = torch.nn.CTCLoss(reduction="none")(torch.tensor(x), torch.tensor([1, 3]), torch.tensor(6), torch.tensor(2))
    assert y.shape == () and abs(y.item() - e.item()) < 1e-12


def test_impossible() -> None:
    """No alignment: an infinite loss, or 0, and a gradient of 0."""
    for zero, value in ((False, np.inf), (True, 0.0)):
        x = pydl.tensor(inputs(3, 1, 3)).requires_grad_()
        y = F.ctc_loss(x, pydl.tensor([[1, 1, 1]]), [3], [3], zero_infinity=zero)
        y.backward()
        assert y.item() == value and not x.grad.numpy().any()
    x = inputs(3, 3, 3)
    y = F.ctc_loss(pydl.tensor(x), pydl.tensor([[1], [1], [1]]), [0, 0, 3], [0, 1, 1], reduction="none")
    assert y[0].item() == 0 and y[1].item() == np.inf and np.isfinite(y[2].item())
    x[:, :, 1] = -np.inf  # a class that never comes
    given = pydl.tensor(x).requires_grad_()
    y = F.ctc_loss(given, pydl.tensor([[1], [2], [2]]), [3, 3, 3], [1, 1, 1], reduction="none", zero_infinity=True)
    y.sum().backward()
    assert y[0].item() == 0 and np.isfinite(given.grad.numpy()).all()


@pytest.mark.parametrize(
    ("change", "error", "text"),
    [
        ({"input_lengths": [4, 5]}, ArgumentError, "input_lengths must be from 0 to 4"),
        ({"input_lengths": [4, -1]}, ArgumentError, "input_lengths must be from 0 to 4"),
        ({"input_lengths": [4]}, ShapeError, r"expected \(2,\)"),
        ({"input_lengths": [4.0, 4.0]}, DtypeError, "input_lengths must be integers"),
        ({"target_lengths": [2, 3]}, ArgumentError, "target_lengths must be from 0 to 2"),
        ({"targets": pydl.tensor([[1, 3], [1, 2]])}, BoundsError, "classes from 0 to 2"),
        ({"targets": pydl.tensor([1, 2, 1])}, ShapeError, "the sum of target_lengths"),
        ({"targets": pydl.ones(2, 2)}, DtypeError, "targets must be integers"),
        ({"log_probs": pydl.ones(2)}, ShapeError, "time, batch, classes"),
        ({"log_probs": pydl.ones(4, 2, 3, dtype=pydl.int64)}, DtypeError, "floating"),
        ({"blank": 3}, ArgumentError, "blank must be a class from 0 to 2"),
        ({"reduction": "all"}, ArgumentError, "reduction"),
    ],
)
def test_errors(change: Any, error: Any, text: str) -> None:
    args = {
        "log_probs": pydl.tensor(inputs(4, 2, 3)), "targets": pydl.tensor([[1, 2], [1, 2]]),
        "input_lengths": [4, 4], "target_lengths": [2, 2],
    }  # fmt: skip
    with pytest.raises(error, match=text):
        F.ctc_loss(**(args | change))
