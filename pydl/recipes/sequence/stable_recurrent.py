"""Stable recurrent networks contract, so that their last few inputs decide their state.

After projection two states come together by lam at every step, in an RNN (Euclidean norm) and in an LSTM (a weighted
largest entry). The state after the last k steps alone is then off by at most lam^k times the state that it forgot.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from pydl import float64, nn, no_grad, tensor
from pydl.nn.utils import project_stable
from pydl.recipes.recipe import Recipe, Report, setting
from pydl.theory import stability_constant, stability_norm

if TYPE_CHECKING:
    from matplotlib.figure import Figure

RECIPE = Recipe(
    name="stable-recurrent",
    ids=("R10",),
    title="Stable recurrent networks contract, and forget at a known rate",
    source="Miller & Hardt 2019 (arXiv:1805.10369), definitions 1 and 2, propositions 2 and 3",
    time="t0",
)
Floats = npt.NDArray[np.float64]


@dataclass
class Settings:
    """What can be set on the command line."""

    units: int = setting(16, "of each network", least=1)
    pairs: int = setting(10_000, "of states that are compared", least=1)
    steps: int = setting(60, "of the sequence that is cut short", least=20)
    lam: float = setting(0.8, "factor of a step", most=0.99)
    seed: int = setting(0, "of weights, states and inputs")


def run(settings: Settings, report: Report) -> None:
    """Checks the contraction on pairs of states, and the error of truncation, for an RNN and an LSTM."""
    rng, curves = np.random.default_rng(settings.seed), {}
    for name in ("RNN", "LSTM"):
        net = _network(name, settings, rng)
        before = stability_constant(net)
        project_stable(net, settings.lam)
        constant = stability_constant(net)
        report.say(f"{name}: stability constant {before:.4g}, after projection {constant:.6f}")
        report.check(f"{name}: stability constant", constant, at_most=settings.lam + 1e-9)
        a, b = (_states(net, settings.pairs, rng) for _ in range(2))
        x = rng.uniform(-1, 1, (1, settings.pairs, 3))
        after = _size(net, _step(net, x, a) - _step(net, x, b))
        worst = float((after / _size(net, a - b)).max())
        report.check(f"{name}: largest contraction of {settings.pairs} pairs", worst, at_most=constant + 1e-12)
        errors, forgotten = _truncation(net, rng.uniform(-1, 1, (settings.steps, 1, 3)))
        bounds = constant ** np.arange(len(errors)) * forgotten
        report.check(
            f"{name}: error after k steps over lam^k |state|", float((errors / bounds).max()), at_most=1 + 1e-9
        )
        slope = float(np.polyfit(np.arange(20), np.log(errors[:20]), 1)[0])
        report.check(f"{name}: slope of the log error over log lam", slope / np.log(constant), at_least=1.0)
        curves[name] = errors, bounds
    report.figure("truncation", lambda figure: _draw(figure, curves))


def _network(name: str, s: Settings, rng: np.random.Generator) -> nn.RNN | nn.LSTM:
    """Far from stable at first. States are (h) or (h, c), side by side."""
    net = getattr(nn, name)(3, s.units, dtype=float64)
    with no_grad():
        for p in net.parameters():
            p[:] = tensor(rng.standard_normal(tuple(p.shape)) * 0.7)
    return net  # type: ignore[no-any-return]


def _states(net: nn.RNN | nn.LSTM, n: int, rng: np.random.Generator) -> Floats:
    """(n, h) or (n, 2 h) where the bound holds: |h| <= 1, and |c| <= 1 for all of these."""
    return rng.uniform(-1, 1, (n, net.hidden_size * (2 if isinstance(net, nn.LSTM) else 1)))


def _step(net: nn.RNN | nn.LSTM, x: Floats, states: Floats) -> Floats:
    """The states behind the last of inputs (t, n, i)."""
    parts = [tensor(part[None].copy()) for part in np.split(states, 2 if isinstance(net, nn.LSTM) else 1, 1)]
    with no_grad():
        _, last = net(tensor(x), tuple(parts) if len(parts) == 2 else parts[0])
    return np.concatenate([part.numpy()[0] for part in (last if isinstance(last, tuple) else (last,))], 1)


def _size(net: nn.RNN | nn.LSTM, states: Floats) -> Floats:
    """(n,) the norm in which the network contracts."""
    if isinstance(net, nn.RNN):
        return np.asarray(np.linalg.norm(states, axis=1))
    u, v = stability_norm(net)
    h, c = (np.abs(part).max(1) for part in np.split(states, 2, 1))
    return np.asarray(np.maximum(h / v, c / u))


def _truncation(net: nn.RNN | nn.LSTM, x: Floats) -> tuple[Floats, Floats]:
    """Of the last state, for k from 1: the error if only the last k steps are read, and the state that is left out."""
    zero = np.zeros((1, net.hidden_size * (2 if isinstance(net, nn.LSTM) else 1)))
    full = _step(net, x, zero)
    errors, forgotten = [], []
    for k in range(1, len(x)):
        errors.append(_size(net, _step(net, x[-k:], zero) - full)[0] + 1e-300)
        forgotten.append(_size(net, _step(net, x[:-k], zero))[0] * stability_constant(net))
    return np.array(errors), np.array(forgotten)


def _draw(figure: "Figure", curves: dict[str, tuple[Floats, Floats]]) -> None:
    axes = figure.add_subplot()
    for i, (name, (errors, bounds)) in enumerate(curves.items()):
        axes.semilogy(np.maximum(errors, 1e-17), color=f"C{i}", label=name)
        axes.semilogy(bounds, color=f"C{i}", linestyle="--", linewidth=0.8)
    axes.set(xlabel="steps that are read", ylabel="error of the state, and its bound (dashed)")
    axes.legend()
