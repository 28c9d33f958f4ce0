"""What the linear models of two classes share."""

from typing import Any

import numpy as np
import numpy.typing as npt

from pydl.linear_model.inputs import Floats, coefficients, features

__all__ = ["LinearClassifier"]


class LinearClassifier:
    """The class by the sign of coef_ x + intercept_: classes_[1] where it is above 0, else classes_[0]."""

    coef_: Floats
    intercept_: float
    classes_: npt.NDArray[Any]
    n_iter_: int

    def decision_function(self, X: Any) -> Floats:
        """(n, d) -> (n,): coef_ x + intercept_."""
        w = coefficients(self)
        scores: Floats = features(X, len(w)) @ w + self.intercept_
        return scores

    def predict(self, X: Any) -> npt.NDArray[Any]:
        """(n, d) -> (n,) classes."""
        positive = self.decision_function(X) > 0
        found: npt.NDArray[Any] = self.classes_[positive.astype(int)]
        return found

    def score(self, X: Any, y: Any) -> float:
        """The share of the rows of X (n, d) that are predicted as y (n,)."""
        return float(np.mean(self.predict(X) == np.asarray(y)))
