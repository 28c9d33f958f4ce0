"""An MLP on Fashion-MNIST, within 10 epochs."""

from dataclasses import dataclass

from pydl.data import FashionMNIST
from pydl.recipes.core.mlp_images import train_and_test
from pydl.recipes.recipe import Recipe, Report, setting

RECIPE = Recipe(
    name="mlp-fashion",
    ids=("C05",),
    title="An MLP on Fashion-MNIST, within 10 epochs",
    source="Xiao, Rasul & Vollgraf 2017 (arXiv:1708.07747)",
    time="t2",
)


@dataclass
class Settings:
    """What can be set on the command line."""

    hidden: tuple[int, ...] = setting((512, 512), "sizes of the hidden layers")
    epochs: int = setting(10, "passes over the training part")
    batch: int = setting(128, "examples in a step")
    lr: float = setting(1e-3, "first step size of AdamW")
    dropout: float = setting(0.2, "probability of dropping a hidden unit")
    seed: int = setting(0, "of weights, order and dropout")


def run(settings: Settings, report: Report) -> None:
    """Trains on the training part, checks the accuracy on the test part: at least 88.5 %."""
    s = settings
    train, test = (FashionMNIST(train=part).tensors(flatten=True, normalize=True) for part in (True, False))
    train_and_test(train, test, s.hidden, s.epochs, s.batch, s.lr, s.dropout, s.seed, 0.885, report)
