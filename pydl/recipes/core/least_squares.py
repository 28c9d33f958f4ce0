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

    n: int = setting(60, "equations")
    d: int = setting(8, "unknowns; the second problem has them exchanged")
    seed: int = setting(0, "of the data")


def run(settings: Settings, report: Report) -> None:
    """Compares with the QR factorization, the pseudo-inverse and the ridge's normal equations."""
    rng = np.random.default_rng(settings.seed)
    x, y = rng.standard_normal((settings.n, settings.d)), rng.standard_normal(settings.n)
    q, r = np.linalg.qr(x)
    exact = np.linalg.solve(r, q.T @ y)
    fitted = LinearRegression(fit_intercept=False).fit(x, y)
    report.check("closed form against QR", float(np.abs(fitted.coef_ - exact).max()), at_most=1e-10)

    wide, target = rng.standard_normal((settings.d, settings.n)), rng.standard_normal(settings.d)
    descent = LinearRegression(fit_intercept=False, solver="gd", tol=1e-13).fit(wide, target)
    smallest = np.linalg.pinv(wide) @ target
    report.check(
        "descent from 0 against the pseudo-inverse", float(np.abs(descent.coef_ - smallest).max()), at_most=1e-8
    )

    ridge = Ridge(alpha=0.7, fit_intercept=False).fit(x, y)
    normal = np.linalg.solve(x.T @ x + 0.7 * np.eye(settings.d), x.T @ y)
    report.check("ridge against its normal equations", float(np.abs(ridge.coef_ - normal).max()), at_most=1e-10)
