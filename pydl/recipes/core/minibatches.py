"""Minibatches: each example once in an epoch, in an order that the seed fixes, with an unbiased gradient."""

from dataclasses import dataclass

import numpy as np

from pydl import float64, randn, tensor
from pydl.data import DataLoader, TensorDataset
from pydl.recipes.recipe import Recipe, Report, setting
from pydl.tensor import Tensor

RECIPE = Recipe(
    name="minibatches",
    ids=("C11",),
    title="What the loader and the batch gradient promise",
    source="Bottou, Curtis & Nocedal 2018 (arXiv:1606.04838), section 3",
    time="t0",
)


@dataclass
class Settings:
    """What can be set on the command line."""

    n: int = setting(960, "examples")
    batch: int = setting(64, "examples in a batch; must divide n")
    seed: int = setting(0, "of data and order")


def run(settings: Settings, report: Report) -> None:
    """Counts the visits, compares the orders, and averages the gradients of one epoch."""
    n, x, y = settings.n, randn(settings.n, 7, dtype=float64), randn(settings.n, dtype=float64)

    def loader(seed: int) -> DataLoader:
        data = TensorDataset(x, y, tensor(np.arange(n)))
        return DataLoader(data, batch_size=settings.batch, shuffle=True, seed=seed)

    order = [i for _, _, at in loader(settings.seed) for i in at.tolist()]
    again = [i for _, _, at in loader(settings.seed) for i in at.tolist()]
    other = [i for _, _, at in loader(settings.seed + 1) for i in at.tolist()]
    report.check("examples visited just once", sum(order.count(i) == 1 for i in range(n)), equals=n)
    report.check("same seed, same order", order == again, equals=True)
    report.check("another seed, another order", order != other, equals=True)

    theta = randn(7, dtype=float64, requires_grad=True)
    parts = [_gradient(theta, a, b) for a, b, _ in loader(settings.seed)]
    mean, full = np.mean(parts, axis=0), _gradient(theta, x, y)
    report.check("mean batch gradient against the full one", float(np.abs(mean - full).max()), at_most=1e-10)


def _gradient(theta: Tensor, x: Tensor, y: Tensor) -> np.ndarray:
    theta.grad = None
    ((x @ theta - y) ** 2).mean().backward()
    assert theta.grad is not None
    return theta.grad.numpy()
