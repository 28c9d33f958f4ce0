"""A hidden layer solves what the perceptron cannot."""

import math
from dataclasses import dataclass

from pydl import float64, manual_seed, nn, no_grad, optim, randn, tensor
from pydl.models import MLP
from pydl.recipes.recipe import Recipe, Report, setting
from pydl.tensor import Tensor

RECIPE = Recipe(
    name="mlp-xor",
    ids=("C05",),
    title="XOR by a 2-4-1 network of tanh units, from many starts",
    source="Rumelhart, Hinton & Williams 1986",
    time="t0",
)


@dataclass
class Settings:
    """What can be set on the command line."""

    hidden: int = setting(4, "hidden units")
    steps: int = setting(500, "steps of Adam")
    lr: float = setting(0.05, "step size")
    seeds: int = setting(20, "starts")
    seed: int = setting(0, "of the first start")


def run(settings: Settings, report: Report) -> None:
    """Counts the starts that end with all four corners right, and compares the forward pass with loops."""
    x, y = tensor([[0.0, 0], [0, 1], [1, 0], [1, 1]]), tensor([0.0, 1, 1, 0])
    solved = 0
    for seed in range(settings.seed, settings.seed + settings.seeds):
        manual_seed(seed)
        model = MLP([2, settings.hidden, 1], activation="tanh")
        optimizer = optim.Adam(model.parameters(), lr=settings.lr)
        for _ in range(settings.steps):
            optimizer.zero_grad()
            nn.functional.binary_cross_entropy_with_logits(model(x).squeeze(1), y).backward()
            optimizer.step()
        with no_grad():
            solved += bool(((model(x).squeeze(1) > 0) == (y > 0.5)).all())
    report.check(f"starts of {settings.seeds} that solve XOR", solved, at_least=0.95 * settings.seeds)

    model = MLP([5, 7, 3], activation="tanh").double()
    batch = randn(6, 5, dtype=float64)
    with no_grad():
        together = model(batch)
        alone = max(float((model(batch[i : i + 1]) - together[i]).abs().max()) for i in range(6))
        by_hand = max(float((_loops(model, batch[i]) - together[i]).abs().max()) for i in range(6))
    report.check("batch against one example at a time", alone, at_most=1e-12)
    report.check("batch against loops over units", by_hand, at_most=1e-12)


def _loops(model: MLP, x: Tensor) -> Tensor:
    """The forward pass unit by unit, weight by weight."""
    a = x.tolist()
    layers = [m for m in model.modules() if isinstance(m, nn.Linear)]
    for k, layer in enumerate(layers):
        assert layer.bias is not None
        rows, bias = layer.weight.tolist(), layer.bias.tolist()
        z = [sum(w * v for w, v in zip(row, a, strict=True)) + b for row, b in zip(rows, bias, strict=True)]
        a = z if k == len(layers) - 1 else [math.tanh(v) for v in z]
    return tensor(a, dtype=float64)
