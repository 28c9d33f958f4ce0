"""Logistic regression by four solvers."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from pydl import optim, sigmoid, tensor
from pydl.errors import ArgumentError, require
from pydl.linear_model.classifier import LinearClassifier
from pydl.linear_model.inputs import Floats, two_classes
from pydl.nn import functional as F
from pydl.tensor import Tensor

__all__ = ["LogisticObjective", "LogisticRegression"]


class LogisticObjective:
    """J(theta) = sum_i log(1 + exp(-t_i theta x_i)) + sum_j penalty_j theta_j^2 / 2, with t = 2 y - 1: convex.

    Args: x (n, d); y (n,) of 0 and 1; penalty (d,).
    """

    def __init__(self, x: Floats, y: Floats, penalty: Floats) -> None:
        self.x, self.y, self.penalty = tensor(x), tensor(y), tensor(penalty)

    def __call__(self, theta: Tensor, rows: Tensor | None = None) -> Tensor:
        """J as a differentiable number (); with `rows` (b,), of indices, its unbiased estimate from these examples."""
        x, y = (self.x, self.y) if rows is None else (self.x[rows], self.y[rows])
        fit = F.binary_cross_entropy_with_logits(x @ theta, y, reduction="sum") * (len(self.y) / len(y))
        return fit + (self.penalty * theta * theta).sum() * 0.5

    def gradient(self, theta: Floats) -> tuple[float, Floats]:
        """J and its gradient (d,)."""
        leaf = tensor(theta, requires_grad=True)
        value = self(leaf)
        value.backward()
        assert leaf.grad is not None
        return value.item(), leaf.grad.numpy()

    def hessian(self, theta: Floats) -> Floats:
        """X^T diag(h (1 - h)) X + diag(penalty), (d, d), with h = sigmoid(X theta)."""
        h = sigmoid(self.x @ tensor(theta))
        return (self.x.t() @ (self.x * (h * (1 - h)).unsqueeze(1))).numpy() + np.diag(self.penalty.numpy())

    def largest_curvature(self) -> float:
        """A bound on the Hessian's eigenvalues anywhere, as h (1 - h) <= 1 / 4."""
        return float(np.linalg.norm(self.x.numpy(), 2) ** 2 / 4 + self.penalty.numpy().max())


class LogisticRegression(LinearClassifier):
    """P(y = 1 | x) = 1 / (1 + exp(-theta x - b)), by minimising sum log(1 + exp(-t (theta x + b))) + |theta|^2 / (2 C).

    Args:
        solver: 'newton' (Newton's method, halving steps that go up), 'lbfgs' (through scipy), 'gd' (gradient descent
            with the step 1 / L, L the largest curvature) or 'sgd' (small batches in a new order every epoch, step
            1 / (L sqrt(epoch)), the iterates of the second half of the epochs averaged).
        C: inverse weight of the penalty; inf for none.
        fit_intercept: whether there is a constant term, never penalised.
        max_iter: steps at most ('sgd': epochs, all of which are made).
        tol: largest element of the gradient at which it stops; 'sgd' does not look.
        batch_size, random_state: of 'sgd'.
    Attributes: coef_ (d,), intercept_, classes_ (2,), n_iter_. exp(coef_[j]) is the factor by which the odds of
        classes_[1] grow with one unit of feature j.
    Source: Cox 1958. Averaging: Polyak & Juditsky 1992.
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
        """Learns X (n, d), y (n,) of two classes, the larger one being positive; returns itself."""
        solvers: dict[str, Callable[[LogisticObjective], Floats]] = {
            "newton": self._newton, "lbfgs": self._lbfgs, "gd": self._descend, "sgd": self._stochastic,
        }  # fmt: skip
        if self.solver not in solvers:
            raise ArgumentError(f"LogisticRegression: solver must be one of {list(solvers)}, got {self.solver!r}")
        if not self.C > 0 or self.max_iter < 1 or self.batch_size < 1:
            raise ArgumentError(
                "LogisticRegression: C must be above 0, max_iter and batch_size at least 1, "
                f"got {self.C}, {self.max_iter} and {self.batch_size}"
            )
        x, positive, self.classes_ = two_classes(X, y, "LogisticRegression")
        penalty = np.full(x.shape[1], 1 / self.C)
        if self.fit_intercept:
            x, penalty = np.hstack([x, np.ones((len(x), 1))]), np.append(penalty, 0.0)
        theta = solvers[self.solver](LogisticObjective(x, positive.astype(np.float64), penalty))
        d = len(theta) - self.fit_intercept
        self.coef_, self.intercept_ = theta[:d], float(theta[d:].sum())
        return self

    def _newton(self, objective: LogisticObjective) -> Floats:
        theta = np.zeros(objective.x.shape[1])
        value, g = objective.gradient(theta)
        for self.n_iter_ in range(1, self.max_iter + 1):
            step, length = np.linalg.lstsq(objective.hessian(theta), g, rcond=None)[0], 1.0
            trial, slope = objective.gradient(theta - step)
            while trial > value and length > 1e-8:
                length /= 2
                trial, slope = objective.gradient(theta - length * step)
            if trial > value:  # the step is lost in rounding
                break
            theta, value, g = theta - length * step, trial, slope
            if np.abs(g).max() <= self.tol:
                break
        return theta

    def _lbfgs(self, objective: LogisticObjective) -> Floats:
        scipy: Any = require("scipy.optimize", "science", "LogisticRegression(solver='lbfgs')")
        # without ftol and with exact gradients only gtol ends it
        options = {"maxiter": self.max_iter, "gtol": self.tol, "ftol": 0.0, "maxcor": 20, "maxfun": 20 * self.max_iter}
        start = np.zeros(objective.x.shape[1])
        found = scipy.minimize(objective.gradient, start, jac=True, method="L-BFGS-B", options=options)
        self.n_iter_ = int(found.nit)
        return np.asarray(found.x, np.float64)

    def _descend(self, objective: LogisticObjective) -> Floats:
        theta = tensor(np.zeros(objective.x.shape[1]), requires_grad=True)
        descent = optim.GD([theta], lr=1 / objective.largest_curvature())
        for self.n_iter_ in range(1, self.max_iter + 1):
            descent.zero_grad()
            objective(theta).backward()
            assert theta.grad is not None
            if float(theta.grad.abs().max()) <= self.tol:
                break
            descent.step()
        return theta.detach().numpy()

    def _stochastic(self, objective: LogisticObjective) -> Floats:
        n, rng = len(objective.y), np.random.default_rng(self.random_state)
        theta, mean = tensor(np.zeros(objective.x.shape[1]), requires_grad=True), np.zeros(objective.x.shape[1])
        descent, parts = optim.SGD([theta]), math.ceil(n / self.batch_size)
        first = 1 / objective.largest_curvature()
        averaged = parts * (self.max_iter - self.max_iter // 2)
        for self.n_iter_ in range(1, self.max_iter + 1):
            descent.param_groups[0]["lr"] = first / math.sqrt(self.n_iter_)
            for rows in np.array_split(rng.permutation(n), parts):
                descent.zero_grad()
                objective(theta, tensor(rows)).backward()
                descent.step()
                if self.n_iter_ > self.max_iter // 2:
                    mean += theta.detach().numpy() / averaged
        return mean

    def predict_proba(self, X: Any) -> Floats:
        """(n, d) -> (n, 2): the probability of each class."""
        z = self.decision_function(X)
        return np.exp(-np.logaddexp(0, np.stack([z, -z], 1)))
