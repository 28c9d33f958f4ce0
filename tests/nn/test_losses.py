"""Losses against PyTorch and by differences; facts about the surrogates of the 0-1 loss."""

import math
from typing import Any

import numpy as np
import pytest
from against_torch import TOLERANCE, differences, same, torch, values

import pydl
import pydl.nn.functional as F
from pydl import nn
from pydl.errors import ArgumentError, BoundsError, DtypeError, PydlError, ShapeError

RNG = np.random.default_rng(0)
Z, Y = values(RNG, (4, 3), "float64"), values(RNG, (4, 3), "float64")
P, Q = RNG.uniform(0.05, 0.95, (4, 3)), RNG.uniform(0.05, 0.95, (4, 3))
LOGP = np.log(P / P.sum(1, keepdims=True))
SIGNS = np.array([[1, -1, 1], [-1, -1, 1], [1, 1, 1], [-1, 1, -1]], float)
WEIGHTS = np.array([0.5, 2.0, 1.5])
CLASSES = np.array([0, 2, 1, 2])
A, B, C = (values(RNG, (4, 5), "float64") for _ in range(3))
SEQUENCE = values(RNG, (2, 3, 4), "float64")
TAGS = np.array([[0, 2, -100, 1], [1, 1, 2, 0]])

CASES: list[tuple[str, dict[str, Any], list[np.ndarray]]] = [
    ("MSELoss", {}, [Z, Y]),
    ("L1Loss", {}, [Z, Y]),
    ("SmoothL1Loss", {}, [Z, Y]),
    ("SmoothL1Loss", {"beta": 0.3}, [Z, Y]),
    ("SmoothL1Loss", {"beta": 0.0}, [Z, Y]),
    ("HuberLoss", {}, [Z, Y]),
    ("HuberLoss", {"delta": 0.4}, [Z, Y]),
    ("CrossEntropyLoss", {}, [Z, CLASSES]),
    ("CrossEntropyLoss", {"weight": WEIGHTS, "label_smoothing": 0.1}, [Z, CLASSES]),
    ("CrossEntropyLoss", {"weight": WEIGHTS}, [SEQUENCE, TAGS]),
    ("CrossEntropyLoss", {}, [Z, P]),
    ("CrossEntropyLoss", {"weight": WEIGHTS, "label_smoothing": 0.2}, [Z, P]),
    ("CrossEntropyLoss", {"ignore_index": 1, "label_smoothing": 0.2}, [SEQUENCE, np.abs(TAGS) % 3]),
    ("NLLLoss", {}, [LOGP, CLASSES]),
    ("NLLLoss", {"weight": WEIGHTS, "ignore_index": 1}, [LOGP, CLASSES]),
    ("NLLLoss", {"weight": WEIGHTS}, [SEQUENCE, TAGS]),
    ("NLLLoss", {}, [LOGP[0], np.array(2)]),
    ("BCELoss", {}, [P, Q]),
    ("BCELoss", {"weight": WEIGHTS}, [P, (Q > 0.5).astype(float)]),
    ("BCEWithLogitsLoss", {}, [Z, Q]),
    ("BCEWithLogitsLoss", {"weight": WEIGHTS, "pos_weight": WEIGHTS[::-1].copy()}, [Z, Q]),
    ("KLDivLoss", {}, [LOGP, Q]),
    ("KLDivLoss", {"log_target": True}, [LOGP, np.log(Q)]),
    ("PoissonNLLLoss", {}, [Z, Q * 5]),
    ("PoissonNLLLoss", {"log_input": False, "full": True}, [P * 3, Q * 5]),
    ("GaussianNLLLoss", {}, [Z, Y, P]),
    ("GaussianNLLLoss", {"full": True}, [Z, Y, P[:, 0].copy()]),
    ("GaussianNLLLoss", {"eps": 0.5}, [Z, Y, P[:, :1].copy()]),
    ("HingeEmbeddingLoss", {}, [Z, SIGNS]),
    ("HingeEmbeddingLoss", {"margin": 2.5}, [Z, SIGNS]),
    ("MarginRankingLoss", {"margin": 0.3}, [Z, Y, SIGNS]),
    ("SoftMarginLoss", {}, [Z, SIGNS.astype(np.int64)]),
    ("MultiMarginLoss", {}, [Z, CLASSES]),
    ("MultiMarginLoss", {"p": 2, "margin": 0.7, "weight": WEIGHTS}, [Z, CLASSES]),
    ("MultiMarginLoss", {}, [Z[0], np.array(1)]),
    ("MultiLabelMarginLoss", {}, [Z, np.array([[0, 2, -1], [1, -1, 0], [-1, 0, 0], [2, 1, 0]])]),
    ("MultiLabelMarginLoss", {}, [Z[0], np.array([2, -1, 1])]),
    ("MultiLabelSoftMarginLoss", {"weight": WEIGHTS}, [Z, (Q > 0.5).astype(float)]),
    ("CosineEmbeddingLoss", {}, [A, B, SIGNS[:, 0].copy()]),
    ("CosineEmbeddingLoss", {"margin": -0.5}, [A, B, SIGNS[:, 0].copy()]),
    ("TripletMarginLoss", {"margin": 3.0}, [A, B, C]),
    ("TripletMarginLoss", {"margin": 3.0, "p": 1.0, "swap": True}, [A, B, C]),
    ("TripletMarginWithDistanceLoss", {"margin": 3.0, "swap": True}, [A, B, C]),
]
TENSORS = ("weight", "pos_weight")
IDS = [f"{i}-{name}" for i, (name, _, _) in enumerate(CASES)]


