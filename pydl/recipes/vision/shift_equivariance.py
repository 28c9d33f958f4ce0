"""Convolutions commute with shifts, and the mean over the map does not see them; strides and borders break both."""

from dataclasses import dataclass

import numpy as np

from pydl import nn, randn
from pydl.nn import init
from pydl.recipes.recipe import Recipe, Report, setting
from pydl.vision import equivariance_error, invariance_error, translations

RECIPE = Recipe(
    name="shift-equivariance",
    ids=("V05",),
    title="Which layers commute with shifts, and which do not",
    source="Cohen & Welling 2016, Group equivariant convolutional networks, section 5.1; Zhang 2019 (arXiv:1904.11486)",
    time="t0",
)


@dataclass
class Settings:
    """What can be set on the command line."""

    networks: int = setting(5, "random networks", least=1)
    size: int = setting(8, "pixels on a side", least=4)
    seed: int = setting(0, "of their layers")


def run(settings: Settings, report: Report) -> None:
    """Measures the largest error over all shifts, as a share of the largest output."""
    s, rng = settings, np.random.default_rng(settings.seed)
    x, group = randn(2, 3, s.size, s.size), translations(s.size, s.size)
    worst = pooled = 0.0
    for _ in range(s.networks):
        model = network(rng)
        worst = max(worst, equivariance_error(model, x, group))
        pooled = max(pooled, invariance_error(nn.Sequential(model, nn.AdaptiveAvgPool2d(1)), x, group))
    report.check("circular stacks of convolution, batch norm and ReLU: error", worst, at_most=1e-6)
    report.check("with the mean over the map: change", pooled, at_most=1e-6)
    broken = invariance_error(nn.Sequential(network(rng, stride=2), nn.AdaptiveAvgPool2d(1)), x, group)
    report.check("a stride of 2 and the mean over the map: change", broken, at_least=1e-3)
    edged = equivariance_error(network(rng, padding_mode="zeros"), x, group)
    report.check("zeros around the image: error", edged, at_least=1e-2)


def network(rng: np.random.Generator, stride: int = 1, padding_mode: str = "circular") -> nn.Sequential:
    """Two to four 3 x 3 or 5 x 5 convolutions that keep the size but for the first one's stride, in evaluation mode."""
    layers: list[nn.Module] = []
    channels = 3
    for i in range(int(rng.integers(2, 5))):
        kernel, out = int(rng.choice((3, 5))), int(rng.integers(2, 7))
        conv = nn.Conv2d(
            channels, out, kernel, stride if i == 0 else 1, kernel // 2, padding_mode=padding_mode, bias=False
        )
        norm = nn.BatchNorm2d(out)
        for p in norm.parameters():
            init.uniform_(p, 0.5, 1.5)
        layers += [conv, norm, nn.ReLU()]
        channels = out
    return nn.Sequential(*layers).eval()
