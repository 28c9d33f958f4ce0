"""Gradients from layer to layer: sigmoids make them vanish as their bound says; shortcuts and batch norm stop that.

The gradient before a sigmoid layer is at most |W| / 4 times that behind it. Rectified layers with He's initialisation
keep its size; so do residual branches and batch norm around the sigmoids.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from pydl import Tensor, float64, manual_seed, nn, randn
from pydl.recipes.recipe import Recipe, Report, setting
from pydl.theory import gradient_profile

if TYPE_CHECKING:
    from matplotlib.figure import Figure

RECIPE = Recipe(
    name="vanishing-depth",
    ids=("C23",),
    title="Gradients through a deep network: sigmoid, ReLU, residual, batch norm",
    source="Hochreiter 1991; Glorot & Bengio 2010; He et al. 2015 (arXiv:1502.01852, arXiv:1512.03385)",
    time="t0",
)


@dataclass
class Settings:
    """What can be set on the command line."""

    depth: int = setting(20, "layers", least=3)
    width: int = setting(64, "of each layer", least=2)
    batch: int = setting(64, "examples", least=2)
    seed: int = setting(0, "of weights and inputs")


class Residual(nn.Module):
    """x + f(x)."""

    def __init__(self, branch: nn.Module) -> None:
        super().__init__()
        self.branch = branch

    def forward(self, x: Tensor) -> Tensor:
        """(b, width) -> (b, width)."""
        y: Tensor = x + self.branch(x)
        return y


def run(settings: Settings, report: Report) -> None:
    """Measures the norms of gradients at all layers of four networks."""
    manual_seed(settings.seed)
    x, g = (randn(settings.batch, settings.width, dtype=float64) for _ in range(2))
    makers: dict[str, Callable[[], nn.Module]] = {
        "sigmoid": lambda: nn.Sequential(_linear(1.0, settings), nn.Sigmoid()),
        "relu": lambda: nn.Sequential(_linear(2.0, settings), nn.ReLU()),
        "residual": lambda: Residual(nn.Sequential(_linear(1.0, settings), nn.Sigmoid())),
        "batch norm": lambda: nn.Sequential(_linear(1.0, settings), nn.BatchNorm1d(settings.width, dtype=float64)),
    }
    profiles = {}
    for name, make in makers.items():
        layers = [make() for _ in range(settings.depth)]
        if name == "batch norm":  # after the nonlinearity, which it gives back the scale that the sigmoid took
            layers = [nn.Sequential(layer[0], nn.Sigmoid(), layer[1]) for layer in layers]  # type: ignore[index]
        profiles[name] = gradient_profile(layers, x, g)
        if name == "sigmoid":
            _check_bound(layers, profiles[name], report)
    slope = float(-np.polyfit(np.arange(settings.depth), np.log(profiles["relu"]), 1)[0])
    report.check("log gradient per rectified layer with He's initialisation", slope, at_least=-0.1, at_most=0.1)
    ratios = {name: float(p[-1] / p[0]) for name, p in profiles.items()}
    report.say(
        "gradient at the last layer over that at the first: " + ", ".join(f"{k} {v:.3g}" for k, v in ratios.items())
    )
    for name in ("residual", "batch norm"):
        report.check(
            f"ratio of the sigmoid network over that with {name}", ratios["sigmoid"] / ratios[name], at_least=1e3
        )
    report.figure("profiles", lambda figure: _draw(figure, profiles))


def _linear(gain: float, s: Settings) -> nn.Linear:
    """Weights of variance gain / width."""
    linear = nn.Linear(s.width, s.width, bias=False, dtype=float64)
    nn.init.normal_(linear.weight, 0.0, (gain / s.width) ** 0.5)
    return linear


def _check_bound(layers: list[nn.Module], profile: np.ndarray, report: Report) -> None:
    """Each sigmoid layer shrinks the gradient by at least 4 / |W|."""
    weights = [layer[0].weight.detach().numpy() for layer in layers]  # type: ignore[index]
    bounds = np.log([np.linalg.norm(w, 2) / 4 for w in weights[1:]])
    passed = -np.diff(np.log(profile))  # log of the gradient before a layer over that behind it
    report.check("log of what a sigmoid layer passes on, over its bound", float((passed - bounds).max()), at_most=1e-9)
    slope = float(-np.polyfit(np.arange(len(profile)), np.log(profile), 1)[0])
    report.check("log gradient per sigmoid layer", slope, at_most=float(bounds.mean()))


def _draw(figure: "Figure", profiles: dict[str, np.ndarray]) -> None:
    axes = figure.add_subplot()
    for name, norms in profiles.items():
        axes.semilogy(np.arange(1, len(norms) + 1), norms, label=name)
    axes.set(xlabel="layer", ylabel="norm of the gradient")
    axes.legend()
