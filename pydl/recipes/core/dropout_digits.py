"""With few training images dropout helps a network that is too large."""

from dataclasses import dataclass

from pydl import manual_seed, nn, optim
from pydl.data import Digits
from pydl.models import MLP
from pydl.recipes.core.mlp_images import accuracy
from pydl.recipes.recipe import Recipe, Report, setting
from pydl.tensor import Tensor

RECIPE = Recipe(
    name="dropout-digits",
    ids=("C14",),
    title="Dropout against none on 200 digits",
    source="Srivastava et al. 2014",
    time="t1",
)


@dataclass
class Settings:
    """What can be set on the command line."""

    images: int = setting(200, "training images")
    hidden: int = setting(256, "units of each of two hidden layers")
    p: float = setting(0.5, "probability of dropping")
    steps: int = setting(300, "full-batch steps of Adam")
    seeds: int = setting(10, "starts")
    seed: int = setting(0, "of the first start")


def run(settings: Settings, report: Report) -> None:
    """Counts the starts in which dropout makes fewer test errors."""
    x, y = Digits(train=True).tensors(flatten=True)
    test = Digits(train=False).tensors(flatten=True)
    wins = 0
    for seed in range(settings.seed, settings.seed + settings.seeds):
        manual_seed(seed)
        at = slice(seed * 100, seed * 100 + settings.images)
        without, with_ = (_train(x[at], y[at], test, p, seed, settings) for p in (0.0, settings.p))
        report.say(f"start {seed}: test accuracy {without:.4f} without, {with_:.4f} with dropout")
        wins += with_ > without
    report.check(f"starts of {settings.seeds} in which dropout wins", wins, at_least=7)


def _train(x: Tensor, y: Tensor, test: tuple[Tensor, Tensor], p: float, seed: int, settings: Settings) -> float:
    manual_seed(seed)
    model = MLP([64, settings.hidden, settings.hidden, 10], dropout=p)
    optimizer = optim.Adam(model.parameters(), lr=2e-3)
    for _ in range(settings.steps):
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(x), y).backward()
        optimizer.step()
    return accuracy(model, *test)
