"""Mirror descent on the simplex: multiplicative weights, the regularised leader, and their regret.

Measured: both equalities within 1e-15; regrets at ? of the bound.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from pydl import optim, tensor
from pydl.recipes.recipe import Recipe, Report, setting

if TYPE_CHECKING:
    from matplotlib.figure import Figure

RECIPE = Recipe(
    name="mirror-descent",
    ids=("O30",),
    title="Exponentiated gradient is multiplicative weights, and regrets little",
    source="Kivinen & Warmuth 1997; Shalev-Shwartz 2012, Online learning and online convex optimization, section 2",
    time="t0",
)

Floats = npt.NDArray[np.float64]


@dataclass
class Settings:
    """What can be set on the command line."""

    experts: int = setting(10, "to choose from", least=2)
    rounds: int = setting(2000, "of the game", least=1)
    seed: int = setting(0, "of the losses")


def run(settings: Settings, report: Report) -> None:
    """Compares the steps with both other forms; plays against three adversaries, and projects on a box."""
    rng, k = np.random.default_rng(settings.seed), settings.experts
    losses = rng.uniform(0, 1, (50, k))
    path, weights = _play(lambda t, x: losses[t], 50, k, 0.3)[0], np.exp(-0.3 * losses).cumprod(0)
    report.check("against multiplicative weights", _gap(path[1:], weights), at_most=1e-12)
    leader = np.exp(-0.3 * losses.cumsum(0))  # argmin of sum of losses + entropy / rate
    report.check("against the leader regularised by entropy", _gap(path[1:], leader), at_most=1e-12)

    adversaries: dict[str, Callable[[int, Floats], Floats]] = {
        "against what is trusted most": lambda t, x: np.eye(k)[x.argmax()],
        "one after another": lambda t, x: np.eye(k)[t % k],
        "random": lambda t, x: rng.integers(0, 2, k).astype(float),
    }
    bound, curves = math.sqrt(2 * settings.rounds * math.log(k)), {}
    for name, adversary in adversaries.items():
        path, paid = _play(adversary, settings.rounds, k, math.sqrt(2 * math.log(k) / settings.rounds))
        curves[name] = np.cumsum((path[:-1] * paid).sum(1)) - np.cumsum(paid, axis=0).min(1)
        report.check(f"regret over sqrt(2 T log K), losses {name}", curves[name][-1] / bound, at_most=1.0)
    _box(report)
    report.figure("regret", lambda figure: _draw(figure, curves))


def _gap(points: Floats, weights: Floats) -> float:
    """Between points of the simplex and weights that are to be divided by their sums."""
    return float(np.abs(points - weights / weights.sum(1, keepdims=True)).max())


def _play(adversary: Callable[[int, Floats], Floats], rounds: int, k: int, lr: float) -> tuple[Floats, Floats]:
    """The points (rounds + 1, k) and the losses (rounds, k)."""
    p = tensor(np.full(k, 1 / k), requires_grad=True)
    player, points, paid = optim.MirrorDescent([p], lr=lr, mirror="entropy", set="simplex"), [p.tolist()], []
    for t in range(rounds):
        g = adversary(t, p.detach().numpy().copy())
        p.grad = tensor(g)
        player.step()
        points.append(p.tolist())
        paid.append(g)
    return np.array(points), np.array(paid)


def _box(report: Report) -> None:
    """The nearest point of a box to a minimum outside it."""
    p, far = tensor(np.array([0.5, 0.5]), requires_grad=True), tensor(np.array([2.0, -1.0]))
    descent = optim.MirrorDescent([p], lr=0.1, mirror="l2", set="box", low=0.0, high=1.0)
    for _ in range(200):
        descent.zero_grad()
        ((p - far) ** 2).sum().backward()
        descent.step()
    report.check("projected descent to (2, -1) in the unit box", p.tolist(), equals=[1.0, 0.0])


def _draw(figure: "Figure", curves: dict[str, Floats]) -> None:
    axes = figure.subplots()
    for name, regret in curves.items():
        axes.plot(np.arange(1, len(regret) + 1), regret, label=name)
    rounds = np.arange(1, len(regret) + 1)
    axes.plot(rounds, np.sqrt(2 * rounds * math.log(10)), "k:", label="bound")
    axes.set(xlabel="rounds", ylabel="regret")
    axes.legend(fontsize=7)
