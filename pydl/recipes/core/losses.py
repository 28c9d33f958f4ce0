"""The margin losses bound the 0-1 loss from above; the gradient of cross entropy is p - y."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from pydl import autograd, float64, randint, randn, tensor, zeros
from pydl.nn import functional as F
from pydl.recipes.recipe import Recipe, Report, setting
from pydl.tensor import Tensor

if TYPE_CHECKING:
    from matplotlib.figure import Figure

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

    classes: int = setting(7, "classes of the cross entropy", least=1)
    seed: int = setting(0, "of the scores")


def run(settings: Settings, report: Report) -> None:
    """Checks the gradients, the bounds on a grid of margins, and the loss of knowing nothing."""
    k = settings.classes
    scores, target = randn(20, k, dtype=float64, requires_grad=True), randint(k, (20,))
    (g,) = autograd.grad(F.cross_entropy(scores, target, reduction="sum"), scores)
    expected = F.softmax(scores.detach(), 1) - F.one_hot(target, k).to(float64)
    assert g is not None
    report.check("gradient of cross entropy against p - y", (g - expected).abs().max(), at_most=1e-12)
    nothing = F.cross_entropy(zeros(5, k, dtype=float64), target[:5]).item()
    report.check("loss of equal scores against log K", abs(nothing - math.log(k)), at_most=1e-12)

    right, wanted = _right_gradients(scores, target, settings.seed)
    report.check("losses and reductions with right first and second gradients", right, equals=wanted)

    margins = np.linspace(-4, 4, 1601)
    scores, ones = tensor(margins), tensor(np.ones(1601))
    mistakes = F.zero_one_loss(scores, ones, reduction="none")
    report.check("0-1 loss is 1 just where y s <= 0", mistakes.tolist() == (margins <= 0).tolist(), equals=True)
    bounds = {
        "hinge": F.hinge_loss(scores, ones, reduction="none"),
        "logistic, base 2": F.logistic_loss(scores, ones, base=2.0, reduction="none"),
        "exponential": F.exp_loss(scores, ones, reduction="none"),
    }
    for name, values in bounds.items():
        report.check(f"least of {name} minus 0-1", (values - mistakes).min(), at_least=0.0)

    def draw(figure: "Figure") -> None:
        axes = figure.subplots()
        for name, values in {"0-1": mistakes, **bounds}.items():
            axes.plot(margins, values.numpy(), label=name)
        axes.set(xlabel="margin y s", ylabel="loss", ylim=(0, 5))
        axes.legend()

    report.figure("losses", draw)


def _right_gradients(scores: Tensor, target: Tensor, seed: int) -> tuple[int, int]:
    """How many of the losses under all reductions pass both gradient checks, and how many there are.

    The margins keep away from 0 and 1, where hinge and perceptron loss have kinks.
    """
    rng = np.random.default_rng(seed)
    sign = np.where(np.arange(30) % 2, 1.0, -1.0)
    z, t = tensor(sign * rng.uniform(0.1, 0.9, 30) * rng.choice([-1, 1], 30), requires_grad=True), tensor(sign)
    surrogates = (F.mse_loss, F.hinge_loss, F.perceptron_loss, F.logistic_loss, F.exp_loss)
    cases = [(f, z, t) for f in surrogates] + [(F.cross_entropy, scores, target)]
    right = 0
    for loss, x, y in cases:
        for reduction in ("mean", "sum", "none"):
            f = partial(_swapped, loss, y, reduction)
            right += autograd.gradcheck(f, (x,), rtol=1e-6, atol=1e-9) + autograd.gradgradcheck(f, (x,))
    return right, 6 * len(cases)


def _swapped(loss: Callable[..., Tensor], target: Tensor, reduction: str, x: Tensor) -> Tensor:
    return loss(x, target, reduction=reduction)
