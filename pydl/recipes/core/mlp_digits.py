"""An MLP on the 8x8 digits that come with the package.

Measured over seeds 0-9: 98.03 to 98.59 %, in under a second. Without noise and smoothing 97.46 to 98.03 %.
"""

from dataclasses import dataclass

from pydl.data import Digits
from pydl.recipes.core.mlp_images import ImageSettings, train_and_test
from pydl.recipes.recipe import Recipe, Report, setting

RECIPE = Recipe(
    name="mlp-digits",
    ids=("C05",),
    title="An MLP on the 8x8 digits that come with the package",
    source="Rumelhart, Hinton & Williams 1986; data: Alpaydin & Kaynak 1998",
    time="t0",
)


@dataclass
class Settings(ImageSettings):
    """What can be set on the command line."""

    hidden: tuple[int, ...] = setting((128,), "sizes of the hidden layers", least=1)
    epochs: int = setting(20, "passes over the training part", least=1)
    batch: int = setting(32, "examples in a step", least=1)
    lr: float = setting(3e-3, "first step size of AdamW")
    dropout: float = setting(0.0, "probability of dropping a hidden unit", most=1)
    noise: float = setting(0.4, "deviation of the noise added to the normalised pixels in training")


def run(settings: Settings, report: Report) -> None:
    """Trains on the training part, checks the accuracy on the test part: at least 97 %."""
    train, test = (Digits(train=part).tensors(flatten=True, normalize=True) for part in (True, False))
    train_and_test(train, test, settings, 0.97, report)
