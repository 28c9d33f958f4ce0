"""Residual networks whose branches are dropped in training: how deep they are, and what they give on average.

Branch l of L survives with probability 1 - l / (2 L): (3 L - 1) / 4 branches on average.
"""

from dataclasses import dataclass

import numpy as np

from pydl import float64, nn, no_grad, ones, randn
from pydl.models import CifarResNet
from pydl.nn import drop_branches
from pydl.recipes.recipe import Recipe, Report, setting
from pydl.tensor import Tensor

RECIPE = Recipe(
    name="stochastic-depth",
    ids=("C24",),
    title="Stochastic depth: its mean depth, and its mean",
    source="Huang et al. 2016 (arXiv:1603.09382), section 3",
    time="t0",
)


@dataclass
class Settings:
    """What can be set on the command line."""

    branches: int = setting(54, "residual branches, as in a network of 110 layers", least=2)
    draws: int = setting(2000, "examples, each of a depth of its own", least=100)
    seed: int = setting(0, "of all draws")


def run(settings: Settings, report: Report) -> None:
    """Counts surviving branches; compares evaluation with the mean over training; looks at the rates of a network."""
    s = settings
    count = _Count(s.branches)
    drop_branches(count.steps, 0.5, rule="linear")
    with no_grad():
        depth = float(count(ones(s.draws, 1)).mean())  # what is kept counts 1 / its probability
        alive = 0.0
        for k in range(1, s.branches + 1):
            alive += float((nn.StochasticDepth(0.5 * k / s.branches)(ones(s.draws, 1)) > 0).float().mean())
    wanted = (3 * s.branches - 1) / 4
    report.say(f"{alive:.2f} of {s.branches} branches survive on average, expected {wanted}")
    report.check("surviving branches over (3 L - 1) / 4", alive / wanted, at_least=0.99, at_most=1.01)
    report.check("weighed by 1 / probability, over L", depth / s.branches, at_least=0.99, at_most=1.01)
    for scaling in ("inverted", "original"):
        report.check(f"evaluation against the mean, {scaling}, standard errors", _mean_gap(scaling, s), at_most=4.5)
    model = CifarResNet(20, drop_path=0.5, width_mult=0.25)
    rates = [m.p for m in model.modules() if isinstance(m, nn.StochasticDepth)]
    report.check("rates of a network of 20 layers", bool(np.allclose(rates, np.arange(1, 10) / 18)), equals=True)


class _Count(nn.Module):
    """x + the sum of branches that give 1."""

    def __init__(self, branches: int) -> None:
        super().__init__()
        self.steps = nn.ModuleList(nn.Identity() for _ in range(branches))

    def forward(self, x: Tensor) -> Tensor:
        """(n, 1) of ones -> (n, 1): how many branches there were."""
        return sum((step(x) for step in self.steps), x * 0)


def _mean_gap(scaling: str, s: Settings) -> float:
    """Three linear residual blocks, without activations: evaluation against the mean over draws of depths."""
    drops = [nn.StochasticDepth(0.5 * k / 3, scaling=scaling) for k in (1, 2, 3)]
    linear = [nn.Linear(4, 4, bias=False, dtype=float64) for _ in drops]
    x = randn(1, 4, dtype=float64)

    def forward(y: Tensor) -> Tensor:
        for layer, drop in zip(linear, drops, strict=True):
            y = y + drop(layer(y))
        return y

    with no_grad():
        drawn = forward(x.expand(10 * s.draws, 4)).numpy()
        for drop in drops:
            drop.eval()
        exact = forward(x).numpy()[0]
    error = drawn.std(0) / np.sqrt(len(drawn))
    return float((np.abs(drawn.mean(0) - exact) / error).max())
