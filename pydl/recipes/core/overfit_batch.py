"""First overfit a batch: if that fails, something is broken. Then regularise."""

from dataclasses import dataclass

from pydl import manual_seed
from pydl.data import Digits
from pydl.models import MLP
from pydl.nn import functional as F
from pydl.recipes.recipe import Recipe, Report, setting
from pydl.train.diagnostics import overfit_batch

RECIPE = Recipe(
    name="overfit-batch",
    ids=("C26",),
    title="A right model fits 32 examples; one with a frozen layer is found out",
    source="Karpathy 2019, A recipe for training neural networks",
    time="t0",
)


@dataclass
class Settings:
    """What can be set on the command line."""

    examples: int = setting(32, "examples", least=1)
    seed: int = setting(0, "of the weights")


def run(settings: Settings, report: Report) -> None:
    """Runs the diagnosis on a right model, and on one whose second layer gets no gradient."""
    batch = Digits(train=True).tensors(flatten=True)
    manual_seed(settings.seed)
    right = overfit_batch(MLP([64, 64, 64, 10]), batch, F.cross_entropy, examples=settings.examples)
    report.say(str(right))
    report.check("loss of the right model", right.loss, at_most=1e-3)
    report.check("its layers that do not learn", right.without_gradient + right.unchanged, equals=[])

    broken = MLP([64, 64, 64, 10])
    frozen = [name for name, _ in broken.named_parameters()][2:4]
    for p in list(broken.parameters())[2:4]:
        p.requires_grad_(False)
    found = overfit_batch(broken, batch, F.cross_entropy, examples=settings.examples)
    report.check("layers found without gradient", found.without_gradient, equals=frozen)
    report.check("the broken model is let through", found.ok, equals=False)
