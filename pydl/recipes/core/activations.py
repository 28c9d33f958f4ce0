"""The activations, their slopes, and how a large step size kills units."""

from dataclasses import dataclass

import numpy as np

from pydl import autograd, manual_seed, nn, no_grad, optim, randn, tensor
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

    hidden: int = setting(200, "units of the probed network")
    lr: float = setting(0.1, "a good step size; the probe takes the larger one")
    factor: float = setting(10.0, "how much too large the probe's step size is")
    seed: int = setting(0, "of the probe")


def run(settings: Settings, report: Report) -> None:
    """Checks values against long double, the slopes against their formulas, softmax, and the dead units."""
    grid = np.linspace(-30, 30, 2001)
    wide = grid.astype(np.longdouble)
    x = tensor(grid).requires_grad_()
    formulas = {
        "sigmoid": (F.sigmoid, 1 / (1 + np.exp(-wide))),
        "tanh": (F.tanh, np.tanh(wide)),
        "softplus": (F.softplus, np.where(wide > 20, wide, np.log1p(np.exp(wide)))),
        "relu": (F.relu, np.maximum(wide, 0)),
        "leaky relu": (F.leaky_relu, np.where(wide > 0, wide, 0.01 * wide)),
    }
    worst = max(float(np.abs(f(x).detach().numpy() - exact).max()) for f, exact in formulas.values())
    report.check("values against long double", worst, at_most=1e-12)

    s, t = F.sigmoid(x.detach()), F.tanh(x.detach())
    report.check("slope of sigmoid against s (1 - s)", _gap(_slope(F.sigmoid, x), s * (1 - s)), at_most=1e-12)
    report.check("slope of tanh against 1 - t^2", _gap(_slope(F.tanh, x), 1 - t * t), at_most=1e-12)
    report.check(
        "slope of softplus against sigmoid", _gap(_slope(lambda v: F.softplus(v, 1.0, 100.0), x), s), at_most=1e-12
    )

    rows = tensor(np.array([[1e4, 1e4 - 1, 0.0], [-1e4, 0.0, 1e4]]))
    p = F.softmax(rows, 1)
    report.check("softmax at 1e4 sums to 1", _gap(p.sum(1), p.sum(1) * 0 + 1), at_most=1e-15)
    report.check("softmax does not see a shift", _gap(p, F.softmax(rows + 77, 1)), at_most=1e-12)

    rate = settings.lr * settings.factor
    report.check("dead units of relu at the large step", _dead(nn.ReLU(), rate, settings), at_least=0.5)
    report.check("dead units of leaky relu at the large step", _dead(nn.LeakyReLU(0.1), rate, settings), at_most=0.0)


def _slope(f: object, x: Tensor) -> Tensor:
    (g,) = autograd.grad(f(x).sum(), x)  # type: ignore[operator]
    assert g is not None
    return g


def _gap(a: Tensor, b: Tensor) -> float:
    return float((a - b).abs().max())


def _dead(activation: nn.Module, lr: float, settings: Settings) -> float:
    """The share of hidden units whose slope is 0 on every example after training with this step size."""
    manual_seed(settings.seed)
    x = randn(256, 10)
    y = (x.sum(1, keepdim=True) * 3 + 10).detach()
    first, last = nn.Linear(10, settings.hidden), nn.Linear(settings.hidden, 1)
    optimizer = optim.SGD([*first.parameters(), *last.parameters()], lr=lr)
    for _ in range(30):
        optimizer.zero_grad()
        F.mse_loss(last(activation(first(x))), y).backward()
        nn.utils.clip_grad_norm_([*first.parameters(), *last.parameters()], 10.0)  # dead, not infinite
        optimizer.step()
    z = first(x).detach().requires_grad_()
    (g,) = autograd.grad(activation(z).sum(), z)
    assert g is not None
    with no_grad():
        return float((g == 0).all(0).float().mean())
