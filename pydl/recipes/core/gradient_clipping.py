"""At the edge of a cliff the gradient throws plain SGD far away; clipped, it goes on.

The loss of a saturating unit after 50 steps is flat on both sides of a cliff, along which the unit changes from one
fixed point to the other. One step taken on the cliff lands where the unit is saturated and the gradient is 0. Measured:
plain SGD is thrown 17 away and stays there, clipped it ends at a loss of 7.5e-5.
"""

from dataclasses import dataclass

import numpy as np

from pydl import float64, nn, optim, sigmoid, tensor
from pydl.recipes.recipe import Recipe, Report, setting
from pydl.tensor import Tensor

RECIPE = Recipe(
    name="gradient-clipping",
    ids=("C22",),
    title="Clipping by norm and by value, and the cliff of a recurrent unit",
    source="Pascanu, Mikolov & Bengio 2013 (arXiv:1211.5063), section 2.3 and algorithm 1",
    time="t0",
)


@dataclass
class Settings:
    """What can be set on the command line."""

    steps: int = setting(50, "time steps of the unit", least=1)
    updates: int = setting(250, "updates of SGD", least=1)
    lr: float = setting(2.0, "step size")
    max_norm: float = setting(0.2, "largest norm of the clipped gradient")


def run(settings: Settings, report: Report) -> None:
    """Checks both rules on vectors, then runs SGD at the cliff with and without clipping."""
    g = np.array([3.0, -4.0, 0.5])
    by_norm, by_value = _clipped(g, "norm"), _clipped(g, "value")
    size = np.linalg.norm(g)
    # the rule divides by the norm + 1e-6, as PyTorch does
    report.check("clipped to norm 1 against g / |g|", np.abs(by_norm - g / (size + 1e-6)).max(), at_most=1e-15)
    report.check("clipped by value to 1", by_value.tolist(), equals=[1.0, -1.0, 0.5])
    report.check(
        "g / 10, which is short enough, clipped to norm 1", _clipped(g / 10, "norm").tolist(), equals=(g / 10).tolist()
    )
    report.check("cosine with the gradient, by norm", _cosine(by_norm, g), at_least=1 - 1e-15)
    report.check("cosine with the gradient, by value", _cosine(by_value, g), at_most=0.99)

    for start in ((5.5, -3.0), (6.0, -3.0)):
        loss, far = _descend(start, settings, None)
        report.check(f"loss of plain SGD from {start}", loss, at_least=0.08)
        report.check(f"distance it was thrown from {start}", far, at_least=10.0)
        loss, _ = _descend(start, settings, settings.max_norm)
        report.check(f"loss of clipped SGD from {start}", loss, at_most=1e-3)


def _clipped(g: np.ndarray, how: str) -> np.ndarray:
    p = nn.Parameter(tensor(np.zeros_like(g)))
    p.grad = tensor(g)
    if how == "norm":
        nn.utils.clip_grad_norm_([p], 1.0)
    else:
        nn.utils.clip_grad_value_([p], 1.0)
    return p.grad.numpy()


def _cosine(a: np.ndarray, b: np.ndarray) -> float:
    return float(a @ b / np.linalg.norm(a) / np.linalg.norm(b))


def _loss(w: Tensor, b: Tensor, steps: int) -> Tensor:
    """(sigmoid(x_T) - 0.7)^2 of the unit x <- w sigmoid(x) + b from x = 0.5."""
    x = tensor(0.5, dtype=float64)
    for _ in range(steps):
        x = w * sigmoid(x) + b
    return (sigmoid(x) - 0.7) ** 2


def _descend(start: tuple[float, float], settings: Settings, max_norm: float | None) -> tuple[float, float]:
    """The loss at the end, and the distance from the start."""
    w, b = (tensor(v, dtype=float64, requires_grad=True) for v in start)
    optimizer = optim.SGD([w, b], lr=settings.lr)
    for _ in range(settings.updates):
        optimizer.zero_grad()
        _loss(w, b, settings.steps).backward()
        if max_norm is not None:
            nn.utils.clip_grad_norm_([w, b], max_norm)
        optimizer.step()
    return _loss(w, b, settings.steps).item(), float(np.hypot(w.item() - start[0], b.item() - start[1]))
