"""At the edge of a cliff the gradient throws plain SGD far away; clipped, it goes on."""

from dataclasses import dataclass

import numpy as np

from pydl import float64, nn, optim, sigmoid, tensor
from pydl.recipes.recipe import Recipe, Report, setting
from pydl.tensor import Tensor

RECIPE = Recipe(
    name="gradient-clipping",
    ids=("C22",),
    title="Clipping by norm and by value, and the cliff of a recurrent unit",
    source="Pascanu, Mikolov & Bengio 2013 (arXiv:1211.5063)",
    time="t0",
)


@dataclass
class Settings:
    """What can be set on the command line."""

    steps: int = setting(50, "time steps of the unit")
    updates: int = setting(400, "updates of SGD")
    lr: float = setting(0.1, "step size")
    max_norm: float = setting(0.1, "largest norm of the clipped gradient")


def run(settings: Settings, report: Report) -> None:
    """Checks both rules on vectors, then runs SGD at the cliff with and without clipping."""
    g = np.array([3.0, -4.0, 0.5])
    by_norm, by_value = _clipped(g, "norm"), _clipped(g, "value")
    report.check("norm after clipping to 1", float(np.linalg.norm(by_norm)), at_most=1 + 1e-6, at_least=1 - 1e-5)
    report.check("cosine with the gradient, by norm", _cosine(by_norm, g), at_least=1 - 1e-12)
    report.check("cosine with the gradient, by value", _cosine(by_value, g), at_most=0.99)
    report.check("clipped by value", by_value.tolist(), equals=[1.0, -1.0, 0.5])

    plain, largest = _descend(settings, None)
    clipped, _ = _descend(settings, settings.max_norm)
    report.check("largest jump of plain SGD", largest, at_least=10.0)
    report.check("loss of plain SGD at the end", plain, at_least=0.04)
    report.check("loss of clipped SGD at the end", clipped, at_most=1e-3)


def _clipped(g: np.ndarray, how: str) -> np.ndarray:
    p = tensor(np.zeros_like(g)).requires_grad_()
    p.grad = tensor(g)
    if how == "norm":
        nn.utils.clip_grad_norm_([p], 1.0)
    else:
        nn.utils.clip_grad_value_([p], 1.0)
    return p.grad.numpy()


def _cosine(a: np.ndarray, b: np.ndarray) -> float:
    return float(a @ b / np.linalg.norm(a) / np.linalg.norm(b))


def _loss(w: Tensor, b: Tensor, steps: int) -> Tensor:
    """(x_T - 0.7)^2 of the unit x <- w sigmoid(x) + b from x = 0.5."""
    x = w * 0 + 0.5
    for _ in range(steps):
        x = w * sigmoid(x) + b
    return (sigmoid(x) - 0.7) ** 2


def _descend(settings: Settings, max_norm: float | None) -> tuple[float, float]:
    """The loss at the end, and the longest step on the way."""
    w, b = tensor(6.2, dtype=float64).requires_grad_(), tensor(-2.9, dtype=float64).requires_grad_()
    optimizer, longest = optim.SGD([w, b], lr=settings.lr), 0.0
    for _ in range(settings.updates):
        optimizer.zero_grad()
        _loss(w, b, settings.steps).backward()
        if max_norm is not None:
            nn.utils.clip_grad_norm_([w, b], max_norm)
        assert w.grad is not None and b.grad is not None
        longest = max(longest, settings.lr * float((w.grad**2 + b.grad**2).sqrt()))
        optimizer.step()
    return _loss(w, b, settings.steps).item(), longest
