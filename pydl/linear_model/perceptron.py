"""Rosenblatt's perceptron."""

from typing import Any

import numpy as np

from pydl.errors import ArgumentError, ShapeError
from pydl.linear_model.classifier import LinearClassifier
from pydl.linear_model.inputs import Floats, two_classes

__all__ = ["Perceptron"]


class Perceptron(LinearClassifier):
    """The step unit of w x + b, learned from mistakes: w += y x, b += y for every example not on its side.

    On data that a margin separates it makes at most (R / margin)^2 mistakes, whatever their order, where the constant 1
    counts as a coordinate of x in R.

    Args:
        max_iter: passes over the data at most; it stops after one without a mistake.
        shuffle: a new order in every pass.
        random_state: seed of the order.
    Attributes: coef_ (d,), intercept_, classes_ (2,), n_iter_ passes made, mistakes_ in all.
    Source: Rosenblatt 1958; the bound is Novikoff's, 1962.
    """

    mistakes_: int

    def __init__(self, max_iter: int = 1000, shuffle: bool = True, random_state: int = 0) -> None:
        self.max_iter = max_iter
        self.shuffle = shuffle
        self.random_state = random_state

    def fit(self, X: Any, y: Any, coef_init: Any = None, intercept_init: float = 0.0) -> "Perceptron":
        """Learns X (n, d), y (n,) of two classes, the larger one being positive; returns itself.

        Args: coef_init (d,), intercept_init: where to start instead of 0.
        """
        if self.max_iter < 1:
            raise ArgumentError(f"Perceptron: max_iter must be >= 1, got {self.max_iter}")
        x, positive, self.classes_ = two_classes(X, y, "Perceptron")
        signs = np.where(positive, 1.0, -1.0)
        w = np.zeros(x.shape[1]) if coef_init is None else np.array(coef_init, np.float64)
        if w.shape != (x.shape[1],):
            raise ShapeError(f"Perceptron: coef_init has shape {w.shape}, expected ({x.shape[1]},)")
        rng, b, self.mistakes_ = np.random.default_rng(self.random_state), float(intercept_init), 0
        for self.n_iter_ in range(1, self.max_iter + 1):
            order = rng.permutation(len(x)) if self.shuffle else np.arange(len(x))
            w, b, wrong = _one_pass(x[order], signs[order], w, b)
            self.mistakes_ += wrong
            if wrong == 0:
                break
        self.coef_, self.intercept_ = w, b
        return self


def _one_pass(x: Floats, signs: Floats, w: Floats, b: float) -> tuple[Floats, float, int]:
    """Weights (d,), offset, and the mistakes of one pass over x (n, d) in this order."""
    mistakes, at, block = 0, 0, 256
    while at < len(x):  # the weights stay up to the next mistake, so a block of rows is judged at once
        scores = x[at : at + block] @ w + b
        wrong = np.flatnonzero(signs[at : at + block] * scores <= 0)
        if not len(wrong):
            at += block
            continue
        i = at + int(wrong[0])
        w, b = w + signs[i] * x[i], b + float(signs[i])
        mistakes, at = mistakes + 1, i + 1
    return w, b, mistakes
