"""First overfit a batch: if that fails, something is broken."""

from dataclasses import dataclass

from pydl import manual_seed, optim
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

    batch: int = setting(32, "examples")
    seed: int = setting(0, "of the weights")


def run(settings: Settings, report: Report) -> None:
    """Runs the diagnosis on a right model and on one whose first layer gets no gradient."""
    manual_seed(settings.seed)
    x, y = (t[: settings.batch] for t in Digits(train=True).tensors(flatten=True))
    for frozen in (False, True):
        model = MLP([64, 64, 10])
        if frozen:
            for p in list(model.parameters())[:2]:
                p.requires_grad_(False)
        learning = [p for p in model.parameters() if p.requires_grad]
        found = overfit_batch(model, (x, y), F.cross_entropy, optimizer=optim.Adam(learning, lr=1e-2))
        if not frozen:
            report.check("loss of the right model", found.loss, at_most=1e-3)
            report.check("its parameters without gradient", len(found.without_gradient), equals=0)
        else:
            report.check("parameters of the frozen model without gradient", len(found.without_gradient), equals=2)
