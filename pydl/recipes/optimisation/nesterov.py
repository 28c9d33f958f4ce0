"""Nesterov's method stays under its curve on the worst of all quadratics; gradient descent leaves it."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from pydl import optim, tensor
from pydl.recipes.recipe import Recipe, Report, setting
from pydl.tensor import Tensor

if TYPE_CHECKING:
    from matplotlib.figure import Figure

RECIPE = Recipe(
    name="nesterov",
    ids=("O05",),
    title="Accelerated descent against the bound 2 L |x0 - x*|^2 / (t + 1)^2",
    source="Nesterov 1983; 2004, Introductory lectures on convex optimization, 2.1.2 and 2.2.1",
    time="t0",
)


@dataclass
class Settings:
    """What can be set on the command line."""

    d: int = setting(200, "length of the chain", least=2)
    steps: int = setting(400, "steps", least=1)


def run(settings: Settings, report: Report) -> None:
    """Checks the bound at every step, and when gradient descent breaks it."""
    d = settings.d
    chain = 2 * np.eye(d) - np.eye(d, k=1) - np.eye(d, k=-1)
    largest = float(np.linalg.eigvalsh(chain).max())
    best = np.linalg.solve(chain, np.eye(d)[0])
    least = -0.5 * best[0]
    bounds = 2 * largest * (best @ best) / (np.arange(settings.steps + 1) + 1.0) ** 2
    fast = _gaps(chain, least, largest, settings.steps, accelerated=True)
    slow = _gaps(chain, least, largest, settings.steps, accelerated=False)
    report.check("largest of Nesterov's gap over its bound", (fast / bounds).max(), at_most=1.0)
    above = np.flatnonzero(slow > bounds)
    report.check("steps of gradient descent above the bound", len(above), at_least=1)
    report.say(f"gradient descent leaves the bound at step {above[0] if len(above) else 'none'}")

    def draw(figure: "Figure") -> None:
        axes = figure.subplots()
        for name, values in (("gradient descent", slow), ("Nesterov", fast), ("bound", bounds)):
            axes.loglog(np.arange(1, len(values)), values[1:], label=name)
        axes.set(xlabel="step", ylabel="f - f*")
        axes.legend()

    report.figure("gaps", draw)


def _gaps(chain: np.ndarray, least: float, largest: float, steps: int, *, accelerated: bool) -> np.ndarray:
    """(steps + 1,): f(x_t) - f* for f = x^T A x / 2 - x_1 from 0, with momentum (l_t - 1) / l_{t+1}."""
    matrix, first = tensor(chain), tensor(np.eye(len(chain))[0])

    def f(x: Tensor) -> Tensor:
        return (x @ (matrix @ x)) * 0.5 - x @ first

    # SGD's parameter under nesterov is the point where the next gradient is taken; what the bound speaks of is the
    # point before the momentum is added: theta - lr g at each step.
    y = tensor(np.zeros(len(chain)), requires_grad=True)
    descent = optim.SGD([y], lr=1 / largest, momentum=0.9 if accelerated else 0.0, nesterov=accelerated)
    gaps, l, momentum = [f(y).item() - least], 1.0, 0.0
    for _ in range(steps):
        descent.zero_grad()
        f(y).backward()
        assert y.grad is not None
        gaps.append(f(y.detach() - y.grad / largest).item() - least)
        if accelerated:
            following = (1 + np.sqrt(1 + 4 * l * l)) / 2
            _step(descent, y, momentum, (l - 1) / following)
            l, momentum = following, (l - 1) / following
        else:
            descent.step()
    return np.array(gaps)


def _step(descent: optim.SGD, y: Tensor, before: float, after: float) -> None:
    """One step whose buffer is scaled by what the last look-ahead used and whose look-ahead uses the next momentum."""
    descent.param_groups[0]["momentum"] = after
    state = descent.state[y]
    if state.get("momentum_buffer") is not None and after > 0:
        state["momentum_buffer"].mul_(before / after)
    descent.step()
