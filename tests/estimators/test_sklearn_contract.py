"""scikit-learn's own checks of estimators."""

import pytest

checks = pytest.importorskip("sklearn.utils.estimator_checks")
from sklearn.exceptions import ConvergenceWarning  # noqa: E402

from pydl.sklearn import MLPClassifier, MLPRegressor, NeuralClassifier, NeuralRegressor  # noqa: E402

# scikit-learn's own perceptron fails it too: the check wants probabilities below 1, and those of lbfgs round to 1
CERTAIN = {"check_classifiers_multilabel_output_format_predict_proba": "probabilities round to 1"}
ROUNDING = {"check_sample_weight_equivalence_on_dense_data": "float32 rounds: the predictions differ by 1e-7"}
QUICK = {"max_iter": 40, "learning_rate_init": 0.01}
EXAMPLES = [
    MLPClassifier(**QUICK),
    MLPRegressor(**QUICK),
    NeuralClassifier(dtype="float64", **QUICK),
    NeuralRegressor(dtype="float64", **QUICK),
]
DEFAULTS = [
    MLPClassifier(),
    MLPRegressor(),
    NeuralClassifier(),
    NeuralRegressor(),
    MLPClassifier(solver="lbfgs"),
    MLPRegressor(solver="sgd", max_iter=100),
]


def expected(estimator):
    """The checks that may fail, and why."""
    if getattr(estimator, "dtype", "") == "float32":
        return ROUNDING
    return CERTAIN if isinstance(estimator, MLPClassifier) and estimator.solver == "lbfgs" else {}


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@checks.parametrize_with_checks(EXAMPLES)
def test_contract(estimator, check):
    check(estimator)


@pytest.mark.slow
@pytest.mark.parametrize("estimator", DEFAULTS, ids=str)
@pytest.mark.filterwarnings("ignore")
def test_contract_of_the_defaults(estimator):
    done = checks.check_estimator(estimator, on_fail=None, on_skip=None, expected_failed_checks=expected(estimator))
    failed = [f"{one['check_name']}: {one['exception']}" for one in done if one["status"] == "failed"]
    skipped = {one["check_name"] for one in done if one["status"] == "skipped"}
    assert len(done) > 50 and not failed
    # these want pandas, or an environment variable, or a method that these estimators do without
    assert skipped <= {
        "check_sample_weights_pandas_series",
        "check_array_api_input",
        "check_classifier_data_not_an_array",
        "check_regressor_data_not_an_array",
        "check_classifiers_multilabel_output_format_decision_function",
    }


def test_the_warning_is_scikit_learns():
    with pytest.warns(ConvergenceWarning, match="max_iter=1 reached"):
        MLPClassifier(max_iter=1).fit([[0.0], [1.0]], [0, 1])
