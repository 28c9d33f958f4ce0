"""Least squares, with and without a ridge."""

from typing import Any

import numpy as np

from pydl.errors import ArgumentError
from pydl.linear_model.inputs import features, labelled

__all__ = ["LinearRegression", "Ridge"]


class LinearRegression:
    """The least-squares line: of all solutions, where there are many, the one of smallest norm.

    Args:
        fit_intercept: whether there is a constant term.
        solver: 'exact' (orthogonal factorization) or 'gd' (gradient descent from 0, which reaches the same solution).
        max_iter, tol: of gradient descent: steps at most, and the size of the gradient at which it stops.
    Attributes: coef_ (d,), intercept_, n_iter_.
    """

    def __init__(
        self, fit_intercept: bool = True, solver: str = "exact", max_iter: int = 100_000, tol: float = 1e-12
    ) -> None:
        self.fit_intercept = fit_intercept
        self.solver = solver
        self.max_iter = max_iter
        self.tol = tol

    def fit(self, X: Any, y: Any) -> "LinearRegression":
        """X: (n, d). y: (n,). Returns itself."""
        x, t = labelled(X, y)
        t = t.astype(np.float64)
        mean_x, mean_t = (x.mean(0), t.mean()) if self.fit_intercept else (np.zeros(x.shape[1]), 0.0)
        self.coef_ = self._solve(x - mean_x, t - mean_t)
        self.intercept_ = float(mean_t - mean_x @ self.coef_)
        return self

    def _solve(self, x: np.ndarray, t: np.ndarray) -> np.ndarray:
        self.n_iter_ = 0
        if self.solver == "exact":
            return np.linalg.lstsq(x, t, rcond=None)[0]
        if self.solver != "gd":
            raise ArgumentError(f"LinearRegression: solver must be 'exact' or 'gd', got {self.solver!r}")
        from pydl import optim, tensor

        matrix, target = tensor(x), tensor(t)
        theta = tensor(np.zeros(x.shape[1])).requires_grad_()
        descent = optim.GD([theta], lr=1 / max(np.linalg.norm(x, 2) ** 2, 1e-300))
        for self.n_iter_ in range(1, self.max_iter + 1):
            descent.zero_grad()
            (((matrix @ theta - target) ** 2).sum() * 0.5).backward()
            assert theta.grad is not None
            if float(theta.grad.abs().max()) <= self.tol * max(1.0, float(np.abs(t).max(initial=0))):
                break
            descent.step()
        return theta.detach().numpy().copy()

    def predict(self, X: Any) -> np.ndarray:
        """(n, d) -> (n,)."""
        return features(X, len(self.coef_)) @ self.coef_ + self.intercept_

    def score(self, X: Any, y: Any) -> float:
        """R^2: the share of the variance of y that is explained."""
        x, t = labelled(X, y)
        rest = ((t - self.predict(x)) ** 2).sum()
        return float(1 - rest / ((t - t.mean()) ** 2).sum())


class Ridge(LinearRegression):
    """Least squares with the penalty alpha |coef|^2.

    Args: alpha: weight of the penalty, above 0; fit_intercept: whether there is a constant term, never penalised.
    """

    def __init__(self, alpha: float = 1.0, fit_intercept: bool = True) -> None:
        super().__init__(fit_intercept)
        self.alpha = alpha

    def _solve(self, x: np.ndarray, t: np.ndarray) -> np.ndarray:
        if not self.alpha > 0:
            raise ArgumentError(f"Ridge: alpha must be above 0, got {self.alpha}")
        self.n_iter_ = 0
        d = x.shape[1]
        stacked = np.vstack([x, np.sqrt(self.alpha) * np.eye(d)])
        return np.linalg.lstsq(stacked, np.concatenate([t, np.zeros(d)]), rcond=None)[0]
