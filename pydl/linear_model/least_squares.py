"""Least squares, with and without a ridge."""

from typing import Any

import numpy as np

from pydl import optim, tensor
from pydl.errors import ArgumentError
from pydl.linear_model.inputs import Floats, coefficients, features, numbers

__all__ = ["LinearRegression", "Ridge"]


class LinearRegression:
    """The least-squares line: of all solutions, where there are many, the one of smallest norm.

    Args:
        fit_intercept: whether there is a constant term.
        solver: 'exact' (orthogonal factorization) or 'gd' (gradient descent from 0, which reaches the same solution).
        max_iter, tol: of gradient descent: steps at most, and the size of the gradient, relative to that at 0, at which
            it stops.
    Attributes: coef_ (d,), intercept_, n_iter_ steps of descent made.
    """

    coef_: Floats
    intercept_: float
    n_iter_: int

    def __init__(
        self, fit_intercept: bool = True, solver: str = "exact", max_iter: int = 100_000, tol: float = 1e-12
    ) -> None:
        self.fit_intercept = fit_intercept
        self.solver = solver
        self.max_iter = max_iter
        self.tol = tol

    def fit(self, X: Any, y: Any) -> "LinearRegression":
        """Learns X (n, d), y (n,); returns itself."""
        x, t = numbers(X, y)
        mean_x, mean_t = (x.mean(0), t.mean()) if self.fit_intercept else (np.zeros(x.shape[1]), 0.0)
        self.coef_ = self._solve(x - mean_x, t - mean_t)
        self.intercept_ = float(mean_t - mean_x @ self.coef_)
        return self

    def _solve(self, x: Floats, t: Floats) -> Floats:
        if self.solver not in ("exact", "gd"):
            raise ArgumentError(f"LinearRegression: solver must be 'exact' or 'gd', got {self.solver!r}")
        self.n_iter_ = 0
        return _exact(x, t) if self.solver == "exact" else self._descend(x, t)

    def _descend(self, x: Floats, t: Floats) -> Floats:
        largest = float(np.linalg.norm(x, 2)) ** 2  # the curvature, at whose inverse descent is still stable
        if largest == 0:
            return np.zeros(x.shape[1])
        matrix, target, theta = tensor(x), tensor(t), tensor(np.zeros(x.shape[1]), requires_grad=True)
        descent, enough = optim.GD([theta], lr=1 / largest), self.tol * float(np.abs(x.T @ t).max())
        for self.n_iter_ in range(1, self.max_iter + 1):
            descent.zero_grad()
            (((matrix @ theta - target) ** 2).sum() * 0.5).backward()
            assert theta.grad is not None
            if float(theta.grad.abs().max()) <= enough:
                break
            descent.step()
        return theta.detach().numpy()

    def predict(self, X: Any) -> Floats:
        """(n, d) -> (n,)."""
        w = coefficients(self)
        line: Floats = features(X, len(w)) @ w + self.intercept_
        return line

    def score(self, X: Any, y: Any) -> float:
        """R^2: the share of the variance of y (n,) that X (n, d) explains."""
        x, t = numbers(X, y)
        spread = ((t - t.mean()) ** 2).sum()
        if spread == 0:
            raise ArgumentError(f"{type(self).__name__}: score needs a y that is not constant")
        return float(1 - ((t - self.predict(x)) ** 2).sum() / spread)


class Ridge(LinearRegression):
    """Least squares with the penalty alpha |coef|^2.

    Args: alpha: weight of the penalty, above 0; fit_intercept: whether there is a constant term, never penalised.
    """

    def __init__(self, alpha: float = 1.0, fit_intercept: bool = True) -> None:
        super().__init__(fit_intercept)
        self.alpha = alpha

    def _solve(self, x: Floats, t: Floats) -> Floats:
        if not self.alpha > 0:
            raise ArgumentError(f"Ridge: alpha must be above 0, got {self.alpha}")
        self.n_iter_, d = 0, x.shape[1]
        return _exact(np.vstack([x, np.sqrt(self.alpha) * np.eye(d)]), np.concatenate([t, np.zeros(d)]))


def _exact(x: Floats, t: Floats) -> Floats:
    """The solution of smallest norm, by the singular value decomposition, which does not square the condition."""
    return np.asarray(np.linalg.lstsq(x, t, rcond=None)[0], np.float64)
