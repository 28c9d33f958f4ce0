"""NeuralClassifier and NeuralRegressor: any module of pydl.nn as an estimator."""

import contextlib
import copy
from abc import abstractmethod
from collections.abc import Iterator
from typing import Any

import numpy as np
from sklearn.base import ClassifierMixin, RegressorMixin
from sklearn.metrics import accuracy_score, r2_score
from sklearn.utils import check_random_state, column_or_1d
from sklearn.utils.class_weight import compute_sample_weight
from sklearn.utils.multiclass import check_classification_targets, unique_labels
from sklearn.utils.validation import _check_sample_weight, check_is_fitted, validate_data

from pydl import optim
from pydl.errors import ArgumentError, ShapeError
from pydl.nn import CrossEntropyLoss, Linear, Module, MSELoss, ReLU, Sequential
from pydl.ops import as_tensor, get_rng_state, manual_seed, set_rng_state, softmax
from pydl.optim import Optimizer
from pydl.sklearn.descent import Descent
from pydl.sklearn.settings import number, store
from pydl.tensor import Tensor

__all__ = ["NeuralClassifier", "NeuralRegressor"]

_OPTIMIZERS = {
    name.lower(): value
    for name, value in vars(optim).items()
    if isinstance(value, type) and issubclass(value, Optimizer) and value is not Optimizer
}


class _Neural(Descent):
    """A module, a criterion and an optimizer."""

    @abstractmethod
    def _checked(self, X: Any, y: Any, reset: bool) -> tuple[Any, Any]:
        """X (n, ...) and targets (n, ...) for the criterion."""

    @abstractmethod
    def _matched(self, outputs: Tensor, n: int) -> Tensor:
        """Outputs in the shape that the criterion needs. Raises: ShapeError."""

    @abstractmethod
    def _widths(self, X: Any) -> tuple[int, int]:
        """Inputs and outputs of the network."""

    _default_criterion: Any

    def _fit(self, X: Any, y: Any, sample_weight: Any, incremental: bool) -> None:
        self._check_settings()
        number(self, "learning_rate_init", 0, above=True)
        number(self, "weight_decay", 0)
        first = not hasattr(self, "module_") or not (self.warm_start or incremental)
        X, y = self._checked(X, y, first)
        weight = self._weights(sample_weight, X, y)
        self._random_state = check_random_state(self.random_state)
        with self._seeded():
            if first:
                self.module_ = self._build(*self._widths(X))
                self._criterion = self._made_criterion()
                self._begin()
            if first or not incremental or not hasattr(self, "_optimizer"):
                self._optimizer = self._made_optimizer()
            self._descend(X, y, weight, incremental)

    def _weights(self, sample_weight: Any, X: Any, y: Any) -> Any:
        return None if sample_weight is None else _check_sample_weight(sample_weight, X)

    @contextlib.contextmanager
    def _seeded(self) -> Iterator[None]:
        """pydl's random numbers (first weights, dropout) follow random_state within, and are put back."""
        kept = get_rng_state()
        manual_seed(int(self._random_state.randint(2**31 - 1)))
        try:
            yield
        finally:
            set_rng_state(kept)

    def _build(self, inputs: int, outputs: int) -> Module:
        if self.module is None:
            plain = Sequential(Linear(inputs, 100), ReLU(), Linear(100, outputs))
            return plain.double() if self._dtype() == np.float64 else plain
        if isinstance(self.module, Module):
            return copy.deepcopy(self.module)
        made = self.module(inputs, outputs) if callable(self.module) else None
        if not isinstance(made, Module):
            raise ArgumentError(
                f"{type(self).__name__}: module must be a Module, a function of the numbers of inputs and outputs that "
                f"makes one, or None, got {self.module!r}"
            )
        return made

    def _made_criterion(self) -> Any:
        """A loss of each example."""
        given = self._default_criterion if self.criterion is None else self.criterion
        if not isinstance(given, Module):
            return given(reduction="none")
        made = copy.deepcopy(given)
        made.reduction = "none"
        return made

    def _made_optimizer(self) -> Any:
        make = self.optimizer
        if isinstance(make, str):
            if make.lower() not in _OPTIMIZERS:
                raise ArgumentError(
                    f"{type(self).__name__}: optimizer must be one of {sorted(_OPTIMIZERS)} or a class, got {make!r}"
                )
            make = _OPTIMIZERS[make.lower()]
        decay = {"weight_decay": self.weight_decay} if self.weight_decay else {}
        return make(self.module_.parameters(), lr=self.learning_rate_init, **decay)

    def _learn(self, x: Any, y: Any, weight: Any) -> float:
        if weight is not None and not weight.sum() > 0:
            return 0.0
        self._optimizer.zero_grad()
        losses = self._criterion(self._matched(self.module_(self._input(x)), len(y)), as_tensor(y))
        if losses.ndim > 1:
            losses = losses.reshape(len(y), -1).mean(1)
        if weight is None:
            loss = losses.mean()
        else:
            shares = as_tensor(weight / weight.sum()).to(losses.dtype)
            loss = (losses * shares).sum()
        loss.backward()
        self._optimizer.step()
        return float(loss.item())

    def _converted(self, X: Any, y: Any, reset: bool, **more: Any) -> tuple[Any, Any]:
        found = validate_data(self, X, y, reset=reset, allow_nd=True, dtype=self._dtype(), **more)
        return found if isinstance(found, tuple) else (found, None)

    def _dtype(self) -> Any:
        return None if self.dtype is None else np.dtype(self.dtype)

    def _forward(self, X: Any) -> Tensor:
        """The module's outputs of X, checked."""
        check_is_fitted(self)
        X = validate_data(self, X, reset=False, allow_nd=True, dtype=self._dtype())
        return self._matched(self._outputs(X), len(X))


