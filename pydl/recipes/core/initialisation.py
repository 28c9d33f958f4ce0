"""The right variance of the first weights keeps the size of activations and gradients through many layers."""

from dataclasses import dataclass

import numpy as np

from pydl import manual_seed, nn, no_grad, randn, relu, tanh
from pydl.recipes.recipe import Recipe, Report, setting
from pydl.tensor import Tensor

RECIPE = Recipe(
    name="initialisation",
    ids=("C18",),
    title="Activations and gradients through deep networks, by the variance of the weights",
    source="LeCun et al. 1998; Glorot & Bengio 2010; He et al. 2015 (arXiv:1502.01852)",
    time="t1",
)


@dataclass
class Settings:
    """What can be set on the command line."""

    width: int = setting(512, "units of each layer")
    depth: int = setting(30, "layers of the relu network")
    nets: int = setting(20, "networks in the mean")
    seed: int = setting(0, "of the first network")


def run(settings: Settings, report: Report) -> None:
    """Measures |a_L|^2 / |a_0|^2 under He's and LeCun's variance, the tanh network's gradients, and sample variances."""
    kept = [_growth(nn.init.kaiming_normal_, settings, seed) for seed in range(settings.nets)]
    shrunk = [_growth(nn.init.lecun_normal_, settings, seed) for seed in range(settings.nets)]
    report.check("mean growth of relu layers under 2 / n", float(np.mean(kept)), at_least=0.5, at_most=2.0)
    report.check("mean growth of relu layers under 1 / n", float(np.mean(shrunk)), at_most=2.0**-20)
    norms = _tanh_gradients(settings)
    report.check(
        "largest over smallest gradient norm in 10 tanh layers under 1 / n", max(norms) / min(norms), at_most=10.0
    )

    w, n = randn(settings.width, 2 * settings.width), 2 * settings.width
    rules = {
        "lecun_normal_": 1 / n, "kaiming_normal_": 2 / n, "xavier_normal_": 2 / (n + settings.width),
        "lecun_uniform_": 1 / n, "xavier_uniform_": 2 / (n + settings.width), "orthogonal_": 1 / n,
    }  # fmt: skip
    for name, variance in rules.items():
        with no_grad():
            getattr(nn.init, name)(w)
        report.check(f"variance of {name} over its formula, minus 1", abs(float(w.var()) / variance - 1), at_most=0.03)


def _growth(init: object, settings: Settings, seed: int) -> float:
    manual_seed(settings.seed + seed)
    a = x = randn(16, settings.width)
    with no_grad():
        for _ in range(settings.depth):
            w = randn(settings.width, settings.width)
            init(w)  # type: ignore[operator]
            a = relu(a @ w.t())
    return float((a * a).sum() / (x * x).sum())


def _tanh_gradients(settings: Settings) -> list[float]:
    """The norm of the gradient with respect to the input of each of 10 layers."""
    manual_seed(settings.seed)
    a = randn(16, settings.width)
    inputs: list[Tensor] = []
    for _ in range(10):
        w = randn(settings.width, settings.width)
        with no_grad():
            nn.init.lecun_normal_(w)
        a = a if a.requires_grad else a.requires_grad_()
        a.retain_grad()
        inputs.append(a)
        a = tanh(a @ w.t())
    (a * randn(16, settings.width)).sum().backward()
    return [float(t.grad.norm()) for t in inputs if t.grad is not None]
