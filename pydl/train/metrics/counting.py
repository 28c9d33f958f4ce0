"""Metrics that count decisions: accuracy, confusion, precision, recall, F. All counts are exact integers."""

import math
from abc import abstractmethod
from typing import Any

import numpy as np

from pydl.errors import ArgumentError
from pydl.ops import as_tensor
from pydl.tensor import Tensor
from pydl.train.metrics.inputs import Ints, chosen, class_scores
from pydl.train.metrics.metric import MeanMetric, Metric

__all__ = ["F1", "Accuracy", "ConfusionMatrix", "FBeta", "Precision", "Recall", "TopKAccuracy"]


class Accuracy(MeanMetric):
    """The share of right answers.

    Targets are class numbers (b, ...), and predictions scores of c classes (b, c, ...), whose largest is the answer.
    With one score per target, predictions (b, ...) or (b, 1), the answer is 1 where the score is above `threshold`:
    0 for logits, 0.5 for probabilities. Whole numbers (b, ...) are answers themselves.

    Args:
        threshold: of single scores.
        ignore_index: targets of this number do not count.
    Raises: ShapeError for other shapes; BoundsError for targets beyond the c classes.
    """

    name = "accuracy"

    def __init__(self, threshold: float = 0.0, *, ignore_index: int | None = None) -> None:
        super().__init__()
        self.threshold, self.ignore_index = threshold, ignore_index

    def update(self, prediction: Any, target: Any) -> None:
        """Adds one batch."""
        found, right = chosen(prediction, target, "Accuracy", None, self.threshold, self.ignore_index)
        self.add(int(np.count_nonzero(found == right)), right.size)


class TopKAccuracy(MeanMetric):
    """The share of targets that are among the k highest scores; of equal scores the lower class ranks higher.

    Args:
        k: how many may be named; all c of them are always right.
        ignore_index: targets of this number do not count.
    Shapes: predictions (b, c, ...), targets (b, ...). Raises: ShapeError, BoundsError; ArgumentError for nan.
    """

    name = "top_k_accuracy"

    def __init__(self, k: int = 5, *, ignore_index: int | None = None) -> None:
        if k < 1:
            raise ArgumentError(f"TopKAccuracy: k must be at least 1, got {k}")
        super().__init__()
        self.k, self.ignore_index = k, ignore_index

    def update(self, prediction: Any, target: Any) -> None:
        """Adds one batch."""
        scores, right = class_scores(prediction, target, "TopKAccuracy", self.ignore_index)
        if scores.ndim == 1:  # one score of two classes: the other one is its opposite
            scores = np.stack([-scores, scores], axis=1)
        own = np.take_along_axis(scores, right[:, None], 1)
        earlier = np.arange(scores.shape[1]) < right[:, None]
        rank = ((scores > own) | ((scores == own) & earlier)).sum(1)
        self.add(int((rank < self.k).sum()), right.size)


class ConfusionMatrix(Metric):
    """How often class i (row) was taken for class j (column): (c, c) int64.

    Args:
        num_classes: c.
        normalize: None, or "true", "pred" or "all": divide by the sums of rows, of columns, or by the whole, in
            float64; 0 / 0 is 0.
        threshold, ignore_index: as for `Accuracy`.
    Before the first target: zeros. Raises: ShapeError, BoundsError for classes beyond c.
    """

    name = "confusion_matrix"
    fields = ("counts",)

    def __init__(
        self,
        num_classes: int = 2,
        *,
        normalize: str | None = None,
        threshold: float = 0.0,
        ignore_index: int | None = None,
    ) -> None:
        if normalize not in (None, "true", "pred", "all"):
            raise ArgumentError(f"ConfusionMatrix: normalize must be None, 'true', 'pred' or 'all', got {normalize!r}")
        self.num_classes = _at_least_two(num_classes, "ConfusionMatrix")
        self.normalize, self.threshold, self.ignore_index = normalize, threshold, ignore_index
        super().__init__()

    @property
    def count(self) -> int:  # type: ignore[override]
        """How many targets it has seen."""
        return int(self.counts.sum())

    def reset(self) -> None:
        """Forgets everything."""
        self.counts = np.zeros((self.num_classes, self.num_classes), np.int64)

    def update(self, prediction: Any, target: Any) -> None:
        """Adds one batch."""
        c = self.num_classes
        found, right = chosen(prediction, target, "ConfusionMatrix", c, self.threshold, self.ignore_index)
        self.counts += np.bincount(right * c + found, minlength=c * c).reshape(c, c)

    def compute(self) -> Tensor:
        """(c, c): counts, or shares of them."""
        if self.normalize is None:
            return as_tensor(self.counts.copy())
        axis = {"true": 1, "pred": 0, "all": None}[self.normalize]
        return as_tensor(self.counts / np.maximum(self.counts.sum(axis=axis, keepdims=True), 1))


