"""Colours moved along their principal components, as AlexNet was shown its images."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from pydl.data import Digits
from pydl.data.transforms import PCAColor
from pydl.recipes.recipe import Recipe, Report, setting

if TYPE_CHECKING:
    from matplotlib.figure import Figure

RECIPE = Recipe(
    name="pca-colour",
    ids=("V10",),
    title="Colours moved along their principal components",
    source="Krizhevsky, Sutskever & Hinton 2012, ImageNet classification with deep convolutional networks, section 4.1",
    time="t0",
)


@dataclass
class Settings:
    """What can be set on the command line."""

    images: int = setting(40000, "draws", least=1000)
    std: float = setting(0.1, "of the draws")
    seed: int = setting(0, "of colours and draws")


def run(settings: Settings, report: Report) -> None:
    """The covariance of what is added is that of the formula; one draw moves a whole image."""
    s = settings
    images = coloured(200, s.seed)
    transform = PCAColor.fit(images, s.std)
    values, vectors = np.linalg.eigh(np.cov(images.swapaxes(0, 1).reshape(3, -1).astype(np.float64)))
    report.check("eigenvalues", float(np.abs(np.sort(transform.eigenvalues) - values).max()), at_most=1e-6)
    grey = np.full((s.images, 3, 2, 2), 0.5)
    added = transform(grey, s.seed) - grey
    report.check("one draw for each image", float(np.abs(np.ptp(added, (2, 3))).max()), at_most=0)
    wanted = s.std**2 * (vectors * values**2) @ vectors.T
    gap = np.linalg.norm(np.cov(added[:, :, 0, 0].T) - wanted) / np.linalg.norm(wanted)
    report.check("covariance of what is added, relative error", float(gap), at_most=0.02)
    report.check("no draw, no change", bool((PCAColor(0.0)(images, 0) == images).all()), equals=True)
    strong = PCAColor(20 * s.std, transform.components, transform.eigenvalues)
    shown = np.concatenate([images[:6], strong(images[:6], 1), strong(images[:6], 2)])
    report.figure("colours", lambda figure: _draw(figure, shown))


def coloured(count: int, seed: int) -> np.ndarray:
    """(count, 3, 8, 8): digits, dark strokes and light paper of colours that lean to brown."""
    rng = np.random.default_rng(seed)
    strokes = Digits().tensors()[0].numpy()[:count]
    tint = rng.normal(0, 0.1, (2, len(strokes), 3, 1, 1)) @ np.eye(1) + rng.normal(0, 0.05, (2, len(strokes), 1, 1, 1))
    paper, ink = np.array([0.9, 0.8, 0.6]), np.array([0.3, 0.2, 0.1])
    picture = (1 - strokes) * (paper[:, None, None] + tint[0]) + strokes * (ink[:, None, None] + tint[1])
    return np.asarray(np.clip(picture, 0, 1), np.float32)


def _draw(figure: "Figure", shown: np.ndarray) -> None:
    for axis, picture in zip(figure.subplots(3, len(shown) // 3).flat, shown, strict=True):
        axis.imshow(np.clip(picture, 0, 1).transpose(1, 2, 0))
        axis.set_axis_off()
    figure.suptitle("as they are, and two draws twenty times as strong", fontsize=9)
