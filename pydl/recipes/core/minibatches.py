"""Minibatches: each example once in an epoch, in an order that the seed fixes, with an unbiased gradient."""

from dataclasses import dataclass

from pydl import arange, autograd, float64, randn, stack
from pydl.data import DataLoader, TensorDataset
from pydl.errors import ArgumentError
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

    n: int = setting(960, "examples", least=1)
    batch: int = setting(64, "examples in a batch; must divide n", least=1)
    seed: int = setting(0, "of data and order")


def run(settings: Settings, report: Report) -> None:
    """Counts the visits, compares the orders, and averages the gradients of one epoch at fixed weights."""
    n = settings.n
    if n % settings.batch:
        raise ArgumentError(f"batch {settings.batch} does not divide n {n}")
    x, y, theta = randn(n, 7, dtype=float64), randn(n, dtype=float64), randn(7, dtype=float64, requires_grad=True)
    data = TensorDataset(x, y, arange(n))

    def order(seed: int) -> list[int]:
        return [i for _, _, at in DataLoader(data, settings.batch, shuffle=True, seed=seed) for i in at.tolist()]

    first = order(settings.seed)
    report.check("examples visited just once", sum(first.count(i) == 1 for i in range(n)), equals=n)
    report.check("same seed, same order", order(settings.seed) == first, equals=True)
    report.check("another seed, another order", order(settings.seed + 1) != first, equals=True)

    loader = DataLoader(data, settings.batch, shuffle=True, seed=settings.seed)
    mean = stack([_gradient(theta, rows, target) for rows, target, _ in loader]).mean(0)
    gap = (mean - _gradient(theta, x, y)).abs().max()
    report.check("mean batch gradient against the full one", gap, at_most=1e-10)


def _gradient(theta: Tensor, x: Tensor, y: Tensor) -> Tensor:
    """Of the mean squared error of x (b, d) against y (b,): (d,)."""
    (g,) = autograd.grad(((x @ theta - y) ** 2).mean(), theta)
    assert g is not None
    return g
