"""How fast descent and the heavy ball go on a quadratic, by its condition number.

Measured: the logarithms of the rates within 0.2 % of the formulas, slopes of the steps 1.001 and 0.508.
"""

from dataclasses import dataclass

import numpy as np

from pydl import optim
from pydl.recipes.recipe import Recipe, Report, setting
from pydl.tensor import Tensor
from pydl.theory import descent_path, quadratic_rates

RECIPE = Recipe(
    name="condition-number",
    ids=("O06",),
    title="The rates (k - 1) / (k + 1) and (sqrt k - 1) / (sqrt k + 1)",
    source="Polyak 1964; Nesterov 2004, theorem 2.1.15",
    time="t0",
)


@dataclass
class Settings:
    """What can be set on the command line."""

    conditions: tuple[float, ...] = setting((10.0, 100.0, 1000.0), "largest over smallest curvature", least=2)


def run(settings: Settings, report: Report) -> None:
    """Fits the rates, and the growth of the number of steps."""
    needed: list[tuple[float, float]] = []
    for kappa in settings.conditions:
        rates = quadratic_rates(kappa)
        made = [_fitted(kappa, momentum, rate) for momentum, rate in ((False, rates[0]), (True, rates[1]))]
        for kind, got, rate in zip(("descent", "heavy ball"), made, rates, strict=True):
            gap = abs(np.log(got) / np.log(rate) - 1)
            report.check(f"{kind} at {kappa:g}: log of the rate over its formula, minus 1", gap, at_most=0.01)
        needed.append((np.log(1e-8) / np.log(made[0]), np.log(1e-8) / np.log(made[1])))
    for kind, want, steps in zip(("descent", "heavy ball"), (1.0, 0.5), np.array(needed).T, strict=True):
        slope = np.polyfit(np.log(settings.conditions), np.log(steps), 1)[0]
        report.check(f"{kind}: slope of log steps to 1e-8", slope, at_least=want - 0.05, at_most=want + 0.05)


def _fitted(kappa: float, momentum: bool, rate: float) -> float:
    """The factor per step that the error falls by, late on the way."""
    root = kappa**0.5

    def make(p: list[Tensor]) -> optim.SGD:
        if not momentum:
            return optim.SGD(p, lr=2 / (1 + kappa))
        return optim.SGD(p, lr=4 / (1 + root) ** 2, momentum=((root - 1) / (root + 1)) ** 2)

    steps = int(np.ceil(np.log(1e-12) / np.log(rate)))
    path = descent_path(lambda x: 0.5 * (x[0] ** 2 + kappa * x[1] ** 2), make, (1.0, 1.0), steps)
    late = np.arange(steps // 3, steps)
    # the best heavy ball has a double root: its error is the power times t
    sizes = np.linalg.norm(path[late], axis=1) / (late if momentum else 1)
    return float(np.exp(np.polyfit(late, np.log(sizes), 1)[0]))
