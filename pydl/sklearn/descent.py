"""What all estimators share: epochs of mini-batches, and when to stop."""

import math
import warnings
from abc import abstractmethod
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator, is_classifier
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import train_test_split
from sklearn.utils import gen_batches, shuffle

from pydl.autograd import no_grad
from pydl.errors import ArgumentError
from pydl.nn import Module
from pydl.ops import as_tensor, cat
from pydl.sklearn.settings import boolean, number
from pydl.tensor import Tensor

__all__ = ["Descent", "dense"]


class Descent(BaseEstimator):
    """An estimator whose `module_` is trained by mini-batches.

    A subclass has the settings that are read here, and says how a batch is learned. It stops by
    scikit-learn's rule: with early_stopping, when a validation score did not rise by tol, else when the training loss
    did not fall by tol, for more than n_iter_no_change epochs.
    """

    module_: Module
    _chunk = 4096  # examples at a time that are not learned from

    @abstractmethod
    def _learn(self, x: Any, y: Any, weight: Any) -> float:
        """One step on a batch; the mean loss before it."""

    @abstractmethod
    def _score_on(self, x: Any, y: Any, weight: Any) -> float:
        """The score on validation data."""

    def _rate_ended(self) -> bool:
        """Called where there was no progress: whether to stop, not to go on with a smaller rate."""
        return True

    def _epoch_ended(self, seen: int) -> None:
        """Called after each epoch; seen: examples so far."""

    def _check_settings(self) -> None:
        number(self, "max_iter", 1, whole=True)
        number(self, "tol", 0)
        number(self, "validation_fraction", 0, 1, below=True)
        for name in ("shuffle", "warm_start", "early_stopping"):
            boolean(self, name)
        if self.n_iter_no_change != math.inf:
            number(self, "n_iter_no_change", 1, whole=True)
        if self.batch_size != "auto":
            number(self, "batch_size", 1, whole=True)

    def _begin(self) -> None:
        """Forgets the course of an earlier training."""
        self.t_ = self._still = 0
        self.loss_curve_: list[float] = []
        self.validation_scores_: list[float] | None = [] if self.early_stopping else None
        self.best_loss_ = None if self.early_stopping else math.inf
        self.best_validation_score_ = -math.inf if self.early_stopping else None
        self._best: dict[str, Any] | None = None

    def _descend(self, x: Any, y: Any, weight: Any, incremental: bool) -> None:
        """Epochs over x (n, ...), y (n, ...) and weight (n,) or None; with `incremental` one."""
        if self.early_stopping and incremental:
            raise ArgumentError(f"{type(self).__name__}: partial_fit does not support early_stopping=True")
        if self.early_stopping != (self.validation_scores_ is not None):
            self._begin()  # a warm start under another rule
        held = None
        if self.early_stopping:
            (x, y, weight), held = self._hold_out(x, y, weight)
        n = x.shape[0]
        size = min(200, n) if self.batch_size == "auto" else int(np.clip(self.batch_size, 1, n))
        if self.batch_size != "auto" and self.batch_size > n:
            warnings.warn(f"batch_size {self.batch_size} is larger than the {n} examples: all are taken", stacklevel=3)
        order, epochs = np.arange(n), 1 if incremental else self.max_iter
        for self.n_iter_ in range(1, epochs + 1):
            if self.shuffle:
                order = shuffle(order, random_state=self._random_state)
            total = 0.0
            self.module_.train()
            for part in gen_batches(n, size):
                rows = order[part]
                total += self._learn(x[rows], y[rows], None if weight is None else weight[rows]) * len(rows)
            self.module_.eval()
            self.loss_ = total / n
            if self._finished(held, n):
                break
        else:
            if not incremental:
                text = f"{type(self).__name__}: max_iter={self.max_iter} reached, and it has not converged yet"
                warnings.warn(text, ConvergenceWarning, stacklevel=3)
        if self._best is not None:
            self.module_.load_state_dict(self._best)

    def _finished(self, held: Any, n: int) -> bool:
        """Notes how the epoch went; whether the training is over."""
        self.t_ += n
        self.loss_curve_.append(self.loss_)
        if self.verbose:
            print(f"epoch {self.n_iter_}: loss {self.loss_:.8f}")
        if self.best_loss_ is not None:
            better = not self.loss_ > self.best_loss_ - self.tol
            self.best_loss_ = min(self.best_loss_, self.loss_)
        else:
            better = self._validated(held)
        self._still = 0 if better else self._still + 1
        self._epoch_ended(self.t_)
        if self._still <= self.n_iter_no_change:
            return False
        self._still = 0
        return self._rate_ended()

    def _validated(self, held: Any) -> bool:
        """Whether the validation score rose; the best weights are kept."""
        score = self._score_on(*held)
        assert self.validation_scores_ is not None and self.best_validation_score_ is not None
        self.validation_scores_.append(score)
        if self.verbose:
            print(f"epoch {self.n_iter_}: validation score {score:.6f}")
        better = not score < self.best_validation_score_ + self.tol
        if score > self.best_validation_score_:
            self.best_validation_score_ = score
            self._best = {name: value.clone() for name, value in self.module_.state_dict().items()}
        return better

    def _hold_out(self, x: Any, y: Any, weight: Any) -> tuple[tuple[Any, Any, Any], tuple[Any, Any, Any]]:
        """Training and validation data; the classes of single labels keep their shares."""
        given = [x, y] if weight is None else [x, y, weight]
        alike = y if is_classifier(self) and (y.ndim == 1 or y.shape[1] == 1) else None
        parts = train_test_split(
            *given, test_size=self.validation_fraction, random_state=self._random_state, stratify=alike
        )
        if parts[1].shape[0] < 2:
            raise ArgumentError(
                f"{type(self).__name__}: the validation set has fewer than 2 examples: expected a larger "
                "validation_fraction or more data"
            )
        learned, held = parts[::2], parts[1::2]
        return (learned[0], learned[1], learned[2] if weight is not None else None), (
            held[0], held[1], held[2] if weight is not None else None,
        )  # fmt: skip

    def _outputs(self, x: Any) -> Tensor:
        """(n, ...): of the module in evaluation mode."""
        self.module_.eval()
        with no_grad():
            parts = [self.module_(self._input(x[i : i + self._chunk])) for i in range(0, x.shape[0], self._chunk)]
        return parts[0] if len(parts) == 1 else cat(parts)

    def _input(self, x: Any) -> Tensor:
        """A batch as the module takes it."""
        return as_tensor(dense(x))


def dense(x: Any) -> Any:
    """The rows of a sparse matrix as an array; an array itself."""
    return x.toarray() if hasattr(x, "toarray") else x
