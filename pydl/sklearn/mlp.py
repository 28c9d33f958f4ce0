"""MLPClassifier and MLPRegressor: scikit-learn's estimators on pydl's kernels.

Settings, defaults, learned attributes and random numbers are those of sklearn.neural_network: with the same
random_state, the weights are scikit-learn's up to rounding.
"""

from typing import Any

import numpy as np
from sklearn.base import ClassifierMixin, RegressorMixin
from sklearn.metrics import accuracy_score, r2_score
from sklearn.preprocessing import LabelBinarizer
from sklearn.utils import column_or_1d
from sklearn.utils.metaestimators import available_if
from sklearn.utils.multiclass import type_of_target, unique_labels
from sklearn.utils.validation import check_is_fitted, validate_data

from pydl.errors import ArgumentError
from pydl.nn import functional as F
from pydl.ops import as_tensor, sigmoid, softmax
from pydl.sklearn.perceptron import Perceptron
from pydl.sklearn.settings import choice, store
from pydl.tensor import Tensor

__all__ = ["MLPClassifier", "MLPRegressor"]


def _by_batches(estimator: Any) -> bool:
    return bool(estimator.solver != "lbfgs")


class MLPClassifier(ClassifierMixin, Perceptron):
    """A multi-layer perceptron for classes, or for several labels at once, with the cross entropy as its loss.

    Args:
        hidden_layer_sizes: units of each hidden layer.
        activation: of the hidden layers: 'identity', 'logistic', 'tanh' or 'relu'.
        solver: 'adam', 'sgd', or 'lbfgs' over all examples at once.
        alpha: weight of the penalty alpha |W|^2 / 2, divided by the examples of a batch.
        batch_size: 'auto' is min(200, n).
        learning_rate: of 'sgd': 'constant', 'invscaling' (learning_rate_init / t^power_t after t examples) or
            'adaptive' (a fifth of it wherever there was no progress).
        max_iter: epochs, or iterations of 'lbfgs'. max_fun: its evaluations.
        shuffle: the order is new in each epoch.
        tol, n_iter_no_change: it stops when the loss fell by less than tol over that many epochs; with early_stopping,
            when the score on a share validation_fraction of the data did not rise by tol, and takes the best weights.
        warm_start: fit goes on from the weights it finds.
        momentum, nesterovs_momentum, power_t: of 'sgd'. beta_1, beta_2, epsilon: of 'adam'.
    Attributes: module_, a pydl.nn.Sequential that gives logits; coefs_, intercepts_, classes_, loss_, loss_curve_,
        best_loss_, validation_scores_, best_validation_score_, n_iter_, t_, n_layers_, n_outputs_, out_activation_,
        n_features_in_. float32 data train a float32 network, other data a float64 one.
    Raises: ArgumentError for settings and data (a ValueError).
    """

    def __init__(
        self, hidden_layer_sizes: Any = (100,), activation: str = "relu", *, solver: str = "adam",
        alpha: float = 0.0001, batch_size: Any = "auto", learning_rate: str = "constant",
        learning_rate_init: float = 0.001, power_t: float = 0.5, max_iter: int = 200, shuffle: bool = True,
        random_state: Any = None, tol: float = 1e-4, verbose: Any = False, warm_start: bool = False,
        momentum: float = 0.9, nesterovs_momentum: bool = True, early_stopping: bool = False,
        validation_fraction: float = 0.1, beta_1: float = 0.9, beta_2: float = 0.999, epsilon: float = 1e-8,
        n_iter_no_change: float = 10, max_fun: int = 15000,
    ) -> None:  # fmt: skip
        store(self, locals())

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> "MLPClassifier":
        """Learns X (n, d), an array or sparse, and y (n,) classes or (n, k) labels of 0 and 1; returns itself."""
        self._fit(X, y, sample_weight, incremental=False)
        return self

    @available_if(_by_batches)
    def partial_fit(self, X: Any, y: Any, sample_weight: Any = None, classes: Any = None) -> "MLPClassifier":
        """One epoch over X and y, from where it stands; the first call needs all classes."""
        if not hasattr(self, "classes_"):
            if classes is None:
                raise ArgumentError("MLPClassifier: the first call of partial_fit needs classes")
            labels = y if type_of_target(y).startswith("multilabel") else unique_labels(classes)
            self._binarizer = LabelBinarizer().fit(labels)
            self.classes_ = self._binarizer.classes_
        elif classes is not None and not np.array_equal(self.classes_, unique_labels(classes)):
            raise ArgumentError(
                f"MLPClassifier: classes={classes} is not the same as on last call to partial_fit: {self.classes_}"
            )
        self._fit(X, y, sample_weight, incremental=True)
        return self

    def predict(self, X: Any) -> Any:
        """(n,) classes or (n, k) labels."""
        check_is_fitted(self)
        return self._labels(self._logits(X))

    def predict_proba(self, X: Any) -> Any:
        """(n, c): the probability of each class, in the order of classes_; of several labels each one's own."""
        check_is_fitted(self)
        p = self._activated(self._logits(X))
        return np.hstack([1 - p, p]) if self.n_outputs_ == 1 else p

    def predict_log_proba(self, X: Any) -> Any:
        """(n, c): the logarithm of predict_proba, -inf where that is 0."""
        with np.errstate(divide="ignore"):
            return np.log(self.predict_proba(X))

    def _checked(self, X: Any, y: Any, incremental: bool, reset: bool) -> tuple[Any, Any]:
        X, y = validate_data(
            self, X, y, accept_sparse=["csr", "csc"], multi_output=True, dtype=(np.float64, np.float32), reset=reset
        )
        if y.ndim == 2 and y.shape[1] == 1:
            y = column_or_1d(y, warn=True)
        if not hasattr(self, "classes_") or not (self.warm_start or incremental):
            self._binarizer = LabelBinarizer().fit(y)
            self.classes_ = self._binarizer.classes_
        else:
            found = unique_labels(y)
            if np.setdiff1d(found, self.classes_).size or (self.warm_start and len(found) != len(self.classes_)):
                raise ArgumentError(
                    f"MLPClassifier: y has the classes {found}: expected those of before, {self.classes_}"
                )
        return X, self._binarizer.transform(y)

    def _out_activation(self) -> str:
        return "softmax" if self._binarizer.y_type_ == "multiclass" else "logistic"

    def _losses(self, logits: Tensor, y: Any) -> tuple[Tensor, float]:
        if self.out_activation_ == "softmax":
            return F.cross_entropy(logits, as_tensor(y.argmax(1)), reduction="none"), 1.0
        target = as_tensor(y).to(logits.dtype)
        return F.binary_cross_entropy_with_logits(logits, target, reduction="none").sum(1), 1.0

    def _activated(self, logits: Tensor) -> Any:
        return (softmax(logits, 1) if self.out_activation_ == "softmax" else sigmoid(logits)).numpy()

    def _labels(self, logits: Tensor) -> Any:
        p = self._activated(logits)
        return self._binarizer.inverse_transform(p.ravel() if self.n_outputs_ == 1 else p)

    def _score_on(self, x: Any, y: Any, weight: Any) -> float:
        logits = self._outputs(x)
        if not np.isfinite(logits.numpy()).all():
            return float("nan")
        return float(accuracy_score(self._binarizer.inverse_transform(y), self._labels(logits), sample_weight=weight))

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.classifier_tags.multi_label = True
        return tags


