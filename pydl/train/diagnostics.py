"""First overfit, then regularise: whether a model can learn anything at all, and what to try next."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from pydl.errors import ArgumentError
from pydl.nn import Module
from pydl.optim import Adam, Optimizer
from pydl.tensor import Tensor
from pydl.train.loaders import size_of

__all__ = ["Overfit", "overfit_batch"]

_REGULARISE = (
    "smaller net: fewer layers or units, as long as the training loss stays low",
    "weight decay: AdamW(weight_decay=...) from 1e-4 to 1e-1",
    "dropout: nn.Dropout(0.1 to 0.5) behind wide layers",
    "batch size: smaller batches add noise",
    "early stopping: keep the checkpoint of the best validation loss",
    "learning rate: tune it again after every change",
)
_REPAIR = (
    "learning rate: ten times higher and ten times lower",
    "more steps, or a larger net",
    "targets: do their shape, dtype and range fit the loss, and the last layer's activation?",
    "inputs: are they scaled to mean 0 and deviation 1, and do they belong to these targets?",
    "noise: switch dropout and augmentation off",
)


@dataclass(frozen=True)
class Overfit:
    """What `overfit_batch` found.

    loss: the last one. losses: all of them. reached: whether it fell below the goal.
    without_gradient: names of parameters that no gradient reached: frozen, detached or not used.
    unchanged: names of parameters with a gradient that stayed as they were: zero gradients, or not in the optimizer.
    advice: what to try next, in order.
    """

    loss: float
    losses: list[float]
    reached: bool
    without_gradient: list[str]
    unchanged: list[str]
    advice: list[str]

    @property
    def ok(self) -> bool:
        """Whether the goal was reached and every parameter learned."""
        return self.reached and not self.without_gradient and not self.unchanged

    def __str__(self) -> str:
        verdict = "reached" if self.reached else "not reached"
        lines = [f"overfit_batch: loss {self.loss:.3g} after {len(self.losses)} steps: the goal was {verdict}"]
        for title, names in (("no gradient", self.without_gradient), ("never changed", self.unchanged)):
            lines += [f"  {title}: {', '.join(names)}"] if names else []
        return "\n".join([*lines, "next:", *(f"  {i}. {text}" for i, text in enumerate(self.advice, 1))])


def overfit_batch(
    model: Module,
    batch: Any,
    loss: Callable[[Tensor, Tensor], Tensor],
    *,
    optimizer: Optimizer | None = None,
    goal: float = 1e-3,
    max_steps: int = 2000,
    examples: int = 32,
) -> Overfit:
    """Trains on a few examples until the loss is nearly 0, which any sound model can do.

    Args:
        model: is trained; make a fresh one afterwards.
        batch: (x, y), of which the first `examples` are used.
        loss: loss(prediction, target) -> ().
        optimizer: default Adam with learning rate 3e-3 on all parameters that require gradients.
        goal: the loss to fall below within max_steps.
    Source: Karpathy 2019, A recipe for training neural networks.
    """
    x, y = (part[:examples] for part in batch)
    if size_of(x) == 0 or max_steps < 1:
        raise ArgumentError(f"overfit_batch: expected examples and steps, got {size_of(x)} and {max_steps}")
    learning = [p for p in model.parameters() if p.requires_grad]
    if optimizer is None:
        if not learning:
            raise ArgumentError("overfit_batch: the model has no parameters that require gradients")
        optimizer = Adam(learning, lr=3e-3)
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    losses, reached_by_gradient = _descend(model, x, y, loss, optimizer, goal, max_steps)
    without = [name for name in before if name not in reached_by_gradient]
    after = dict(model.named_parameters())
    unchanged = [n for n in before if n not in without and bool((before[n] == after[n].detach()).all())]
    return _report(losses, losses[-1] < goal, without, unchanged)


def _descend(
    model: Module,
    x: Any,
    y: Any,
    loss: Callable[[Tensor, Tensor], Tensor],
    optimizer: Optimizer,
    goal: float,
    most: int,
) -> tuple[list[float], set[str]]:
    """The losses until one is below the goal or not finite, and the names of parameters that got a gradient."""
    losses: list[float] = []
    reached: set[str] = set()
    model.train()
    while len(losses) < most and not (losses and (losses[-1] < goal or not math.isfinite(losses[-1]))):
        model.zero_grad()
        value = loss(model(x), y)
        value.backward()
        reached |= {name for name, p in model.named_parameters() if p.grad is not None}
        optimizer.step()
        losses.append(value.item())
    return losses, reached


def _report(losses: list[float], reached: bool, without: list[str], unchanged: list[str]) -> Overfit:
    advice = []
    if without:
        advice.append(f"frozen layers: {', '.join(without)} get no gradient: look for requires_grad, detach, no_grad")
    if unchanged:
        advice.append(f"idle layers: {', '.join(unchanged)} do not change: are they in the optimizer, is a ReLU dead?")
    if not math.isfinite(losses[-1]):
        advice.append("the loss is not finite: lower the learning rate, clip gradients, look for log(0)")
    advice += _REGULARISE if reached else _REPAIR
    return Overfit(losses[-1], losses, reached, without, unchanged, advice)
