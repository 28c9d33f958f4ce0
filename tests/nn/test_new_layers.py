"""Embedding bags, the adaptive softmax, Gumbel softmax, pdist and activations in place, against PyTorch."""

from typing import Any

import numpy as np
import pytest
from against_torch import close, differences, ours_of, theirs_of, torch, values

import pydl
import pydl.nn.functional as F
from pydl import nn
from pydl.errors import ArgumentError, AutogradError, BoundsError, DtypeError, PydlError, ShapeError

RNG = np.random.default_rng(0)
TABLE = values(RNG, (7, 3), "float64")
BAGS = np.array([[0, 2, 2], [6, 1, 0]])
LIST, OFFSETS = np.array([1, 1, 4, 5, 0, 2, 2]), np.array([0, 3, 3, 5])
FACTORS = values(RNG, (7,), "float64")


@pytest.mark.parametrize("mode", ["sum", "mean", "max"])
@pytest.mark.parametrize("padding", [None, 2, -7])
@pytest.mark.parametrize("last", [False, True])
def test_embedding_bag(mode: str, padding: int | None, last: bool) -> None:
    options: dict[str, Any] = {"mode": mode, "padding_idx": padding, "include_last_offset": last}
    offsets = np.append(OFFSETS, 7) if last else OFFSETS
    cases: list[tuple[Any, ...]] = [(LIST, offsets)] + ([] if last else [(BAGS, None)])
    for ids, at in cases:
        w, v = ours_of(TABLE), theirs_of(TABLE)
        ours = F.embedding_bag(pydl.tensor(ids), w, None if at is None else pydl.tensor(at), **options)
        theirs = torch.nn.functional.embedding_bag(
            torch.tensor(ids), v, None if at is None else torch.tensor(at), **options
        )
        close(ours, theirs, 1e-12, "output")
        (ours * ours).sum().backward()
        (theirs * theirs).sum().backward()
        close(w.grad, v.grad, 1e-12, "gradient")


def test_empty_bags() -> None:
    for mode in ("sum", "mean", "max"):
        y = F.embedding_bag(pydl.zeros(2, 0, dtype=pydl.int64), pydl.tensor(TABLE), mode=mode)
        assert y.tolist() == [[0, 0, 0]] * 2


def test_embedding_bag_with_weights() -> None:
    for padding in (None, 1):
        w, v, a, b = ours_of(TABLE), theirs_of(TABLE), ours_of(FACTORS), theirs_of(FACTORS)
        ours = F.embedding_bag(
            pydl.tensor(LIST), w, pydl.tensor(OFFSETS), mode="sum", per_sample_weights=a, padding_idx=padding
        )
        theirs = torch.nn.functional.embedding_bag(
            torch.tensor(LIST), v, torch.tensor(OFFSETS), mode="sum", per_sample_weights=b, padding_idx=padding
        )
        close(ours, theirs, 1e-12, "output")
        ours.sum().backward()
        theirs.sum().backward()
        close(w.grad, v.grad, 1e-12, "gradient of the table")
        close(a.grad, b.grad, 1e-12, "gradient of the factors")


@pytest.mark.parametrize("mode", ["sum", "mean", "max"])
def test_embedding_bag_differences(mode: str) -> None:
    differences(lambda w: F.embedding_bag(pydl.tensor(LIST), w, pydl.tensor(OFFSETS), mode=mode), [TABLE])


def test_embedding_bag_layer() -> None:
    for kwargs in ({}, {"mode": "sum", "padding_idx": 2}, {"max_norm": 1.0, "norm_type": 1.0}):
        ours, theirs = nn.EmbeddingBag(7, 3, **kwargs), torch.nn.EmbeddingBag(7, 3, **kwargs)
        assert repr(ours) == repr(theirs) and list(ours.state_dict()) == list(theirs.state_dict())
        theirs.load_state_dict({k: torch.tensor(v.numpy()) for k, v in ours.state_dict().items()})
        close(ours(pydl.tensor(BAGS)), theirs(torch.tensor(BAGS)), 1e-6, "output")
        close(ours.weight, theirs.weight, 1e-6, "table")
    m = nn.EmbeddingBag.from_pretrained(pydl.tensor(TABLE), mode="max")
    assert not m.weight.requires_grad and m(pydl.tensor(BAGS)).shape == (2, 3)


# ---------------------------------------------------------------- adaptive softmax


