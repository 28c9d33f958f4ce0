"""The activations, their slopes, and how a large step size kills units.

Measured over seeds 0-9: at the good step 5 to 9 % of the relu units are dead (as at the start), at 10 times that step
98 to 100 %; of leaky relu units none.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from pydl import autograd, manual_seed, nn, no_grad, optim, tensor
from pydl.data import Digits
from pydl.nn import functional as F
from pydl.recipes.recipe import Recipe, Report, setting
from pydl.tensor import Tensor

RECIPE = Recipe(
    name="activations",
    ids=("C08",),
    title="Values, slopes and dead units of the activation functions",
    source="Nair & Hinton 2010; Glorot, Bordes & Bengio 2011; Maas, Hannun & Ng 2013",
    time="t0",
)


@dataclass
class Settings:
    """What can be set on the command line."""

    hidden: int = setting(100, "units of the probed network", least=1)
    digits: int = setting(256, "images it learns", least=1)
    lr: float = setting(0.3, "a good step size of the probe")
    factor: float = setting(10.0, "how much too large its other step size is")
    steps: int = setting(100, "steps of the probe", least=1)
    seed: int = setting(0, "of the probe")


def run(settings: Settings, report: Report) -> None:
    """Checks values against long double, the slopes against their formulas, softmax, and the dead units."""
    grid = np.linspace(-30, 30, 2001)
    for name, (f, exact) in _formulas(grid.astype(np.longdouble)).items():
        report.check(f"{name} against long double", np.abs(f(tensor(grid)).numpy() - exact).max(), at_most=1e-12)
    for name, f, exact in _slopes(grid.astype(np.longdouble)):
        gap = np.abs(_slope(f, tensor(grid)).numpy() - exact).max()
        report.check(f"slope of {name} against long double", gap, at_most=1e-12)

    rows = tensor(np.array([[1e4, 1e4 - 1, 0.0], [-1e4, 0.0, 1e4]]))
    exact = np.array([[1 / (1 + np.exp(-1)), 1 / (1 + np.exp(1)), 0], [0, 0, 1]])
    report.check("softmax at 1e4 against its formula", _gap(F.softmax(rows, 1), tensor(exact)), at_most=1e-12)
    report.check("sum of softmax at 1e4, minus 1", float((F.softmax(rows, 1).sum(1) - 1).abs().max()), at_most=1e-12)
    report.check(
        "softmax against softmax shifted by 77", _gap(F.softmax(rows, 1), F.softmax(rows + 77, 1)), at_most=1e-12
    )
    noise = F.nrelu(tensor(np.full(100_000, 5.0)), 0.5) - 5
    report.check("deviation of noisy relu over sigma, minus 1", abs(float(noise.std()) / 0.5 - 1), at_most=0.02)

    high = settings.lr * settings.factor
    report.check("dead relu units at the good step", _dead(nn.ReLU(), settings.lr, settings, report), at_most=0.1)
    report.check("dead relu units at the large step", _dead(nn.ReLU(), high, settings, report), at_least=0.5)
    report.check(
        "dead leaky relu units at the large step", _dead(nn.LeakyReLU(0.01), high, settings, report), at_most=0.0
    )


def _softplus(x: Tensor) -> Tensor:
    return F.softplus(x, threshold=40)  # from the usual 20 on it is x itself, 2e-9 too little


def _formulas(x: np.ndarray) -> dict[str, tuple[Callable[[Tensor], Tensor], np.ndarray]]:
    return {
        "sigmoid": (F.sigmoid, 1 / (1 + np.exp(-x))),
        "tanh": (F.tanh, np.tanh(x)),
        "softplus": (_softplus, np.log1p(np.exp(x))),
        "relu": (F.relu, np.maximum(x, 0)),
        "leaky relu": (F.leaky_relu, np.where(x > 0, x, x / 100)),
        "noisy relu, outside training": (nn.NReLU(1.0).eval(), np.maximum(x, 0)),
        "sign": (nn.Sign(), np.sign(x)),
        "step": (nn.Step(), np.heaviside(x, 1)),
    }


def _slopes(x: np.ndarray) -> list[tuple[str, Callable[[Tensor], Tensor], np.ndarray]]:
    s, t = 1 / (1 + np.exp(-x)), np.tanh(x)
    return [("sigmoid", F.sigmoid, s * (1 - s)), ("tanh", F.tanh, 1 - t * t), ("softplus", _softplus, s)]


def _slope(f: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    leaf = x.detach().requires_grad_()
    (g,) = autograd.grad(f(leaf).sum(), leaf)
    assert g is not None
    return g


def _gap(a: Tensor, b: Tensor) -> float:
    return float((a - b).abs().max())


def _dead(activation: nn.Module, lr: float, settings: Settings, report: Report) -> float:
    """The share of hidden units whose slope is 0 on every digit after training with this step size."""
    manual_seed(settings.seed)
    x, y = (part[: settings.digits] for part in Digits().tensors(flatten=True))
    first, last = nn.Linear(64, settings.hidden), nn.Linear(settings.hidden, 10)
    optimizer = optim.SGD([*first.parameters(), *last.parameters()], lr=lr)
    for _ in range(settings.steps):
        optimizer.zero_grad()
        F.cross_entropy(last(activation(first(x))), y).backward()
        optimizer.step()
    with no_grad():
        z = first(x)
        right = (last(activation(z)).argmax(1) == y).float().mean().item()
    report.say(f"{activation}, step size {lr:g}: {right:.2f} of the digits right")
    return float((_slope(activation, z) == 0).all(0).float().mean())
