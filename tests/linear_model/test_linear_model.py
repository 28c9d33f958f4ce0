"""The linear models against scikit-learn and closed forms, and what they say to bad input."""

import math
from functools import partial
from typing import Any

import numpy as np
import pytest

import pydl
from pydl.data.synthetic import make_blobs, make_separable
from pydl.errors import ArgumentError, ShapeError
from pydl.linear_model import LinearRegression, LogisticObjective, LogisticRegression, Perceptron, Ridge
from pydl.preprocessing import NotFiniteError, NotFittedError

SOLVERS = ("newton", "gd", "sgd", "lbfgs")
CLASSIFIERS = [partial(Perceptron, 50), *(partial(LogisticRegression, s, max_iter=50) for s in SOLVERS)]
REGRESSORS = [LinearRegression, partial(LinearRegression, solver="gd"), partial(Ridge, 0.5)]
rng = np.random.default_rng(0)
X, NOISE = rng.standard_normal((80, 4)) * [1, 3, 0.5, 2] + [0, 1, 2, -1], rng.standard_normal(80)
T = X @ [1.0, -0.5, 2.0, 0.0] + 3 + NOISE
LABELS = (X[:, 0] + 0.5 * NOISE > 0).astype(int)


def name(make: Any) -> str:
    model = make()
    return f"{type(model).__name__}-{getattr(model, 'solver', '')}"


@pytest.mark.parametrize("intercept", [True, False])
@pytest.mark.parametrize("solver", ["exact", "gd"])
def test_linear_regression(solver: str, intercept: bool) -> None:
    sk = pytest.importorskip("sklearn.linear_model")
    ours, theirs = LinearRegression(intercept, solver).fit(X, T), sk.LinearRegression(fit_intercept=intercept).fit(X, T)
    np.testing.assert_allclose(ours.coef_, theirs.coef_, rtol=1e-9)
    np.testing.assert_allclose(ours.intercept_, theirs.intercept_, rtol=1e-9)
    np.testing.assert_allclose(ours.predict(X), theirs.predict(X), rtol=1e-9)
    assert ours.score(X, T) == pytest.approx(theirs.score(X, T), rel=1e-10)


@pytest.mark.parametrize("intercept", [True, False])
def test_ridge(intercept: bool) -> None:
    sk = pytest.importorskip("sklearn.linear_model")
    ours, theirs = Ridge(2.5, intercept).fit(X, T), sk.Ridge(2.5, fit_intercept=intercept).fit(X, T)
    np.testing.assert_allclose(ours.coef_, theirs.coef_, rtol=1e-9)
    assert ours.intercept_ == pytest.approx(theirs.intercept_, rel=1e-9)


def test_least_squares_with_too_few_rows_or_doubled_columns() -> None:
    wide, target = X.T, T[:4]
    for model in (LinearRegression(False), LinearRegression(False, "gd")):
        np.testing.assert_allclose(model.fit(wide, target).coef_, np.linalg.pinv(wide) @ target, atol=1e-8)
    doubled = np.hstack([X, X[:, :1]])
    for solver in ("exact", "gd"):
        coef = LinearRegression(solver=solver).fit(doubled, T).coef_
        assert coef[0] == pytest.approx(coef[-1], abs=1e-8)  # the smallest of all solutions shares the weight
        assert coef[0] * 2 == pytest.approx(LinearRegression().fit(X, T).coef_[0], abs=1e-8)
    flat = LinearRegression(solver="gd").fit(np.ones((3, 2)), [1.0, 2.0, 3.0])
    assert flat.coef_.tolist() == [0, 0] and flat.intercept_ == 2


