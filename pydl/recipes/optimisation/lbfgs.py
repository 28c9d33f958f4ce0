"""L-BFGS with strong Wolfe steps: a quadratic, Rosenbrock's valley, and logistic regression beside SciPy.

Measured: 21 and 43 evaluations; 2e-7 from SciPy's weights.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from pydl import optim, tensor
from pydl.nn import functional as F
from pydl.recipes.recipe import Recipe, Report, setting

RECIPE = Recipe(
    name="lbfgs",
    ids=("O22",),
    title="L-BFGS counts its evaluations, and finds SciPy's optimum",
    source="Liu & Nocedal 1989; Nocedal & Wright 2006, algorithms 3.5, 3.6 and 7.5",
    time="t0",
)


@dataclass
class Settings:
    """What can be set on the command line."""

    dimensions: int = setting(20, "of the quadratic", least=1)
    condition: float = setting(10.0, "of the quadratic", least=1)
    seed: int = setting(0, "of its axes and of the data")


def run(settings: Settings, report: Report) -> None:
    """Counts evaluations until each function is within a bound of its minimum."""
    s, rng = settings, np.random.default_rng(settings.seed)
    q, _ = np.linalg.qr(rng.standard_normal((s.dimensions, s.dimensions)))
    h, b = q @ np.diag(np.geomspace(1, s.condition, s.dimensions)) @ q.T, rng.standard_normal(s.dimensions)
    matrix, vector = tensor(h), tensor(b)
    goal = -0.5 * b @ np.linalg.solve(h, b) + 1e-10
    found = _evaluations(lambda x: 0.5 * (x @ (matrix @ x)) - vector @ x, [0.0] * s.dimensions, float(goal))
    report.check("evaluations to 1e-10 on the quadratic", found, at_most=40)
    found = _evaluations(lambda x: (1 - x[0]) ** 2 + 100 * (x[1] - x[0] ** 2) ** 2, (-1.2, 1.0), 1e-8)
    report.check("evaluations to 1e-8 on Rosenbrock's function", found, at_most=60)
    _beside_scipy(rng, report)


def _evaluations(loss: Callable[[Any], Any], start: Sequence[float], goal: float) -> int:
    """How often the loss is computed until it is below the goal."""
    x = tensor(np.array(start, float), requires_grad=True)
    optimizer = optim.LBFGS([x], max_iter=100, tolerance_grad=0, tolerance_change=0, line_search_fn="strong_wolfe")
    values: list[float] = []

    def closure() -> Any:
        optimizer.zero_grad()
        value = loss(x)
        value.backward()
        values.append(float(value))
        return value

    optimizer.step(closure)
    return next((i for i, value in enumerate(values, 1) if value < goal), len(values) + 1)


def _beside_scipy(rng: np.random.Generator, report: Report) -> None:
    """The weights of logistic regression by L-BFGS, and by SciPy's BFGS on the same closure."""
    x = rng.standard_normal((100, 6))
    data, target = tensor(x), tensor((x @ rng.standard_normal(6) + rng.standard_normal(100) > 0).astype(float))
    found = []
    for make in (
        lambda p: optim.LBFGS(
            p, max_iter=100, tolerance_grad=1e-10, tolerance_change=1e-14, line_search_fn="strong_wolfe"
        ),
        lambda p: optim.ScipyMinimizer(p, method="BFGS", tol=1e-10),
    ):
        w = tensor(np.zeros(6), requires_grad=True)
        optimizer = make([w])

        def closure(optimizer: Any = optimizer, w: Any = w) -> Any:
            optimizer.zero_grad()
            loss = F.binary_cross_entropy_with_logits(data @ w, target) + 0.01 * (w * w).sum()
            loss.backward()
            return loss

        try:
            optimizer.step(closure)
        except ImportError as error:
            report.say(f"not beside SciPy: {error}")
            return
        found.append(w.detach().numpy().copy())
    report.check("weights of logistic regression against SciPy's", np.abs(found[0] - found[1]).max(), at_most=1e-6)
