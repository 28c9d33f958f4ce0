"""Metrics of nothing, of one class, of half precision; states, exact counts, and what is refused."""

import copy
import math

import numpy as np
import pytest

import pydl
from pydl.errors import ArgumentError, BoundsError, CheckpointError, DtypeError, ShapeError
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
    MeanLoss,
    MeanMetric,
    Perplexity,
    Precision,
    Recall,
    TopKAccuracy,
    Trainer,
    metrics,
)

OF_CLASSES = {
    "Accuracy": Accuracy,
    "TopKAccuracy": lambda: TopKAccuracy(2),
    "ConfusionMatrix": lambda: ConfusionMatrix(3),
    "Precision": lambda: Precision(3, average=None),
    "Recall": lambda: Recall(3, average="micro"),
    "FBeta": lambda: FBeta(2.0, 3, average="macro"),
    "F1": lambda: F1(3, average="weighted"),
    "ROCAUC": ROCAUC,
    "AveragePrecision": AveragePrecision,
    "LogLoss": LogLoss,
    "Perplexity": Perplexity,
}
OF_NUMBERS = {"MSE": MSE, "RMSE": RMSE, "MAE": MAE, "R2": R2}
ALL = OF_CLASSES | OF_NUMBERS


def batches(name, n=12):
    rng = np.random.default_rng(1)
    if name in OF_NUMBERS:
        return pydl.tensor(rng.standard_normal(n)), pydl.tensor(rng.standard_normal(n))
    return pydl.tensor(rng.standard_normal((n, 3))), pydl.tensor(np.arange(n) % 3)


def value(metric):
    found = metric.compute()
    return found.tolist() if isinstance(found, pydl.Tensor) else found


def test_every_metric_is_tested_here():
    assert {*ALL, "MeanLoss", "MeanMetric", "Metric"} == set(metrics.__all__)


@pytest.mark.parametrize("name", ALL)
def test_nothing_seen(name):
    metric = ALL[name]()
    x, y = batches(name)
    metric.update(x[:0], y[:0])
    assert metric.count == 0
    found = np.asarray(value(metric), float)
    assert (found == 0).all() if name == "ConfusionMatrix" else np.isnan(found).all()
    metric.update(x, y)
    first = value(metric)
    assert metric.count == 12 and np.isfinite(first).all()
    metric.reset()
    assert metric.count == 0
    metric.update(x, y)
    assert value(metric) == first


@pytest.mark.parametrize("name", ALL)
def test_state_goes_through_a_file(name, tmp_path):
    x, y = batches(name)
    whole, first = ALL[name](), ALL[name]()
    whole.update(x, y)
    first.update(x[:5], y[:5])
    pydl.save(first.state_dict(), tmp_path / "state")
    second = ALL[name]()
    second.load_state_dict(pydl.load(tmp_path / "state"))
    assert second.count == 5 and value(second) == value(first)
    second.update(x[5:], y[5:])
    np.testing.assert_allclose(value(second), value(whole), rtol=1e-14)
    assert first.count == 5  # the state was a copy
    third = ALL[name]()
    third.load_state_dict(ALL[name]().state_dict())
    assert third.count == 0 and value(copy.deepcopy(second)) == value(second)


@pytest.mark.parametrize("name", ALL)
def test_states_of_something_else(name):
    metric = ALL[name]()
    x, y = batches(name)
    metric.update(x, y)
    before = value(metric)
    good = metric.state_dict()
    for bad in ({}, {**good, "more": 1}, dict.fromkeys(good, "text"), {key: np.zeros((2, 2, 2, 2)) for key in good}):
        with pytest.raises(CheckpointError, match=name):
            metric.load_state_dict(bad)
        assert value(metric) == before


@pytest.mark.parametrize("name", OF_CLASSES)
@pytest.mark.parametrize("dtype", [pydl.float16, pydl.bfloat16, pydl.float32])
def test_half_precision(name, dtype):
    x, y = batches(name)
    exact, half = ALL[name](), ALL[name]()
    half.update(x.to(dtype), y.to(pydl.int32))
    exact.update(x.to(dtype).double(), y)
    np.testing.assert_allclose(value(half), value(exact), rtol=1e-5)


@pytest.mark.parametrize("name", OF_CLASSES)
def test_ignored_targets_do_not_count(name):
    x, y = batches(name)
    whole, part = ALL[name](), ALL[name]()
    part.ignore_index = -100
    hidden = pydl.where(pydl.arange(12) < 4, pydl.tensor(-100), y)
    part.update(x, hidden)
    whole.update(x[4:], y[4:])
    assert part.count == 8 and value(part) == value(whole)


