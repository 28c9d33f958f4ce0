"""Gradients through time shrink or grow with the power of the distance, as the bound says.

The norm of d h_t / d h_k is at most (largest singular value of W times largest slope)^(t - k): it holds for every
network and distance. Where the base is below 1 gradients vanish; a linear network with singular values above 1 explodes
at the rate of its spectral radius. Recipe vanishing-depth shows the same from layer to layer.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from pydl import float64, nn, no_grad, tensor
from pydl.recipes.recipe import Recipe, Report, setting
from pydl.tensor import Tensor
from pydl.theory import SLOPES, jacobian_bounds, rnn_jacobian_norms

if TYPE_CHECKING:
    from matplotlib.figure import Figure

RECIPE = Recipe(
    name="vanishing-gradients",
    ids=("R09",),
    title="Vanishing and exploding gradients against their bound",
    source="Pascanu, Mikolov & Bengio 2013 (arXiv:1211.5063), section 2; Bengio, Simard & Frasconi 1994",
    time="t0",
)


@dataclass
class Settings:
    """What can be set on the command line."""

    networks: int = setting(100, "random networks for the bound", least=1)
    units: int = setting(20, "of each network", least=2)
    steps: int = setting(100, "time steps", least=10)
    seed: int = setting(0, "of the weights")


def run(settings: Settings, report: Report) -> None:
    """Measures norms in random networks, at a base below 1, and above 1 without a nonlinearity."""
    rng = np.random.default_rng(settings.seed)
    worst = 0.0
    for i in range(settings.networks):
        kind = tuple(SLOPES)[i % len(SLOPES)]
        rnn = _network(kind, settings.units, rng.uniform(0.3, 2.0), rng)
        norms = rnn_jacobian_norms(rnn, _input(settings, rng))
        worst = max(worst, float((norms / jacobian_bounds(rnn, settings.steps)).max()))
    report.check(f"largest norm over its bound, {settings.networks} networks, all distances", worst, at_most=1 + 1e-9)
    curves = {}
    for kind in ("tanh", "sigmoid"):
        rnn = _network(kind, settings.units, 0.9 / SLOPES[kind], rng)
        curves[kind] = rnn_jacobian_norms(rnn, _input(settings, rng)), jacobian_bounds(rnn, settings.steps)
        report.check(f"norm at distance {settings.steps}, {kind}, base 0.9", curves[kind][0][-1], at_most=1e-4)
    rnn = _network("identity", settings.units, 1.5, rng)
    with no_grad():
        _weight(rnn)[:] = _weight(rnn) * (1.5 / _radius(rnn))
    far = 5 * settings.steps  # complex eigenvalues make the norm swing about its line
    norms = rnn_jacobian_norms(rnn, tensor(rng.standard_normal((far, 3))))
    curves["identity"] = norms[: settings.steps + 1], jacobian_bounds(rnn, settings.steps)
    slope = float(np.polyfit(np.arange(far // 2, far + 1), np.log(norms[far // 2 :]), 1)[0])
    found = slope / np.log(1.5)
    report.check("slope of the log norm over log spectral radius, linear", found, at_least=0.99, at_most=1.01)
    report.figure("norms", lambda figure: _draw(figure, curves))


def _input(settings: Settings, rng: np.random.Generator) -> Tensor:
    return tensor(rng.standard_normal((settings.steps, 3)))


def _network(kind: str, units: int, top: float, rng: np.random.Generator) -> nn.RNN:
    """A random network whose largest singular value is top."""
    rnn = nn.RNN(3, units, nonlinearity=kind, dtype=float64)
    w = rng.standard_normal((units, units))
    with no_grad():
        _weight(rnn)[:] = tensor(w * top / np.linalg.norm(w, 2))
    return rnn


def _weight(rnn: nn.RNN) -> Tensor:
    return rnn.all_weights[0][1]


def _radius(rnn: nn.RNN) -> float:
    return float(np.abs(np.linalg.eigvals(_weight(rnn).detach().numpy())).max())


def _draw(figure: "Figure", curves: dict[str, tuple[np.ndarray, np.ndarray]]) -> None:
    axes = figure.add_subplot()
    for i, (name, (norms, bounds)) in enumerate(curves.items()):
        axes.semilogy(norms, color=f"C{i}", label=name)
        axes.semilogy(bounds, color=f"C{i}", linestyle="--", linewidth=0.8)
    axes.set(xlabel="distance t - k", ylabel="|d h_t / d h_k|, and its bound (dashed)")
    axes.legend()
