"""Metrics over uneven batches against scikit-learn over the whole."""

import math
import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import pydl
from pydl.train import (
    F1,
    MAE,
    MSE,
    R2,
    RMSE,
    ROCAUC,
    Accuracy,
    AveragePrecision,
    ConfusionMatrix,
    FBeta,
    LogLoss,
    Perplexity,
    Precision,
    Recall,
    TopKAccuracy,
)

scores = pytest.importorskip("sklearn.metrics")
SOME = st.integers(2, 5)
QUICK = settings(max_examples=40, deadline=None)


@st.composite
def problems(draw, classes=SOME, least=1):
    """Logits (n, c), classes (n,), and where the batches begin and end."""
    c, n = draw(classes), draw(st.integers(least, 40))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    # few distinct numbers, so that there are ties
    logits = rng.integers(-3, 4, (n, c)) / 2 if draw(st.booleans()) else rng.standard_normal((n, c))
    cuts = sorted({0, n, *draw(st.lists(st.integers(0, n), max_size=5))})
    return logits, rng.integers(0, draw(st.integers(1, c)), n), cuts


def stream(metric, prediction, target, cuts):
    metric.reset()
    for a, b in zip(cuts, cuts[1:], strict=False):
        metric.update(pydl.tensor(prediction[a:b]), pydl.tensor(target[a:b]))
    return metric.compute()


def softmax(x):
    e = np.exp(x - x.max(1, keepdims=True))
    return e / e.sum(1, keepdims=True)


def same(got, want):
    got = got.numpy() if isinstance(got, pydl.Tensor) else got
    np.testing.assert_allclose(got, want, rtol=1e-12, atol=1e-14)


def quiet(function, *args, **kwargs):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return function(*args, **kwargs)


@QUICK
@given(problems())
def test_accuracy(problem):
    logits, target, cuts = problem
    want = scores.accuracy_score(target, logits.argmax(1))
    assert stream(Accuracy(), logits, target, cuts) == want
    assert stream(Accuracy(), logits.argmax(1), target, cuts) == want  # answers instead of scores
    binary = target % 2
    assert stream(Accuracy(), logits[:, 0], binary, cuts) == scores.accuracy_score(binary, logits[:, 0] > 0)
    assert stream(Accuracy(0.5), logits[:, :1], binary, cuts) == scores.accuracy_score(binary, logits[:, 0] > 0.5)


def test_accuracy_of_pixels():
    rng = np.random.default_rng(0)
    pixels, labels = rng.standard_normal((50, 3, 5)), rng.integers(0, 3, (50, 5))
    want = scores.accuracy_score(labels.ravel(), pixels.argmax(1).ravel())
    assert stream(Accuracy(), pixels, labels, [0, 7, 50]) == want
    same(stream(TopKAccuracy(1), pixels, labels, [0, 7, 50]), want)
    flat = np.moveaxis(pixels, 1, -1).reshape(-1, 3)
    assert stream(LogLoss(), pixels, labels, [0, 7, 50]) == pytest.approx(
        scores.log_loss(labels.ravel(), softmax(flat))
    )


@QUICK
@given(problems(classes=st.integers(3, 6)), st.integers(1, 6))
def test_top_k(problem, k):
    logits, target, cuts = problem
    order = np.argsort(-logits, axis=1, kind="stable")  # of equal scores the lower class first, as argmax has it
    want = (order[:, :k] == target[:, None]).any(1).mean()
    assert stream(TopKAccuracy(k), logits, target, cuts) == want
    if len(np.unique(logits)) == logits.size:
        classes = range(logits.shape[1])
        assert want == quiet(scores.top_k_accuracy_score, target, logits, k=k, labels=classes)


@QUICK
@given(problems(), st.sampled_from([None, "true", "pred", "all"]))
def test_confusion_matrix(problem, normalize):
    logits, target, cuts = problem
    c = logits.shape[1]
    got = stream(ConfusionMatrix(c, normalize=normalize), logits, target, cuts)
    same(got, quiet(scores.confusion_matrix, target, logits.argmax(1), labels=range(c), normalize=normalize))
    assert got.dtype is (pydl.int64 if normalize is None else pydl.float64)


AVERAGES = st.sampled_from(["micro", "macro", "weighted", None])


@QUICK
@given(problems(), AVERAGES, st.sampled_from([0.0, 1.0, math.nan]), st.sampled_from([0.0, 0.5, 1.0, 2.0]))
def test_precision_recall_and_f(problem, average, empty, beta):
    logits, target, cuts = problem
    c = logits.shape[1]
    with_sklearn = {"average": average, "zero_division": empty, "labels": range(c)}
    ours = {"average": average, "zero_division": empty}
    for metric, function, more in [
        (Precision(c, **ours), scores.precision_score, {}),
        (Recall(c, **ours), scores.recall_score, {}),
        (F1(c, **ours), scores.f1_score, {}),
        (FBeta(beta, c, **ours), scores.fbeta_score, {"beta": beta}),
    ]:
        want = quiet(function, target, logits.argmax(1), **with_sklearn, **more)
        same(stream(metric, logits, target, cuts), want)


