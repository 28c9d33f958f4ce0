"""Weights as lengths times directions: the same function, gradients at right angles to the directions.

The gradient of the direction v of w = g v / |v| is g / |v| times that of w less its part along w.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from pydl import float64, nn, optim, randn
from pydl.data import Digits
from pydl.nn import functional as F
from pydl.nn.utils.parametrizations import spectral_norm, weight_norm
from pydl.nn.utils.parametrize import remove_parametrizations
from pydl.recipes.recipe import Recipe, Report, setting
from pydl.tensor import Tensor

RECIPE = Recipe(
    name="weight-norm",
    ids=("C21",),
    title="Weight normalisation and its projected gradients",
    source="Salimans & Kingma 2016 (arXiv:1602.07868), section 2.1; Miyato et al. 2018 (arXiv:1802.05957)",
    time="t0",
)


@dataclass
class Settings:
    """What can be set on the command line."""

    steps: int = setting(100, "of descent", least=1)
    lr: float = setting(0.5, "step size")
    seed: int = setting(0, "of weights and data")


def run(settings: Settings, report: Report) -> None:
    """The identities in float64, on a linear layer and a convolution; how directions grow in training."""
    layers: tuple[tuple[nn.Linear | nn.Conv2d, tuple[int, ...]], ...] = (
        (nn.Linear(7, 5, dtype=float64), (9, 7)),
        (nn.Conv2d(3, 4, 3, dtype=float64), (2, 3, 8, 8)),
    )
    for layer, shape in layers:
        report.say(f"{layer}:")
        _identities(layer, randn(*shape, dtype=float64), report)
    _growth(settings, report)
    dense: Any = spectral_norm(nn.Linear(12, 8, dtype=float64), n_power_iterations=300)
    dense(randn(1, 12, dtype=float64))
    top = float(np.linalg.norm(_numbers(dense.weight), 2))
    report.check("largest singular value under spectral norm", top, at_least=1 - 1e-6, at_most=1 + 1e-6)


def _numbers(x: Any) -> np.ndarray:
    return np.asarray(x.detach().numpy())


def _identities(layer: nn.Linear | nn.Conv2d, x: Tensor, report: Report) -> None:
    """Function and gradients before and after the change of parameters."""
    before = layer(x)
    seed = randn(*before.shape, dtype=float64)
    (before * seed).sum().backward()
    dw, w = _numbers(layer.weight.grad), _numbers(layer.weight).copy()
    weight_norm(layer)
    after = layer(x)
    report.check("function changed by", float((after - before).abs().max()), at_most=1e-12)
    (after * seed).sum().backward()
    stored: Any = layer.get_submodule("parametrizations.weight")
    g, v = stored.original0, stored.original1
    axes = tuple(range(1, w.ndim))
    length = np.sqrt((w * w).sum(axes, keepdims=True))
    along = (dw * w).sum(axes, keepdims=True) / length
    report.check("gradient of g, that along the weight", np.abs(_numbers(g.grad) - along).max(), at_most=1e-12)
    across = np.abs((_numbers(v.grad) * _numbers(v)).sum(axes)).max()
    report.check("gradient of v times v", across, at_most=1e-12)
    projected = _numbers(g) / length * (dw - along * w / length)
    report.check("gradient of v against the projected one", np.abs(_numbers(v.grad) - projected).max(), at_most=1e-12)
    remove_parametrizations(layer, "weight")
    report.check("one weight again, changed by", np.abs(_numbers(layer.weight) - w).max(), at_most=1e-12)


def _growth(settings: Settings, report: Report) -> None:
    """Steps at right angles to v make it longer (Pythagoras), and the network learns meanwhile."""
    x, y = Digits().tensors(flatten=True, normalize=True)
    model = nn.Sequential(weight_norm(nn.Linear(64, 32)), nn.ReLU(), weight_norm(nn.Linear(32, 10)))
    optimizer, lengths, losses = optim.SGD(model.parameters(), settings.lr), [], []
    stored: Any = model.get_submodule("0.parametrizations.weight")
    for _ in range(settings.steps):
        optimizer.zero_grad()
        loss = F.cross_entropy(model(x), y)
        loss.backward()
        lengths.append(np.linalg.norm(_numbers(stored.original1).astype(np.float64), axis=1))
        losses.append(loss.item())
        optimizer.step()
    least = float((np.diff(lengths, axis=0) / lengths[:-1]).min())
    report.say(f"mean length of a direction: {lengths[0].mean():.4f} at first, {lengths[-1].mean():.4f} at last")
    report.check("smallest relative growth of a direction in a step", least, at_least=-1e-6)
    report.check("loss after training over the first", losses[-1] / losses[0], at_most=0.1)
