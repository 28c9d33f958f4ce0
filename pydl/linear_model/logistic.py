"""Logistic regression by four solvers."""

from collections.abc import Callable
from typing import Any

import numpy as np

from pydl import optim, tensor
from pydl.errors import ArgumentError, require
from pydl.linear_model.inputs import features, labelled
from pydl.nn import functional as F
from pydl.tensor import Tensor

__all__ = ["LogisticRegression"]


class LogisticRegression:
    """P(y = 1 | x) = 1 / (1 + exp(-theta x - b)), by minimising sum log(1 + exp(-y theta x)) + |theta|^2 / (2 C).

    Args:
        solver: 'newton' (Newton's method), 'lbfgs' (through scipy), 'gd' (gradient descent with the step 1 / L, L the
            largest curvature) or 'sgd' (small batches, step c / t^0.6, the iterates of the second half averaged).
        C: inverse weight of the penalty; inf for none.
        fit_intercept: whether there is a constant term, never penalised.
        max_iter: steps at most (epochs for 'sgd').
        tol: size of the gradient at which it stops.
        batch_size, random_state: of 'sgd'.
    Attributes: coef_ (d,), intercept_, classes_ (2,), n_iter_.
    """

    def __init__(
        self,
        solver: str = "newton",
        C: float = 1.0,
        fit_intercept: bool = True,
        max_iter: int = 1000,
        tol: float = 1e-9,
        batch_size: int = 32,
        random_state: int = 0,
    ) -> None:
        self.solver = solver
        self.C = C
        self.fit_intercept = fit_intercept
        self.max_iter = max_iter
        self.tol = tol
        self.batch_size = batch_size
        self.random_state = random_state

    def fit(self, X: Any, y: Any) -> "LogisticRegression":
        """X: (n, d). y: (n,) of two classes, the larger one being positive. Returns itself."""
        solvers: dict[str, Callable[..., np.ndarray]] = {
            "newton": self._newton, "lbfgs": self._lbfgs, "gd": self._descend, "sgd": self._stochastic,
        }  # fmt: skip
        if self.solver not in solvers:
            raise ArgumentError(f"LogisticRegression: solver must be one of {list(solvers)}, got {self.solver!r}")
        x, labels = labelled(X, y)
        self.classes_ = np.unique(labels)
        if len(self.classes_) != 2:
            raise ArgumentError(f"LogisticRegression: expected two classes, got {len(self.classes_)}")
        matrix = np.hstack([x, np.ones((len(x), 1))]) if self.fit_intercept else x
        theta = solvers[self.solver](matrix, (labels == self.classes_[1]).astype(np.float64))
        self.coef_ = theta[: x.shape[1]]
        self.intercept_ = float(theta[-1]) if self.fit_intercept else 0.0
        return self

    def _penalty(self, d: int) -> np.ndarray:
        weights = np.full(d, 1 / self.C)
        if self.fit_intercept:
            weights[-1] = 0.0
        return weights

    def loss(self, theta: Tensor, x: Tensor, y: Tensor) -> Tensor:
        """The objective, a differentiable number. theta (d,), x (n, d), y (n,) of 0 and 1."""
        fit = F.binary_cross_entropy_with_logits(x @ theta, y, reduction="sum")
        return fit + (theta * theta * tensor(self._penalty(len(theta)))).sum() * 0.5

    def hessian(self, theta: np.ndarray, x: np.ndarray) -> np.ndarray:
        """X^T diag(h (1 - h)) X plus the penalty's, (d, d)."""
        h = 1 / (1 + np.exp(-x @ theta))
        return (x * (h * (1 - h))[:, None]).T @ x + np.diag(self._penalty(len(theta)))

    def _gradient(self, theta: np.ndarray, x: Tensor, y: Tensor) -> tuple[float, np.ndarray]:
        leaf = tensor(theta).requires_grad_()
        loss = self.loss(leaf, x, y)
        loss.backward()
        assert leaf.grad is not None
        return loss.item(), leaf.grad.numpy()

    def _newton(self, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        theta, inputs, target = np.zeros(x.shape[1]), tensor(x), tensor(y)
        value, g = self._gradient(theta, inputs, target)
        for self.n_iter_ in range(1, self.max_iter + 1):
            step, length = np.linalg.lstsq(self.hessian(theta, x), g, rcond=None)[0], 1.0
            while length > 1e-8:  # halve until it goes down
                trial, slope = self._gradient(theta - length * step, inputs, target)
                if trial <= value:
                    break
                length /= 2
            if length <= 1e-8:
                break
            theta, value, g = theta - length * step, trial, slope
            if np.abs(g).max() <= self.tol:
                break
        return theta

    def _lbfgs(self, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        minimize: Any = require("scipy.optimize", "science", "LogisticRegression(solver='lbfgs')")
        inputs, target = tensor(x), tensor(y)
        options = {"maxiter": self.max_iter, "gtol": self.tol, "ftol": 0.0, "maxcor": 20, "maxfun": 20 * self.max_iter}
        found = minimize.minimize(
            lambda theta: self._gradient(theta, inputs, target), np.zeros(x.shape[1]), jac=True, method="L-BFGS-B",
            options=options,
        )  # fmt: skip
        self.n_iter_ = int(found.nit)
        return np.asarray(found.x)

    def _descend(self, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        inputs, target = tensor(x), tensor(y)
        largest = np.linalg.norm(x, 2) ** 2 / 4 + self._penalty(x.shape[1]).max()
        theta = tensor(np.zeros(x.shape[1])).requires_grad_()
        descent = optim.GD([theta], lr=1 / largest)
        for self.n_iter_ in range(1, self.max_iter + 1):
            descent.zero_grad()
            self.loss(theta, inputs, target).backward()
            assert theta.grad is not None
            if float(theta.grad.abs().max()) <= self.tol:
                break
            descent.step()
        return theta.detach().numpy().copy()

    def _stochastic(self, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        rng, n, d = np.random.default_rng(self.random_state), len(x), x.shape[1]
        theta = tensor(np.zeros(d)).requires_grad_()
        batch = min(self.batch_size, n)
        start = 4.0 / (np.linalg.norm(x, 2) ** 2 + 4 * self._penalty(d).max())
        descent, mean, t = optim.SGD([theta], lr=start), np.zeros(d), 0
        for self.n_iter_ in range(1, self.max_iter + 1):
            for at in np.array_split(rng.permutation(n), n // batch):
                t += 1
                descent.param_groups[0]["lr"] = start / t**0.6
                descent.zero_grad()
                part = F.binary_cross_entropy_with_logits(tensor(x[at]) @ theta, tensor(y[at]), reduction="sum")
                shrink = (theta * theta * tensor(self._penalty(d))).sum() * 0.5
                (part * (n / len(at)) + shrink).backward()
                descent.step()
                if self.n_iter_ > self.max_iter // 2:
                    mean += theta.detach().numpy()
        return mean / max(t - (n // batch) * (self.max_iter // 2), 1)

    def decision_function(self, X: Any) -> np.ndarray:
        """(n, d) -> (n,): the log odds."""
        return features(X, len(self.coef_)) @ self.coef_ + self.intercept_

    def predict_proba(self, X: Any) -> np.ndarray:
        """(n, d) -> (n, 2): the probability of each class."""
        z = self.decision_function(X)
        p = np.exp(-np.logaddexp(0, -z))
        return np.stack([np.exp(-np.logaddexp(0, z)), p], 1)

    def predict(self, X: Any) -> np.ndarray:
        """(n, d) -> (n,) classes."""
        return self.classes_[(self.decision_function(X) > 0).astype(int)]

    def score(self, X: Any, y: Any) -> float:
        """The share of X that is predicted as y."""
        x, labels = labelled(X, y)
        return float((self.predict(x) == labels).mean())