class NeuralClassifier(ClassifierMixin, _Neural):
    """A classifier out of any module that gives the logits of c classes: X (n, ...) -> (n, c).

    Args:
        module: a Module, which is copied and trained from the weights it has; or a class or function, called as
            module(inputs, outputs) with X.shape[1] and c; or None for one hidden layer of 100 units.
        criterion: a loss class, called with reduction="none", or an instance; None: CrossEntropyLoss.
        optimizer: the name of a class in pydl.optim, or a class or function called with parameters, lr=, and, if it is
            not 0, weight_decay=.
        learning_rate_init, weight_decay: of the optimizer.
        batch_size: 'auto' is min(200, n). max_iter: epochs.
        class_weight: None, 'balanced' (n / (c n_class)), or a dict of weights by class.
        random_state: of the first weights, the order of the examples, dropout and the validation data.
        shuffle, tol, n_iter_no_change, early_stopping, validation_fraction, warm_start, verbose: as for MLPClassifier.
        dtype: that X is converted to; None leaves it, e.g. for tokens.
    Attributes: module_, classes_, loss_, loss_curve_, best_loss_, validation_scores_, best_validation_score_, n_iter_,
        t_, n_features_in_.
    Raises: ArgumentError for settings and data (a ValueError); ShapeError if the module gives other outputs.
    """

    _default_criterion = CrossEntropyLoss

    def __init__(
        self, module: Any = None, *, criterion: Any = None, optimizer: Any = "adam", learning_rate_init: float = 0.001,
        weight_decay: float = 0.0, batch_size: Any = "auto", max_iter: int = 200, shuffle: bool = True,
        class_weight: Any = None, random_state: Any = None, tol: float = 1e-4, n_iter_no_change: float = 10,
        early_stopping: bool = False, validation_fraction: float = 0.1, warm_start: bool = False, verbose: Any = False,
        dtype: Any = "float32",
    ) -> None:  # fmt: skip
        store(self, locals())

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> "NeuralClassifier":
        """Learns X (n, ...) and y (n,) classes; returns itself."""
        self._fit(X, y, sample_weight, incremental=False)
        return self

    def partial_fit(self, X: Any, y: Any, classes: Any = None, sample_weight: Any = None) -> "NeuralClassifier":
        """One epoch over X and y, from where it stands; the first call needs all classes."""
        if not hasattr(self, "classes_"):
            if classes is None:
                raise ArgumentError("NeuralClassifier: the first call of partial_fit needs classes")
            self.classes_ = unique_labels(classes)
        elif classes is not None and not np.array_equal(self.classes_, unique_labels(classes)):
            raise ArgumentError(
                f"NeuralClassifier: classes={classes} is not the same as on last call to partial_fit: {self.classes_}"
            )
        self._fit(X, y, sample_weight, incremental=True)
        return self

    def predict(self, X: Any) -> Any:
        """(n,) classes."""
        chosen = self._forward(X).argmax(1).numpy()
        return self.classes_[chosen]

    def predict_proba(self, X: Any) -> Any:
        """(n, c): the probability of each class, in the order of classes_."""
        return softmax(self._forward(X), 1).numpy()

    def predict_log_proba(self, X: Any) -> Any:
        """(n, c): the logarithm of predict_proba, -inf where that is 0."""
        with np.errstate(divide="ignore"):
            return np.log(self.predict_proba(X))

    def _checked(self, X: Any, y: Any, reset: bool) -> tuple[Any, Any]:
        X, y = self._converted(X, y, reset)
        y = column_or_1d(y, warn=True)
        check_classification_targets(y)
        found = unique_labels(y)
        if not hasattr(self, "classes_") or (reset and hasattr(self, "module_")):
            self.classes_ = found
        if np.setdiff1d(found, self.classes_).size:
            raise ArgumentError(
                f"NeuralClassifier: y has the classes {found}: expected those of before, {self.classes_}"
            )
        return X, np.searchsorted(self.classes_, y)

    def _weights(self, sample_weight: Any, X: Any, y: Any) -> Any:
        weight = super()._weights(sample_weight, X, y)
        if self.class_weight is None:
            return weight
        by_class = compute_sample_weight(self.class_weight, self.classes_[y])
        return by_class if weight is None else weight * by_class

    def _widths(self, X: Any) -> tuple[int, int]:
        return X.shape[1], len(self.classes_)

    def _matched(self, outputs: Tensor, n: int) -> Tensor:
        if tuple(outputs.shape) != (n, len(self.classes_)):
            raise ShapeError(
                f"NeuralClassifier: the module gives {tuple(outputs.shape)}: expected logits {(n, len(self.classes_))}"
            )
        return outputs

    def _score_on(self, x: Any, y: Any, weight: Any) -> float:
        return float(accuracy_score(y, self._outputs(x).argmax(1).numpy(), sample_weight=weight))


