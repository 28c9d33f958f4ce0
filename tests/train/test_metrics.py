"""Metrics over uneven batches against scikit-learn over the whole."""

import math

import numpy as np
import pytest

import pydl
from pydl.errors import ShapeError
from pydl.train import MSE, Accuracy, MeanLoss

CUTS = [[0, 7, 8, 20, 50], [0, 50], list(range(51)), [0, 49, 50]]


def stream(metric, prediction, target, cuts):
    metric.reset()
    for a, b in zip(cuts, cuts[1:], strict=False):
        metric.update(pydl.tensor(prediction[a:b]), pydl.tensor(target[a:b]))
    return metric.compute()


@pytest.mark.parametrize("cuts", CUTS)
def test_accuracy(cuts):
    scores = pytest.importorskip("sklearn.metrics")
    rng = np.random.default_rng(0)
    logits, classes = rng.standard_normal((50, 4)), rng.integers(0, 4, 50)
    assert stream(Accuracy(), logits, classes, cuts) == scores.accuracy_score(classes, logits.argmax(1))
    binary, one = rng.integers(0, 2, 50), rng.standard_normal(50)
    assert stream(Accuracy(), one, binary, cuts) == scores.accuracy_score(binary, one > 0)
    assert stream(Accuracy(), one[:, None], binary, cuts) == scores.accuracy_score(binary, one > 0)
    share = rng.random(50)
    assert stream(Accuracy(threshold=0.5), share, binary, cuts) == scores.accuracy_score(binary, share > 0.5)
    pixels, labels = rng.standard_normal((50, 3, 5)), rng.integers(0, 3, (50, 5))
    want = scores.accuracy_score(labels.ravel(), pixels.argmax(1).ravel())
    assert stream(Accuracy(), pixels, labels, cuts) == want


@pytest.mark.parametrize("cuts", CUTS)
def test_mse(cuts):
    scores = pytest.importorskip("sklearn.metrics")
    rng = np.random.default_rng(0)
    for shape in ((50,), (50, 3)):
        a, b = rng.standard_normal(shape), rng.standard_normal(shape)
        assert stream(MSE(), a, b, cuts) == pytest.approx(scores.mean_squared_error(b, a), rel=1e-13)


def test_mean_loss_weighs_by_size():
    loss = MeanLoss()
    for value, size in ((1.0, 30), (4.0, 10)):
        loss.add_batch(value, size)
    assert loss.compute() == 1.75


def test_state():
    a, b = Accuracy(), Accuracy()
    a.update(pydl.tensor([1.0, -1.0, 1.0]), pydl.tensor([1, 1, 0]))
    b.load_state_dict(a.state_dict())
    assert b.compute() == a.compute() == 1 / 3
    a.reset()
    assert math.isnan(a.compute()) and b.count == 3


def test_shapes():
    with pytest.raises(ShapeError, match=r"Accuracy: predictions \(3, 4\) do not fit targets \(4,\)"):
        Accuracy().update(pydl.zeros(3, 4), pydl.zeros(4, dtype=pydl.int64))
    with pytest.raises(ShapeError, match=r"expected \(b, c\) and \(b,\)"):
        Accuracy().update(pydl.zeros(4), pydl.zeros(4, 4))
    with pytest.raises(ShapeError, match="MSE: predictions"):
        MSE().update(pydl.zeros(4, 1), pydl.zeros(4))
