"""Cross entropy of a linear layer's scores, whole and in parts, against torch and the two steps."""

from typing import Any

import numpy as np
import pytest

import pydl
import pydl.nn.functional as F
from pydl import nn
from pydl.autograd import grad, gradcheck, gradgradcheck
from pydl.errors import ArgumentError, ShapeError

torch = pytest.importorskip("torch")

RNG = np.random.default_rng(0)
X, W, B = RNG.standard_normal((7, 5)), RNG.standard_normal((4, 5)), RNG.standard_normal(4)
CLASSES = np.array([0, 3, 1, 1, -100, 2, 0])
SHARES = RNG.dirichlet(np.ones(4), 7)
WEIGHT = RNG.uniform(0.5, 2, 4)
CUTS = [None, nn.LinearCrossEntropyOptions(), nn.LinearCrossEntropyOptions(batch_chunk_size=3)]


def both(target: np.ndarray, options: Any = None, **kwargs: Any) -> None:
    """The loss and all gradients as torch has them."""
    weighted = kwargs.pop("weight", None)
    results = []
    for lib, f, more in ((pydl, F, {"options": options}), (torch, torch.nn.functional, {})):
        leaves = [lib.tensor(a, requires_grad=True) for a in (X, W, B)]
        w = None if weighted is None else lib.tensor(weighted)
        y = f.linear_cross_entropy(
            leaves[0], leaves[1], lib.tensor(target), linear_bias=leaves[2], weight=w, **kwargs, **more
        )
        results.append([y.detach(), *lib.autograd.grad((y * y).sum(), leaves)])
    for ours, theirs in zip(*results, strict=True):
        np.testing.assert_allclose(ours.numpy(), theirs.numpy(), rtol=1e-11, atol=1e-13)


@pytest.mark.parametrize("options", CUTS, ids=str)
@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
def test_against_torch(reduction: str, options: Any) -> None:
    for weight in (None, WEIGHT):
        for smoothing in (0.0, 0.2):
            both(CLASSES, options, reduction=reduction, weight=weight, label_smoothing=smoothing)
            both(SHARES, options, reduction=reduction, weight=weight, label_smoothing=smoothing)
    both(np.abs(CLASSES) % 4, options, reduction=reduction, ignore_index=1)


def test_second_derivatives_of_parts() -> None:
    x, w, t = pydl.tensor(X, requires_grad=True), pydl.tensor(W, requires_grad=True), pydl.tensor(CLASSES)
    loss = lambda x, w: F.linear_cross_entropy(x, w, t, options=CUTS[2])  # noqa: E731
    assert gradcheck(loss, (x, w)) and gradgradcheck(loss, (x, w))


def test_many_targets_a_row_and_no_batch() -> None:
    w, b = RNG.standard_normal((4, 2, 3, 5)), RNG.standard_normal((4, 2, 3))
    t = RNG.integers(0, 4, (7, 2, 3))
    ours = F.linear_cross_entropy(pydl.tensor(X), pydl.tensor(w), pydl.tensor(t), linear_bias=pydl.tensor(b))
    theirs = torch.nn.functional.linear_cross_entropy(
        torch.tensor(X), torch.tensor(w), torch.tensor(t), linear_bias=torch.tensor(b)
    )
    np.testing.assert_allclose(ours.numpy(), theirs.numpy(), rtol=1e-12)
    one = F.linear_cross_entropy(pydl.tensor(X[0]), pydl.tensor(W), pydl.tensor(2), options=CUTS[1])
    np.testing.assert_allclose(one.item(), -np.log(np.exp(W @ X[0])[2] / np.exp(W @ X[0]).sum()), rtol=1e-12)


def test_the_layer() -> None:
    ours = nn.LinearCrossEntropyLoss(5, 4, out_features=(2,), bias=True, weight=pydl.tensor(WEIGHT), dtype=pydl.float64)
    theirs = torch.nn.LinearCrossEntropyLoss(
        5, 4, out_features=(2,), bias=True, weight=torch.tensor(WEIGHT), dtype=torch.float64
    )
    assert list(ours.state_dict()) == list(theirs.state_dict())
    ours.load_state_dict({k: v.numpy() for k, v in theirs.state_dict().items()})
    t = RNG.integers(0, 4, (7, 2))
    a, b = ours(pydl.tensor(X), pydl.tensor(t)), theirs(torch.tensor(X), torch.tensor(t))
    np.testing.assert_allclose(a.item(), b.item(), rtol=1e-12)
    assert "num_classes=4, out_features=(2,), bias=True, reduction=mean" in repr(ours)
    whole = nn.LinearCrossEntropyLoss(5, 4, dtype=pydl.float64)
    cut = nn.LinearCrossEntropyLoss(5, 4, dtype=pydl.float64, options=CUTS[2])
    cut.load_state_dict(whole.state_dict())
    t = pydl.tensor(CLASSES)
    first, second = whole(pydl.tensor(X), t), cut(pydl.tensor(X), t)
    (g,), (h,) = grad(first, whole.linear.weight), grad(second, cut.linear.weight)
    np.testing.assert_allclose(h.numpy(), g.numpy(), rtol=1e-12)


def test_rows_of_a_part() -> None:
    assert nn.LinearCrossEntropyOptions().rows(4096, 512, 32768) == 32
    assert nn.LinearCrossEntropyOptions(chunking_method="aspect_ratio").rows(4096, 512, 32768) == 64
    assert nn.LinearCrossEntropyOptions(chunking_method="aspect_ratio:4").rows(8, 5, 1000) == 1
    assert nn.LinearCrossEntropyOptions(chunking_method=None).rows(8, 5, 1000) == 8


def test_errors() -> None:
    x, w, t = pydl.tensor(X), pydl.tensor(W), pydl.tensor(CLASSES)
    for call, error, text in [
        (lambda: F.linear_cross_entropy(x[:, :3], w, t), ShapeError, "does not match linear_weight"),
        (lambda: F.linear_cross_entropy(x, w, t, linear_bias=x[0]), ShapeError, "linear_bias (5,) does not fit"),
        (lambda: F.linear_cross_entropy(x[0], w.reshape(2, 2, 5), t), ShapeError, "needs a batch"),
        (lambda: F.linear_cross_entropy(x, w, t[:3], options=CUTS[2]), ShapeError, "does not match"),
        (lambda: F.linear_cross_entropy(x, w, t, reduction="all"), ArgumentError, "reduction"),
        (lambda: F.linear_cross_entropy(x, w, pydl.tensor(SHARES), ignore_index=1), ArgumentError, "probabilities"),
        (lambda: nn.LinearCrossEntropyLoss(5, 4, weight=x[0]), ShapeError, "expected (4,)"),
        (lambda: nn.LinearCrossEntropyLoss(5, 4, label_smoothing=2), ArgumentError, "label_smoothing"),
        (lambda: nn.LinearCrossEntropyOptions(chunking_method="half"), ArgumentError, "there is no chunking_method"),
        (lambda: nn.LinearCrossEntropyOptions(batch_chunk_size=0), ArgumentError, "is not positive"),
        (lambda: nn.LinearCrossEntropyOptions(acc_policy="x"), ArgumentError, "there is no acc_policy"),
    ]:
        with pytest.raises(error) as caught:
            call()
        assert text in str(caught.value), str(caught.value)
