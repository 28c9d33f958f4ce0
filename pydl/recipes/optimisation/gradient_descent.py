"""Gradient descent on a quadratic does just what linear algebra says."""

from dataclasses import dataclass

import numpy as np

from pydl import optim, tensor
from pydl.recipes.recipe import Recipe, Report, setting

RECIPE = Recipe(
    name="gradient-descent",
    ids=("O01",),
    title="The errors of gradient descent on a quadratic are (I - lr H)^t e0",
    source="Cauchy 1847; Nesterov 2004, Introductory lectures on convex optimization, 1.2.3",
    time="t0",
)


@dataclass
class Settings:
    """What can be set on the command line."""

    d: int = setting(10, "dimensions", least=1)
    steps: int = setting(60, "steps compared", least=1)
    seed: int = setting(0, "of the quadratic")


def run(settings: Settings, report: Report) -> None:
    """Compares the path with the formula, and checks the largest step size that converges."""
    rng = np.random.default_rng(settings.seed)
    basis = np.linalg.qr(rng.standard_normal((settings.d, settings.d)))[0]
    eigenvalues = np.linspace(0.5, 5.0, settings.d)
    hessian = basis * eigenvalues @ basis.T
    start = rng.standard_normal(settings.d)
    lr = 0.9 / eigenvalues.max()
    path = descend(hessian, start, lr, settings.steps)
    shrink = np.eye(settings.d) - lr * hessian
    expected = [np.linalg.matrix_power(shrink, t) @ start for t in range(settings.steps + 1)]
    report.check("largest difference from (I - lr H)^t e0", np.abs(path - expected).max(), at_most=1e-10)
    below = descend(hessian, start, 1.99 / eigenvalues.max(), 3000)
    above = descend(hessian, start, 2.01 / eigenvalues.max(), 3000)
    report.check("error after 3000 steps at 1.99 / L", np.linalg.norm(below[-1]), at_most=1e-10)
    report.check("error after 3000 steps at 2.01 / L", np.linalg.norm(above[-1]), at_least=1e6)


def descend(hessian: np.ndarray, start: np.ndarray, lr: float, steps: int) -> np.ndarray:
    """(steps + 1, d): the points of gradient descent on x^T H x / 2."""
    matrix, x = tensor(hessian), tensor(start, requires_grad=True)
    optimizer, path = optim.GD([x], lr=lr), [start]
    for _ in range(steps):
        optimizer.zero_grad()
        ((x @ matrix @ x) * 0.5).backward()
        optimizer.step()
        path.append(x.detach().numpy().copy())
    return np.array(path)
