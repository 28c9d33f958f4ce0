"""Averages of the weights: Polyak's mean of noisy steps is as good as any estimate can be; EMA without its bias.

Measured with seed 0: the trace of n Cov is 0.93 of the best for the mean and 7.9 times it for the last iterate.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from pydl import Generator, nn, no_grad, optim, randn, tensor
from pydl.optim import EMA
from pydl.optim.swa_utils import PolyakAverage
from pydl.recipes.recipe import Recipe, Report, setting
from pydl.tensor import Tensor

if TYPE_CHECKING:
    from matplotlib.figure import Figure

RECIPE = Recipe(
    name="weight-averages",
    ids=("O14", "O15"),
    title="Polyak-Ruppert averaging reaches the best covariance; an EMA corrected for its start",
    source="Polyak & Juditsky 1992, Acceleration of stochastic approximation by averaging; Kingma & Ba 2015",
    time="t1",
)


@dataclass
class Settings:
    """What can be set on the command line."""

    runs: int = setting(200, "of linear regression, side by side", least=20)
    steps: int = setting(20_000, "one example each", least=100)
    power: float = setting(0.6, "steps are t^-power", most=1)
    seed: int = setting(0, "of the examples")


def run(settings: Settings, report: Report) -> None:
    """Compares n Cov of the mean and of the last iterate with H^-1 S H^-1, and both kinds of EMA on a constant."""
    mean, last, errors = _regression(settings)
    best = np.linalg.inv(_hessian())  # S = H for noise of variance 1
    for name, weights in (("mean of all", mean), ("last", last)):
        covariance = settings.steps * weights.T @ weights / settings.runs
        report.say(
            f"n Cov of the {name}: diagonal {np.round(np.diag(covariance), 3)}, best {np.round(np.diag(best), 3)}"
        )
        ratio = np.trace(covariance) / np.trace(best)
        bounds = {"at_least": 0.85, "at_most": 1.15} if weights is mean else {"at_least": 3.0}
        report.check(f"{name}: trace of n Cov over that of H^-1 S H^-1", ratio, **bounds)
    _constant(report)
    report.figure("averages", lambda figure: _draw(figure, errors))


def _hessian() -> np.ndarray:
    """E x x^T of the examples, (3, 3)."""
    return np.array([[1.0, 0.3, 0.0], [0.3, 0.7, 0.2], [0.0, 0.2, 0.5]])


def _weight(model: nn.Module) -> Tensor:
    return model.get_parameter("weight")


def _regression(settings: Settings) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """SGD from theta* = 0: the mean of the iterates and the last one, each (runs, 3), and |theta|^2 by steps (., 3)."""
    s, source = settings, Generator().manual_seed(settings.seed)
    factor = tensor(np.linalg.cholesky(_hessian()))
    layer = nn.Linear(3, s.runs, bias=False, dtype=factor.dtype)
    with no_grad():
        layer.weight.fill_(0.0)
    descent, average, errors = optim.SGD(layer.parameters(), lr=1.0), PolyakAverage(layer), []
    schedule = optim.lr_scheduler.LambdaLR(descent, lambda t: 0.5 * (t + 1) ** -s.power)
    for t in range(1, s.steps + 1):
        x = randn(s.runs, 3, dtype=factor.dtype, generator=source) @ factor.T
        y = randn(s.runs, dtype=factor.dtype, generator=source)  # theta* x + noise
        descent.zero_grad()
        (0.5 * ((x * layer.weight).sum(1) - y) ** 2).sum().backward()
        descent.step()
        schedule.step()
        average.update_parameters(layer)
        if t % max(1, s.steps // 50) == 0:
            pair = (_weight(layer), _weight(average.module))
            errors.append([t, *(float((w.detach() ** 2).sum(1).mean()) for w in pair)])
    mean, last = (w.detach().numpy().copy() for w in (_weight(average.module), _weight(layer)))
    return mean, last, np.array(errors)


def _constant(report: Report, beta: float = 0.9) -> None:
    """Both EMAs of weights that never change."""
    layer = nn.Linear(4, 3)
    exact, raw = EMA(layer, beta), EMA(layer, beta, bias_correction=False)
    with no_grad():
        for p in raw.module.parameters():
            p.fill_(0.0)
    gaps = []
    for t in range(1, 11):
        exact.update_parameters(layer)
        raw.update_parameters(layer)
        same = bool((_weight(exact.module) == layer.weight).all())
        biased = (_weight(raw.module) / layer.weight).detach().numpy()
        gaps.append((same, np.abs(biased - (1 - beta**t)).max()))
    report.check(
        "corrected EMA of a constant is the constant, from step 1 on", all(same for same, _ in gaps), equals=True
    )
    report.check("EMA from 0 over the constant, against 1 - beta^t", max(gap for _, gap in gaps), at_most=1e-6)


def _draw(figure: "Figure", errors: np.ndarray) -> None:
    axes = figure.subplots()
    best = np.trace(np.linalg.inv(_hessian()))
    for column, name in ((1, "last"), (2, "mean of all")):
        axes.loglog(errors[:, 0], errors[:, column], label=name)
    axes.loglog(errors[:, 0], best / errors[:, 0], "k:", label="tr H^-1 S H^-1 / t")
    axes.set(xlabel="step t", ylabel="|theta - theta*|^2")
    axes.legend()
