"""With few training images dropout helps a network that is too large.

Measured over draws 0-9: dropout wins all 10, with a mean test error of 5.38 % against 6.93 % without.
"""

from dataclasses import dataclass

from pydl import manual_seed, nn, optim, randperm
from pydl.data import Digits
from pydl.models import MLP
from pydl.nn import functional as F
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

Pair = tuple[Tensor, Tensor]


@dataclass
class Settings:
    """What can be set on the command line."""

    images: int = setting(200, "training images", least=1)
    hidden: int = setting(256, "units of each of two hidden layers", least=1)
    p: float = setting(0.5, "probability of dropping a hidden unit", most=1)
    p_input: float = setting(0.2, "probability of dropping a pixel", most=1)
    steps: int = setting(300, "full-batch steps of Adam", least=1)
    seeds: int = setting(10, "draws of training images and weights", least=1)
    seed: int = setting(0, "of the first draw")


def run(settings: Settings, report: Report) -> None:
    """Counts the draws in which dropout makes fewer test errors."""
    x, y = Digits(train=True).tensors(flatten=True, normalize=True)
    test = Digits(train=False).tensors(flatten=True, normalize=True)
    wins = 0
    for seed in range(settings.seed, settings.seed + settings.seeds):
        manual_seed(seed)
        few = randperm(len(x))[: settings.images]
        without = _train((x[few], y[few]), test, 0.0, 0.0, seed, settings)
        with_ = _train((x[few], y[few]), test, settings.p_input, settings.p, seed, settings)
        report.say(f"draw {seed}: test error {1 - without:.4f} without, {1 - with_:.4f} with dropout")
        wins += with_ > without
    report.check(f"draws of {settings.seeds} in which dropout wins", wins, at_least=0.7 * settings.seeds)


def _train(train: Pair, test: Pair, p_input: float, p: float, seed: int, settings: Settings) -> float:
    """The test accuracy after training from the seed's weights."""
    manual_seed(seed)
    model = nn.Sequential(nn.Dropout(p_input), MLP([64, settings.hidden, settings.hidden, 10], dropout=p))
    optimizer = optim.Adam(model.parameters(), lr=2e-3)
    for _ in range(settings.steps):
        optimizer.zero_grad()
        F.cross_entropy(model(train[0]), train[1]).backward()
        optimizer.step()
    return accuracy(model, *test)