@QUICK
@given(problems(classes=st.just(2)))
def test_precision_of_the_positive_class(problem):
    logits, target, cuts = problem
    positive = logits[:, 0] > 0.25
    for metric, function in ((Precision, scores.precision_score), (Recall, scores.recall_score), (F1, scores.f1_score)):
        want = quiet(function, target, positive, zero_division=0)
        same(stream(metric(threshold=0.25), logits[:, 0], target, cuts), want)


@QUICK
@given(problems(classes=st.just(2)))
def test_ranking_of_two_classes(problem):
    logits, target, cuts = problem
    s = logits[:, 0]
    same(stream(ROCAUC(), s, target, cuts), quiet(scores.roc_auc_score, target, s))
    same(stream(ROCAUC(), s[:, None].astype(np.float32), target, cuts), quiet(scores.roc_auc_score, target, s))
    same(stream(AveragePrecision(), s, target, cuts), quiet(scores.average_precision_score, target, s))


@QUICK
@given(problems(classes=st.integers(3, 5), least=15), st.booleans())
def test_ranking_of_several_classes(problem, from_logits):
    logits, target, cuts = problem
    c = logits.shape[1]
    target[:c] = range(c)  # scikit-learn wants every class to be there
    given_scores = logits if from_logits else softmax(logits)
    p = softmax(logits) if from_logits else given_scores
    for average in ("macro", "weighted", "micro", None):
        got = stream(ROCAUC(average, from_logits=from_logits), given_scores, target, cuts)
        same(got, scores.roc_auc_score(target, p, multi_class="ovr", average=average))
        got = stream(AveragePrecision(average, from_logits=from_logits), given_scores, target, cuts)
        same(got, scores.average_precision_score(target, p, average=average))
    for average in ("macro", "weighted"):
        got = stream(ROCAUC(average, multi_class="ovo", from_logits=from_logits), given_scores, target, cuts)
        same(got, scores.roc_auc_score(target, p, multi_class="ovo", average=average))


@QUICK
@given(problems())
def test_log_loss_and_perplexity(problem):
    logits, target, cuts = problem
    p, classes = softmax(logits), range(logits.shape[1])
    want = scores.log_loss(target, p, labels=classes)
    same(stream(LogLoss(), logits, target, cuts), want)
    same(stream(LogLoss(from_logits=False), p, target, cuts), want)
    same(stream(Perplexity(), logits, target, cuts), math.exp(want))
    one, binary = 1 / (1 + np.exp(-logits[:, 0])), target % 2
    want = scores.log_loss(binary, one, labels=[0, 1])
    same(stream(LogLoss(), logits[:, 0], binary, cuts), want)
    same(stream(LogLoss(from_logits=False), one, binary, cuts), want)
    same(stream(LogLoss(from_logits=False), one[:, None], binary, cuts), want)


def test_log_loss_of_certain_probabilities():
    p, target = np.array([[1.0, 0.0], [0.0, 1.0], [1.0, 0.0]]), np.array([0, 1, 1])
    same(stream(LogLoss(from_logits=False), p, target, [0, 3]), scores.log_loss(target, p))
    same(stream(LogLoss(from_logits=False), p[:, 1], target, [0, 3]), scores.log_loss(target, p[:, 1]))
    assert stream(Perplexity(), np.array([[800.0, 0.0]]), np.array([1]), [0, 1]) == math.inf


@QUICK
@given(st.integers(0, 2**32 - 1), st.integers(2, 40), st.integers(0, 3), st.sampled_from([0.0, 1e8]), st.booleans())
def test_regression(seed, n, d, offset, constant):
    rng = np.random.default_rng(seed)
    shape = (n, d) if d else (n,)
    target = np.full(shape, offset + 0.5) if constant else offset + rng.standard_normal(shape)
    prediction = target + rng.standard_normal(shape) / 4
    cuts = sorted({0, n, *(int(k) for k in rng.integers(0, n, 3))})
    same(stream(MAE(), prediction, target, cuts), scores.mean_absolute_error(target, prediction))
    same(stream(MSE(), prediction, target, cuts), scores.mean_squared_error(target, prediction))
    same(stream(RMSE(), prediction, target, cuts), math.sqrt(scores.mean_squared_error(target, prediction)))
    for kind in ("uniform_average", "variance_weighted", "raw_values"):
        got = stream(R2(kind), prediction, target, cuts)
        want = scores.r2_score(target, prediction, multioutput=kind)
        got = got.numpy() if kind == "raw_values" else got
        np.testing.assert_allclose(got, want, rtol=1e-9 if not offset else 1e-6, atol=1e-12)
