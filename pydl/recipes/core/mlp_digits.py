"""An MLP on the 8x8 digits that come with the package."""

from dataclasses import dataclass

from pydl.data import Digits
from pydl.recipes.core.mlp_images import train_and_test
from pydl.recipes.recipe import Recipe, Report, setting

RECIPE = Recipe(
    name="mlp-digits",
    ids=("C05",),
    title="An MLP on the 8x8 digits that come with the package",
    source="Rumelhart, Hinton & Williams 1986; data: Alpaydin & Kaynak 1998",
    time="t1",
)


@dataclass
class Settings:
    """What can be set on the command line."""

    hidden: tuple[int, ...] = setting((64, 64), "sizes of the hidden layers")
    epochs: int = setting(40, "passes over the training part")
    batch: int = setting(32, "examples in a step")
    lr: float = setting(2e-3, "first step size of AdamW")
    dropout: float = setting(0.0, "probability of dropping a hidden unit")
    seed: int = setting(0, "of weights, order and dropout")


def run(settings: Settings, report: Report) -> None:
    """Trains on the training part, checks the accuracy on the test part: at least 97 %."""
    s = settings
    train, test = (Digits(train=part).tensors(flatten=True, normalize=True) for part in (True, False))
    train_and_test(train, test, s.hidden, s.epochs, s.batch, s.lr, s.dropout, s.seed, 0.97, report)
