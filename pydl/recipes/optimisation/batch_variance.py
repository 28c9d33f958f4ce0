"""The variance of a batch's gradient, and what the batch size trades."""

from dataclasses import dataclass

import numpy as np

from pydl import autograd, memory_stats, reset_peak_memory_stats, tensor
from pydl.data import BatchSampler, RandomSampler
from pydl.recipes.recipe import Recipe, Report, setting
from pydl.tensor import Tensor

RECIPE = Recipe(
    name="batch-variance",
    ids=("O03",),
    title="Full batch, minibatch and single example: variance, updates and memory",
    source="Cochran 1977, Sampling techniques, theorem 2.2; Bottou, Curtis & Nocedal 2018 (arXiv:1606.04838)",
    time="t1",
)


@dataclass
class Settings:
    """What can be set on the command line."""

    n: int = setting(60, "examples")
    draws: int = setting(60_000, "batches in the estimate of the variance")
    seed: int = setting(0, "of data and batches")


def run(settings: Settings, report: Report) -> None:
    """Compares the variance with s^2 / b (n - b) / (n - 1) and orders the three kinds of descent."""
    rng = np.random.default_rng(settings.seed)
    x, y = rng.standard_normal((settings.n, 3)), rng.standard_normal(settings.n)
    theta = tensor(rng.standard_normal(3)).requires_grad_()
    each = np.stack([_gradient(theta, tensor(x[i : i + 1]), tensor(y[i : i + 1])) for i in range(settings.n)])
    spread = ((each - each.mean(0)) ** 2).sum(1).mean()
    for b in (5, 20):
        order = rng.random((settings.draws, settings.n)).argpartition(b, 1)[:, :b]
        means = each[order].mean(1)
        measured = ((means - each.mean(0)) ** 2).sum(1).mean()
        formula = spread / b * (settings.n - b) / (settings.n - 1)
        report.check(f"variance at b = {b} over its formula, minus 1", abs(measured / formula - 1), at_most=0.03)

    updates, memory, noise = [], [], []
    for b in (1, 16, 1024):
        updates.append(len(BatchSampler(RandomSampler(range(1024)), b, False)))
        wide, target = tensor(rng.standard_normal((b, 256))), tensor(rng.standard_normal(b))
        w = tensor(np.zeros(256)).requires_grad_()
        reset_peak_memory_stats()
        before = memory_stats()["active"]
        _gradient(w, wide, target)
        memory.append(memory_stats()["peak"] - before)
        noise.append(spread / b)
    report.check("updates per epoch fall with the batch", updates, equals=[1024, 64, 1])
    report.check("memory of a step grows with the batch", bool(memory[0] < memory[2]), equals=True)
    report.check("noise falls with the batch", bool(noise[0] > noise[1] > noise[2]), equals=True)


def _gradient(theta: Tensor, x: Tensor, y: Tensor) -> np.ndarray:
    (g,) = autograd.grad(((x @ theta - y) ** 2).mean() * 0.5, theta)
    assert g is not None
    return g.numpy()
