"""MLPClassifier and MLPRegressor against scikit-learn's: the same settings and seeds give the same numbers."""

import io

import numpy as np
import pytest

pytest.importorskip("sklearn")
import joblib
from scipy import sparse
from sklearn import neural_network as theirs
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import pydl
from pydl import sklearn as ours
from pydl.errors import ArgumentError

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

RNG = np.random.default_rng(0)
X = RNG.standard_normal((90, 6))
TWO = (X[:, 0] + X[:, 1] ** 2 > 0.7).astype(int)
THREE = np.array(["low", "mid", "top"])[np.digitize(X[:, 0] + 0.3 * X[:, 2], [-0.5, 0.5])]
LABELS = (X[:, :3] + X[:, 3:] > 0).astype(int)
NUMBERS = X[:, 0] * X[:, 1] + np.sin(X[:, 2])
PAIRS = np.stack([NUMBERS, X[:, 3]], axis=1)
COUNTS = RNG.poisson(np.exp(0.5 * X[:, 0])).astype(float)
WEIGHTS = RNG.random(90)

SETTINGS = {
    "adam": {},
    "small batches": {"batch_size": 7, "shuffle": False, "activation": "logistic", "alpha": 0.3},
    "two layers": {"hidden_layer_sizes": (5, 4), "activation": "tanh", "beta_1": 0.5, "beta_2": 0.9, "epsilon": 1e-3},
    "one number for the layers": {"hidden_layer_sizes": 3, "activation": "identity"},
    "momentum": {"solver": "sgd", "nesterovs_momentum": False, "learning_rate_init": 0.05},
    "nesterov": {"solver": "sgd", "learning_rate_init": 0.05, "alpha": 0.1},
    "no momentum": {"solver": "sgd", "momentum": 0, "learning_rate_init": 0.05},
    "invscaling": {"solver": "sgd", "learning_rate": "invscaling", "learning_rate_init": 0.2, "power_t": 0.3},
    "adaptive": {"solver": "sgd", "learning_rate": "adaptive", "learning_rate_init": 0.2, "tol": 0.02,
                 "n_iter_no_change": 2},
    "early stopping": {"early_stopping": True, "n_iter_no_change": 3, "learning_rate_init": 0.02},
    "lbfgs": {"solver": "lbfgs", "max_iter": 12, "alpha": 0.1},
}  # fmt: skip


def pair(name, **settings):
    """scikit-learn's estimator and ours with the same settings."""
    settings = {"max_iter": 25, "random_state": 3, **settings}
    return getattr(theirs, name)(**settings), getattr(ours, name)(**settings)


