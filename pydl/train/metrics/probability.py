"""Metrics of predicted probabilities: log loss and perplexity."""

import math
from typing import Any

import numpy as np

from pydl._C import bfloat16, float16
from pydl.errors import ArgumentError, BoundsError, DtypeError, ShapeError
from pydl.nn import functional as F
from pydl.ops import as_tensor
from pydl.tensor import Tensor
from pydl.train.metrics.inputs import score_axis
from pydl.train.metrics.metric import MeanMetric

__all__ = ["LogLoss", "Perplexity"]


class LogLoss(MeanMetric):
    """The mean of -log p(target), in nats: cross entropy.

    Args:
        from_logits: predictions are logits; False for probabilities, which are clipped to [eps, 1 - eps] of their
            dtype and divided by their sum.
        ignore_index: targets of this number do not count.
    Shapes: predictions (b, c, ...), or (b, ...) and (b, 1, ...) for class 1 of two; targets (b, ...) class numbers.
    Raises: ShapeError, BoundsError for targets beyond c, ArgumentError for probabilities outside [0, 1], DtypeError for
        predictions that are whole numbers.
    """

    name = "log_loss"

    def __init__(self, *, from_logits: bool = True, ignore_index: int | None = None) -> None:
        super().__init__()
        self.from_logits, self.ignore_index = from_logits, ignore_index

    def update(self, prediction: Any, target: Any) -> None:
        """Adds one batch."""
        name = type(self).__name__
        scores, right = as_tensor(prediction).detach(), as_tensor(target).detach()
        if not scores.is_floating_point():
            raise DtypeError(f"{name}: predictions must be floating, got {scores.dtype}")
        if scores.dtype in (bfloat16, float16):
            scores = scores.float()
        try:
            c = score_axis(scores, right.shape)
        except ShapeError as error:
            raise ShapeError(f"{name}: {error}") from None
        kept = self._kept(right, c or 2, name)
        losses = self._several(scores, right, kept) if c else self._single(scores.reshape(right.shape), right, name)
        values = losses.double().cpu().numpy()[kept]
        self.add(float(values.sum()), values.size)

    def _kept(self, target: Tensor, classes: int, name: str) -> np.ndarray[Any, np.dtype[np.bool_]]:
        """Which targets count; they are class numbers."""
        values = target.cpu().numpy()
        if values.dtype.kind == "f" and not (values == np.floor(values)).all():
            raise ArgumentError(f"{name}: targets must be class numbers, got fractions")
        kept = np.ones(values.shape, bool) if self.ignore_index is None else values != self.ignore_index
        wrong = values[kept & ((values < 0) | (values >= classes))]
        if wrong.size:
            raise BoundsError(f"{name}: targets hold the class {wrong[0]}: expected 0 to {classes - 1}")
        return kept

    def _several(self, scores: Tensor, target: Tensor, kept: Any) -> Tensor:
        """-log p(target), of the shape of target."""
        safe = target.long() * as_tensor(kept).long()  # ignored targets read class 0
        if self.from_logits:
            return F.cross_entropy(scores, safe, reduction="none")
        p = _clipped(scores, type(self).__name__)
        return p.sum(1).log() - p.gather(1, safe.unsqueeze(1)).squeeze(1).log()

    def _single(self, scores: Tensor, target: Tensor, name: str) -> Tensor:
        sign = target.to(scores.dtype) * 2 - 1
        if self.from_logits:
            return F.softplus(-sign * scores)
        p = _clipped(scores, name)
        return -(0.5 - sign * (0.5 - p)).log()


class Perplexity(LogLoss):
    """exp of the mean of -log p(target): the number of equally likely classes that would be as hard to guess.

    Arguments, shapes and errors are those of `LogLoss`. Too large a loss gives inf.
    """

    name = "perplexity"

    def compute(self) -> float:
        """The value so far; nan before the first target."""
        mean = super().compute()
        return math.exp(mean) if not mean > 709.0 else math.inf


def _clipped(p: Tensor, name: str) -> Tensor:
    if p.numel() and not bool(((p >= 0) & (p <= 1)).all()):
        raise ArgumentError(f"{name}: probabilities must lie in [0, 1]")
    eps = float(np.finfo(p.dtype.name).eps)
    return p.clamp(eps, 1 - eps)