@pytest.mark.parametrize("name", OF_CLASSES)
def test_wrong_predictions_of_classes(name):
    metric = ALL[name]()
    x, y = batches(name)
    with pytest.raises(ShapeError, match=rf"{name}: predictions \(12, 3\) do not fit targets \(11,\)"):
        metric.update(x, y[:11])
    with pytest.raises(ShapeError, match=r"expected \(b, c\) and \(b,\)"):
        metric.update(x[:, 0], y.reshape(4, 3))
    for wrong in (3, -1):
        with pytest.raises(BoundsError, match=f"{name}: targets hold the class {wrong}: expected 0 to 2"):
            metric.update(x, pydl.where(pydl.arange(12) == 5, pydl.tensor(wrong), y))
    for fraction in (0.5, math.nan):
        with pytest.raises(ArgumentError, match=f"{name}: targets must be class numbers"):
            metric.update(x, pydl.full((12,), fraction))
    assert metric.count == 0


@pytest.mark.parametrize("name", ["TopKAccuracy", "ROCAUC", "AveragePrecision"])
def test_nan_scores(name):
    with pytest.raises(ArgumentError, match=f"{name}: a prediction is nan"):
        ALL[name]().update(pydl.full((2, 3), math.nan), pydl.tensor([0, 1]))


@pytest.mark.parametrize("name", OF_NUMBERS)
def test_wrong_predictions_of_numbers(name):
    with pytest.raises(ShapeError, match=rf"{name}: predictions \(4, 1\) do not have the shape of targets \(4,\)"):
        OF_NUMBERS[name]().update(pydl.zeros(4, 1), pydl.zeros(4))


def test_other_classes_than_before():
    with pytest.raises(ShapeError, match=r"Precision: predictions \(2, 3\) have 3 classes: expected 4"):
        Precision(4, average="macro").update(pydl.zeros(2, 3), pydl.zeros(2, dtype=pydl.int64))
    with pytest.raises(BoundsError, match="ConfusionMatrix: predictions hold the class 7"):
        ConfusionMatrix(4).update(pydl.tensor([7]), pydl.tensor([0]))
    auc = ROCAUC()
    auc.update(pydl.zeros(2, 3), pydl.tensor([0, 1]))
    with pytest.raises(ShapeError, match="ROCAUC: 1 scores per target: expected 3"):
        auc.update(pydl.zeros(2), pydl.tensor([0, 1]))
    r2 = R2()
    r2.update(pydl.zeros(2, 3), pydl.zeros(2, 3))
    with pytest.raises(ShapeError, match=r"R2: targets \(2, 4\): expected \(b, 3,\) as before"):
        r2.update(pydl.zeros(2, 4), pydl.zeros(2, 4))


@pytest.mark.parametrize(
    "make, text",
    [
        (lambda: TopKAccuracy(0), "k must be at least 1"),
        (lambda: ConfusionMatrix(1), "num_classes must be at least 2"),
        (lambda: ConfusionMatrix(3, normalize="rows"), "normalize must be None, 'true'"),
        (lambda: Precision(3), "average='binary' is for 2 classes, got 3"),
        (lambda: Recall(3, average="mean"), "Recall: average must be"),
        (lambda: F1(3, average="macro", zero_division=0.5), "zero_division must be 0, 1 or nan"),
        (lambda: FBeta(-1.0), "beta must be a number"),
        (lambda: FBeta(math.inf), "beta must be a number"),
        (lambda: ROCAUC("mean"), "average must be one of"),
        (lambda: ROCAUC(multi_class="all"), "expected multi_class='ovr'"),
        (lambda: ROCAUC("micro", multi_class="ovo"), "'ovo' with average 'macro' or 'weighted'"),
        (lambda: R2("mean"), "multioutput must be"),
    ],
)
def test_settings(make, text):
    with pytest.raises(ArgumentError, match=text):
        make()


def test_degenerate_problems():
    """Values that the docstrings promise, without a warning."""
    auc, ap = ROCAUC(), AveragePrecision()
    for metric in (auc, ap):
        metric.update(pydl.tensor([0.1, 0.2]), pydl.tensor([0, 0]))
    assert math.isnan(auc.compute()) and ap.compute() == 0.0
    r2 = R2()
    r2.update(pydl.tensor([1.0]), pydl.tensor([2.0]))
    assert math.isnan(r2.compute())
    for offset, want in ((0.0, 1.0), (1.0, 0.0)):
        r2.reset()
        for _ in range(3):  # the mean of equal numbers may round: the spread must still be 0
            r2.update(pydl.full((3,), 0.1, dtype=pydl.float64) + offset, pydl.full((3,), 0.1, dtype=pydl.float64))
        assert r2.compute() == want