def agree(a, b, x=X):
    """Predictions, weights and the course of the training are the same up to rounding."""
    assert a.n_iter_ == b.n_iter_ and a.n_layers_ == b.n_layers_ and a.n_outputs_ == b.n_outputs_
    assert a.out_activation_ == b.out_activation_
    for p, q in zip(a.coefs_ + a.intercepts_, b.coefs_ + b.intercepts_, strict=True):
        np.testing.assert_allclose(q, p, rtol=1e-6, atol=1e-9)
    assert b.loss_ == pytest.approx(a.loss_, rel=1e-8)
    if a.solver != "lbfgs":
        np.testing.assert_allclose(b.loss_curve_, a.loss_curve_, rtol=1e-8)
        assert a.t_ == b.t_
        assert (a.validation_scores_ is None) == (b.validation_scores_ is None)
        np.testing.assert_allclose(b.validation_scores_ or 0, a.validation_scores_ or 0, rtol=1e-8)
    if hasattr(a, "predict_proba"):
        np.testing.assert_allclose(b.predict_proba(x), a.predict_proba(x), rtol=1e-6, atol=1e-9)
        assert b.classes_.tolist() == a.classes_.tolist() and (a.predict(x) == b.predict(x)).all()
        with np.errstate(divide="ignore"):
            logs = a.predict_log_proba(x)
        seen = logs > -20  # below it 1 - p has no digits left
        np.testing.assert_allclose(b.predict_log_proba(x)[seen], logs[seen], rtol=1e-5, atol=1e-9)
        with np.errstate(divide="ignore"):
            assert (b.predict_log_proba(x) == np.log(b.predict_proba(x))).all()
    else:
        np.testing.assert_allclose(b.predict(x), a.predict(x), rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("name", SETTINGS)
@pytest.mark.parametrize("y", [TWO, THREE, LABELS], ids=["two", "three", "labels"])
def test_classifier(name, y):
    a, b = pair("MLPClassifier", **SETTINGS[name])
    agree(a.fit(X, y), b.fit(X, y))
    assert b.score(X, y) == a.score(X, y)


@pytest.mark.parametrize("name", SETTINGS)
@pytest.mark.parametrize("y", [NUMBERS, PAIRS], ids=["one", "pairs"])
def test_regressor(name, y):
    a, b = pair("MLPRegressor", **SETTINGS[name])
    agree(a.fit(X, y), b.fit(X, y))
    assert b.score(X, y) == pytest.approx(a.score(X, y))


@pytest.mark.parametrize("solver", ["adam", "lbfgs"])
def test_weights_and_counts(solver):
    for kind, y, more in (
        ("MLPClassifier", TWO, {}),
        ("MLPClassifier", THREE, {}),
        ("MLPRegressor", PAIRS, {}),
        ("MLPRegressor", COUNTS, {"loss": "poisson"}),
    ):
        a, b = pair(kind, solver=solver, batch_size=40, **more)
        try:
            a.fit(X, y, sample_weight=WEIGHTS)
        except TypeError:
            pytest.skip("this scikit-learn has no weights")
        agree(a, b.fit(X, y, sample_weight=WEIGHTS))


def test_weights_and_early_stopping():
    a, b = pair("MLPClassifier", early_stopping=True, n_iter_no_change=3)
    agree(a.fit(X, TWO, WEIGHTS), b.fit(X, TWO, WEIGHTS))


@pytest.mark.parametrize("solver", ["adam", "sgd"])
def test_one_epoch_at_a_time(solver):
    a, b = pair("MLPClassifier", solver=solver, learning_rate="invscaling")
    for k in range(5):
        part = slice(18 * k, 18 * k + 18)
        a.partial_fit(X[part], THREE[part], classes=np.unique(THREE))
        b.partial_fit(X[part], THREE[part], classes=np.unique(THREE))
    agree(a, b)
    a, b = pair("MLPClassifier", solver=solver)
    for _ in range(3):
        a.partial_fit(X, LABELS, classes=[0, 1, 2]), b.partial_fit(X, LABELS, classes=[0, 1, 2])
    agree(a, b)
    a, b = pair("MLPRegressor", solver=solver)
    for _ in range(3):
        a.partial_fit(X, NUMBERS), b.partial_fit(X, NUMBERS)
    agree(a, b)
    c = joblib_copy(b)
    agree(b.partial_fit(X, NUMBERS), c.partial_fit(X, NUMBERS))  # the copy has the state of the optimizer


def test_warm_start():
    a, b = pair("MLPClassifier", warm_start=True, max_iter=5)
    for _ in range(3):
        agree(a.fit(X, TWO), b.fit(X, TWO))
    assert len(b.loss_curve_) == 15
    b.set_params(early_stopping=True).fit(X, TWO)
    assert len(b.validation_scores_) == 5
    with pytest.raises(ArgumentError, match="y has the classes"):
        b.fit(X, np.zeros(90, int))


@pytest.mark.parametrize("form", [sparse.csr_matrix, sparse.csc_matrix, sparse.csr_array])
@pytest.mark.parametrize("solver", ["adam", "lbfgs"])
def test_sparse_data(form, solver):
    x = np.where(np.abs(X) > 0.8, X, 0)
    a, b = pair("MLPClassifier", solver=solver, max_iter=10)
    agree(a.fit(x, THREE), b.fit(form(x), THREE), x)
    assert (b.predict(form(x)) == b.predict(x)).all()


def test_dtypes():
    for dtype in (np.float32, np.float64, np.int64):
        a, b = pair("MLPClassifier", max_iter=5)
        x = (4 * X).astype(dtype)
        a.fit(x, TWO), b.fit(x, TWO)
        assert [c.dtype for c in b.coefs_] == [c.dtype for c in a.coefs_]
        assert b.predict_proba(x).dtype == a.predict_proba(x).dtype
        np.testing.assert_allclose(b.predict_proba(x), a.predict_proba(x), rtol=1e-4)


def joblib_copy(estimator):
    buffer = io.BytesIO()
    joblib.dump(estimator, buffer)
    buffer.seek(0)
    return joblib.load(buffer)


def test_copies():
    b = ours.MLPClassifier(random_state=0, max_iter=5).fit(X, THREE)
    for other in (joblib_copy(b), clone(b).fit(X, THREE)):
        assert (other.predict_proba(X) == b.predict_proba(X)).all() and other.get_params() == b.get_params()
    with pytest.raises(NotFittedError):
        clone(b).predict(X)
    assert not hasattr(clone(b), "coefs_")


def test_pipelines_and_searches():
    pipe = make_pipeline(StandardScaler(), ours.MLPClassifier(max_iter=40, random_state=0, learning_rate_init=0.01))
    grid = {"mlpclassifier__alpha": [1e-4, 10.0], "mlpclassifier__hidden_layer_sizes": [(4,), (20,)]}
    search = GridSearchCV(pipe, grid, cv=3).fit(100 * X, TWO)
    assert search.best_score_ > 0.75 and search.best_params_["mlpclassifier__alpha"] == 1e-4
    assert search.score(100 * X, TWO) > 0.8
    assert cross_val_score(ours.MLPRegressor(solver="lbfgs", random_state=0), X, X[:, 0] * 2, cv=3).min() > 0.9


def test_the_generator_of_pydl_is_left_alone():
    pydl.manual_seed(5)
    want = pydl.rand(3).tolist()
    pydl.manual_seed(5)
    ours.MLPClassifier(max_iter=2).fit(X, TWO)
    ours.NeuralClassifier(max_iter=2).fit(X, TWO)
    assert pydl.rand(3).tolist() == want


@pytest.mark.parametrize(
    "settings, text",
    [
        ({"solver": "newton"}, "solver must be one of 'lbfgs', 'sgd', 'adam', got 'newton'"),
        ({"activation": "gelu"}, "activation must be one of 'identity'"),
        ({"learning_rate": 0.1}, "learning_rate must be one of"),
        ({"alpha": -1}, r"alpha must be a number in \[0, inf\], got -1"),
        ({"beta_1": 1}, r"beta_1 must be a number in \[0, 1\), got 1"),
        ({"epsilon": 0}, r"epsilon must be a number in \(0, inf\]"),
        ({"momentum": 1.5}, r"momentum must be a number in \[0, 1\]"),
        ({"max_iter": 1.5}, r"max_iter must be a whole number in \[1, inf\], got 1.5"),
        ({"batch_size": 0}, "batch_size must be a whole number"),
        ({"batch_size": "all"}, "batch_size must be a whole number"),
        ({"tol": "small"}, "tol must be a number"),
        ({"shuffle": "yes"}, "shuffle must be True or False, got 'yes'"),
        ({"n_iter_no_change": 0}, "n_iter_no_change must be a whole number"),
        ({"validation_fraction": 1.0}, r"validation_fraction must be a number in \[0, 1\)"),
        ({"hidden_layer_sizes": (3, 0)}, "hidden_layer_sizes must be > 0"),
        ({"early_stopping": True, "validation_fraction": 0.01}, "fewer than 2 examples|test_size"),
        ({"learning_rate_init": 1e300}, "the weights are not finite"),
    ],
)
@pytest.mark.filterwarnings("ignore")
def test_wrong_settings(settings, text):
    with pytest.raises(ValueError, match=text):
        ours.MLPClassifier(**settings).fit(X[:60], TWO[:60])


def test_wrong_data():
    b = ours.MLPClassifier(max_iter=3)
    with pytest.raises(ArgumentError, match="the first call of partial_fit needs classes"):
        b.partial_fit(X, TWO)
    b.partial_fit(X, TWO, classes=[0, 1])
    with pytest.raises(ArgumentError, match="is not the same as on last call to partial_fit"):
        b.partial_fit(X, TWO, classes=[0, 2])
    with pytest.raises(ArgumentError, match="y has the classes"):
        b.partial_fit(X, TWO + 1)
    with pytest.raises(ArgumentError, match="partial_fit does not support early_stopping"):
        ours.MLPRegressor(early_stopping=True).partial_fit(X, NUMBERS)
    with pytest.raises(ArgumentError, match="needs y >= 0"):
        ours.MLPRegressor(loss="poisson").fit(X, NUMBERS)
    with pytest.raises(ValueError, match="6 features"):
        b.predict(X[:, :3])
    with pytest.raises(ValueError, match="NaN"):
        b.predict(np.full((2, 6), np.nan))
    assert not hasattr(ours.MLPClassifier(solver="lbfgs"), "partial_fit")
    with pytest.warns(UserWarning, match="batch_size 500 is larger"):
        ours.MLPClassifier(batch_size=500, max_iter=2).fit(X, TWO)


def test_verbose(capsys):
    ours.MLPClassifier(max_iter=2, verbose=True, early_stopping=True).fit(X, TWO)
    out = capsys.readouterr().out
    assert "epoch 1: loss 0." in out and "epoch 2: validation score 0." in out


def test_learning_curve():
    plots = pytest.importorskip("matplotlib.figure")
    b = ours.MLPClassifier(max_iter=6, early_stopping=True, random_state=0).fit(X, TWO)
    ax = ours.plot_learning_curve(b, plots.Figure().subplots())
    assert ax.lines[0].get_ydata().tolist() == b.loss_curve_ and ax.get_xlabel() == "epoch"
    assert ax.figure.axes[1].lines[0].get_ydata().tolist() == b.validation_scores_
    a = theirs.MLPRegressor(max_iter=3).fit(X, NUMBERS)
    assert len(ours.plot_learning_curve(a, plots.Figure().subplots()).figure.axes) == 1
    with pytest.raises(ArgumentError, match="has no loss_curve_: fit it"):
        ours.plot_learning_curve(ours.MLPClassifier())
