"""SGD with a constant step stalls at a floor as high as its step; with steps c / t it goes on."""

from dataclasses import dataclass

import numpy as np

from pydl import optim, tensor
from pydl.recipes.recipe import Recipe, Report, setting

RECIPE = Recipe(
    name="sgd-noise",
    ids=("O02",),
    title="The noise floor of SGD, and its rate with falling steps",
    source="Robbins & Monro 1951; Bottou, Curtis & Nocedal 2018 (arXiv:1606.04838), theorems 4.6 and 4.7",
    time="t1",
)


@dataclass
class Settings:
    """What can be set on the command line."""

    runs: int = setting(256, "runs side by side in the mean")
    steps: int = setting(4000, "steps of each")
    seed: int = setting(0, "of the samples")


def run(settings: Settings, report: Report) -> None:
    """Fits both slopes on least squares, where E x x^T is known."""
    rates = [0.02, 0.01, 0.005, 0.0025]
    floors = [_errors(lambda t, r=r: r, settings)[-settings.steps // 4 :].mean() for r in rates]
    slope = float(np.polyfit(np.log(rates), np.log(floors), 1)[0])
    report.check("slope of log floor over log step size", slope, at_least=0.8, at_most=1.2)
    errors = _errors(lambda t: 4.0 / (t + 20), settings)
    at = np.geomspace(settings.steps // 20, settings.steps - 1, 20).astype(int)
    slope = float(np.polyfit(np.log(at), np.log(errors[at]), 1)[0])
    report.check("slope of log error over log t with steps c / t", slope, at_least=-1.2, at_most=-0.8)


def _errors(rate: object, settings: Settings) -> np.ndarray:
    """(steps,): the mean over the runs of |theta - theta*|^2, theta* = 0, on y = noise, x ~ N(0, diag(1, 0.5))."""
    rng = np.random.default_rng(settings.seed)
    scale = np.sqrt([1.0, 0.5])
    theta = tensor(np.ones((settings.runs, 2))).requires_grad_()
    descent, errors = optim.SGD([theta], lr=1.0), []
    for t in range(settings.steps):
        descent.param_groups[0]["lr"] = rate(t)  # type: ignore[operator]
        x = tensor(rng.standard_normal((settings.runs, 2)) * scale)
        y = tensor(rng.standard_normal(settings.runs))
        descent.zero_grad()
        ((((x * theta).sum(1) - y) ** 2).sum() * 0.5).backward()
        descent.step()
        errors.append(float((theta.detach().numpy() ** 2).sum(1).mean()))
    return np.array(errors)
