"""Learning-rate schedules: their formulas, and which of them stochastic approximation allows.

Measured: all values within 1e-15 of the formulas.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pydl import optim, zeros
from pydl.optim import lr_scheduler
from pydl.recipes.recipe import Recipe, Report, setting

if TYPE_CHECKING:
    from matplotlib.figure import Figure

RECIPE = Recipe(
    name="schedules",
    ids=("O18",),
    title="Schedules by their formulas, and the conditions of Robbins and Monro",
    source="Robbins & Monro 1951; Vaswani et al. 2017 (arXiv:1706.03762), equation 3; Loshchilov & Hutter 2017",
    time="t0",
)

Made = Callable[[Any], lr_scheduler.LRScheduler]


@dataclass
class Settings:
    """What can be set on the command line."""

    lr: float = setting(0.1, "the first rate")
    steps: int = setting(100, "of each schedule", least=20)


def run(settings: Settings, report: Report) -> None:
    """Compares the rates with their formulas; asks for sum = infinity and sum of squares < infinity."""
    lr, n = settings.lr, settings.steps
    made: dict[str, tuple[Made, Callable[[int], float]]] = {
        "constant": (lambda o: lr_scheduler.LambdaLR(o, lambda t: 1.0), lambda t: lr),
        "1 / t": (lambda o: lr_scheduler.InverseTimeLR(o), lambda t: lr / (1 + t)),
        "1 / sqrt t": (lambda o: lr_scheduler.LambdaLR(o, lambda t: (1 + t) ** -0.5), lambda t: lr / math.sqrt(1 + t)),
        "step": (lambda o: lr_scheduler.StepLR(o, 30, 0.5), lambda t: lr * 0.5 ** (t // 30)),
        "exponential": (lambda o: lr_scheduler.ExponentialLR(o, 0.95), lambda t: lr * 0.95**t),
        "cosine": (
            lambda o: lr_scheduler.CosineAnnealingLR(o, n), lambda t: lr * (1 + math.cos(math.pi * t / n)) / 2
        ),
    }  # fmt: skip
    curves = {}
    for name, (make, formula) in made.items():
        curves[name] = _rates(make, lr, n)
        gap = max(abs(rate - formula(t)) for t, rate in enumerate(curves[name]))
        report.check(f"{name}: against its formula", gap, at_most=1e-12)
    table = {
        "constant": (lambda t: lr, (True, False)),
        "1 / t": (lambda t: lr / (1 + t), (True, True)),
        "t^-3/4": (lambda t: lr * t**-0.75, (True, True)),
        "1 / sqrt t": (lambda t: lr / math.sqrt(t), (True, False)),
        "t^-3/2": (lambda t: lr * t**-1.5, (False, True)),
        "0.9^t": (lambda t: lr * 0.9 ** min(t, 10**5), (False, True)),
    }
    for name, (rate, want) in table.items():
        found = lr_scheduler.robbins_monro(rate)
        got = found.reaches, found.settles
        report.check(f"{name}: sum is infinite, sum of squares is not", got, equals=want)
    report.figure("schedules", lambda figure: _draw(figure, curves))


def _rates(make: Made, lr: float, steps: int) -> list[float]:
    descent = optim.SGD([zeros(1, requires_grad=True)], lr=lr)
    schedule, rates = make(descent), []
    for _ in range(steps):
        rates.append(float(descent.param_groups[0]["lr"]))
        descent.step()
        schedule.step()
    return rates


def _draw(figure: "Figure", curves: dict[str, list[float]]) -> None:
    axes = figure.subplots()
    for name, rates in curves.items():
        axes.plot(rates, label=name)
    axes.set(xlabel="step", ylabel="learning rate")
    axes.legend()
