"""What an output of stacked convolutions reads: two layers of width 3 see 5 pixels.

The size grows by (kernel - 1) times the product of the strides before; it is where the input's gradient may differ
from 0.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from pydl import float64, nn, rand
from pydl.nn import init
from pydl.recipes.recipe import Recipe, Report, setting
from pydl.vision import ReceptiveField, receptive_field

RECIPE = Recipe(
    name="receptive-field",
    ids=("V03",),
    title="Receptive fields, computed and seen in gradients",
    source="Luo et al. 2016, Understanding the effective receptive field, section 1; Araujo et al. 2019 (Distill)",
    time="t0",
)


@dataclass
class Settings:
    """What can be set on the command line."""

    networks: int = setting(10, "random networks", least=1)
    seed: int = setting(0, "of their layers")


def run(settings: Settings, report: Report) -> None:
    """Compares the arithmetic with gradients, in networks of two to five layers."""
    two = nn.Sequential(nn.Conv1d(1, 4, 3), nn.ReLU(), nn.Conv1d(4, 2, 3))
    report.check("two layers of width 3", receptive_field(two).size, equals=(5,))
    rng, right, pictures = np.random.default_rng(settings.seed), 0, []
    for _ in range(settings.networks):
        model = network(rng)
        field = receptive_field(model)
        support, start = gradient_support(model)
        found = ReceptiveField(*(tuple(int(v) for v in pair) for pair in (_extent(support), field.jump, start)))
        report.say(f"{len(model)} layers: {found.size[0]} x {found.size[1]} pixels, {field.jump[0]} apart")
        right += found == field
        pictures.append(support)
    report.check(f"of {settings.networks} networks, as computed", right, equals=settings.networks)
    report.figure("support", lambda figure: _draw(figure, pictures[:6]))


def network(rng: np.random.Generator) -> nn.Sequential:
    """Two to five convolutions and poolings of random settings; weights are positive, so that no gradient cancels."""
    layers: list[nn.Module] = []
    channels, jump = 1, 1
    for _ in range(rng.integers(2, 6)):
        kernel, stride, dilation = (int(rng.integers(1, top)) for top in (5, 3, 3))
        stride = 1 if jump * stride > 8 else stride
        jump *= stride
        if rng.random() < 0.3:
            layers.append(nn.AvgPool2d(kernel, stride, kernel // 2))
        else:
            layers += [nn.Conv2d(channels, 2, kernel, stride, kernel // 2, dilation, dtype=float64), nn.ReLU()]
            channels = 2
    for part in layers:
        for p in part.parameters():
            init.uniform_(p, 0.5, 1.0)
    return nn.Sequential(*layers)


def gradient_support(model: nn.Module) -> tuple[np.ndarray, tuple[int, int]]:
    """Where the gradient of the middle output is not 0 (a box), and where the field of output 0 begins."""
    x = rand(1, 1, 160, 160, dtype=float64).requires_grad_()
    y = model(x)
    i, j = y.shape[2] // 2, y.shape[3] // 2
    y[0, :, i, j].sum().backward()
    assert x.grad is not None
    seen = x.grad.numpy()[0, 0] != 0
    rows, columns = np.flatnonzero(seen.any(1)), np.flatnonzero(seen.any(0))
    box = seen[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    jump = receptive_field(model).jump
    return box, (int(rows[0]) - i * jump[0], int(columns[0]) - j * jump[1])


def _extent(box: np.ndarray) -> tuple[int, int]:
    return box.shape[0], box.shape[1]


def _draw(figure: Any, pictures: list[np.ndarray]) -> None:
    for axis, support in zip(figure.subplots(2, 3).flat, pictures, strict=False):
        axis.imshow(support, cmap="gray_r", vmin=0, vmax=1)
        axis.set_title(f"{support.shape[0]} x {support.shape[1]}", fontsize=8)
        axis.set_axis_off()