def adaptive(bias: bool) -> tuple[Any, Any]:
    ours = nn.AdaptiveLogSoftmaxWithLoss(8, 20, [4, 10], div_value=2.0, head_bias=bias).double()
    theirs = torch.nn.AdaptiveLogSoftmaxWithLoss(8, 20, [4, 10], div_value=2.0, head_bias=bias).double()
    theirs.load_state_dict({k: torch.tensor(v.numpy()) for k, v in ours.state_dict().items()})
    return ours, theirs


@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("classes", [[0, 3, 4, 9, 10, 19], [0, 1, 2, 3, 0, 1], [19, 18, 10, 19, 11, 12]])
def test_adaptive_softmax(bias: bool, classes: list[int]) -> None:
    ours, theirs = adaptive(bias)
    assert repr(ours) == repr(theirs)
    x = values(RNG, (6, 8), "float64")
    a, b = ours_of(x), theirs_of(x)
    y, e = ours(a, pydl.tensor(classes)), theirs(b, torch.tensor(classes))
    close(y.output, e.output, 1e-12, "output")
    close(y.loss, e.loss, 1e-12, "loss")
    y.loss.backward()
    e.loss.backward()
    close(a.grad, b.grad, 1e-12, "gradient")
    for (name, p), (_, q) in zip(ours.named_parameters(), theirs.named_parameters(), strict=True):
        assert (p.grad is None) == (q.grad is None), name
        if q.grad is not None:
            close(p.grad, q.grad, 1e-12, name)
    close(ours.log_prob(a), theirs.log_prob(b), 1e-12, "log_prob")
    assert ours.predict(a).tolist() == theirs.predict(b).tolist()
    one = ours(a[0], pydl.tensor(classes[0]))
    assert one.output.shape == () and abs(one.output.item() - y.output[0].item()) < 1e-12


def test_adaptive_softmax_differences() -> None:
    ours, _ = adaptive(True)
    target = pydl.tensor([0, 5, 19])
    differences(lambda x: ours(x, target).output, [values(RNG, (3, 8), "float64")])


# ---------------------------------------------------------------- functions


@pytest.mark.parametrize("p", [1.0, 2.0, 3.0, float("inf")])
def test_pdist(p: float) -> None:
    x = values(RNG, (5, 3), "float64")
    a, b = ours_of(x), theirs_of(x)
    ours, theirs = F.pdist(a, p), torch.nn.functional.pdist(b, p)
    close(ours, theirs, 1e-12, "distances")
    ours.sum().backward()
    theirs.sum().backward()
    close(a.grad, b.grad, 1e-12, "gradient")
    assert F.pdist(pydl.ones(1, 3)).shape == F.pdist(pydl.ones(0, 3)).shape == (0,)


def test_gumbel_softmax_draws_from_the_distribution() -> None:
    p = np.array([0.1, 0.2, 0.7])
    logits = pydl.tensor(np.log(p)).expand([20000, 3])
    for hard in (False, True):
        y = F.gumbel_softmax(logits, 0.5, hard, generator=pydl.Generator().manual_seed(1))
        np.testing.assert_allclose(y.sum(1).numpy(), 1, atol=1e-12)
        share = np.bincount(y.argmax(1).numpy(), minlength=3) / 20000
        assert np.abs(share - p).max() < 4 * np.sqrt(0.25 / 20000)
        assert not hard or set(np.unique(y.numpy())) == {0.0, 1.0}


def test_gumbel_softmax_gradient_is_that_of_the_relaxed_sample() -> None:
    x, w = values(RNG, (4, 3, 2), "float64"), pydl.tensor(values(RNG, (4, 3, 2), "float64"))
    grads = []
    for hard in (False, True):
        a = ours_of(x)
        (F.gumbel_softmax(a, 2.0, hard, dim=1, generator=pydl.Generator().manual_seed(3)) * w).sum().backward()
        grads.append(a.grad.numpy())
    np.testing.assert_allclose(grads[0], grads[1], atol=1e-14)


INPLACE = [
    ("relu_", ()), ("elu_", (0.7,)), ("selu_", ()), ("celu_", (0.7,)), ("leaky_relu_", (0.2,)),
    ("hardtanh_", (-0.5, 0.3)), ("threshold_", (0.2, 3.0)), ("rrelu_", ()),
]  # fmt: skip


@pytest.mark.parametrize(("name", "args"), INPLACE, ids=[name for name, _ in INPLACE])
def test_in_place(name: str, args: tuple[Any, ...]) -> None:
    x = values(RNG, (3, 4), "float64")
    a, b = pydl.tensor(x), torch.tensor(x)
    made = getattr(F, name)(a, *args)
    getattr(torch.nn.functional, name)(b, *args)
    assert made is a
    close(a, b, 1e-12, name)
    with pytest.raises(AutogradError):
        getattr(F, name)(pydl.tensor(x, requires_grad=True), *args)


