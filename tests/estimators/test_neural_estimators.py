"""NeuralClassifier and NeuralRegressor: any module in scikit-learn's machinery."""

import functools
import io
import subprocess
import sys

import numpy as np
import pytest

pytest.importorskip("sklearn")
import joblib
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import pydl
from pydl import nn, optim
from pydl.errors import ArgumentError, ShapeError
from pydl.nn import functional as F
from pydl.sklearn import NeuralClassifier, NeuralRegressor

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

RNG = np.random.default_rng(0)
X = RNG.standard_normal((120, 5)).astype(np.float32)
Y = np.array(["no", "yes"])[(X[:, 0] * X[:, 1] > 0).astype(int)]
NUMBERS = X[:, 0] + np.abs(X[:, 1])


def small(inputs, outputs):
    """A network with a layer that draws random numbers."""
    return nn.Sequential(nn.Linear(inputs, 16), nn.Tanh(), nn.Dropout(0.1), nn.Linear(16, outputs))


def test_it_learns_by_the_loop_that_one_would_write():
    """One batch per epoch, the optimizer of pydl.optim: the same bits."""
    module = nn.Linear(5, 2)
    got = NeuralClassifier(module, max_iter=7, batch_size=120, shuffle=False, optimizer="sgd", learning_rate_init=0.3)
    got.fit(X, Y)
    want = nn.Linear(5, 2)
    want.load_state_dict(module.state_dict())
    optimizer = optim.SGD(want.parameters(), lr=0.3)
    x, y = pydl.tensor(X), pydl.tensor((Y == "yes").astype(int))
    losses = []
    for _ in range(7):
        optimizer.zero_grad()
        loss = F.cross_entropy(want(x), y)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    np.testing.assert_allclose(got.loss_curve_, losses, rtol=1e-6)
    np.testing.assert_allclose(got.module_.weight.detach().numpy(), want.weight.detach().numpy(), rtol=1e-5)
    assert got.module is module and module.weight.tolist() != got.module_.weight.tolist()  # the given one is a start


@pytest.mark.parametrize("module", [None, small, nn.Sequential(nn.Linear(5, 30), nn.ReLU(), nn.Linear(30, 2))])
@pytest.mark.parametrize("optimizer", ["adamw", optim.Adam, functools.partial(optim.RMSprop, alpha=0.9)])
def test_it_learns(module, optimizer):
    got = NeuralClassifier(module, optimizer=optimizer, learning_rate_init=0.02, random_state=0, max_iter=80).fit(X, Y)
    assert got.score(X, Y) > 0.85 and set(got.predict(X)) == {"no", "yes"}
    p = got.predict_proba(X)
    np.testing.assert_allclose(p.sum(1), 1, rtol=1e-6)
    np.testing.assert_allclose(got.predict_log_proba(X), np.log(p), rtol=1e-4, atol=1e-6)
    assert (got.classes_[p.argmax(1)] == got.predict(X)).all()


def test_seeds():
    one, two, three = (NeuralClassifier(small, max_iter=3, random_state=s).fit(X, Y) for s in (0, 0, 1))
    assert (one.predict_proba(X) == two.predict_proba(X)).all()
    assert (one.predict_proba(X) != three.predict_proba(X)).any()
    assert (one.predict_proba(X) == one.predict_proba(X)).all()  # dropout is off


def test_regression():
    got = NeuralRegressor(small, learning_rate_init=0.02, random_state=0).fit(X, NUMBERS)
    assert got.score(X, NUMBERS) > 0.8 and got.predict(X).shape == (120,)
    pairs = np.stack([NUMBERS, -NUMBERS], axis=1)
    got = NeuralRegressor(nn.Linear(5, 2), learning_rate_init=0.02, max_iter=300, random_state=0).fit(X, pairs)
    assert got.predict(X).shape == (120, 2) and got.score(X, pairs) > 0.4
    robust = NeuralRegressor(small, criterion=nn.L1Loss, optimizer="adam", learning_rate_init=0.02, random_state=0)
    assert robust.fit(X, NUMBERS).score(X, NUMBERS) > 0.7


def test_criteria():
    smooth = functools.partial(nn.CrossEntropyLoss, label_smoothing=0.2)
    first = NeuralClassifier(nn.Linear(5, 2), criterion=smooth, max_iter=1).fit(X, Y).loss_
    assert NeuralClassifier(nn.Linear(5, 2), criterion=nn.CrossEntropyLoss(), max_iter=1).fit(X, Y).loss_ != first
    given = nn.CrossEntropyLoss(label_smoothing=0.2)
    NeuralClassifier(nn.Linear(5, 2), criterion=given, max_iter=1).fit(X, Y)
    assert given.reduction == "mean"


def test_class_and_sample_weights():
    y = np.array([0] * 110 + [1] * 10)
    plain, fair = (
        NeuralClassifier(nn.Linear(5, 2), class_weight=w, max_iter=60, learning_rate_init=0.05).fit(X, y)
        for w in (None, "balanced")
    )
    assert (plain.predict(X) == 1).mean() < 0.1 < 0.3 < (fair.predict(X) == 1).mean()
    by_hand = NeuralClassifier(nn.Linear(5, 2), max_iter=60, learning_rate_init=0.05)
    by_dict = clone(by_hand).set_params(class_weight={0: 1.0, 1: 11.0})
    module = nn.Linear(5, 2)
    by_hand.set_params(module=module, shuffle=False).fit(X, y, sample_weight=np.where(y == 1, 11.0, 1.0))
    by_dict.set_params(module=module, shuffle=False).fit(X, y)
    np.testing.assert_allclose(by_hand.predict_proba(X), by_dict.predict_proba(X), rtol=1e-5)
    zero = NeuralRegressor(module=nn.Linear(5, 1), max_iter=2, batch_size=60, shuffle=False)
    zero.fit(X, NUMBERS, sample_weight=np.r_[np.zeros(60), np.ones(60)])  # a batch without weight is left out
    assert np.isfinite(zero.predict(X)).all()


