"""All optimizers on a ravine, Beale's and Rosenbrock's functions and a saddle.

Measured: momentum takes 95 steps where plain descent takes 691; the saddle is left by Adagrad after 4 steps, by RMSprop
after 6, Adadelta 21, momentum 140 and plain descent 698.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from pydl import optim
from pydl.recipes.recipe import Recipe, Report, setting
from pydl.tensor import Tensor
from pydl.theory import LANDSCAPES, descent_path

if TYPE_CHECKING:
    from matplotlib.figure import Figure

RECIPE = Recipe(
    name="optimizer-race",
    ids=("O19",),
    title="All optimizers on a ravine, in valleys and on a saddle",
    source="Ruder 2016 (arXiv:1609.04747), section 4.10; Radford's pictures of descent",
    time="t0",
)

Maker = Callable[[list[Tensor]], Any]
RACERS: dict[str, Maker] = {
    "SGD": lambda p: optim.SGD(p, lr=0.01),
    "momentum": lambda p: optim.SGD(p, lr=0.01, momentum=0.9),
    "Nesterov": lambda p: optim.SGD(p, lr=0.01, momentum=0.9, nesterov=True),
    "Adagrad": lambda p: optim.Adagrad(p, lr=0.3),
    "Adadelta": lambda p: optim.Adadelta(p, eps=1e-4),
    "RMSprop": lambda p: optim.RMSprop(p, lr=0.02),
    "Adam": lambda p: optim.Adam(p, lr=0.05),
    "AMSGrad": lambda p: optim.Adam(p, lr=0.05, amsgrad=True),
    "Adamax": lambda p: optim.Adamax(p, lr=0.05),
    "NAdam": lambda p: optim.NAdam(p, lr=0.05),
    "Lion": lambda p: optim.Lion(p, lr=0.02),
}


@dataclass
class Settings:
    """What can be set on the command line."""

    condition: float = setting(100.0, "of the ravine", least=2)
    steps: int = setting(150, "of each optimizer on each function", least=10)


def run(settings: Settings, report: Report) -> None:
    """Counts the steps on the ravine at the best rates, and to leave the saddle."""
    kappa, root = settings.condition, np.sqrt(settings.condition)
    tuned: dict[str, Maker] = {
        "SGD": lambda p: optim.SGD(p, lr=2 / (1 + kappa)),
        "momentum": lambda p: optim.SGD(p, lr=4 / (1 + root) ** 2, momentum=((root - 1) / (root + 1)) ** 2),
    }
    needed = {}
    for name, make in tuned.items():
        path = descent_path(lambda x: 0.5 * (x[0] ** 2 + kappa * x[1] ** 2), make, (1.0, 1.0), int(8 * kappa))
        needed[name] = int(np.argmax(np.abs(path).max(1) < 1e-6))
        report.say(f"{name} on the ravine: {needed[name]} steps")
    report.check("steps of momentum over those of SGD", needed["momentum"] / needed["SGD"], at_most=1 / 3)

    left = {}
    for name, make in RACERS.items():
        path = descent_path(lambda x: x[0] ** 2 - x[1] ** 2, make, (1.0, 1e-6), 800)
        out = np.abs(path[:, 1]) > 1
        left[name] = int(np.argmax(out)) if out.any() else len(path)
        report.say(f"{name} leaves the saddle after {left[name]} steps")
    adaptive = max(left[name] for name in ("Adagrad", "RMSprop", "Adadelta"))
    report.check("adaptive steps leave before momentum", adaptive < left["momentum"], equals=True)
    report.check("plain descent leaves last", left["SGD"] == max(left.values()), equals=True)
    report.figure("optimizer-race", lambda figure: _draw(figure, settings.steps))


def _draw(figure: "Figure", steps: int) -> None:
    """The paths of all racers on the level lines of each landscape."""
    figure.set_size_inches(11, 8)
    for axes, (name, (function, start, box)) in zip(figure.subplots(2, 2).flat, LANDSCAPES.items(), strict=True):
        x, y = np.meshgrid(np.linspace(*box[0], 120), np.linspace(*box[1], 120))
        heights = function((x, y))
        low = heights.min()
        axes.contour(x, y, np.log1p(heights - low), 25, colors="lightgrey", linewidths=0.6)
        for racer, make in RACERS.items():
            path = descent_path(function, make, start, steps)
            inside = np.isfinite(path).all(1) & (np.abs(path) < 1e3).all(1)
            axes.plot(*path[inside].T, label=racer, linewidth=1)
        axes.set(title=name, xlim=box[0], ylim=box[1])
    figure.axes[0].legend(fontsize=6)