@pytest.mark.parametrize("C", [1.0, 0.05, 100.0])
@pytest.mark.parametrize("intercept", [True, False])
def test_logistic_regression(C: float, intercept: bool) -> None:
    sk = pytest.importorskip("sklearn.linear_model")
    theirs = sk.LogisticRegression(C=C, fit_intercept=intercept, tol=1e-10, max_iter=10_000).fit(X, LABELS)
    newton = LogisticRegression("newton", C, intercept).fit(X, LABELS)
    np.testing.assert_allclose(newton.coef_, theirs.coef_[0], rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(newton.predict_proba(X), theirs.predict_proba(X), atol=1e-5)
    assert (newton.predict(X) == theirs.predict(X)).all() and newton.score(X, LABELS) == theirs.score(X, LABELS)
    for solver in ("gd", "lbfgs"):
        other = LogisticRegression(solver, C, intercept, max_iter=20_000).fit(X, LABELS)
        np.testing.assert_allclose(other.coef_, newton.coef_, atol=1e-6)
        assert other.intercept_ == pytest.approx(newton.intercept_, abs=1e-6)


@pytest.mark.parametrize("C", [0.05, 1.0])
def test_sgd_reaches_the_optimum_on_scaled_features(C: float) -> None:
    x = (X - X.mean(0)) / X.std(0)
    newton = LogisticRegression("newton", C).fit(x, LABELS)
    sgd, again = (LogisticRegression("sgd", C, max_iter=300, batch_size=8).fit(x, LABELS) for _ in range(2))
    assert np.abs(sgd.coef_ - newton.coef_).max() < 0.02
    assert (again.coef_ == sgd.coef_).all() and sgd.n_iter_ == 300


def test_logistic_objective() -> None:
    theta, penalty = rng.standard_normal(4), np.array([1.0, 0.5, 0, 2])
    objective = LogisticObjective(X, LABELS.astype(float), penalty)
    z = X @ theta
    value = (np.logaddexp(0, z) - LABELS * z).sum() + (penalty * theta**2).sum() / 2
    h = 1 / (1 + np.exp(-z))
    found, g = objective.gradient(theta)
    assert found == pytest.approx(value, rel=1e-12)
    np.testing.assert_allclose(g, X.T @ (h - LABELS) + penalty * theta, rtol=1e-10)
    np.testing.assert_allclose(objective.hessian(theta), (X.T * (h * (1 - h))) @ X + np.diag(penalty), rtol=1e-10)
    assert np.linalg.eigvalsh(objective.hessian(theta)).max() <= objective.largest_curvature()
    parts = [objective(pydl.tensor(theta), pydl.tensor(rows)).item() for rows in np.split(np.arange(80), 8)]
    assert np.mean(parts) == pytest.approx(value, rel=1e-12)  # the estimate from a batch is unbiased
    far = objective.gradient(theta * 1e5)
    assert math.isfinite(far[0]) and np.isfinite(far[1]).all() and np.isfinite(objective.hessian(theta * 1e5)).all()


def test_odds_ratio() -> None:
    exposed, case = np.repeat([1, 1, 0, 0], [30, 12, 9, 41]), np.repeat([1, 0, 1, 0], [30, 12, 9, 41])
    model = LogisticRegression(C=math.inf).fit(exposed[:, None], case)
    assert math.exp(model.coef_[0]) == pytest.approx(30 * 41 / (12 * 9), rel=1e-6)
    assert math.exp(model.intercept_) == pytest.approx(9 / 41, rel=1e-6)


def test_logistic_regression_on_separable_data_without_penalty() -> None:
    x, y = make_separable(60, 2, margin=0.2, random_state=0, as_tensor=False)
    model = LogisticRegression(C=math.inf).fit(x, y)
    assert np.isfinite(model.coef_).all() and model.score(x, y) == 1


def test_perceptron() -> None:
    x, y = make_separable(100, 3, margin=0.1, random_state=1, as_tensor=False)
    model = Perceptron(10_000).fit(x, y)
    radius = math.sqrt((x.astype(float) ** 2).sum(1).max() + 1)
    assert model.score(x, y) == 1 and 0 < model.mistakes_ <= (radius / 0.1) ** 2

    w, b, mistakes = np.zeros(3), 0.0, 0  # the rule, example by example
    for row, label in zip(x.astype(float), np.where(y == 1, 1.0, -1.0), strict=True):
        if label * (w @ row + b) <= 0:
            w, b, mistakes = w + label * row, b + label, mistakes + 1
    once = Perceptron(1, shuffle=False).fit(x, y)
    assert (once.coef_ == w).all() and once.intercept_ == b and once.mistakes_ == mistakes and once.n_iter_ == 1

    warm = Perceptron(5, shuffle=False).fit(x, y, model.coef_, model.intercept_)
    assert warm.mistakes_ == 0 and warm.n_iter_ == 1 and (warm.coef_ == model.coef_).all()
    with pytest.raises(ShapeError, match="coef_init has shape"):
        Perceptron().fit(x, y, coef_init=np.zeros(2))


def test_perceptron_against_sklearn() -> None:
    sk = pytest.importorskip("sklearn.linear_model")
    x, y = make_separable(100, 3, margin=0.1, random_state=2, as_tensor=False)
    x = x.astype(np.float64)
    theirs = sk.Perceptron(shuffle=False, tol=None, max_iter=20).fit(x, y)
    ours = Perceptron(20, shuffle=False).fit(x, y)
    assert (ours.predict(x) == theirs.predict(x)).all()
    np.testing.assert_allclose(ours.coef_, theirs.coef_[0], rtol=1e-9)


@pytest.mark.parametrize("make", CLASSIFIERS, ids=name)
def test_classifiers_take_any_two_labels_and_any_container(make: Any) -> None:
    model = make()
    x, y = make_blobs(40, 2, centers=[[-2.0, 0], [2, 1]], random_state=0)
    words = np.where(y.numpy() == 1, "yes", "no")
    settings = dict(vars(model))
    fitted = model.fit(x, words)
    assert fitted is model and fitted.classes_.tolist() == ["no", "yes"]
    assert fitted.score(x, words) > 0.9 and set(fitted.predict(x.tolist())) == {"no", "yes"}
    coef = fitted.coef_.copy()
    np.testing.assert_array_equal(model.fit(x.numpy(), y).coef_, coef)
    assert {k: v for k, v in vars(model).items() if not k.endswith("_")} == settings


@pytest.mark.parametrize("make", CLASSIFIERS + REGRESSORS, ids=name)
def test_bad_input(make: Any) -> None:
    model = make()
    with pytest.raises(NotFittedError, match="call fit before"):
        model.predict(X)
    y = LABELS if hasattr(model, "decision_function") else T
    hole = X.copy()
    hole[3, 1] = np.nan
    for x, labels, error, text in (
        (hole, y, NotFiniteError, "X: expected finite values"),
        (X, np.where(np.arange(80) == 5, np.nan, y), NotFiniteError, "y: expected finite values"),
        (X[:, 0], y, ShapeError, r"X: got shape \(80,\), expected \(n, d\)"),
        (X, y[:-1], ShapeError, r"y: got shape \(79,\), expected \(80,\)"),
        (X, y[:, None], ShapeError, r"y: got shape \(80, 1\)"),
        (np.zeros((0, 4)), y[:0], ShapeError, "one row at least"),
        (np.zeros((80, 0)), y, ShapeError, "expected \\(n, d\\)"),
        ([[1.0, 2.0], [3.0]], [0, 1], ShapeError, "X: "),
        ([["a"], ["b"]], [0, 1], ArgumentError, "X: expected numbers"),
    ):
        with pytest.raises(error, match=text):
            model.fit(x, labels)
    model.fit(X, y)
    with pytest.raises(ShapeError, match=r"expected \(n, 4\)"):
        model.predict(X[:, :3])


@pytest.mark.parametrize("make", CLASSIFIERS, ids=name)
@pytest.mark.parametrize("labels", [np.zeros(80, int), np.arange(80) % 3], ids=["one", "three"])
def test_other_than_two_classes(make: Any, labels: np.ndarray) -> None:
    with pytest.raises(ArgumentError, match=f"expected two classes in y, got {len(set(labels.tolist()))}"):
        make().fit(X, labels)


def test_bad_settings() -> None:
    for model, text in (
        (LogisticRegression("other"), "solver must be one of"),
        (LogisticRegression(C=0), "C must be above 0"),
        (LogisticRegression(C=math.nan), "C must be above 0"),
        (LogisticRegression(max_iter=0), "max_iter and batch_size at least 1"),
        (Perceptron(max_iter=0), "max_iter must be >= 1"),
    ):
        with pytest.raises(ArgumentError, match=text):
            model.fit(X, LABELS)
    for regressor, text in ((LinearRegression(solver="x"), "solver must be"), (Ridge(-1.0), "alpha must be above 0")):
        with pytest.raises(ArgumentError, match=text):
            regressor.fit(X, T)
    with pytest.raises(ArgumentError, match="not constant"):
        LinearRegression().fit(X, T).score(X, np.ones(80))
