"""Logistic regression: four solvers, one optimum."""

import math
from dataclasses import dataclass

import numpy as np

from pydl import float64, tensor
from pydl.data.synthetic import make_blobs
from pydl.linear_model import LogisticRegression
from pydl.nn import functional as F
from pydl.recipes.recipe import Recipe, Report, setting

RECIPE = Recipe(
    name="logistic-solvers",
    ids=("C02",),
    title="Gradient descent, SGD, Newton and L-BFGS on logistic regression",
    source="Cox 1958; Nocedal & Wright 2006, Numerical optimization",
    time="t1",
)


@dataclass
class Settings:
    """What can be set on the command line."""

    n: int = setting(300, "examples")
    d: int = setting(5, "features")
    seed: int = setting(0, "of the data")


def run(settings: Settings, report: Report) -> None:
    """Compares the solvers with Newton's method; checks convexity, the odds ratio, and extreme logits."""
    rng = np.random.default_rng(settings.seed)
    x, y = (
        t.numpy() for t in make_blobs(settings.n, settings.d, centers=2, cluster_std=3.0, random_state=settings.seed)
    )
    x = (x - x.mean(0)) / x.std(0)
    newton = LogisticRegression("newton").fit(x, y)
    for solver, iterations, bound in (("gd", 20_000, 1e-6), ("lbfgs", 1000, 1e-6), ("sgd", 400, 0.05)):
        fitted = LogisticRegression(solver, max_iter=iterations).fit(x, y)
        gap = max(np.abs(fitted.coef_ - newton.coef_).max(), abs(fitted.intercept_ - newton.intercept_))
        report.check(f"coefficients by {solver} against newton", float(gap), at_most=bound)

    plain = LogisticRegression(C=math.inf, fit_intercept=False)
    least = min(np.linalg.eigvalsh(plain.hessian(3 * rng.standard_normal(settings.d), x)).min() for _ in range(100))
    report.check("smallest eigenvalue of the Hessian at 100 points", float(least), at_least=-1e-10)

    table = np.array([[30, 12], [9, 41]])  # rows: exposed or not; columns: case or not
    exposed, case = (np.repeat(v, table.ravel()) for v in ([1, 1, 0, 0], [1, 0, 1, 0]))
    fitted = LogisticRegression(C=math.inf).fit(exposed[:, None], case)
    odds = table[0, 0] * table[1, 1] / (table[0, 1] * table[1, 0])
    report.check(
        "exp(coefficient) over the odds ratio - 1", float(abs(np.exp(fitted.coef_[0]) / odds - 1)), at_most=1e-6
    )

    logits = tensor([1e4, -1e4, 1e4, -1e4], dtype=float64)
    losses = F.binary_cross_entropy_with_logits(logits, tensor([1.0, 0, 0, 1], dtype=float64), reduction="none")
    report.check("losses at logits of +-1e4", losses.tolist(), equals=[0.0, 0.0, 1e4, 1e4])
