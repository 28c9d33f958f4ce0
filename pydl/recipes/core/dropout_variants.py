"""Dropout of weights, dropout with a gate for each unit, and dropout that fades: what they are, and that they learn.

Measured over seeds 0-4: the largest deviation among 48 mean outputs is 2.0 to 3.4 standard errors; test accuracy on
digits 96.1 to 98.3 %.
"""

import math
from dataclasses import dataclass

import numpy as np

from pydl import eye, manual_seed, nn, no_grad, optim, randn
from pydl.data import Digits
from pydl.nn import functional as F
from pydl.recipes.recipe import Recipe, Report, setting
from pydl.tensor import Tensor
from pydl.train import Accuracy, Trainer
from pydl.train.callbacks import Anneal

RECIPE = Recipe(
    name="dropout-variants",
    ids=("C15",),
    title="DropConnect, adaptive and annealed dropout keep the mean, and train on digits",
    source="Wan et al. 2013; Ba & Frey 2013; Rennie, Goel & Thomas 2014",
    time="t0",
)


@dataclass
class Settings:
    """What can be set on the command line."""

    p: float = setting(0.5, "probability of dropping", least=0.01, most=0.9)
    masks: int = setting(4000, "masks of the expectations", least=2)
    hidden: int = setting(96, "units of the hidden layer", least=1)
    epochs: int = setting(8, "on the digits", least=1)
    seed: int = setting(0, "of weights and masks")


def run(settings: Settings, report: Report) -> None:
    """Checks expectations, the masks of single weights, the schedule's end, and the accuracy of each on digits."""
    manual_seed(settings.seed)
    p = settings.p
    layers = {
        "DropConnect": nn.DropConnectLinear(6, 8, p=p, per_example=True),
        "adaptive dropout": nn.StandoutLinear(6, 8, alpha=2.0, activation="tanh"),
    }
    x = randn(6, 6)
    for name, layer in layers.items():
        deviation = _deviation(layer, x, settings.masks)
        report.check(f"{name}: mean output minus evaluation's, in standard errors", deviation, at_most=4.0)
    _single_weights(p, report)

    rate = nn.DropSchedule(p, steps=settings.epochs - 1 or 1)
    middle: dict[str, list[nn.Module]] = {
        "DropConnect": [nn.DropConnectLinear(64, settings.hidden, p=p), nn.ReLU()],
        "adaptive dropout": [nn.StandoutLinear(64, settings.hidden, alpha=1.0, beta=0.0)],
        "annealed dropout": [nn.Linear(64, settings.hidden), nn.ReLU(), nn.Dropout(rate)],
    }
    for name, parts in middle.items():
        report.check(f"{name}: accuracy on digits", _accuracy(parts, rate, settings), at_least=0.95)
    report.check("annealed dropout: rate at the end", rate.value, equals=0.0)
    last = middle["annealed dropout"][-1].train()
    report.check("annealed dropout: it is the identity at the end", bool((last(x) == x).all()), equals=True)


def _deviation(layer: nn.Module, x: Tensor, masks: int) -> float:
    """The largest difference of a mean output from that of evaluation, in standard errors."""
    with no_grad():
        many = x.unsqueeze(0).expand(masks, *x.shape).reshape(masks * x.shape[0], x.shape[1])
        outputs = layer(many).numpy().reshape(masks, x.shape[0], -1).astype(np.float64)
        want = layer.eval()(x).numpy()
    errors = outputs.std(0, ddof=1) / math.sqrt(masks)
    return float((np.abs(outputs.mean(0) - want) / errors).max())


def _single_weights(p: float, report: Report) -> None:
    """With rows of the identity as examples the outputs are the weights themselves."""
    n = 60
    layer = nn.DropConnectLinear(n, n, bias=False, p=p)
    dropped = (layer(eye(n)) == 0).numpy()
    error = abs(float(dropped.mean()) - p) / math.sqrt(p * (1 - p) / n**2)
    report.check("DropConnect: share of dropped weights minus p, in standard errors", error, at_most=4.0)
    whole = [int(dropped.all(axis).sum() + (~dropped).all(axis).sum()) for axis in (0, 1)]
    report.check("DropConnect: units and inputs with one fate for all their weights", whole, equals=[0, 0])


def _accuracy(parts: list[nn.Module], rate: nn.DropSchedule, settings: Settings) -> float:
    """The test accuracy of a network of one hidden layer."""
    manual_seed(settings.seed)
    rate.count = 0
    train, test = (Digits(train=t).tensors(flatten=True, normalize=True) for t in (True, False))
    model = nn.Sequential(*parts, nn.Linear(settings.hidden, 10))
    trainer = Trainer(model, F.cross_entropy, optim.Adam(model.parameters(), lr=5e-3), metrics=[Accuracy()])
    trainer.fit(train, settings.epochs, batch_size=32, callbacks=[Anneal(rate)])
    return float(trainer.evaluate(test, batch_size=1000)["accuracy"])
