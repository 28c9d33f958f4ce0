"""Cutout, dropped paths and auxiliary heads: what they hide, what they keep on average, and what they add."""

from dataclasses import dataclass

import numpy as np

from pydl import nn, no_grad, randint, randn
from pydl.data.transforms import Cutout
from pydl.models import GoogLeNet, auxiliary_loss
from pydl.nn import functional as F
from pydl.recipes.recipe import Recipe, Report, setting

RECIPE = Recipe(
    name="cutout-paths",
    ids=("V27",),
    title="Cutout, dropped paths and auxiliary heads",
    source="DeVries & Taylor 2017 (arXiv:1708.04552); Larsson et al. 2016 (arXiv:1605.07648); Szegedy et al. 2014",
    time="t0",
)


@dataclass
class Settings:
    """What can be set on the command line."""

    images: int = setting(5000, "images with a hole", least=100)
    size: int = setting(32, "pixels on a side", least=8)
    hole: int = setting(16, "pixels on a side of the hole", least=1)
    paths: int = setting(20000, "examples whose path is dropped or not", least=100)
    drop: float = setting(0.3, "probability of dropping a path", least=0.05, most=0.95)
    seed: int = setting(0, "of all draws")


def run(settings: Settings, report: Report) -> None:
    """Compares averages over many draws with what theory says; looks at the auxiliary losses of a small network."""
    s = settings
    holes = Cutout(s.hole)(np.ones((s.images, 1, s.size, s.size), np.float32), s.seed) == 0
    area = float(holes.mean()) * s.size**2
    wanted = expected_area(s.size, s.hole)
    report.say(f"mean area of the hole {area:.2f}, expected {wanted:.2f} of at most {s.hole**2} pixels")
    report.check("mean area over the expected one", area / wanted, at_least=0.98, at_most=1.02)
    report.check("largest area", int(holes.sum((1, 2, 3)).max()), equals=s.hole**2)
    report.figure("holes", lambda figure: _draw(figure, holes.mean((0, 1))))
    path, x = nn.DropPath(s.drop), randn(1, 8).expand(s.paths, 8)
    mean, exact = path(x).mean(0).numpy(), x[0].numpy()
    spread = np.abs(exact) * np.sqrt(s.drop / (1 - s.drop) / s.paths)
    report.check(
        "mean of a path over its value, standard errors", float((np.abs(mean - exact) / spread).max()), at_most=4
    )
    report.check("evaluation leaves a path alone", bool((path.eval()(x) == x).all()), equals=True)
    _heads(report)


def expected_area(size: int, hole: int) -> float:
    """Of a square whose centre is any pixel, cut off at the edges."""
    covered = [min(i - hole // 2 + hole, size) - max(i - hole // 2, 0) for i in range(size)]
    return float(np.mean(covered)) ** 2


def _heads(report: Report) -> None:
    """Their losses count 0.3 in training, reach the layers below them, and are gone in evaluation."""
    model = GoogLeNet(num_classes=4, width_mult=0.05)
    x, y = randn(4, 3, 64, 64), randint(0, 4, (4,))
    outputs = model(x)
    losses = [float(F.cross_entropy(scores, y)) for scores in outputs]
    gap = abs(float(auxiliary_loss(outputs, y)) - losses[0] - 0.3 * losses[1] - 0.3 * losses[2])
    report.check("loss against the network's + 0.3 of each head's", gap, at_most=1e-5)
    F.cross_entropy(outputs.aux_logits1, y).backward()
    names = {name.split(".")[0] for name, p in model.named_parameters() if p.grad is not None}
    report.check("a head teaches the layers below it", {"conv1", "inception4a", "aux1"} <= names, equals=True)
    report.check("and none above", names.isdisjoint({"inception4b", "inception5b", "fc", "aux2"}), equals=True)
    with no_grad():
        shape = tuple(model.eval()(x).shape)
    report.check("scores alone in evaluation", shape, equals=(4, 4))


def _draw(figure: object, share: np.ndarray) -> None:
    from matplotlib.figure import Figure

    assert isinstance(figure, Figure)
    axes = figure.subplots()
    picture = axes.imshow(share, cmap="viridis", vmin=0)
    axes.set_title("share of images in which a pixel is hidden")
    figure.colorbar(picture, ax=axes)
