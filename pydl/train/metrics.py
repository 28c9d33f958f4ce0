"""Streaming metrics: sums over examples, so that batches of any sizes give the value of the whole."""

import math
from collections.abc import Mapping
from typing import ClassVar

from pydl.errors import ShapeError
from pydl.tensor import Tensor

__all__ = ["MSE", "Accuracy", "MeanLoss", "Metric"]


class Metric:
    """A sum over what it has seen, divided by a count. A subclass defines `update`."""

    name: ClassVar[str] = "metric"

    def __init__(self) -> None:
        self.total = 0.0
        self.count = 0

    def update(self, prediction: Tensor, target: Tensor) -> None:
        """Adds one batch. A subclass calls `add` with its sum and count."""
        raise ShapeError(f"{type(self).__name__}: a metric must define update")

    def add(self, total: float, count: int) -> None:
        """Adds to the sum and the count."""
        self.total += total
        self.count += count

    def compute(self) -> float:
        """The mean so far; nan before the first batch."""
        return self.total / self.count if self.count else math.nan

    def reset(self) -> None:
        """Forgets everything."""
        self.total, self.count = 0.0, 0

    def state_dict(self) -> dict[str, float]:
        """Sum and count."""
        return {"total": self.total, "count": self.count}

    def load_state_dict(self, state: Mapping[str, float]) -> None:
        """Goes on from a state of `state_dict`."""
        self.total, self.count = float(state["total"]), int(state["count"])


class MeanLoss(Metric):
    """The loss per example, from the mean losses of batches."""

    name = "loss"

    def add_batch(self, loss: float, size: int) -> None:
        """loss: the mean over a batch of `size` examples."""
        self.add(loss * size, size)


class Accuracy(Metric):
    """The share of right answers.

    Targets are class numbers (b, ...), and predictions scores of c classes (b, c, ...), whose largest is the answer.
    With one score per target, predictions (b, ...) or (b, 1), the answer is 1 where the score is above `threshold`:
    0 for logits, 0.5 for probabilities.
    Raises: ShapeError for other shapes.
    """

    name = "accuracy"

    def __init__(self, threshold: float = 0.0) -> None:
        super().__init__()
        self.threshold = threshold

    def update(self, prediction: Tensor, target: Tensor) -> None:
        """Adds one batch."""
        prediction, target = prediction.detach(), target.detach()
        shape = prediction.shape
        classes = len(shape) == target.ndim + 1 and shape[0] == target.shape[0] and shape[2:] == target.shape[1:]
        if classes and shape[1] > 1:
            answers = prediction.argmax(1)
        elif prediction.numel() == target.numel() and (classes or shape == target.shape):
            answers = (prediction > self.threshold).reshape(target.shape)
        else:
            raise ShapeError(
                f"Accuracy: predictions {shape} do not fit targets {target.shape}: expected (b, c) and (b,)"
            )
        self.add(int((answers == target).sum()), target.numel())


class MSE(Metric):
    """The mean of (prediction - target)^2 over all elements. Raises: ShapeError if the shapes differ."""

    name = "mse"

    def update(self, prediction: Tensor, target: Tensor) -> None:
        """Adds one batch."""
        if prediction.shape != target.shape:
            raise ShapeError(f"MSE: predictions {prediction.shape} do not have the shape of targets {target.shape}")
        error = prediction.detach().double() - target.detach().double()
        self.add(float((error * error).sum()), target.numel())
