"""The networks that won or nearly won ImageNet's contests, 2012 to 2015: their sizes, and small ones at work.

Top-5 error on ImageNet as published, of ensembles: AlexNet 15.3 % (2012), VGG 7.3 % and GoogLeNet 6.7 % (2014), ResNet
3.6 % (2015). They are built without first values here, whose memory is not touched then, so that their weights can be
counted at full size; a tenth as wide they fit 64 images. Measured with seed 0: ResNet-18 takes 8 steps, VGG-16 with
batch norm 20, the networks without norms 65 to 330.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pydl import manual_seed, models, nn, optim, randint, randn
from pydl.nn import functional as F
from pydl.nn.utils import no_init_weights
from pydl.recipes.recipe import Recipe, Report, setting

if TYPE_CHECKING:
    from matplotlib.figure import Figure

RECIPE = Recipe(
    name="model-zoo",
    ids=("V08",),
    title="The networks of ImageNet 2012 to 2015, counted and fitted",
    source="Krizhevsky et al. 2012; Zeiler, Fergus 2013; Simonyan, Zisserman 2014; Szegedy et al. 2014; He et al. 2015",
    time="t1",
)

COUNTS = {
    "alexnet": 61_100_840,
    "overfeat": 145_920_872,
    "vgg11": 132_863_336,
    "vgg16": 138_357_544,
    "vgg16_bn": 138_365_992,
    "vgg19": 143_667_240,
    "googlenet": 13_004_888,
    "resnet18": 11_689_512,
    "resnet50": 25_557_032,
    "resnet152": 60_192_808,
}
# name: (the network with 10 classes, a tenth as wide; pixels on a side of its images)
SMALL: dict[str, tuple[Callable[[], nn.Module], int]] = {
    "AlexNet": (lambda: models.AlexNet(10, 0.0, width_mult=0.1, small_images=True, paper_init=False), 32),
    "ZF-Net": (lambda: models.ZFNet(10, 0.0, width_mult=0.1), 64),
    "OverFeat": (lambda: models.OverFeat(10, 0.0, width_mult=0.1), 72),
    "VGG-11": (lambda: models.vgg11(10, width_mult=0.1, dropout=0.0), 32),
    "VGG-16 with batch norm": (lambda: models.vgg16_bn(10, width_mult=0.1, dropout=0.0), 32),
    "GoogLeNet": (lambda: models.GoogLeNet(10, False, dropout=0.0, width_mult=0.1), 32),
    "GoogLeNet without batch norm": (
        lambda: models.GoogLeNet(10, False, False, 0.0, batch_norm=False, width_mult=0.1), 32
    ),
    "ResNet-18": (lambda: models.resnet18(10, width_mult=0.1, stem="cifar"), 32),
}  # fmt: skip


@dataclass
class Settings:
    """What can be set on the command line."""

    images: int = setting(64, "of noise, with random classes", least=2)
    steps: int = setting(500, "of Adam at most", least=1)
    lr: float = setting(1e-3, "step size")
    seed: int = setting(0, "of images, classes and weights")


def run(settings: Settings, report: Report) -> None:
    """Counts the weights of each network, then lets the small ones learn all images by heart."""
    for name, wanted in COUNTS.items():
        with no_init_weights():
            model: nn.Module = getattr(models, name)()
        report.check(f"weights of {name}", sum(p.numel() for p in model.parameters()), equals=wanted)
    curves = {}
    for name, (make, side) in SMALL.items():
        curves[name], fitted = _fit(make, side, settings)
        report.check(f"share of images that {name} fits in {len(curves[name])} steps", fitted, at_least=1)
    report.figure("loss", lambda figure: _draw(figure, curves))


def _fit(make: Callable[[], nn.Module], side: int, s: Settings) -> tuple[list[float], float]:
    """The losses until all images are fitted, and the share that is."""
    manual_seed(s.seed)
    model = make()
    x, y = randn(s.images, 3, side, side), randint(0, 10, (s.images,))
    optimizer, losses, share = optim.Adam(model.parameters(), s.lr), [], 0.0
    for _ in range(s.steps):
        optimizer.zero_grad()
        scores = model(x)
        loss = F.cross_entropy(scores, y)
        losses.append(loss.item())
        share = float((scores.argmax(1) == y).float().mean())
        if share == 1.0:
            break
        loss.backward()
        optimizer.step()
    return losses, share


def _draw(figure: "Figure", curves: dict[str, list[float]]) -> None:
    axes = figure.subplots()
    for name, losses in curves.items():
        axes.semilogy(losses, label=name)
    axes.set(xlabel="step", ylabel="training loss")
    axes.legend(fontsize=7)
