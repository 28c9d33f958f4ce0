"""Sizes and numbers of weights of convolutional layers, counted and computed.

A window of f pixels, padded by p and moved by s, fits floor((n + 2 p - f) / s) + 1 times: n = 7, f = 3, s = 2 gives 3.
"""

import itertools
from dataclasses import dataclass

from pydl import nn, zeros
from pydl.models import LeNet
from pydl.nn import functional as F
from pydl.recipes.recipe import Recipe, Report, setting
from pydl.vision import layer_costs

RECIPE = Recipe(
    name="conv-shapes",
    ids=("V02",),
    title="Padding, stride and the arithmetic of shapes",
    source="Dumoulin & Visin 2016, A guide to convolution arithmetic for deep learning, relationships 1-6",
    time="t0",
)

LENET = ((4, 28, 28), (4, 14, 14), (6, 10, 10), (6, 5, 5), (150,), (128,), (10,))


@dataclass
class Settings:
    """What can be set on the command line."""

    largest: int = setting(12, "largest image", least=5)


def run(settings: Settings, report: Report) -> None:
    """Compares all sizes up to the largest with what layers give, and follows the lecture's network."""
    tried, wrong = 0, 0
    for n, f, p, s in itertools.product(range(1, settings.largest + 1), range(1, 6), range(3), range(1, 4)):
        if f > n + 2 * p:
            continue
        made = F.conv1d(zeros(1, 1, n), zeros(1, 1, f), None, s, p).shape[2]
        wrong += made != (n + 2 * p - f) // s + 1 or made != F.conv_out_size(n, f, s, p)
        tried += 1
    report.say(f"{tried} combinations of image, kernel, padding and stride")
    report.check("sizes that differ from the formula", wrong, equals=0)
    report.check("7 pixels, window 3, stride 2", F.conv_out_size(7, 3, 2), equals=3)
    kept = all(
        nn.Conv1d(1, 1, f, padding=padding)(zeros(1, 1, 9)).shape[2] == 9
        for f in (1, 3, 5, 7)
        for padding in ("same", (f - 1) // 2)
    )
    report.check("padding (f - 1) / 2 and 'same' keep the size", kept, equals=True)
    report.check("valid padding of 9 by 4", nn.Conv1d(1, 1, 4, padding="valid")(zeros(1, 1, 9)).shape[2], equals=6)
    counts = [(f, c, k) for f in (1, 3, 5) for c in (1, 3, 8) for k in (2, 6)]
    same = all(sum(p.numel() for p in nn.Conv2d(c, k, f).parameters()) == f * f * c * k + k for f, c, k in counts)
    report.check("layers of f f c k + k weights", same, equals=True)
    shapes = [cost.shape for cost in layer_costs(LeNet(), (1, 32, 32))]
    chain = [shape for i, shape in enumerate(shapes) if i == 0 or shape != shapes[i - 1]]  # dropout keeps its input's
    report.say(" -> ".join("x".join(map(str, shape)) for shape in chain))
    report.check("the lecture's chain of shapes", tuple(chain), equals=LENET)
