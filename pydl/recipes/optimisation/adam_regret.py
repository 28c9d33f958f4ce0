"""Where Adam's regret bound fails, what AMSGrad does about it, and the regret of Adam where it holds.

Measured: Adam ends at 1, the worst point, AMSGrad at -0.9955, near the best; the mean regret of Adam on logistic losses
falls as T^-0.61.
"""

from dataclasses import dataclass

import numpy as np

from pydl import no_grad, optim, tensor
from pydl.nn import functional as F
from pydl.recipes.recipe import Recipe, Report, setting
from pydl.theory import online_regret

RECIPE = Recipe(
    name="adam-regret",
    ids=("O11",),
    title="Adam's regret, the sequence that breaks it, and AMSGrad",
    source="Reddi, Kale & Kumar 2018 (arXiv:1904.09237), theorem 1; Kingma & Ba 2015, theorem 4.1",
    time="t0",
)


@dataclass
class Settings:
    """What can be set on the command line."""

    steps: int = setting(6000, "of the sequence of three", least=30)
    rounds: int = setting(6000, "of the logistic losses", least=100)
    seed: int = setting(0, "of the logistic losses")


def run(settings: Settings, report: Report) -> None:
    """Plays both games."""
    report.check("Adam on the sequence", _sequence(False, settings.steps), at_least=0.99)
    report.check("AMSGrad on the sequence", _sequence(True, settings.steps), at_most=-0.99)
    mean = _logistic(settings.rounds, settings.seed) / np.arange(1, settings.rounds + 1)
    late = np.unique(np.geomspace(50, settings.rounds, 200).astype(int)) - 1
    slope = np.polyfit(np.log(late + 1), np.log(np.maximum(mean[late], 1e-9)), 1)[0]
    report.check("slope of log R(T)/T against log T", slope, at_most=-0.4)


def _sequence(amsgrad: bool, steps: int) -> float:
    """The last point on [-1, 1] when the slope is 3 in every third round and -1 in the others."""
    x = tensor([0.0], requires_grad=True)
    optimizer = optim.Adam([x], lr=1.0, betas=(0.0, 0.1), amsgrad=amsgrad)
    for t in range(1, steps + 1):
        optimizer.param_groups[0]["lr"] = 0.5 / np.sqrt(t)
        x.grad = tensor([3.0 if t % 3 == 1 else -1.0])
        optimizer.step()
        with no_grad():
            x.clamp_(-1, 1)
    return float(x.item())


def _logistic(rounds: int, seed: int) -> np.ndarray:
    """(rounds,): the regret of Adam on logistic losses of independent examples, beside the best weights for all."""
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((rounds, 5))
    y = (rng.random(rounds) < 1 / (1 + np.exp(-x @ rng.standard_normal(5)))).astype(float)
    w = tensor(np.zeros(5), requires_grad=True)
    optimizer = optim.Adam([w], lr=0.1)
    rows, targets, paid = tensor(x), tensor(y), []
    for t in range(rounds):
        optimizer.param_groups[0]["lr"] = 0.1 / np.sqrt(t + 1)
        optimizer.zero_grad()
        loss = F.binary_cross_entropy_with_logits(rows[t] @ w, targets[t])
        loss.backward()
        paid.append(loss.item())
        optimizer.step()
    best = tensor(np.zeros(5), requires_grad=True)
    search = optim.LBFGS([best], max_iter=100, line_search_fn="strong_wolfe")

    def closure() -> object:
        search.zero_grad()
        loss = F.binary_cross_entropy_with_logits(rows @ best, targets)
        loss.backward()
        return loss

    search.step(closure)
    margin = x @ best.detach().numpy()
    return online_regret(paid, np.logaddexp(0, margin) - y * margin)
