"""The perceptron makes no more mistakes than Novikoff's bound, and cannot learn XOR.

Measured over 20 data sets: at most 0.16 of the bound.
"""

from dataclasses import dataclass

import numpy as np

from pydl import cat, nn, optim, tensor
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

    n: int = setting(200, "points in a data set", least=2)
    margin: float = setting(0.2, "distance of the classes from the plane between them", least=1e-3, most=0.99)
    seeds: int = setting(20, "data sets", least=1)
    seed: int = setting(0, "of the first data set")


def run(settings: Settings, report: Report) -> None:
    """Checks the bound on separable data, the failure on XOR, and that a step of SGD is a correction."""
    worst, errors = 0.0, 0.0
    for seed in range(settings.seed, settings.seed + settings.seeds):
        x, y = make_separable(settings.n, 2, margin=settings.margin, random_state=seed, as_tensor=False)
        model = Perceptron(max_iter=10_000, random_state=seed).fit(x, y)
        radius = np.sqrt((x**2).sum(1).max() + 1)  # the constant term's 1 is a coordinate
        worst = max(worst, model.mistakes_ / (radius / settings.margin) ** 2)
        errors = max(errors, 1 - model.score(x, y))
    report.check("most mistakes over the bound (R / margin)^2", worst, at_most=1.0)
    report.check("training error on separable data", errors, at_most=0.0)

    corners, xor = np.array([[0.0, 0], [0, 1], [1, 0], [1, 1]]), [0, 1, 1, 0]
    models = [Perceptron(passes, random_state=s).fit(corners, xor) for s in range(20) for passes in range(1, 31)]
    report.check(
        "least error on XOR after 1 to 30 passes", min(1 - m.score(corners, xor) for m in models), at_least=0.25
    )
    report.check("steps of SGD that differ from a correction", _different_steps(settings.seed), equals=0)


def _different_steps(seed: int, trials: int = 100) -> int:
    """In how many trials SGD on max(0, -y (w x + b)), with rate 1 and one pass over 2 examples, differs in a bit."""
    rng, different = np.random.default_rng(seed), 0
    for _ in range(trials):
        w, b, x, y = rng.standard_normal(5), rng.standard_normal(1), rng.standard_normal((2, 5)), np.array([-1.0, 1.0])
        rule = Perceptron(max_iter=1, shuffle=False).fit(x, y, coef_init=w, intercept_init=b[0])
        weight, bias = nn.Parameter(tensor(w)), nn.Parameter(tensor(b))
        sgd = optim.SGD([weight, bias], lr=1.0)
        for row, sign in zip(tensor(x), tensor(y).unsqueeze(1), strict=True):
            sgd.zero_grad()
            F.perceptron_loss(row @ weight + bias, sign).backward()
            sgd.step()
        expected = np.append(rule.coef_, rule.intercept_)
        different += not np.array_equal(cat([weight, bias]).detach().numpy(), expected)
    return different
