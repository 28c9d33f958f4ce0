"""What convolutional and linear layers cost, and two rules for the number of filters.

The lecture's digit network takes 78400 + 60000 multiply-adds in its convolutions, of 704 weights, and 20480 in its
linear layers, of 20480. Its maps shrink faster than their number grows: both rules are broken.
"""

from dataclasses import dataclass

import numpy as np

from pydl import nn
from pydl.models import LeNet
from pydl.recipes.recipe import Recipe, Report, setting
from pydl.vision import broken_rules, flops, layer_costs, suggest_filters

RECIPE = Recipe(
    name="conv-cost",
    ids=("V07",),
    title="The cost of convolutional and linear layers",
    source="LISA lab 2015, deeplearning.net tutorial: Convolutional neural networks (LeNet), section Tips and tricks",
    time="t0",
)


@dataclass
class Settings:
    """What can be set on the command line."""

    networks: int = setting(20, "random layers whose products are counted", least=1)
    seed: int = setting(0, "of their sizes")


def run(settings: Settings, report: Report) -> None:
    """Counts products one by one in small layers; then looks at the lecture's network."""
    rng, right = np.random.default_rng(settings.seed), 0
    for _ in range(settings.networks):
        c, k, m, n, kernel = (int(v) for v in rng.integers(1, (4, 4, 9, 9, 4)))
        m, n = m + kernel, n + kernel
        found = layer_costs(nn.Sequential(nn.Conv2d(c, k, kernel)), (c, m, n))[0].multiply_adds
        formula = (m - kernel + 1) * (n - kernel + 1) * kernel * kernel * c * k
        right += found == formula == counted(c, k, m, n, kernel)
    report.check("layers counted as the formula says", right, equals=settings.networks)
    costs = layer_costs(LeNet(), (1, 32, 32))
    for cost in costs:
        shape = "x".join(map(str, cost.shape))
        report.say(f"{cost.name:14}{cost.kind:11}{shape:9}{cost.multiply_adds:7} products {cost.parameters:6} weights")
    convolutions = [cost.multiply_adds for cost in costs if cost.kind == "Conv2d"]
    linear = [cost.multiply_adds for cost in costs if cost.kind == "Linear"]
    report.check("products of the lecture's convolutions", convolutions, equals=[28 * 28 * 25 * 4, 100 * 25 * 4 * 6])
    report.check("products of its linear layers", linear, equals=[150 * 128, 128 * 10])
    report.check("floating-point operations of a forward pass", flops(LeNet(), (1, 32, 32)), equals=2 * 158880)
    lines = broken_rules(costs)
    for line in lines:
        report.say(line)
    report.check("rules that it breaks", len(lines), equals=2)
    wider = suggest_filters(4, [28 * 28, 10 * 10])
    report.check("filters that keep the work even", wider, equals=[4, 31])
    better = nn.Sequential(nn.Conv2d(1, 4, 5), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(4, 32, 5))
    report.check("rules broken with 32 filters", len(broken_rules(layer_costs(better, (1, 32, 32)))), equals=0)


def counted(c: int, k: int, m: int, n: int, kernel: int) -> int:
    """The products of a convolution done in loops."""
    products = 0
    for _ in range(k):
        for _i in range(m - kernel + 1):
            for _j in range(n - kernel + 1):
                for _c in range(c):
                    products += kernel * kernel
    return products
