"""Margin losses: of pairs and triplets as in PyTorch, and the classical surrogates of the 0-1 loss."""

import math
from collections.abc import Callable

from pydl import ops
from pydl.errors import ArgumentError
from pydl.nn.functional.distance import pairwise_distance
from pydl.nn.functional.loss import reduced, same_shapes
from pydl.ops.activation import SoftplusUnit
from pydl.ops.scalar import require
from pydl.ops.softmax import check_reduction
from pydl.tensor import Tensor

__all__ = [
    "cosine_embedding_loss",
    "exp_loss",
    "hinge_embedding_loss",
    "hinge_loss",
    "logistic_loss",
    "margin_ranking_loss",
    "perceptron_loss",
    "triplet_margin_loss",
    "triplet_margin_with_distance_loss",
    "zero_one_loss",
]


def hinge_embedding_loss(
    input: Tensor,
    target: Tensor,
    margin: float = 1.0,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Tensor:
    """x where t = 1, max(0, margin - x) where t = -1."""
    check_reduction("hinge_embedding_loss", reduction, size_average, reduce)
    far = ops.where(target != 1, ops.clamp(margin - input, min=0.0), 0.0)
    return reduced(far + ops.where(target != -1, input, 0.0), reduction)


def margin_ranking_loss(
    input1: Tensor,
    input2: Tensor,
    target: Tensor,
    margin: float = 0.0,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Tensor:
    """max(0, -t (x1 - x2) + margin): t = 1 wants x1 above x2, t = -1 below."""
    check_reduction("margin_ranking_loss", reduction, size_average, reduce)
    return reduced(ops.clamp(margin - target * (input1 - input2), min=0.0), reduction)


def cosine_embedding_loss(
    input1: Tensor,
    input2: Tensor,
    target: Tensor,
    margin: float = 0.0,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Tensor:
    """1 - cos where t = 1, max(0, cos - margin) where t = -1, with cos along the last axis.

    Args: input1, input2: (n, d) or (d,). target: (n,) or ().
    """
    check_reduction("cosine_embedding_loss", reduction, size_average, reduce)
    same_shapes("cosine_embedding_loss", input1, input2)
    if input1.ndim not in (1, 2) or target.shape != input1.shape[:-1]:
        raise ArgumentError(f"cosine_embedding_loss: target {target.shape} does not match inputs {input1.shape}")
    sizes = (ops.sum(input1 * input1, -1) + 1e-12) * (ops.sum(input2 * input2, -1) + 1e-12)
    cosine = ops.sum(input1 * input2, -1) / ops.sqrt(sizes)
    near = ops.where(target == 1, 1.0 - cosine, 0.0)
    return reduced(near + ops.where(target == -1, ops.clamp(cosine - margin, min=0.0), 0.0), reduction)


def triplet_margin_loss(
    anchor: Tensor,
    positive: Tensor,
    negative: Tensor,
    margin: float = 1.0,
    p: float = 2.0,
    eps: float = 1e-6,
    swap: bool = False,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Tensor:
    """max(0, d(anchor, positive) - d(anchor, negative) + margin) with the p-norm over the last axis.

    Args: swap: take d(positive, negative) where it is the smaller one. Source: Balntas et al. 2016.
    """
    check_reduction("triplet_margin_loss", reduction, size_average, reduce)
    return triplet_margin_with_distance_loss(
        anchor,
        positive,
        negative,
        distance_function=lambda a, b: pairwise_distance(a, b, p, eps),
        margin=margin,
        swap=swap,
        reduction=reduction,
    )


def triplet_margin_with_distance_loss(
    anchor: Tensor,
    positive: Tensor,
    negative: Tensor,
    *,
    distance_function: Callable[[Tensor, Tensor], Tensor] | None = None,
    margin: float = 1.0,
    swap: bool = False,
    reduction: str = "mean",
) -> Tensor:
    """triplet_margin_loss with any distance; the default is the 2-norm."""
    check_reduction("triplet_margin_loss", reduction)
    if margin <= 0:
        raise ArgumentError(f"triplet_margin_loss: margin must be positive, got {margin}")
    distance = pairwise_distance if distance_function is None else distance_function
    near, far = distance(anchor, positive), distance(anchor, negative)
    if swap:
        far = ops.minimum(far, distance(positive, negative))
    return reduced(ops.clamp(near - far + margin, min=0.0), reduction)


# ---------------------------------------------------------------- surrogates of the 0-1 loss, by the margin t * score


def _margins(name: str, scores: Tensor, targets: Tensor, reduction: str) -> Tensor:
    check_reduction(name, reduction)
    same_shapes(name, scores, targets)
    require(targets.detach().abs() == 1, f"{name}: targets must be -1 or +1")
    return scores * targets


def hinge_loss(scores: Tensor, targets: Tensor, margin: float = 1.0, *, reduction: str = "mean") -> Tensor:
    """max(0, margin - t s) for targets t in {-1, +1}. Source: Cortes & Vapnik 1995."""
    return reduced(ops.clamp(margin - _margins("hinge_loss", scores, targets, reduction), min=0.0), reduction)


def perceptron_loss(scores: Tensor, targets: Tensor, *, reduction: str = "mean") -> Tensor:
    """max(0, -t s) for targets t in {-1, +1}. Source: Rosenblatt 1958."""
    return reduced(ops.clamp(-_margins("perceptron_loss", scores, targets, reduction), min=0.0), reduction)


def logistic_loss(scores: Tensor, targets: Tensor, base: float = math.e, *, reduction: str = "mean") -> Tensor:
    """log(1 + exp(-t s)) for targets t in {-1, +1}.

    Args: base: of the logarithm; with 2 the loss is 1 at 0 and never below the 0-1 loss.
    """
    if not base > 1:
        raise ArgumentError(f"logistic_loss: base must be above 1, got {base}")
    loss = SoftplusUnit.apply(-_margins("logistic_loss", scores, targets, reduction))
    return reduced(loss if base == math.e else loss * (1 / math.log(base)), reduction)


def exp_loss(scores: Tensor, targets: Tensor, *, reduction: str = "mean") -> Tensor:
    """exp(-t s) for targets t in {-1, +1}: what AdaBoost minimises. Source: Friedman et al. 2000."""
    return reduced(ops.exp(-_margins("exp_loss", scores, targets, reduction)), reduction)


def zero_one_loss(scores: Tensor, targets: Tensor, *, reduction: str = "mean") -> Tensor:
    """1 where t s <= 0, else 0, for targets t in {-1, +1}: a score of 0 is an error. It has no gradient."""
    wrong = _margins("zero_one_loss", scores.detach(), targets.detach(), reduction) <= 0
    return reduced(wrong.to(scores.dtype), reduction)
