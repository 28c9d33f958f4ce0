"""A rectified RNN whose recurrent weights begin as the identity adds two numbers a hundred steps apart.

Units that are 0 at every step of all test sequences are dead: neither they nor their weights learn any more. Larger
rates kill more of the training: with 1e-3 only 2 of 5 networks learn.
Measured over seeds 0-4: all reach errors of 0.02 to 0.03 after 2973, 3752, 3885, 3748 and 4867 updates; 77 to 85 of
their 100 units are dead.
"""

from dataclasses import dataclass

import numpy as np

import pydl
from pydl import nn
from pydl.data.memory_tasks import adding_problem
from pydl.recipes.recipe import Recipe, Report, setting
from pydl.recipes.sequence.adding_problem import LastState, error_on, train

RECIPE = Recipe(
    name="relu-rnn",
    ids=("R15",),
    title="ReLU RNN with identity start on the adding problem",
    source="Le, Jaitly & Hinton 2015 (arXiv:1504.00941)",
    time="t2",
)


@dataclass
class Settings:
    """What can be set on the command line."""

    steps: int = setting(100, "numbers in a sequence", least=4)
    units: int = setting(100, "of the network", least=1)
    batch: int = setting(50, "examples per update", least=1)
    updates: int = setting(5000, "of each network, at most", least=1)
    lr: float = setting(5e-4, "step size of Adam")
    seeds: int = setting(5, "networks", least=1)


def run(settings: Settings, report: Report) -> None:
    """Checks that 3 of 5 networks reach a squared error of 0.05; reports the dead units of each."""
    solved = 0
    for seed in range(settings.seeds):
        updates, error, dead = _train(seed, settings)
        report.say(f"seed {seed}: {updates} updates, error {error:.4f}, dead units {dead} of {settings.units}")
        solved += error < 0.05
    report.check("networks with a squared error below 0.05", solved, at_least=settings.seeds * 3 / 5)


def _train(seed: int, s: Settings) -> tuple[int, float, int]:
    """Updates made, the error on new examples, and dead units."""
    pydl.manual_seed(seed)
    layer = nn.RNN(2, s.units, nonlinearity="relu", batch_first=True, identity=True)
    model = LastState(layer)
    updates = len(train(model, s, seed, below=0.03))
    x, y = adding_problem(1000, s.steps, np.random.default_rng(seed + 1000))
    with pydl.no_grad():
        active = (layer(x)[0].numpy() > 0).any((0, 1))
    return updates, error_on(model, x, y), int((~active).sum())
