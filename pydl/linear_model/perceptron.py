"""Rosenblatt's perceptron."""

from typing import Any

import numpy as np

from pydl.errors import ArgumentError
from pydl.linear_model.inputs import features, labelled

__all__ = ["Perceptron"]


class Perceptron:
    """sign(w x + b), learned from mistakes: w += y x, b += y for every example on the wrong side.

    On data that a margin separates it makes at most (R / margin)^2 mistakes, whatever their order.

    Args:
        max_iter: passes over the data at most; it stops after one without a mistake.
        shuffle: a new order in every pass.
        random_state: seed of the order.
    Attributes: coef_ (d,), intercept_, classes_ (2,), n_iter_ passes made, mistakes_ in all.
    Source: Rosenblatt 1958; the bound is Novikoff's, 1962.
    """

    def __init__(self, max_iter: int = 1000, shuffle: bool = True, random_state: int = 0) -> None:
        self.max_iter = max_iter
        self.shuffle = shuffle
        self.random_state = random_state

    def fit(self, X: Any, y: Any) -> "Perceptron":
        """X: (n, d). y: (n,) of two classes, the larger one being positive. Returns itself."""
        x, labels = labelled(X, y)
        self.classes_ = np.unique(labels)
        if len(self.classes_) != 2:
            raise ArgumentError(f"Perceptron: expected two classes, got {len(self.classes_)}")
        signs = np.where(labels == self.classes_[1], 1.0, -1.0)
        rng = np.random.default_rng(self.random_state)
        w, b, self.mistakes_ = np.zeros(x.shape[1]), 0.0, 0
        for self.n_iter_ in range(1, self.max_iter + 1):
            wrong = 0
            for i in rng.permutation(len(x)) if self.shuffle else range(len(x)):
                if signs[i] * (w @ x[i] + b) <= 0:
                    w = w + signs[i] * x[i]
                    b += signs[i]
                    wrong += 1
            self.mistakes_ += wrong
            if wrong == 0:
                break
        self.coef_, self.intercept_ = w, b
        return self

    def decision_function(self, X: Any) -> np.ndarray:
        """(n, d) -> (n,): w x + b."""
        return features(X, len(self.coef_)) @ self.coef_ + self.intercept_

    def predict(self, X: Any) -> np.ndarray:
        """(n, d) -> (n,) classes."""
        return self.classes_[(self.decision_function(X) > 0).astype(int)]

    def score(self, X: Any, y: Any) -> float:
        """The share of X that is predicted as y."""
        x, labels = labelled(X, y)
        return float((self.predict(x) == labels).mean())