def settings(kwargs: dict[str, Any], make: Any, dtype: str) -> dict[str, Any]:
    return {k: make(v.astype(dtype)) if k in TENSORS else v for k, v in kwargs.items()}


@pytest.mark.filterwarnings("ignore:reduction. 'mean' divides")
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(("name", "kwargs", "arrays"), CASES, ids=IDS)
def test_against_torch(name: str, kwargs: Any, arrays: Any, dtype: str) -> None:
    given = [a.astype(dtype) if a.dtype.kind == "f" else a for a in arrays]
    for reduction in ("mean", "sum", "none", "batchmean"):
        if reduction == "batchmean" and name != "KLDivLoss":
            continue
        theirs = getattr(torch.nn, name)(reduction=reduction, **settings(kwargs, torch.tensor, dtype))
        ours = getattr(nn, name)(reduction=reduction, **settings(kwargs, pydl.tensor, dtype))
        assert repr(ours) == repr(theirs)
        same(lambda *a, m=ours: m(*a), lambda *a, m=theirs: m(*a), given, dtype)


@pytest.mark.parametrize(("name", "kwargs", "arrays"), CASES, ids=IDS)
def test_differences(name: str, kwargs: Any, arrays: Any) -> None:
    m = getattr(nn, name)(**settings(kwargs, pydl.tensor, "float64"))
    if kwargs.get("eps") == 0.5:  # its gradient does not see the limit on purpose
        arrays = [*arrays[:2], arrays[2] + 0.6]
    differences(m, arrays)


def test_weighted_mse() -> None:
    w = np.abs(Y) + 0.1
    y, e = F.mse_loss(pydl.tensor(Z), pydl.tensor(Y), weight=pydl.tensor(w)), (w * (Z - Y) ** 2).sum() / w.sum()
    assert abs(y.item() - e) < 1e-12


def test_broadcast_warns() -> None:
    for f in (F.mse_loss, F.l1_loss, F.smooth_l1_loss, F.huber_loss):
        with pytest.warns(UserWarning, match="rarely on purpose") as caught:
            f(pydl.ones(3, 1), pydl.ones(3))
        assert caught[0].filename == __file__


def test_wrong_types_name_the_argument() -> None:
    x = pydl.ones(1, 1, 2, 2)
    for call, text in (
        (lambda: F.scaled_dot_product_attention(x, x, x, scale="a"), r"scale is 'a' \(str\): expected float or None"),
        (lambda: F.huber_loss(x, None), "huber_loss: target is None .*: expected Tensor"),
        (lambda: F.softmin(None, 0), "softmin: input is None .*: expected Tensor"),
        (lambda: F.dropout(x, "half"), "p is 'half' .*: expected float"),
    ):
        with pytest.raises(DtypeError, match=text):
            call()


