"""Batch, mini-batch and stochastic descent on the same data: the paths, and the loss by passes and by seconds."""

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from pydl import no_grad, optim, tensor
from pydl.data import DataLoader, TensorDataset
from pydl.nn import functional as F
from pydl.recipes.recipe import Recipe, Report, setting
from pydl.tensor import Tensor

if TYPE_CHECKING:
    from matplotlib.figure import Figure

RECIPE = Recipe(
    name="descent-kinds",
    ids=("O01", "O02", "O03"),
    title="Batch, mini-batch and stochastic descent: paths, passes and time",
    source="Ruder 2016 (arXiv:1609.04747), section 2; Bottou, Curtis & Nocedal 2018 (arXiv:1606.04838)",
    time="t0",
)

Floats = npt.NDArray[np.float64]


@dataclass
class Settings:
    """What can be set on the command line."""

    examples: int = setting(256, "of logistic regression in two features", least=64)
    batch: int = setting(32, "examples of a mini-batch", least=2)
    epochs: int = setting(12, "passes over the data", least=2)
    lr: float = setting(0.4, "step size of all three")
    seed: int = setting(0, "of data and order")


@dataclass
class Walk:
    """What one kind of descent did: its weights after each step, the losses after each pass, the seconds it took."""

    path: Floats
    losses: list[float]
    seconds: float


def run(settings: Settings, report: Report) -> None:
    """Takes the same step size with all three: more steps in a pass fall faster, and wobble more."""
    s, rng = settings, np.random.default_rng(settings.seed)
    x = rng.standard_normal((s.examples, 2)) * [1.0, 0.5]
    y = (rng.random(s.examples) < 1 / (1 + np.exp(-x @ [2.0, -1.0]))).astype(float)
    data = tensor(x), tensor(y)
    walks = {name: _walk(data, b, s) for name, b in _sizes(s).items()}
    best = min(_loss(tensor(w), data) for w in _newton(x, y))
    report.say("descent by     steps a pass   loss - best after 1 pass   after all   wobble   ms a pass")
    table = {name: _row(walk, best, s) for name, walk in walks.items()}
    for name, (steps, first, last, wobble, ms) in table.items():
        report.say(f"{name:14} {steps:12} {first:26.3g} {last:11.3g} {wobble:8.3g} {ms:11.3g}")
    counts = [-(-s.examples // b) for b in _sizes(s).values()]
    report.check("steps in a pass", [row[0] for row in table.values()], equals=counts)
    gaps = [row[1] for row in table.values()]
    report.check("mini-batch over batch: loss above the best after one pass", gaps[1] / gaps[0], at_most=0.5)
    shakes = [row[3] for row in table.values()]
    report.check("wobble grows from batch to mini-batch to one example", shakes == sorted(set(shakes)), equals=True)
    losses = walks["batch"].losses
    report.check("the batch's loss falls in every pass", all(np.diff(losses) < 0), equals=True)
    report.figure("descent-kinds", lambda figure: _draw(figure, data, walks, best))


def _sizes(settings: Settings) -> dict[str, int]:
    return {"batch": settings.examples, "mini-batch": settings.batch, "one example": 1}


def _row(walk: Walk, best: float, settings: Settings) -> tuple[int, float, float, float, float]:
    """Steps of a pass, losses above the best, how the weights wobble in the last pass, milliseconds of a pass."""
    steps = (len(walk.path) - 1) // settings.epochs
    wobble = float(np.diff(walk.path[-steps - 1 :], axis=0).std(0).sum()) if steps > 1 else 0.0
    return steps, walk.losses[1] - best, walk.losses[-1] - best, wobble, 1e3 * walk.seconds / settings.epochs


def _walk(data: tuple[Tensor, Tensor], batch: int, settings: Settings) -> Walk:
    w = tensor(np.array([-1.0, 1.5]), requires_grad=True)
    descent, path, losses, seconds = optim.SGD([w], lr=settings.lr), [w.detach().numpy().copy()], [_loss(w, data)], 0.0
    loader = DataLoader(TensorDataset(*data), batch, shuffle=True, seed=settings.seed)
    for _ in range(settings.epochs):
        start = time.perf_counter()
        for x, y in loader:
            descent.zero_grad()
            F.binary_cross_entropy_with_logits(x @ w, y).backward()
            descent.step()
            path.append(w.detach().numpy().copy())
        seconds += time.perf_counter() - start
        losses.append(_loss(w, data))
    return Walk(np.array(path), losses, seconds)


def _loss(w: Tensor, data: tuple[Tensor, Tensor]) -> float:
    with no_grad():
        return float(F.binary_cross_entropy_with_logits(data[0] @ w, data[1]))


def _newton(x: Floats, y: Floats, steps: int = 20) -> list[Floats]:
    """Newton's iterates from 0, which end at the best weights."""
    w, seen = np.zeros(2), []
    for _ in range(steps):
        p = 1 / (1 + np.exp(-x @ w))
        w = w - np.linalg.solve((x * (p * (1 - p))[:, None]).T @ x, x.T @ (p - y))
        seen.append(w)
    return seen


def _draw(figure: "Figure", data: tuple[Tensor, Tensor], walks: dict[str, Walk], best: float) -> None:
    """The paths on the level lines of the loss; the losses by passes."""
    figure.set_size_inches(10, 4)
    left, right = figure.subplots(1, 2)
    a, b = np.meshgrid(np.linspace(-1.5, 3, 60), np.linspace(-2.5, 2, 60))
    heights = [
        [_loss(tensor(np.array(point)), data) for point in zip(*rows, strict=True)] for rows in zip(a, b, strict=True)
    ]
    left.contour(a, b, heights, 20, colors="lightgrey", linewidths=0.6)
    for name, walk in reversed(walks.items()):
        left.plot(*walk.path.T, label=name, linewidth=0.8)
        right.semilogy(np.array(walk.losses) - best, label=name)
    left.set(xlabel="first weight", ylabel="second weight")
    right.set(xlabel="passes over the data", ylabel="loss above the best")
    left.legend()
