"""The adaptive rules beside their formulas, and what each of them is known for.

Measured: all traces within 7e-16 of their formulas; Adadelta's path changes by 1e-6 when the loss is a thousand times
larger; AdaMax's steps are 1 % from those of the mean of order 64.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from pydl import optim, tensor
from pydl.recipes.recipe import Recipe, Report, setting
from pydl.tensor import Tensor
from pydl.theory import descent_path

RECIPE = Recipe(
    name="update-rules",
    ids=("O07", "O08", "O09", "O10", "O12", "O13"),
    title="Adagrad, Adadelta, RMSprop, Adam, AdaMax and Nadam, step by step",
    source="Ruder 2016 (arXiv:1609.04747), section 4; Kingma & Ba 2015 (arXiv:1412.6980); Dozat 2016",
    time="t0",
)

Floats = npt.NDArray[np.float64]
State = dict[str, Floats]
Rule = Callable[[State, Floats, int], Floats]
Maker = Callable[[list[Tensor]], optim.Optimizer]


@dataclass
class Settings:
    """What can be set on the command line."""

    steps: int = setting(50, "of each trace", least=1)
    seed: int = setting(0, "of the gradients")


def mean(state: State, name: str, beta: float, x: Floats) -> Floats:
    """The running mean under that name, which begins at 0."""
    state[name] = beta * state.get(name, np.zeros_like(x)) + (1 - beta) * x
    return state[name]


def _adagrad(state: State, g: Floats, t: int) -> Floats:
    state["G"] = state.get("G", np.zeros_like(g)) + g * g
    return -0.1 * g / np.sqrt(state["G"] + 1e-4)


def _adadelta(state: State, g: Floats, t: int) -> Floats:
    steps = state.get("d2", np.zeros_like(g))
    change = -np.sqrt(steps + 1e-6) / np.sqrt(mean(state, "g2", 0.9, g * g) + 1e-6) * g
    mean(state, "d2", 0.9, change * change)
    return change


def _rmsprop(state: State, g: Floats, t: int) -> Floats:
    return -0.1 * g / np.sqrt(mean(state, "v", 0.9, g * g) + 1e-4)


def _adam(state: State, g: Floats, t: int, inside: bool = False) -> Floats:
    m, v = mean(state, "m", 0.9, g) / (1 - 0.9**t), mean(state, "v", 0.99, g * g) / (1 - 0.99**t)
    return -0.1 * m / (np.sqrt(v + 1e-4) if inside else np.sqrt(v) + 1e-4)


def _adamax(state: State, g: Floats, t: int) -> Floats:
    state["u"] = np.maximum(0.99 * state.get("u", np.zeros_like(g)), np.abs(g))
    return -0.1 * mean(state, "m", 0.9, g) / (1 - 0.9**t) / state["u"]


def _nadam(state: State, g: Floats, t: int) -> Floats:
    m, v = mean(state, "m", 0.8, g), mean(state, "v", 0.99, g * g)
    mu = 0.4  # 0.8 (1 - 0.96^0 / 2)
    m = mu * m / (1 - mu ** (t + 1)) + (1 - mu) * g / (1 - mu**t)
    return -0.1 * m / (np.sqrt(v / (1 - 0.99**t)) + 1e-8)


_BETAS: dict[str, Any] = {"lr": 0.1, "betas": (0.9, 0.99)}
RULES: dict[str, tuple[Maker, Rule]] = {  # by the course's table, with eps where the table has it
    "Adagrad": (lambda p: optim.Adagrad(p, lr=0.1, eps=1e-4, eps_inside=True), _adagrad),
    "Adadelta": (lambda p: optim.Adadelta(p, rho=0.9, eps=1e-6), _adadelta),
    "RMSprop": (lambda p: optim.RMSprop(p, lr=0.1, alpha=0.9, eps=1e-4, eps_inside=True), _rmsprop),
    "Adam": (lambda p: optim.Adam(p, eps=1e-4, **_BETAS), _adam),
    "Adam, eps inside": (
        lambda p: optim.Adam(p, eps=1e-4, eps_inside=True, **_BETAS),
        lambda state, g, t: _adam(state, g, t, inside=True),
    ),
    "AdaMax": (lambda p: optim.Adamax(p, eps=0.0, **_BETAS), _adamax),
    "Nadam": (lambda p: optim.NAdam(p, lr=0.1, betas=(0.8, 0.99), momentum_decay=0), _nadam),
}


def trace(make: Maker, gradients: Floats, start: Floats) -> Floats:
    """(steps, d): where an optimizer goes along given gradients (steps, d)."""
    p = tensor(start, requires_grad=True)
    optimizer, seen = make([p]), []
    for g in gradients:
        p.grad = tensor(g)
        optimizer.step()
        seen.append(p.detach().numpy().copy())
    return np.array(seen)


def by_formula(rule: Rule, gradients: Floats, start: Floats) -> Floats:
    """(steps, d): the same by a rule, whose rule(state, g, t) gives the change of step t from 1 on."""
    x, state, seen = start.copy(), dict[str, Floats](), []
    for t, g in enumerate(gradients, 1):
        x = x + rule(state, g, t)
        seen.append(x)
    return np.array(seen)


def run(settings: Settings, report: Report) -> None:
    """Compares every trace with its formula, then the sizes of steps with what theory says of them."""
    rng = np.random.default_rng(settings.seed)
    gradients, start = rng.standard_normal((settings.steps, 4)) * [1e-3, 1.0, 30.0, 0.1], rng.standard_normal(4)
    for name, (make, rule) in RULES.items():
        gap = np.abs(trace(make, gradients, start) - by_formula(rule, gradients, start)).max()
        report.check(f"{name}: trace against its formula", gap, at_most=1e-12)
    _rates(report)
    _first_steps(report)
    _limits(report, rng)


def _rates(report: Report) -> None:
    """How Adagrad's steps fall, and what Adadelta sees of the loss's scale."""
    path = trace(lambda p: optim.Adagrad(p, lr=0.1), np.full((400, 1), 3.0), np.zeros(1))
    slope = np.polyfit(np.log(np.arange(2, 401)), np.log(-np.diff(path[:, 0])), 1)[0]
    report.check("Adagrad: slope of log step over log t", slope, at_least=-0.501, at_most=-0.499)

    def path_of(scale: float) -> Floats:
        return descent_path(lambda x: scale * (x[0] ** 2 + 10 * x[1] ** 2), optim.Adadelta, (1.0, -2.0), 300)

    one, thousand = path_of(1.0), path_of(1e3)
    change = np.abs(one - thousand).max() / np.abs(one).max()
    report.check("Adadelta: change of the path when the loss is 1000 times larger", change, at_most=0.01)
    still = trace(lambda p: optim.Adadelta(p, eps=0.0), np.ones((5, 1)), np.ones(1))
    report.check("Adadelta without eps: how far it goes", np.abs(still - 1).max(), equals=0.0)


def _first_steps(report: Report) -> None:
    for scale in (1e-6, 1.0, 1e6):
        g = scale * np.array([[1.0, -1.0, 0.5, -3.0]])
        adam = np.abs(trace(lambda p: optim.Adam(p, lr=0.1, eps=0.0), g, np.zeros(4)))
        gap = np.abs(adam / 0.1 - 1).max()
        report.check(f"Adam: first step over the rate, minus 1, for gradients of {scale:g}", gap, at_most=1e-9)
        rms = np.abs(trace(lambda p: optim.RMSprop(p, lr=0.1, alpha=0.9, eps=0.0), g, np.zeros(4)))
        gap = np.abs(rms / (0.1 / np.sqrt(0.1)) - 1).max()
        report.check(f"RMSprop: first step over rate / sqrt(1 - gamma), minus 1, for {scale:g}", gap, at_most=1e-9)


def _limits(report: Report, rng: np.random.Generator) -> None:
    """Adam's second moment without bias; AdaMax as the mean of a high power; Nadam as Nesterov's method."""
    p = tensor(np.zeros(200_000), requires_grad=True)
    adam = optim.Adam([p], lr=0.0)
    for _ in range(5):
        p.grad = tensor(2.0 * rng.standard_normal(200_000))
        adam.step()
    corrected = adam.state[p]["exp_avg_sq"].numpy() / (1 - 0.999**5)
    report.check("Adam: mean of v' over E g^2, minus 1", abs(corrected.mean() / 4 - 1), at_most=0.02)
    power, beta, g = 64, 0.99, rng.uniform(0.5, 2.0, (60, 4))

    def high_power(state: State, g: Floats, t: int) -> Floats:
        m, v = mean(state, "m", 0.9, g) / (1 - 0.9**t), mean(state, "v", beta**power, g**power)
        return -0.1 * m / (v / (1 - beta ** (power * t))) ** (1 / power)

    got = trace(lambda p: optim.Adamax(p, lr=0.1, betas=(0.9, beta)), g, np.zeros(4))
    ratio = np.diff(got, axis=0) / np.diff(by_formula(high_power, g, np.zeros(4)), axis=0)
    report.check("AdaMax: steps over those of the mean of order 64, minus 1", abs(ratio.mean() - 1), at_most=0.02)
    ones = rng.choice([-1.0, 1.0], (60, 4))  # gradients whose squares stand still: v' = 1

    def nesterov(state: State, g: Floats, t: int) -> Floats:
        m = mean(state, "m", 0.8, g)
        return -0.1 * (0.4 * m / (1 - 0.4 ** (t + 1)) + 0.6 * g / (1 - 0.4**t))

    got = trace(lambda p: optim.NAdam(p, lr=0.1, betas=(0.8, 0.999), eps=0.0, momentum_decay=0), ones, np.zeros(4))
    gap = np.abs(got - by_formula(nesterov, ones, np.zeros(4))).max()
    report.check("Nadam: against Nesterov's look ahead where v stands still", gap, at_most=1e-10)
