"""Metrics of the order of scores: area under the ROC curve, average precision. They keep every score until `reset`."""

import itertools
import math
from abc import abstractmethod
from collections.abc import Mapping
from typing import Any

import numpy as np

from pydl.errors import ArgumentError, CheckpointError, ShapeError
from pydl.ops import as_tensor
from pydl.train.metrics.inputs import Floats, Ints, class_scores
from pydl.train.metrics.metric import Metric

__all__ = ["ROCAUC", "AveragePrecision"]

_AVERAGES = ("macro", "weighted", "micro", None)


class _Ranking(Metric):
    """Keeps scores (n, c), or (n, 1) of class 1 of two, and targets (n,): 8 (c + 1) bytes per target."""

    fields = ("scores", "targets")

    def __init__(self, average: str | None, from_logits: bool, ignore_index: int | None) -> None:
        if average not in _AVERAGES:
            raise ArgumentError(f"{type(self).__name__}: average must be one of {_AVERAGES}, got {average!r}")
        self.average, self.from_logits, self.ignore_index = average, from_logits, ignore_index
        super().__init__()

    def reset(self) -> None:
        """Forgets everything."""
        self._parts: list[tuple[Floats, Ints]] = []
        self.count = 0

    def update(self, prediction: Any, target: Any) -> None:
        """Adds one batch."""
        name = type(self).__name__
        scores, targets = class_scores(prediction, target, name, self.ignore_index)
        if scores.ndim == 1:
            scores = scores[:, None]
        if self._parts and self._parts[0][0].shape[1] != scores.shape[1]:
            raise ShapeError(f"{name}: {scores.shape[1]} scores per target: expected {self._parts[0][0].shape[1]}")
        if targets.size:
            self._parts.append((scores.astype(np.float64), targets.copy()))
            self.count += targets.size

    def state_dict(self) -> dict[str, Any]:
        """All scores (n, c) and targets (n,)."""
        scores, targets = self._joined()
        return {"scores": scores.copy(), "targets": targets.copy()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Goes on from a state of `state_dict`. Raises: CheckpointError if it is the state of something else."""
        scores: Any = state.get("scores")
        targets: Any = state.get("targets")
        fits = isinstance(scores, np.ndarray) and scores.dtype == np.float64 and scores.ndim == 2
        fits = fits and isinstance(targets, np.ndarray) and targets.dtype == np.int64
        if not fits or len(state) != 2 or targets.shape != scores.shape[:1]:
            raise CheckpointError(f"{type(self).__name__}: expected a state of scores (n, c) and targets (n,)")
        self._parts = [(scores.copy(), targets.copy())] if len(targets) else []
        self.count = len(targets)

    def _joined(self) -> tuple[Floats, Ints]:
        if len(self._parts) > 1:
            scores, targets = zip(*self._parts, strict=True)
            self._parts = [(np.concatenate(scores), np.concatenate(targets))]
        return self._parts[0] if self._parts else (np.zeros((0, 1)), np.zeros(0, np.int64))

    def _per_class(self) -> tuple[Floats, Ints]:
        """Scores (n, c) that may be compared between targets, and targets (n,)."""
        scores, targets = self._joined()
        if scores.shape[1] > 1 and self.from_logits:
            scores = np.exp(scores - scores.max(1, keepdims=True))
            scores /= scores.sum(1, keepdims=True)
        return scores, targets

    def compute(self) -> Any:
        """A float, or with average=None and c scores a tensor (c,)."""
        if not self.count:
            return math.nan
        scores, targets = self._per_class()
        if scores.shape[1] == 1:
            return self._binary(scores[:, 0], targets == 1)
        return self._several(scores, targets)

    def _several(self, scores: Floats, targets: Ints) -> Any:
        """Each class against the rest."""
        hot = targets[:, None] == np.arange(scores.shape[1])
        if self.average == "micro":
            return self._binary(scores.ravel(), hot.ravel())
        values = np.array([self._binary(scores[:, k], hot[:, k]) for k in range(scores.shape[1])])
        if self.average is None:
            return as_tensor(values)
        if self.average == "macro":
            return float(values.mean())
        present = hot.any(0)
        return float(np.average(values[present], weights=hot.sum(0)[present]))

    @abstractmethod
    def _binary(self, scores: Floats, positive: Any) -> float:
        """The value for one class."""


class ROCAUC(_Ranking):
    """The chance that a positive example scores above a negative one, equal scores counting half.

    Args:
        average: for c > 2 classes or (b, 2) scores: "macro": the mean over the classes; "weighted": by how often each
            is the target (of a pair: how often either is); "micro": of all (target, class) pairs as one problem; None:
            (c,), each class.
        multi_class: "ovr": each class against the rest; "ovo": each pair of classes, with "macro" or "weighted".
        from_logits: the softmax is taken of several scores; False for probabilities, which are compared as they are.
        ignore_index: targets of this number do not count.
    Shapes: predictions (b, c, ...) or (b, ...), targets (b, ...). All scores are kept: 8 (c + 1) bytes per target.
    nan where a class (of a pair: either) has no positive or no negative example, and so for their mean.
    Raises: ShapeError, BoundsError for targets beyond c, ArgumentError for nan and for settings.
    Source: Hanley & McNeil 1982; one against one: Hand & Till 2001.
    """

    name = "roc_auc"

    def __init__(
        self,
        average: str | None = "macro",
        *,
        multi_class: str = "ovr",
        from_logits: bool = True,
        ignore_index: int | None = None,
    ) -> None:
        super().__init__(average, from_logits, ignore_index)
        if multi_class not in ("ovr", "ovo") or (multi_class == "ovo" and average not in ("macro", "weighted")):
            raise ArgumentError(
                f"ROCAUC: expected multi_class='ovr', or 'ovo' with average 'macro' or 'weighted', got {multi_class!r} "
                f"with {average!r}"
            )
        self.multi_class = multi_class

    def _several(self, scores: Floats, targets: Ints) -> Any:
        if self.multi_class == "ovr":
            return super()._several(scores, targets)
        values, weights = [], []
        for a, b in itertools.combinations(range(scores.shape[1]), 2):
            either = (targets == a) | (targets == b)
            s, is_a = scores[either], targets[either] == a
            values.append((self._binary(s[:, a], is_a) + self._binary(s[:, b], ~is_a)) / 2)
            weights.append(int(either.sum()))
        return float(np.average(values, weights=weights if self.average == "weighted" else None))

    def _binary(self, scores: Floats, positive: Any) -> float:
        above, below = _steps(scores, positive)
        positives, negatives = int(above.sum()), int(below.sum())
        if not positives or not negatives:
            return math.nan
        # for each distinct score, highest first: its negatives lie below all positives so far, level with its own
        twice = int((below * (2 * np.cumsum(above) - above)).sum())
        return twice / (2 * positives * negatives)


class AveragePrecision(_Ranking):
    """The sum over thresholds of (R_k - R_(k-1)) P_k, of precision P and recall R: the area under the stair they make.

    Args and shapes: those of `ROCAUC`, without multi_class. A class without positive examples has 0, as in
    scikit-learn; nothing seen is nan.
    Raises: ShapeError, BoundsError for targets beyond c, ArgumentError for nan and for settings.
    """

    name = "average_precision"

    def __init__(
        self, average: str | None = "macro", *, from_logits: bool = True, ignore_index: int | None = None
    ) -> None:
        super().__init__(average, from_logits, ignore_index)

    def _binary(self, scores: Floats, positive: Any) -> float:
        above, below = _steps(scores, positive)
        if not above.any():
            return 0.0
        hits = np.cumsum(above)
        return float((above * (hits / (hits + np.cumsum(below)))).sum() / hits[-1])


def _steps(scores: Floats, positive: Any) -> tuple[Ints, Ints]:
    """How many positive and negative examples have each distinct score, the highest score first."""
    distinct, place = np.unique(-scores, return_inverse=True)
    total = np.bincount(place, minlength=len(distinct))
    above = np.bincount(place[positive], minlength=len(distinct))
    return above, total - above