ERRORS: list[tuple[Any, type[PydlError], str]] = [
    (lambda: nn.MSELoss(reduction="all"), ArgumentError, "reduction must be 'mean', 'sum' or 'none', got 'all'"),
    (lambda: nn.MSELoss(reduction="batchmean"), ArgumentError, "reduction must be"),
    (lambda: F.huber_loss(pydl.ones(1), pydl.ones(1), delta=0), ArgumentError, "delta must be positive"),
    (lambda: F.smooth_l1_loss(pydl.ones(1), pydl.ones(1), beta=-1), ArgumentError, "beta must not be negative"),
    (lambda: F.binary_cross_entropy(pydl.ones(2), pydl.ones(3)), ShapeError, "expected the same shape"),
    (lambda: F.binary_cross_entropy(pydl.ones(2) * 2, pydl.ones(2)), ArgumentError, "probabilities in [0, 1]"),
    (lambda: F.binary_cross_entropy(pydl.ones(2) * math.nan, pydl.ones(2)), ArgumentError, "probabilities in [0, 1]"),
    (lambda: F.nll_loss(pydl.ones(2, 3), pydl.tensor([0, 3])), BoundsError, "expected classes in [0, 3)"),
    (lambda: F.nll_loss(pydl.ones(2, 3), pydl.tensor([0, -1])), BoundsError, "expected classes in [0, 3)"),
    (lambda: F.nll_loss(pydl.ones(2, 3), pydl.tensor([0])), ShapeError, "expected (2,)"),
    (lambda: F.nll_loss(pydl.ones(2, 3), pydl.ones(2)), DtypeError, "int64 or int32 classes"),
    (lambda: F.multi_margin_loss(pydl.ones(2, 3), pydl.tensor([0, 3])), BoundsError, "expected classes in [0, 3)"),
    (lambda: F.multi_margin_loss(pydl.ones(2, 3), pydl.tensor([0, 1]), p=3), ArgumentError, "p must be 1 or 2"),
    (lambda: F.multi_margin_loss(pydl.ones(2, 3), pydl.tensor([0])), ShapeError, "does not match input"),
    (lambda: F.multilabel_margin_loss(pydl.ones(2), pydl.tensor([2, -1])), BoundsError, "expected classes in [0, 2)"),
    (lambda: F.gaussian_nll_loss(pydl.ones(2), pydl.ones(2), -1.0), ArgumentError, "a variance is negative"),
    (lambda: F.gaussian_nll_loss(pydl.ones(2), pydl.ones(2), pydl.ones(3)), ShapeError, "var (3,) does not match"),
    (
        lambda: F.cosine_embedding_loss(pydl.ones(2, 3), pydl.ones(2, 3), pydl.ones(3)),
        PydlError,
        "target (3,) does not match",
    ),
    (
        lambda: F.triplet_margin_loss(pydl.ones(1), pydl.ones(1), pydl.ones(1), margin=0.0),
        ArgumentError,
        "margin must be positive",
    ),
    (lambda: F.hinge_loss(pydl.ones(2), pydl.tensor([0.0, 1.0])), ArgumentError, "targets must be -1 or +1"),
    (lambda: F.exp_loss(pydl.ones(2), pydl.ones(3)), ShapeError, "expected the same shape"),
    (lambda: F.logistic_loss(pydl.ones(1), pydl.ones(1), base=1.0), ArgumentError, "base must be above 1"),
]


@pytest.mark.parametrize(("call", "error", "text"), ERRORS, ids=[f"{i}" for i in range(len(ERRORS))])
def test_errors(call: Any, error: type[PydlError], text: str) -> None:
    with pytest.raises(error) as caught:
        call()
    assert text in str(caught.value)


# ---------------------------------------------------------------- edges


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_binary_cross_entropy_at_its_edges(dtype: str) -> None:
    p, t = np.array([0, 0, 1, 1, 0.5], dtype), np.array([0, 1, 0, 1, 1], dtype)
    f = lambda p, t: F.binary_cross_entropy(p, t, reduction="none")  # noqa: E731
    g = lambda p, t: torch.nn.functional.binary_cross_entropy(p, t, reduction="none")  # noqa: E731
    x, y = pydl.tensor(p).requires_grad_(), torch.tensor(p, requires_grad=True)
    ours, theirs = f(x, pydl.tensor(t)), g(y, torch.tensor(t))
    np.testing.assert_allclose(ours.detach().numpy(), theirs.detach().numpy(), atol=TOLERANCE[dtype])
    ours.sum().backward()
    theirs.sum().backward()
    np.testing.assert_allclose(x.grad.numpy(), y.grad.numpy(), rtol=1e-5)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_logits_of_any_size(dtype: str) -> None:
    x = pydl.tensor(np.array([1e4, -1e4, 1e4, -1e4, 0.0, -30.0, 30.0], dtype)).requires_grad_()
    t = pydl.tensor(np.array([1, 1, 0, 0, 0, 0, 1], dtype))
    y = F.binary_cross_entropy_with_logits(x, t, reduction="none")
    tiny = np.log1p(np.exp(-30.0))
    np.testing.assert_allclose(y.detach().numpy(), [0, 1e4, 1e4, 0, np.log(2), tiny, tiny], rtol=1e-6)
    y.sum().backward()
    e = 1 / (1 + np.exp(30.0))
    np.testing.assert_allclose(x.grad.numpy(), [0, -1, 1, 0, 0.5, e, -e], rtol=1e-5)


