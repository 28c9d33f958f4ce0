"""The perceptron makes no more mistakes than Novikoff's bound, and cannot learn XOR."""

from dataclasses import dataclass

import numpy as np

from pydl import optim, tensor
from pydl.data.synthetic import make_separable
from pydl.linear_model import Perceptron
from pydl.nn import functional as F
from pydl.recipes.recipe import Recipe, Report, setting

RECIPE = Recipe(
    name="perceptron-bound",
    ids=("C01",),
    title="Mistakes of the perceptron against the bound (R / margin)^2",
    source="Rosenblatt 1958; Novikoff 1962; Minsky & Papert 1969",
    time="t0",
)


@dataclass
class Settings:
    """What can be set on the command line."""

    n: int = setting(200, "points in a data set")
    margin: float = setting(0.2, "distance of the classes from the plane between them")
    seeds: int = setting(20, "data sets")
    seed: int = setting(0, "of the first data set")


def run(settings: Settings, report: Report) -> None:
    """Checks the bound on separable data, the failure on XOR, and that one step of SGD is one correction."""
    worst, errors = 0.0, 0.0
    for seed in range(settings.seed, settings.seed + settings.seeds):
        x, y = (t.numpy() for t in make_separable(settings.n, 2, margin=settings.margin, radius=1.0, random_state=seed))
        model = Perceptron(max_iter=10_000, random_state=seed).fit(x, y)
        radius = np.sqrt((np.hstack([x, np.ones((len(x), 1))]) ** 2).sum(1).max())  # the constant term is a coordinate
        worst = max(worst, model.mistakes_ / (radius / settings.margin) ** 2)
        errors = max(errors, 1 - model.score(x, y))
    report.check("most mistakes over the bound (R / margin)^2", worst, at_most=1.0)
    report.check("training error on separable data", errors, at_most=0.0)

    corners = np.array([[0.0, 0], [0, 1], [1, 0], [1, 1]])
    least = min(
        1 - Perceptron(50, random_state=s).fit(corners, [0, 1, 1, 0]).score(corners, [0, 1, 1, 0]) for s in range(20)
    )
    report.check("training error on XOR", least, at_least=0.25)
    report.check(
        "SGD steps on the perceptron loss that differ from the rule", _different_steps(settings.seed), at_most=0
    )


def _different_steps(seed: int) -> int:
    """How many of 100 single steps of SGD with rate 1 differ in a bit from the perceptron's correction."""
    rng, different = np.random.default_rng(seed), 0
    for _ in range(100):
        w, x, sign = rng.standard_normal(5), rng.standard_normal(5), rng.choice([-1.0, 1.0])
        leaf = tensor(w).requires_grad_()
        F.perceptron_loss((leaf * tensor(x)).sum().reshape(1), tensor([sign])).backward()
        optim.SGD([leaf], lr=1.0).step()
        expected = w + sign * x if sign * float((tensor(w) * tensor(x)).sum()) <= 0 else w
        different += not np.array_equal(leaf.detach().numpy(), expected)
    return different
