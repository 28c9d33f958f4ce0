"""Metrics of predicted numbers: squared and absolute errors, R^2. Sums are in float64."""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from pydl.errors import ArgumentError, CheckpointError, ShapeError
from pydl.ops import as_tensor
from pydl.train.metrics.inputs import Floats, numbers
from pydl.train.metrics.metric import MeanMetric, Metric

__all__ = ["MAE", "MSE", "R2", "RMSE"]


class MSE(MeanMetric):
    """The mean of (prediction - target)^2 over all elements. Raises: ShapeError if the shapes differ."""

    name = "mse"

    def update(self, prediction: Any, target: Any) -> None:
        """Adds one batch."""
        predicted, wanted = _pair(prediction, target, type(self).__name__)
        error = (predicted - wanted).ravel()
        self.add(float(error @ error), error.size)


class RMSE(MSE):
    """The root of the mean of (prediction - target)^2 over all elements. Raises: ShapeError if the shapes differ."""

    name = "rmse"

    def compute(self) -> float:
        """The value so far; nan before the first target."""
        return math.sqrt(super().compute())


class MAE(MeanMetric):
    """The mean of |prediction - target| over all elements. Raises: ShapeError if the shapes differ."""

    name = "mae"

    def update(self, prediction: Any, target: Any) -> None:
        """Adds one batch."""
        predicted, wanted = _pair(prediction, target, "MAE")
        self.add(float(np.abs(predicted - wanted).sum()), wanted.size)


class R2(Metric):
    """1 - sum (target - prediction)^2 / sum (target - mean)^2: the share of the variance that is explained.

    Args:
        multioutput: for targets (b, d, ...): "uniform_average": the mean over the outputs; "variance_weighted"; or
            "raw_values": (d, ...), each; (1,) for targets (b,).
    nan for fewer than 2 targets. Targets that are all equal: 1 if every prediction is right, else 0.
    Raises: ShapeError if the shapes differ, or have other outputs than before; ArgumentError for settings.
    """

    name = "r2"
    fields = ("count", "first", "mean", "spread", "error")

    def __init__(self, multioutput: str = "uniform_average") -> None:
        if multioutput not in ("uniform_average", "variance_weighted", "raw_values"):
            raise ArgumentError(
                f"R2: multioutput must be 'uniform_average', 'variance_weighted' or 'raw_values', got {multioutput!r}"
            )
        self.multioutput = multioutput
        super().__init__()

    def reset(self) -> None:
        """Forgets everything."""
        self.count = 0
        self.first, self.mean, self.spread, self.error = (np.zeros(0) for _ in range(4))

    def update(self, prediction: Any, target: Any) -> None:
        """Adds one batch."""
        predicted, wanted = _pair(prediction, target, "R2")
        if wanted.ndim == 0:
            raise ShapeError("R2: predictions and targets are single numbers: expected (b,) or (b, d)")
        if wanted.ndim == 1:
            predicted, wanted = predicted[:, None], wanted[:, None]
        n, outputs = len(wanted), wanted.shape[1:]
        if not n:
            return
        if self.count and self.first.shape != outputs:
            raise ShapeError(f"R2: targets {wanted.shape}: expected (b, {str(self.first.shape)[1:]} as before")
        if not self.count:
            self.first = wanted[0].copy()
            self.mean, self.spread, self.error = (np.zeros(outputs) for _ in range(3))
        shifted = wanted - self.first  # equal targets are exactly 0, and large ones lose no digits
        mean = shifted.mean(0)
        step, total = mean - self.mean, self.count + n
        # Chan, Golub & LeVeque 1979: the spread of two groups together
        self.spread = self.spread + ((shifted - mean) ** 2).sum(0) + step**2 * (self.count * n / total)
        self.mean = self.mean + step * (n / total)
        self.error = self.error + ((predicted - wanted) ** 2).sum(0)
        self.count = total

    def compute(self) -> Any:
        """A float, or with "raw_values" a tensor of the outputs' shape."""
        raw = self.multioutput == "raw_values"
        if self.count < 2:
            return as_tensor(np.full(self.first.shape, math.nan)) if raw else math.nan
        varied = self.spread > 0
        values = np.where(varied, 1 - self.error / np.where(varied, self.spread, 1), self.error == 0)
        if raw:
            return as_tensor(np.asarray(values, np.float64))
        weighted = self.multioutput == "variance_weighted" and bool(varied.any())
        return float(np.average(values, weights=self.spread if weighted else None))

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Goes on from a state of `state_dict`. Raises: CheckpointError if it is the state of something else."""
        shapes = {np.shape(value) for field, value in state.items() if field != "count"}
        if len(shapes) > 1 or shapes == {()}:
            raise CheckpointError(f"R2: the state holds arrays of the shapes {sorted(shapes)}: expected one shape")
        super().load_state_dict(state)

    def _shape_fits(self, own: Floats, value: Floats) -> bool:
        return True  # the first batch says which outputs there are


def _pair(prediction: Any, target: Any, name: str) -> tuple[Floats, Floats]:
    predicted, wanted = numbers(prediction), numbers(target)
    if predicted.shape != wanted.shape:
        raise ShapeError(f"{name}: predictions {predicted.shape} do not have the shape of targets {wanted.shape}")
    return predicted.astype(np.float64, copy=False), wanted.astype(np.float64, copy=False)