def test_divergence_of_zero_probabilities() -> None:
    t = pydl.tensor([0.0, 1.0])
    y = F.kl_div(pydl.tensor([-1.0, -2.0]), t, reduction="none")
    assert y.tolist() == [0.0, 2.0]
    assert F.nll_loss(pydl.zeros(2, 3), pydl.tensor([-100, -100]), reduction="sum").item() == 0


# ---------------------------------------------------------------- the 0-1 loss and its surrogates

MARGINS = np.linspace(-5, 5, 1001)
SURROGATES = {
    "hinge": lambda s, t: F.hinge_loss(s, t, reduction="none"),
    "logistic": lambda s, t: F.logistic_loss(s, t, base=2, reduction="none"),
    "exp": lambda s, t: F.exp_loss(s, t, reduction="none"),
}


@pytest.mark.parametrize("sign", [-1.0, 1.0])
@pytest.mark.parametrize("name", SURROGATES)
def test_surrogates_are_never_below_the_error(name: str, sign: float) -> None:
    s, t = pydl.tensor(MARGINS * sign), pydl.full((1001,), sign, dtype=pydl.float64)
    bound, wrong = SURROGATES[name](s, t).numpy(), F.zero_one_loss(s, t, reduction="none").numpy()
    np.testing.assert_array_equal(wrong, (MARGINS <= 0).astype(float))
    assert (bound >= wrong).all() and abs(bound[500] - 1) < 1e-15
    assert (np.diff(bound) <= 0).all() and (np.diff(bound, 2) >= -1e-12).all()  # falling and convex


def test_surrogate_values() -> None:
    s, t = pydl.tensor(MARGINS), pydl.ones(1001, dtype=pydl.float64)
    expected = {
        nn.HingeLoss: np.maximum(0, 1 - MARGINS),
        nn.PerceptronLoss: np.maximum(0, -MARGINS),
        nn.LogisticLoss: np.log1p(np.exp(-MARGINS)),
        nn.ExpLoss: np.exp(-MARGINS),
        nn.ZeroOneLoss: (MARGINS <= 0) * 1.0,
    }
    for loss, e in expected.items():
        np.testing.assert_allclose(loss(reduction="none")(s, t).numpy(), e, atol=1e-12)
        assert abs(loss()(s, t).item() - e.mean()) < 1e-12 and abs(loss(reduction="sum")(s, t).item() - e.sum()) < 1e-9
    np.testing.assert_allclose(nn.HingeLoss(2.0, reduction="none")(s, t).numpy(), np.maximum(0, 2 - MARGINS))
    np.testing.assert_allclose(
        nn.LogisticLoss(2, reduction="none")(s, t).numpy(), np.log2(1 + np.exp(-MARGINS)), atol=1e-12
    )
    big = F.logistic_loss(pydl.tensor([-1e4, 1e4]), pydl.ones(2), reduction="none")
    assert big.tolist() == [1e4, 0]


@pytest.mark.parametrize("f", [F.hinge_loss, F.perceptron_loss, F.logistic_loss, F.exp_loss])
def test_surrogate_differences(f: Any) -> None:
    differences(lambda s: f(s, pydl.tensor(SIGNS), reduction="none"), [Z])


def test_cross_entropy_facts() -> None:
    x = pydl.tensor(Z).requires_grad_()
    F.cross_entropy(x, pydl.tensor(CLASSES), reduction="sum").backward()
    e = np.exp(Z) / np.exp(Z).sum(1, keepdims=True) - np.eye(3)[CLASSES]
    np.testing.assert_allclose(x.grad.numpy(), e, atol=1e-12)
    for k in (2, 3, 10, 1000):
        y = F.cross_entropy(pydl.full((5, k), 3.7, dtype=pydl.float64), pydl.zeros(5, dtype=pydl.int64))
        assert abs(y.item() - math.log(k)) < 1e-12
