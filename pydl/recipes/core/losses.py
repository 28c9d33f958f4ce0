"""The margin losses bound the 0-1 loss from above; the gradient of cross entropy is p - y."""

import math
from dataclasses import dataclass

import numpy as np

from pydl import autograd, float64, randint, randn, tensor, zeros
from pydl.nn import functional as F
from pydl.recipes.recipe import Recipe, Report, setting

RECIPE = Recipe(
    name="losses",
    ids=("C09",),
    title="Squared, logistic, cross-entropy, hinge, perceptron, exponential and 0-1 loss",
    source="Bartlett, Jordan & McAuliffe 2006, Convexity, classification, and risk bounds",
    time="t0",
)


@dataclass
class Settings:
    """What can be set on the command line."""

    classes: int = setting(7, "classes of the cross entropy")
    seed: int = setting(0, "of the scores")


def run(settings: Settings, report: Report) -> None:
    """Checks the gradients, the bounds on a grid of margins, and the loss of knowing nothing."""
    k = settings.classes
    scores, target = randn(20, k, dtype=float64, requires_grad=True), randint(k, (20,))
    (g,) = autograd.grad(F.cross_entropy(scores, target, reduction="sum"), scores)
    expected = F.softmax(scores.detach(), 1) - F.one_hot(target, k).to(float64)
    assert g is not None
    report.check("gradient of cross entropy against p - y", float((g - expected).abs().max()), at_most=1e-12)
    nothing = F.cross_entropy(zeros(5, k, dtype=float64), target[:5]).item()
    report.check("loss of equal scores against log K", abs(nothing - math.log(k)), at_most=1e-12)

    margins = tensor(np.linspace(-4, 4, 1601))
    ones = margins * 0 + 1
    mistakes = F.zero_one(margins, ones, reduction="none")
    bounds = {
        "hinge": F.hinge_loss(margins, ones, reduction="none"),
        "logistic, base 2": F.logistic_loss(margins, ones, base=2.0, reduction="none"),
        "exponential": F.exp_loss(margins, ones, reduction="none"),
    }
    for name, values in bounds.items():
        report.check(f"least of {name} minus 0-1", float((values - mistakes).min()), at_least=-1e-12)

    z = tensor(np.random.default_rng(settings.seed).uniform(0.2, 0.8, 30)).requires_grad_()
    sign = tensor(np.where(np.arange(30) % 2, 1.0, -1.0))
    smooth = {"mse": lambda v: F.mse_loss(v, sign), "logistic": lambda v: F.logistic_loss(v, sign),
              "hinge": lambda v: F.hinge_loss(v, sign), "perceptron": lambda v: F.perceptron_loss(v, sign),
              "exponential": lambda v: F.exp_loss(v, sign)}  # fmt: skip
    right = sum(autograd.gradcheck(f, (z,), rtol=1e-6, atol=1e-9, raise_exception=False) for f in smooth.values())
    report.check("losses with right gradients", right, equals=len(smooth))
