"""How many of the eight shifts by a pixel leave a maximum in its pooling window, and where the gradient goes.

Non-overlapping windows of 2 x 2 keep it under 3 of 8 shifts. In windows of 3 x 3 it depends on the place: 3 of 8 in a
corner, 5 of 8 on an edge, all in the middle; 5 of 9 on average (40 of 72).
"""

from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from pydl import nn, rand, tensor, zeros
from pydl.nn import functional as F
from pydl.recipes.recipe import Recipe, Report, setting

RECIPE = Recipe(
    name="pooling-invariance",
    ids=("V04",),
    title="Shifts that max pooling does not see",
    source="LISA lab 2015, deeplearning.net tutorial: Convolutional neural networks (LeNet), section MaxPooling",
    time="t0",
)

SHIFTS = [(i, j) for i in (-1, 0, 1) for j in (-1, 0, 1) if (i, j) != (0, 0)]


@dataclass
class Settings:
    """What can be set on the command line."""

    image: int = setting(12, "pixels on a side of the image for averages and ties", least=6)
    seed: int = setting(0, "of the image")


def run(settings: Settings, report: Report) -> None:
    """Counts over all places of the maximum and all eight shifts."""
    two, three = kept(2), kept(3)
    report.check("windows of 2 x 2, every place", str(set(two.ravel())), equals="{Fraction(3, 8)}")
    report.check("windows of 3 x 3, corner", str(three[0, 0]), equals="3/8")
    report.check("windows of 3 x 3, edge", str(three[0, 1]), equals="5/8")
    report.check("windows of 3 x 3, middle", str(three[1, 1]), equals="1")
    report.check("windows of 3 x 3, mean", str(three.sum() / 9), equals="5/9")
    n = settings.image // 2 * 2
    x = rand(1, 1, n, n).requires_grad_()
    nn.MaxPool2d(2)(x).sum().backward()
    assert x.grad is not None
    values = x.detach().numpy()[0, 0].reshape(n // 2, 2, n // 2, 2).swapaxes(1, 2).reshape(-1, 4)
    slopes = x.grad.numpy()[0, 0].reshape(n // 2, 2, n // 2, 2).swapaxes(1, 2).reshape(-1, 4)
    right = (slopes.argmax(1) == values.argmax(1)).all() and (slopes.sum(1) == 1).all() and set(slopes.flat) <= {0, 1}
    report.check("the gradient goes to the maximum alone", bool(right), equals=True)
    ties = zeros(1, 1, n, n).requires_grad_()
    nn.MaxPool2d(2)(ties).sum().backward()
    assert ties.grad is not None
    once = ties.grad.numpy()[0, 0].reshape(n // 2, 2, n // 2, 2).sum((1, 3))
    report.check("equal values share a gradient of", float(once.max()), at_least=1, at_most=1)
    mean = F.avg_pool2d(x.detach(), 2).numpy()[0, 0]
    report.check("average pooling against means", np.abs(mean.ravel() - values.mean(1)).max(), at_most=1e-6)
    whole = F.adaptive_avg_pool2d(x.detach(), 1).item()
    report.check("adaptive pooling to 1 x 1 against the mean", abs(whole - float(values.mean())), at_most=1e-6)


def kept(window: int) -> np.ndarray:
    """(window, window): for a maximum at each place of a window, the share of shifts after which pooling gives the
    same."""
    shares, pool = np.empty((window, window), object), nn.MaxPool2d(window)
    for i, j in np.ndindex(window, window):
        image = np.zeros((3 * window, 3 * window), np.float32)
        image[window + i, window + j] = 1
        before = pool(tensor(image[None, None])).numpy()
        moved = [np.roll(image, shift, (0, 1)) for shift in SHIFTS]
        after = pool(tensor(np.stack(moved)[:, None])).numpy()
        shares[i, j] = Fraction(int((after == before).all((1, 2, 3)).sum()), len(SHIFTS))
    return shares
