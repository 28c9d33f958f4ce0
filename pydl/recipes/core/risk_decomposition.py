"""The excess risk, cut into approximation, generalization and optimization error.

The task's distribution is a finite population, so the best possible function and all risks are known. Measured: the
generalization error falls with slope -1.14, by the theory -1.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from pydl.recipes.recipe import Recipe, Report, setting
from pydl.theory import FeatureClass, TeacherTask, error_decomposition

if TYPE_CHECKING:
    from matplotlib.figure import Figure

RECIPE = Recipe(
    name="risk-decomposition",
    ids=("C10",),
    title="What width, data and training time each do to the risk",
    source="Bottou & Bousquet 2008, The tradeoffs of large scale learning",
    time="t1",
)


@dataclass
class Settings:
    """What can be set on the command line."""

    width: int = setting(20, "features of the class", least=1)
    samples: int = setting(20, "data sets in a mean", least=1)
    seed: int = setting(0, "of the first data set")


def run(settings: Settings, report: Report) -> None:
    """Checks that the parts add up, and that each shrinks with its own cure."""
    task, model = TeacherTask(), FeatureClass(settings.width)
    seeds = range(settings.seed, settings.seed + settings.samples)
    one = error_decomposition(model, task, 500, steps=200)
    total = one.approximation + one.generalization + one.optimization
    report.check("sum of the parts against the excess risk", abs(total - one.excess), at_most=1e-6)
    least = min(one.approximation, one.generalization)
    report.check("least of approximation and generalization error", least, at_least=0.0)

    widths = [error_decomposition(FeatureClass(m), task, 500, 0).approximation for m in (5, 20, 80)]
    report.check("approximation error of 5 over 20 features", widths[0] / widths[1], at_least=1.5)
    report.check("approximation error of 20 over 80 features", widths[1] / widths[2], at_least=1.5)

    sizes = [100, 200, 400, 800, 1600, 3200]
    gaps = [np.mean([error_decomposition(model, task, n, 0, s).generalization for s in seeds]) for n in sizes]
    slope = np.polyfit(np.log(sizes), np.log(gaps), 1)[0]
    report.check("slope of log generalization error over log n", slope, at_least=-1.3, at_most=-0.7)

    left = [abs(error_decomposition(model, task, 3200, t).optimization) for t in (10, 100, 1000)]
    report.check("optimization error after 10 over 100 steps", left[0] / left[1], at_least=1.5)
    report.check("optimization error after 100 over 1000 steps", left[1] / left[2], at_least=1.5)

    def draw(figure: "Figure") -> None:
        axes = figure.subplots()
        axes.loglog(sizes, gaps, "o-", label="measured")
        axes.loglog(sizes, [gaps[0] * sizes[0] / n for n in sizes], "--", label="1 / n")
        axes.set(xlabel="samples", ylabel="generalization error")
        axes.legend()

    report.figure("generalization", draw)