def test_large_targets_keep_their_digits():
    rng = np.random.default_rng(0)
    noise, error = rng.standard_normal((2, 1000))
    r2 = R2()
    for i in range(0, 1000, 7):
        target = 1e9 + noise[i : i + 7]
        r2.update(pydl.tensor(target + error[i : i + 7] / 10), pydl.tensor(target))
    want = 1 - ((error / 10) ** 2).sum() / ((noise - noise.mean()) ** 2).sum()
    assert r2.compute() == pytest.approx(want, rel=1e-6)


def test_counts_beyond_float():
    """2^53 + 1 is no float64: the counts are integers all the way."""
    for metric in (ConfusionMatrix(2), Precision()):
        state = {key: array + 2**60 for key, array in metric.state_dict().items()}
        metric.load_state_dict(state)
        metric.update(pydl.tensor([1.0, 1.0, 1.0]), pydl.tensor([1, 1, 0]))
        grown = metric.state_dict()
        assert all(array.dtype == np.int64 for array in grown.values())
        assert sum(int(a.sum()) - int(state[key].sum()) for key, a in grown.items()) in (3, 8)


def test_log_loss_refuses():
    with pytest.raises(ArgumentError, match=r"LogLoss: probabilities must lie in \[0, 1\]"):
        LogLoss(from_logits=False).update(pydl.tensor([1.5]), pydl.tensor([1]))
    with pytest.raises(ArgumentError, match="probabilities must lie"):
        LogLoss(from_logits=False).update(pydl.tensor([[math.nan, 0.5]]), pydl.tensor([1]))
    with pytest.raises(DtypeError, match="Perplexity: predictions must be floating"):
        Perplexity().update(pydl.tensor([1]), pydl.tensor([1]))
    nan = LogLoss()
    nan.update(pydl.tensor([[math.nan, 0.0]]), pydl.tensor([1]))
    assert math.isnan(nan.compute())


def test_top_k_ties_and_two_classes():
    top = TopKAccuracy(1)
    top.update(pydl.tensor([[1.0, 1.0, 0.0], [1.0, 1.0, 0.0]]), pydl.tensor([0, 1]))
    assert top.compute() == 0.5  # class 0 comes first, as for argmax
    top.reset()
    top.update(pydl.tensor([2.0, -2.0]), pydl.tensor([1, 1]))
    assert top.compute() == 0.5


def test_gradients_and_numpy_arrays_are_welcome():
    x, y = batches("Accuracy")
    metric = Accuracy()
    metric.update(x.requires_grad_(), y)
    first = metric.compute()
    metric.reset()
    metric.update(x.detach().numpy(), y.numpy())
    assert metric.compute() == first


def test_mean_loss_weighs_by_size():
    loss = MeanLoss()
    for mean, size in ((1.0, 30), (4.0, 10)):
        loss.add_batch(mean, size)
    assert loss.compute() == 1.75
    with pytest.raises(ShapeError, match="MeanLoss: expected add_batch"):
        loss.update(pydl.zeros(2), pydl.zeros(2))


class Share(MeanMetric):
    """A metric of one's own."""

    name = "share"

    def update(self, prediction, target):
        self.add(float((prediction > target).sum()), target.numel())


def test_in_a_trainer():
    x, y = pydl.randn(50, 4), pydl.arange(50) % 3
    model = pydl.nn.Linear(4, 3)
    trainer = Trainer(
        model,
        pydl.nn.CrossEntropyLoss(),
        pydl.optim.SGD(model.parameters(), lr=0.0),
        metrics=[Accuracy(), LogLoss(), F1(3, average="macro"), ROCAUC()],
    )
    history = trainer.fit((x, y), 1, batch_size=16, validation=(x, y))
    assert history["log_loss"] == pytest.approx(history["loss"])
    for name in ("accuracy", "log_loss", "f1", "roc_auc"):
        assert history[name] == pytest.approx(history[f"val_{name}"])
    share = Share()
    share.update(pydl.tensor([1.0, 2.0, 3.0]), pydl.tensor([2.0, 1.0, 1.0]))
    assert share.compute() == 2 / 3
