"""The learning-rate finder: a sweep of a hundred batches, and training at the rate it names.

Measured: 0.060 is named, and ends at a loss of 0.047 after three epochs, a tenth of it at 0.38; 2.5 diverges.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from pydl import manual_seed, nn, no_grad, optim
from pydl.data import DataLoader, Digits, TensorDataset
from pydl.nn import functional as F
from pydl.recipes.recipe import Recipe, Report, setting
from pydl.tensor import Tensor
from pydl.train import LRCurve, find_lr

if TYPE_CHECKING:
    from matplotlib.figure import Figure

RECIPE = Recipe(
    name="lr-finder",
    ids=("O18",),
    title="A learning rate from one sweep",
    source="Smith 2017 (arXiv:1506.01186), section 3.3",
    time="t0",
)


@dataclass
class Settings:
    """What can be set on the command line."""

    epochs: int = setting(3, "passes over the training part", least=1)
    batch: int = setting(32, "examples in a step", least=1)
    seed: int = setting(0, "of weights and order")


def run(settings: Settings, report: Report) -> None:
    """Sweeps, then trains at the rate found, at a tenth of it and at one beyond the sweep's end."""
    x, y = Digits(train=True).tensors(flatten=True, normalize=True)
    model, optimizer = _fresh(settings.seed, 0.1)
    before = [p.detach().clone() for p in model.parameters()]
    curve = find_lr(model, optimizer, F.cross_entropy, TensorDataset(x, y), start=1e-4, end=100.0, steps=150)
    same = all(bool((p == q).all()) for p, q in zip(model.parameters(), before, strict=True))
    report.check("the model is as it was", same, equals=True)
    report.check("the sweep ended where training diverges", curve.diverged, equals=True)
    report.say(f"steepest at {curve.steepest:.3g}, lowest at {curve.lowest:.3g}, diverged at {curve.lrs[-1]:.3g}")
    found = _train(curve.steepest, x, y, settings)
    report.check("loss at the rate found", found, at_most=0.1)
    report.check("loss at a tenth of it, over that", _train(curve.steepest / 10, x, y, settings) / found, at_least=1.5)
    report.figure("lr-finder", lambda figure: _draw(figure, curve))


def _fresh(seed: int, lr: float) -> tuple[nn.Module, optim.SGD]:
    manual_seed(seed)
    model = nn.Sequential(nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 10))
    return model, optim.SGD(model.parameters(), lr=lr, momentum=0.9)


def _train(lr: float, x: Tensor, y: Tensor, settings: Settings) -> float:
    """The loss over the training part after all epochs."""
    model, optimizer = _fresh(settings.seed, lr)
    for _ in range(settings.epochs):
        for rows, classes in DataLoader(TensorDataset(x, y), settings.batch, shuffle=True, seed=settings.seed):
            optimizer.zero_grad()
            F.cross_entropy(model(rows), classes).backward()
            optimizer.step()
    with no_grad():
        return float(F.cross_entropy(model(x), y).item())


def _draw(figure: "Figure", curve: LRCurve) -> None:
    axes = figure.subplots()
    axes.semilogx(curve.lrs, curve.losses, color="lightgrey")
    axes.semilogx(curve.lrs, curve.smoothed)
    axes.axvline(curve.steepest, linestyle=":")
    axes.set(xlabel="learning rate", ylabel="loss", ylim=(0, 2 * curve.smoothed[0]))