class NeuralRegressor(RegressorMixin, _Neural):
    """A regressor out of any module: X (n, ...) -> (n,) or (n, k).

    Args:
        criterion: as for NeuralClassifier; None: MSELoss.
        The others are those of NeuralClassifier, without class_weight; outputs is k, 1 for y (n,).
    Attributes: those of NeuralClassifier without classes_. Raises: as NeuralClassifier.
    """

    _default_criterion = MSELoss

    def __init__(
        self, module: Any = None, *, criterion: Any = None, optimizer: Any = "adam", learning_rate_init: float = 0.001,
        weight_decay: float = 0.0, batch_size: Any = "auto", max_iter: int = 200, shuffle: bool = True,
        random_state: Any = None, tol: float = 1e-4, n_iter_no_change: float = 10, early_stopping: bool = False,
        validation_fraction: float = 0.1, warm_start: bool = False, verbose: Any = False, dtype: Any = "float32",
    ) -> None:  # fmt: skip
        store(self, locals())

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> "NeuralRegressor":
        """Learns X (n, ...) and y (n,) or (n, k); returns itself."""
        self._fit(X, y, sample_weight, incremental=False)
        return self

    def partial_fit(self, X: Any, y: Any, sample_weight: Any = None) -> "NeuralRegressor":
        """One epoch over X and y, from where it stands."""
        self._fit(X, y, sample_weight, incremental=True)
        return self

    def predict(self, X: Any) -> Any:
        """(n,), or (n, k) where it learned k numbers."""
        return self._forward(X).numpy()

    def _checked(self, X: Any, y: Any, reset: bool) -> tuple[Any, Any]:
        X, y = self._converted(X, y, reset, multi_output=True, y_numeric=True)
        if y.ndim == 2 and y.shape[1] == 1:
            y = column_or_1d(y, warn=True)
        if reset:
            self._shape = y.shape[1:]
        elif self._shape != y.shape[1:]:
            raise ShapeError(f"NeuralRegressor: y {y.shape} has other outputs than before, {('n', *self._shape)}")
        return X, y.astype(np.float64 if X.dtype == np.float64 else np.float32)

    def _widths(self, X: Any) -> tuple[int, int]:
        return X.shape[1], int(np.prod(self._shape))

    def _matched(self, outputs: Tensor, n: int) -> Tensor:
        shape = (n, *self._shape)
        if tuple(outputs.shape) not in (shape, (*shape, 1)):
            raise ShapeError(f"NeuralRegressor: the module gives {tuple(outputs.shape)}: expected {shape}")
        return outputs.reshape(shape)

    def _score_on(self, x: Any, y: Any, weight: Any) -> float:
        predicted = self._matched(self._outputs(x), len(y)).numpy()
        return float(r2_score(y, predicted, sample_weight=weight)) if np.isfinite(predicted).all() else float("nan")
