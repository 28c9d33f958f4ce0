"""What every metric is: numbers that batches add to, and a value of all that it has seen."""

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np

from pydl.errors import CheckpointError, ShapeError

__all__ = ["MeanLoss", "MeanMetric", "Metric"]


class Metric(ABC):
    """A value of a whole data set, found batch by batch: however it is cut into batches, the value is the same.

    A subclass defines `reset`, which sets its fields, `update` and `compute`.

    Attributes:
        name: its key in the history of a `Trainer`.
        fields: the attributes that make up its state: numbers and NumPy arrays.
        count: how many targets it has seen.
    """

    name: ClassVar[str] = "metric"
    fields: ClassVar[tuple[str, ...]] = ("count",)
    count: int

    def __init__(self) -> None:
        self.reset()

    @abstractmethod
    def update(self, prediction: Any, target: Any) -> None:
        """Adds one batch."""

    @abstractmethod
    def compute(self) -> Any:
        """The value of everything so far, a float or a tensor of them; nan before the first target."""

    @abstractmethod
    def reset(self) -> None:
        """Forgets everything."""

    def state_dict(self) -> dict[str, Any]:
        """The fields: numbers and arrays, as `pydl.save` takes them."""
        return {field: _copy(getattr(self, field)) for field in self.fields}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Goes on from a state of `state_dict`. Raises: CheckpointError if it is the state of something else."""
        if set(state) != set(self.fields):
            raise CheckpointError(
                f"{type(self).__name__}: the state has the entries {sorted(state)}: expected {sorted(self.fields)}"
            )
        found = {field: self._fitting(field, state[field]) for field in self.fields}
        for field, value in found.items():
            setattr(self, field, value)

    def _fitting(self, field: str, value: Any) -> Any:
        """value, if it is what the field holds."""
        own = getattr(self, field)
        if isinstance(own, np.ndarray):
            fits = isinstance(value, np.ndarray) and value.dtype == own.dtype and self._shape_fits(own, value)
        elif isinstance(own, int):
            fits = isinstance(value, int) and value >= 0
        else:
            fits = isinstance(value, (int, float))
        if not fits:
            raise CheckpointError(f"{type(self).__name__}: the state's {field} does not fit this metric")
        return _copy(value) if isinstance(own, np.ndarray) else type(own)(value)

    def _shape_fits(self, own: np.ndarray, value: np.ndarray) -> bool:
        return own.shape == value.shape


def _copy(value: Any) -> Any:
    return value.copy() if isinstance(value, np.ndarray) else value


class MeanMetric(Metric):
    """A sum over what it has seen, divided by a count. A subclass defines `update`, which calls `add`."""

    fields = ("total", "count")

    def reset(self) -> None:
        """Forgets everything."""
        self.total, self.count = 0.0, 0

    def add(self, total: float, count: int) -> None:
        """Adds to the sum and the count."""
        self.total += total
        self.count += count

    def compute(self) -> float:
        """The mean so far; nan before the first target."""
        return self.total / self.count if self.count else math.nan


class MeanLoss(MeanMetric):
    """The loss per example, from the mean losses of batches."""

    name = "loss"

    def add_batch(self, loss: float, size: int) -> None:
        """loss: the mean over a batch of `size` examples."""
        self.add(loss * size, size)

    def update(self, prediction: Any, target: Any) -> None:
        """Takes losses, not predictions: raises ShapeError, which names `add_batch`."""
        raise ShapeError("MeanLoss: expected add_batch(loss, size), not predictions and targets")