class MLPRegressor(RegressorMixin, Perceptron):
    """A multi-layer perceptron for numbers.

    Args:
        loss: 'squared_error', or 'poisson' for counts, with exp as the last activation.
        The others are those of MLPClassifier.
    Attributes: those of MLPClassifier without classes_.
    Raises: ArgumentError for settings and data (a ValueError).
    """

    def __init__(
        self, loss: str = "squared_error", hidden_layer_sizes: Any = (100,), activation: str = "relu", *,
        solver: str = "adam", alpha: float = 0.0001, batch_size: Any = "auto", learning_rate: str = "constant",
        learning_rate_init: float = 0.001, power_t: float = 0.5, max_iter: int = 200, shuffle: bool = True,
        random_state: Any = None, tol: float = 1e-4, verbose: Any = False, warm_start: bool = False,
        momentum: float = 0.9, nesterovs_momentum: bool = True, early_stopping: bool = False,
        validation_fraction: float = 0.1, beta_1: float = 0.9, beta_2: float = 0.999, epsilon: float = 1e-8,
        n_iter_no_change: float = 10, max_fun: int = 15000,
    ) -> None:  # fmt: skip
        store(self, locals())

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> "MLPRegressor":
        """Learns X (n, d), an array or a sparse matrix, and y (n,) or (n, k) numbers; returns itself."""
        self._fit(X, y, sample_weight, incremental=False)
        return self

    @available_if(_by_batches)
    def partial_fit(self, X: Any, y: Any, sample_weight: Any = None) -> "MLPRegressor":
        """One epoch over X and y, from where it stands."""
        self._fit(X, y, sample_weight, incremental=True)
        return self

    def predict(self, X: Any) -> Any:
        """(n,), or (n, k) where it learned k numbers."""
        check_is_fitted(self)
        return self._values(self._logits(X))

    def _check_settings(self) -> None:
        super()._check_settings()
        choice(self, "loss", "squared_error", "poisson")

    def _checked(self, X: Any, y: Any, incremental: bool, reset: bool) -> tuple[Any, Any]:
        X, y = validate_data(
            self, X, y, accept_sparse=["csr", "csc"], multi_output=True, y_numeric=True,
            dtype=(np.float64, np.float32), reset=reset,
        )  # fmt: skip
        if y.ndim == 2 and y.shape[1] == 1:
            y = column_or_1d(y, warn=True)
        if self.loss == "poisson" and (y < 0).any():
            raise ArgumentError("MLPRegressor: loss='poisson' needs y >= 0")
        return X, y.reshape(len(y), -1)

    def _out_activation(self) -> str:
        return "exp" if self.loss == "poisson" else "identity"

    def _losses(self, outputs: Tensor, y: Any) -> tuple[Tensor, float]:
        target = as_tensor(y).to(outputs.dtype)
        if self.loss == "poisson":
            logs = np.log(np.where(y > 0, y, 1.0))
            constant = as_tensor(y * logs - y).to(outputs.dtype)
            return (outputs.exp() - target * outputs + constant).sum(1), 1.0
        # the squared error that is reported is a mean over the outputs, the one that is descended their sum
        return ((outputs - target) ** 2).sum(1) * 0.5, 1.0 / self.n_outputs_

    def _values(self, outputs: Tensor) -> Any:
        values = (outputs.exp() if self.out_activation_ == "exp" else outputs).numpy()
        return values.ravel() if self.n_outputs_ == 1 else values

    def _score_on(self, x: Any, y: Any, weight: Any) -> float:
        predicted = self._values(self._outputs(x))
        if not np.isfinite(predicted).all():
            return float("nan")
        return float(r2_score(y, predicted, sample_weight=weight))