class _Overlap(Metric):
    """Per class: how often it was right, was answered, and was the target; and what is made of these three."""

    fields = ("hits", "answered", "actual")

    def __init__(
        self,
        num_classes: int = 2,
        *,
        average: str | None = "binary",
        zero_division: float = 0.0,
        threshold: float = 0.0,
        ignore_index: int | None = None,
    ) -> None:
        name = type(self).__name__
        if average not in ("binary", "micro", "macro", "weighted", None):
            raise ArgumentError(
                f"{name}: average must be 'binary', 'micro', 'macro', 'weighted' or None, got {average!r}"
            )
        if average == "binary" and num_classes != 2:
            raise ArgumentError(
                f"{name}: average='binary' is for 2 classes, got {num_classes}: expected another average"
            )
        if not (math.isnan(zero_division) or zero_division in (0, 1)):
            raise ArgumentError(f"{name}: zero_division must be 0, 1 or nan, got {zero_division}")
        self.num_classes = _at_least_two(num_classes, name)
        self.average, self.zero_division = average, float(zero_division)
        self.threshold, self.ignore_index = threshold, ignore_index
        super().__init__()

    @property
    def count(self) -> int:  # type: ignore[override]
        """How many targets it has seen."""
        return int(self.actual.sum())

    def reset(self) -> None:
        """Forgets everything."""
        self.hits, self.answered, self.actual = np.zeros((3, self.num_classes), np.int64)

    def update(self, prediction: Any, target: Any) -> None:
        """Adds one batch."""
        c = self.num_classes
        found, right = chosen(prediction, target, type(self).__name__, c, self.threshold, self.ignore_index)
        self.hits = self.hits + np.bincount(right[found == right], minlength=c)
        self.answered = self.answered + np.bincount(found, minlength=c)
        self.actual = self.actual + np.bincount(right, minlength=c)

    def compute(self) -> Any:
        """A float, or with average=None a tensor (c,)."""
        if not self.count:
            return math.nan if self.average is not None else as_tensor(np.full(self.num_classes, math.nan))
        if self.average == "micro":
            sums = (np.array([part.sum()]) for part in (self.hits, self.answered, self.actual))
            return float(self._each(*sums)[0])
        values = self._each(self.hits, self.answered, self.actual)
        if self.average is None:
            return as_tensor(values)
        if self.average == "binary":
            return float(values[1])
        weights = self.actual if self.average == "weighted" else np.ones_like(self.actual)
        defined = ~np.isnan(values)
        if not weights[defined].any():
            return float(values[defined].mean()) if defined.any() else math.nan
        return float(np.average(values[defined], weights=weights[defined]))

    def _each(self, hits: Ints, answered: Ints, actual: Ints) -> np.ndarray[Any, Any]:
        above, below = self._fraction(hits, answered, actual)
        return np.where(below > 0, above / np.where(below > 0, below, 1), self.zero_division)

    @abstractmethod
    def _fraction(self, hits: Ints, answered: Ints, actual: Ints) -> tuple[Any, Any]:
        """Above and below the line."""


class Precision(_Overlap):
    """Of the answers of a class, the share that is right.

    Args:
        num_classes: c.
        average: "binary": of class 1 of two; "macro": the mean over all c classes; "weighted": weighted by how often
            each is the target; "micro": of all answers together; None: (c,), each class.
        zero_division: the value of a class that is never answered (of one that never occurs for `Recall`, neither for
            `FBeta`): 0, 1, or nan, which the means leave out.
        threshold, ignore_index: as for `Accuracy`.
    Nothing seen: nan. Raises: ShapeError, BoundsError for classes beyond c, ArgumentError for settings.
    Equal to sklearn.metrics.precision_score with labels=range(c).
    """

    name = "precision"

    def _fraction(self, hits: Ints, answered: Ints, actual: Ints) -> tuple[Any, Any]:
        return hits, answered


class Recall(_Overlap):
    """Of the targets of a class, the share that was found. Arguments, shapes and errors are those of `Precision`."""

    name = "recall"

    def _fraction(self, hits: Ints, answered: Ints, actual: Ints) -> tuple[Any, Any]:
        return hits, actual


class FBeta(_Overlap):
    """(1 + beta^2) P R / (beta^2 P + R) of precision P and recall R: above 1, beta favours recall.

    Args:
        beta: at least 0; 0 is precision.
        The others, shapes and errors are those of `Precision`.
    Source: van Rijsbergen 1979.
    """

    name = "f_beta"

    def __init__(
        self,
        beta: float = 1.0,
        num_classes: int = 2,
        *,
        average: str | None = "binary",
        zero_division: float = 0.0,
        threshold: float = 0.0,
        ignore_index: int | None = None,
    ) -> None:
        if not 0 <= beta < math.inf:
            raise ArgumentError(f"FBeta: beta must be a number of at least 0, got {beta}")
        self.beta = float(beta)
        super().__init__(
            num_classes,
            average=average,
            zero_division=zero_division,
            threshold=threshold,
            ignore_index=ignore_index,
        )

    def _fraction(self, hits: Ints, answered: Ints, actual: Ints) -> tuple[Any, Any]:
        return (1 + self.beta**2) * hits, self.beta**2 * actual + answered


class F1(FBeta):
    """2 P R / (P + R): `FBeta` with beta = 1. Arguments, shapes and errors are those of `Precision`."""

    name = "f1"

    def __init__(
        self,
        num_classes: int = 2,
        *,
        average: str | None = "binary",
        zero_division: float = 0.0,
        threshold: float = 0.0,
        ignore_index: int | None = None,
    ) -> None:
        super().__init__(
            1.0,
            num_classes,
            average=average,
            zero_division=zero_division,
            threshold=threshold,
            ignore_index=ignore_index,
        )


def _at_least_two(num_classes: int, name: str) -> int:
    if num_classes < 2:
        raise ArgumentError(f"{name}: num_classes must be at least 2, got {num_classes}")
    return num_classes
