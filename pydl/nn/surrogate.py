"""The 0-1 loss and its classical surrogates as modules, of scores and targets in {-1, +1}."""

import math

from pydl.nn import functional as F
from pydl.nn.loss import Loss
from pydl.tensor import Tensor

__all__ = ["ExpLoss", "HingeLoss", "LogisticLoss", "PerceptronLoss", "ZeroOneLoss"]


class HingeLoss(Loss):
    """max(0, margin - t s) of scores and targets in {-1, +1}."""

    def __init__(self, margin: float = 1.0, *, reduction: str = "mean") -> None:
        super().__init__(reduction=reduction)
        self.margin = margin

    def forward(self, scores: Tensor, targets: Tensor) -> Tensor:
        """Two tensors of one shape -> ()."""
        return F.hinge_loss(scores, targets, self.margin, reduction=self.reduction)


class PerceptronLoss(Loss):
    """max(0, -t s) of scores and targets in {-1, +1}."""

    def forward(self, scores: Tensor, targets: Tensor) -> Tensor:
        """Two tensors of one shape -> ()."""
        return F.perceptron_loss(scores, targets, reduction=self.reduction)


class LogisticLoss(Loss):
    """log(1 + exp(-t s)) to a base, of scores and targets in {-1, +1}."""

    def __init__(self, base: float = math.e, *, reduction: str = "mean") -> None:
        super().__init__(reduction=reduction)
        self.base = base

    def forward(self, scores: Tensor, targets: Tensor) -> Tensor:
        """Two tensors of one shape -> ()."""
        return F.logistic_loss(scores, targets, self.base, reduction=self.reduction)


class ExpLoss(Loss):
    """exp(-t s) of scores and targets in {-1, +1}."""

    def forward(self, scores: Tensor, targets: Tensor) -> Tensor:
        """Two tensors of one shape -> ()."""
        return F.exp_loss(scores, targets, reduction=self.reduction)


class ZeroOneLoss(Loss):
    """1 where t s <= 0, else 0, of scores and targets in {-1, +1}; without gradient."""

    def forward(self, scores: Tensor, targets: Tensor) -> Tensor:
        """Two tensors of one shape -> ()."""
        return F.zero_one_loss(scores, targets, reduction=self.reduction)
