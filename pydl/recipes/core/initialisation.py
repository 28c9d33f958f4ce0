"""The right variance of the first weights keeps the size of activations and gradients through many layers.

Measured over seeds 0-9: |a_30|^2 / |a_0|^2 is 0.85 to 1.33 in the mean of 20 networks under 2 / n, and 8e-10 to 1.2e-9
under 1 / n; the norms of the gradients in ten tanh layers lie within a factor 2.6.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from pydl import empty, manual_seed, nn, no_grad, randn, relu, tanh
from pydl.recipes.recipe import Recipe, Report, setting
from pydl.tensor import Tensor

RECIPE = Recipe(
    name="initialisation",
    ids=("C18",),
    title="Activations and gradients through deep networks, by the variance of the weights",
    source="LeCun et al. 1998; Glorot & Bengio 2010; He et al. 2015 (arXiv:1502.01852)",
    time="t0",
)


@dataclass
class Settings:
    """What can be set on the command line."""

    width: int = setting(512, "units of each layer", least=1)
    depth: int = setting(30, "layers of the relu network", least=1)
    nets: int = setting(20, "networks in the mean", least=1)
    seed: int = setting(0, "of the first network")


def run(settings: Settings, report: Report) -> None:
    """Measures |a_L|^2 / |a_0|^2 under He's and LeCun's variance, the tanh network, and sample variances."""
    kept = _growth(lambda w: nn.init.kaiming_normal_(w, nonlinearity="relu"), settings)
    report.say(f"growth of single networks under 2 / n: {min(kept):.2f} to {max(kept):.2f}")
    report.check("mean growth of relu layers under 2 / n", np.mean(kept), at_least=0.5, at_most=2.0)
    report.check("mean growth under 1 / n", np.mean(_growth(nn.init.lecun_normal_, settings)), at_most=2.0**-20)
    sizes, norms = _tanh_layers(settings)
    report.check("least root mean square of 10 tanh layers under 1 / n", min(sizes), at_least=0.1)
    report.check("largest over smallest norm of their gradients", max(norms) / min(norms), at_most=10.0)

    n, out = settings.width, (settings.width + 1) // 2
    rules = {
        "lecun_normal_": 1 / n, "kaiming_normal_": 2 / n, "xavier_normal_": 2 / (n + out), "lecun_uniform_": 1 / n,
        "kaiming_uniform_": 2 / n, "xavier_uniform_": 2 / (n + out), "orthogonal_": 1 / n,
    }  # fmt: skip
    for name, variance in rules.items():
        w = getattr(nn.init, name)(empty(out, n))
        report.check(f"variance of {name} over its formula, minus 1", abs(w.var().item() / variance - 1), at_most=0.03)


def _growth(init: Callable[[Tensor], Tensor], settings: Settings) -> list[float]:
    """|a_L|^2 / |a_0|^2 of each of the networks, for one input."""
    manual_seed(settings.seed)
    w, growths = empty(settings.width, settings.width), []
    with no_grad():
        for _ in range(settings.nets):
            a = x = randn(settings.width)
            for _ in range(settings.depth):
                a = relu(init(w) @ a)
            growths.append(((a * a).sum() / (x * x).sum()).item())
    return growths


def _tanh_layers(settings: Settings, depth: int = 10) -> tuple[list[float], list[float]]:
    """The root mean square of each layer's output, and the norm of the gradient with respect to it."""
    manual_seed(settings.seed)
    a, outputs = randn(16, settings.width), []
    for _ in range(depth):
        weight = nn.init.lecun_normal_(empty(settings.width, settings.width)).requires_grad_()
        a = tanh(a @ weight.t())
        a.retain_grad()
        outputs.append(a)
    (a * randn(16, settings.width)).sum().backward()
    norms = [t.grad.norm().item() for t in outputs if t.grad is not None]
    return [(t.detach() ** 2).mean().sqrt().item() for t in outputs], norms