@pytest.mark.parametrize(("r", "shape"), [(2, (2, 8, 3, 4)), (3, (9, 2, 2)), (1, (1, 2, 3))])
def test_unshuffle_is_the_inverse(r: int, shape: tuple[int, ...]) -> None:
    x = pydl.randn(shape)
    assert (F.pixel_unshuffle(F.pixel_shuffle(x, r), r) == x).all().item()


ERRORS: list[tuple[Any, type[PydlError], str]] = [
    (
        lambda: F.embedding_bag(pydl.tensor(BAGS), pydl.tensor(TABLE), mode="min"),
        ArgumentError,
        "'sum', 'mean' or 'max'",
    ),
    (lambda: F.embedding_bag(pydl.tensor(LIST), pydl.tensor(TABLE)), ShapeError, "with offsets (b,)"),
    (lambda: F.embedding_bag(pydl.tensor(BAGS), pydl.tensor(TABLE), pydl.tensor([0])), ArgumentError, "leave them out"),
    (lambda: F.embedding_bag(pydl.tensor(LIST), pydl.tensor(TABLE), pydl.tensor([1])), ArgumentError, "rise from 0"),
    (lambda: F.embedding_bag(pydl.tensor(LIST), pydl.tensor(TABLE), pydl.tensor([0, 9])), ArgumentError, "at most 7"),
    (lambda: F.embedding_bag(pydl.tensor([[7]]), pydl.tensor(TABLE)), BoundsError, "out of range"),
    (lambda: F.embedding_bag(pydl.tensor([[-1]]), pydl.tensor(TABLE)), BoundsError, "index -1 is out of range"),
    (lambda: F.embedding_bag(pydl.ones(2, 2), pydl.tensor(TABLE)), DtypeError, "int64 or int32"),
    (
        lambda: F.embedding_bag(pydl.tensor(BAGS), pydl.tensor(TABLE), per_sample_weights=pydl.ones(2, 3)),
        ArgumentError,
        "go with mode 'sum'",
    ),
    (lambda: nn.EmbeddingBag(3, 2, padding_idx=3), BoundsError, "padding_idx 3 is out of range for 3 rows"),
    (lambda: nn.AdaptiveLogSoftmaxWithLoss(8, 20, []), ArgumentError, "rising integers in [1, 19]"),
    (lambda: nn.AdaptiveLogSoftmaxWithLoss(8, 20, [4, 4]), ArgumentError, "rising integers"),
    (lambda: nn.AdaptiveLogSoftmaxWithLoss(8, 20, [20]), ArgumentError, "rising integers"),
    (
        lambda: adaptive(False)[0](pydl.ones(2, 8), pydl.tensor([0, 20])),
        BoundsError,
        "target 20 is out of range for 20",
    ),
    (lambda: adaptive(False)[0](pydl.ones(2, 8), pydl.tensor([0])), ShapeError, "expected (n,) and (n, d)"),
    (lambda: F.pixel_shuffle(pydl.ones(3, 2, 2), 2), ShapeError, "no multiple of 2^2"),
    (lambda: F.pixel_shuffle(pydl.ones(2, 2), 2), ShapeError, "expected (..., c, h, w)"),
    (lambda: F.pixel_shuffle(pydl.ones(4, 2, 2), 0), ArgumentError, "must be positive"),
    (lambda: F.pixel_unshuffle(pydl.ones(1, 3, 2), 2), ShapeError, "no multiples of 2"),
    (lambda: F.channel_shuffle(pydl.ones(1, 3, 2), 2), ArgumentError, "cannot be split into 2 groups"),
    (lambda: F.pdist(pydl.ones(3)), ShapeError, "expected (n, d)"),
    (lambda: F.pdist(pydl.ones(3, 3), -1), ArgumentError, "must not be negative"),
    (lambda: F.gumbel_softmax(pydl.ones(3), 0), ArgumentError, "tau must be positive"),
    (lambda: nn.ConstantPad2d((1, 2), 0), ShapeError, "expected one number or 4"),
    (lambda: nn.Unflatten(1, "ab"), DtypeError, "must be a sequence of integers"),
]


@pytest.mark.parametrize(("call", "error", "text"), ERRORS, ids=[str(i) for i in range(len(ERRORS))])
def test_errors(call: Any, error: type[PydlError], text: str) -> None:
    with pytest.raises(error) as caught:
        call()
    assert text in str(caught.value)
