"""Larger batches need fewer steps: in proportion at first, then less, then no more. Momentum moves that point.

On a noisy quadratic the curve is exact; a small network on digits has the same shape. The learning rate is tuned for
every batch size. Measured: on the quadratic -0.97 and -1.00 at small batches, 0 at large ones, and momentum moves the
critical batch from 35 to 128; the network -0.98 and -0.16, the mean of three runs for each batch size and rate.
"""

import math
from dataclasses import dataclass

import numpy as np

from pydl import manual_seed, no_grad, optim, randint
from pydl.data import Digits
from pydl.models import MLP
from pydl.nn import functional as F
from pydl.recipes.recipe import Recipe, Report, setting
from pydl.tensor import Tensor
from pydl.theory import BatchScaling, NoisyQuadratic, steps_to_target

RECIPE = Recipe(
    name="batch-scaling",
    ids=("D09",),
    title="Steps to a target against the batch size: perfect scaling, diminishing returns, saturation",
    source="Shallue et al. 2018 (arXiv:1811.03600); Zhang et al. 2019 (arXiv:1907.04164)",
    time="t1",
)


@dataclass
class Settings:
    """What can be set on the command line."""

    directions: int = setting(1000, "of the noisy quadratic, with curvatures 1 / i", least=1)
    momentum: float = setting(0.9, "beside plain descent", most=0.999)
    hidden: int = setting(24, "units of the network", least=1)
    target: float = setting(0.15, "training loss that the network must reach", least=1e-3)
    runs: int = setting(3, "of the network for each batch size and rate, whose steps are averaged", least=1)
    seed: int = setting(0, "of weights and batches")


def run(settings: Settings, report: Report) -> None:
    """The exact curves with and without momentum, then that of a network."""
    curves = {}
    for name, momentum in (("descent", 0.0), ("momentum", settings.momentum)):
        problem = NoisyQuadratic(1 / np.arange(1, settings.directions + 1), momentum=momentum)
        goal = 0.1 * problem.losses(1, 0.0, 0)[0]
        curves[name] = steps_to_target(
            lambda batch, lr, most, problem=problem, goal=goal: problem.steps(batch, lr, goal, most),  # type: ignore[misc]
            [1, 2, 4, *(2**k for k in range(4, 21, 2))],
            [float(r) for r in np.geomspace(1e-4, 4.0, 60)],
        )
        report.say(f"quadratic, {name}: steps {curves[name].steps}, critical batch {curves[name].critical_batch:.4g}")
        _shape(report, f"quadratic, {name}", curves[name])
    ratio = curves["momentum"].critical_batch / curves["descent"].critical_batch
    report.check("critical batch with momentum over that without", ratio, at_least=2.0)

    data = Digits(train=True).tensors(flatten=True, normalize=True)
    curves["network"] = steps_to_target(
        lambda batch, lr, most: _mean_steps(settings, data, batch, lr, most),
        [1, 2, 4, 16, 64, 256, 1024],
        [float(r) for r in np.geomspace(0.02, 1.28, 13)],
    )
    report.say(f"network: steps {curves['network'].steps}, rates {curves['network'].rates}")
    _shape(report, "network", curves["network"])
    report.figure("steps", lambda figure: _draw(figure, curves))


def _shape(report: Report, name: str, curve: BatchScaling) -> None:
    """Perfect scaling at the smallest batches, saturation at the largest."""
    first, third = math.log(curve.steps[2] / curve.steps[0]), math.log(curve.batches[2] / curve.batches[0])
    report.check(f"{name}: slope at small batches", first / third, at_least=-1.15, at_most=-0.85)
    report.check(f"{name}: slope at large batches", curve.slopes[-1], at_least=-0.3)


def _mean_steps(settings: Settings, data: tuple[Tensor, Tensor], batch: int, lr: float, most: float) -> float:
    total = 0.0
    for run in range(settings.runs):
        total += _network_steps(settings, data, batch, lr, settings.runs * most - total, settings.seed + run)
        if math.isinf(total):
            break
    return total / settings.runs


def _network_steps(
    settings: Settings, data: tuple[Tensor, Tensor], batch: int, lr: float, most: float, seed: int
) -> float:
    """Steps until the training loss is reached, looked at whenever 3 % more steps are done."""
    manual_seed(seed)
    (x, y), limit = data, min(most, 8000)
    model = MLP([64, settings.hidden, 10])
    descent = optim.SGD(model.parameters(), lr=lr)
    step, look = 0, 1
    while step < limit:
        chosen = randint(0, len(x), (batch,))
        descent.zero_grad()
        F.cross_entropy(model(x[chosen]), y[chosen]).backward()
        descent.step()
        step += 1
        if step >= look:
            with no_grad():
                loss = float(F.cross_entropy(model(x), y))
            if loss <= settings.target:
                return step
            if not math.isfinite(loss) or loss > 20:
                return math.inf
            look = step + max(1, int(0.03 * step))
    return math.inf


def _draw(figure: object, curves: dict[str, BatchScaling]) -> None:
    axes = figure.subplots()  # type: ignore[attr-defined]
    for name, curve in curves.items():
        axes.loglog(curve.batches, curve.steps, marker=".", label=name)
    axes.set(xlabel="batch size", ylabel="steps to the target")
    axes.legend()
