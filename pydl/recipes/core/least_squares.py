"""Least squares in closed form and by gradient descent, which finds the smallest of many solutions."""

from dataclasses import dataclass

import numpy as np

from pydl.linear_model import LinearRegression, Ridge
from pydl.recipes.recipe import Recipe, Report, setting

RECIPE = Recipe(
    name="least-squares",
    ids=("C03",),
    title="Least squares: exact, by descent, and with more unknowns than equations",
    source="Golub & Van Loan 2013, Matrix computations, chapter 5",
    time="t0",
)


@dataclass
class Settings:
    """What can be set on the command line."""

    n: int = setting(60, "equations; the second problem has as many unknowns", least=2)
    d: int = setting(8, "unknowns, fewer than n; the second problem has as many equations", least=1)
    alpha: float = setting(0.7, "weight of the ridge", least=1e-6)
    seed: int = setting(0, "of the data")


def run(settings: Settings, report: Report) -> None:
    """Compares with the QR factorization, the pseudo-inverse and the ridge's normal equations."""
    rng = np.random.default_rng(settings.seed)
    x, y = rng.standard_normal((settings.n, settings.d)), rng.standard_normal(settings.n)
    q, r = np.linalg.qr(x)
    exact = LinearRegression(fit_intercept=False).fit(x, y).coef_
    report.check("closed form against QR", np.abs(exact - np.linalg.solve(r, q.T @ y)).max(), at_most=1e-10)

    wide, target = rng.standard_normal((settings.d, settings.n)), rng.standard_normal(settings.d)
    descent = LinearRegression(fit_intercept=False, solver="gd").fit(wide, target).coef_
    smallest = np.linalg.pinv(wide) @ target
    report.check("descent from 0 against the pseudo-inverse", np.abs(descent - smallest).max(), at_most=1e-8)

    ridge = Ridge(settings.alpha, fit_intercept=False).fit(x, y).coef_
    normal = np.linalg.solve(x.T @ x + settings.alpha * np.eye(settings.d), x.T @ y)
    report.check("ridge against its normal equations", np.abs(ridge - normal).max(), at_most=1e-10)