def test_early_stopping_takes_the_best_weights():
    got = NeuralClassifier(small, early_stopping=True, random_state=0, learning_rate_init=0.05, n_iter_no_change=4)
    got.fit(X, Y)
    assert got.n_iter_ < 200 and got.best_validation_score_ == max(got.validation_scores_)
    assert len(got.validation_scores_) == len(got.loss_curve_) == got.n_iter_


def test_images_and_words():
    images = RNG.standard_normal((60, 1, 8, 8)).astype(np.float32)
    bright = (images[:, 0, :4].mean((1, 2)) > 0).astype(int)
    net = nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Linear(144, 2))
    got = NeuralClassifier(net, max_iter=25, learning_rate_init=0.01, random_state=0).fit(images, bright)
    assert got.score(images, bright) > 0.9
    words = RNG.integers(0, 9, (80, 3))
    net = nn.Sequential(nn.Embedding(9, 8), nn.Flatten(), nn.Linear(24, 2))
    got = NeuralClassifier(net, dtype=None, max_iter=60, learning_rate_init=0.05, random_state=0)
    assert got.fit(words, words[:, 0] > 4).score(words, words[:, 0] > 4) > 0.9


def test_partial_fit_and_warm_start():
    got = NeuralClassifier(small, random_state=0, learning_rate_init=0.02)
    for _ in range(80):
        got.partial_fit(X, Y, classes=["no", "yes"])
    assert got.score(X, Y) > 0.85 and len(got.loss_curve_) == 80 and got.t_ == 80 * 120
    warm = NeuralRegressor(small, warm_start=True, max_iter=10, random_state=0)
    first = warm.fit(X, NUMBERS).loss_
    assert warm.fit(X, NUMBERS).loss_ < first and len(warm.loss_curve_) == 20


def test_search_over_modules_and_copies():
    pipe = make_pipeline(StandardScaler(), NeuralClassifier(random_state=0, learning_rate_init=0.02, max_iter=60))
    search = GridSearchCV(pipe, {"neuralclassifier__module": [nn.Linear, small]}, cv=3).fit(X, Y)
    assert search.best_params_["neuralclassifier__module"] is small and search.best_score_ > 0.75
    fitted = NeuralClassifier(nn.Sequential(nn.Linear(5, 4), nn.BatchNorm1d(4), nn.Linear(4, 2)), max_iter=3).fit(X, Y)
    buffer = io.BytesIO()
    joblib.dump(fitted, buffer)
    buffer.seek(0)
    copied = joblib.load(buffer)
    assert (copied.predict_proba(X) == fitted.predict_proba(X)).all()
    assert copied.partial_fit(X, Y).loss_ == pytest.approx(fitted.partial_fit(X, Y).loss_, rel=0.2)
    assert clone(fitted).module.state_dict().keys() == fitted.module.state_dict().keys()


@pytest.mark.parametrize(
    "settings, error, text",
    [
        ({"module": 3}, ArgumentError, "module must be a Module, a function"),
        ({"module": lambda i, o: None}, ArgumentError, "module must be a Module, a function"),
        ({"module": nn.Linear(5, 3)}, ShapeError, r"the module gives \(120, 3\): expected logits \(120, 2\)"),
        ({"optimizer": "newton"}, ArgumentError, "optimizer must be one of"),
        ({"learning_rate_init": 0.0}, ArgumentError, "learning_rate_init must be a number"),
        ({"weight_decay": -1.0}, ArgumentError, "weight_decay must be a number"),
    ],
)
def test_wrong_settings(settings, error, text):
    with pytest.raises(error, match=text):
        NeuralClassifier(**settings).fit(X, Y)


def test_wrong_data():
    with pytest.raises(ShapeError, match=r"NeuralRegressor: the module gives \(120, 2\): expected \(120,\)"):
        NeuralRegressor(nn.Linear(5, 2)).fit(X, NUMBERS)
    got = NeuralRegressor(nn.Linear(5, 1)).partial_fit(X, NUMBERS)
    with pytest.raises(ShapeError, match="has other outputs than before"):
        got.partial_fit(X, np.stack([NUMBERS] * 2, axis=1))
    with pytest.raises(ArgumentError, match="the first call of partial_fit needs classes"):
        NeuralClassifier().partial_fit(X, Y)
    with pytest.raises(ValueError, match="Unknown label type"):
        NeuralClassifier().fit(X, NUMBERS)


def test_without_scikit_learn():
    program = (
        "import sys\n"
        "sys.modules['sklearn'] = None\n"
        "import pydl\n"
        "try: pydl.sklearn\n"
        "except pydl.errors.MissingExtraError as error: print(error)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "pydl.sklearn needs sklearn: pip install 'pydl[sklearn]'\n"
