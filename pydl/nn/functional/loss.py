"""Losses of a prediction and a target of the same shape. reduction: 'mean', 'sum' or 'none' everywhere."""

import math
import warnings

from pydl import _C, ops
from pydl.autograd.mode import mode
from pydl.errors import ArgumentError, ShapeError
from pydl.ops.activation import SoftplusUnit
from pydl.ops.loss import (
    DIVERGENCE,
    HUBER,
    L1,
    LOG_DIVERGENCE,
    LOGITS,
    MSE,
    PROBABILITIES,
    SMOOTH_L1,
    SOFT_MARGIN,
    PairLoss,
    plain_loss,
)
from pydl.ops.precision import raised
from pydl.ops.scalar import require
from pydl.ops.softmax import REDUCTIONS, check_reduction
from pydl.tensor import Tensor

__all__ = [
    "binary_cross_entropy",
    "binary_cross_entropy_with_logits",
    "gaussian_nll_loss",
    "huber_loss",
    "kl_div",
    "l1_loss",
    "mse_loss",
    "poisson_nll_loss",
    "smooth_l1_loss",
    "soft_margin_loss",
]


same_type = _C.same_type


def reduced(loss: Tensor, reduction: str) -> Tensor:
    """The mean, the sum, or all of the losses."""
    if reduction == "mean":
        return ops.mean(loss)
    return ops.sum(loss) if reduction == "sum" else loss


def _pair(
    name: str, kind: int, input: Tensor, target: Tensor, reduction: str, parameter: float = 0.0, warn: bool = False
) -> Tensor:
    """A loss of a prediction and a target: one launch where both have one shape and dtype, else plain operations."""
    code = REDUCTIONS[reduction]
    if mode.cast is not None:
        input, target = raised(input, target)
    if same_type(input.array, target.array):
        return PairLoss.apply(input, target, kind, parameter, code)
    if warn and input.shape != target.shape:
        warnings.warn(
            f"{name}: target {target.shape} does not match input {input.shape}: they are broadcast, rarely on purpose",
            stacklevel=4,  # of this, the loss and `typed` it is the caller's line
        )
    return plain_loss(input, target, kind, parameter, code)


def _weighted(loss: Tensor, weight: Tensor, reduction: str) -> Tensor:
    """The losses times weight; the mean divides by the sum of the weights."""
    if reduction != "mean":
        return reduced(loss * weight, reduction)
    return ops.sum(loss * weight) / ops.sum(weight.expand(loss.shape))


def same_shapes(name: str, input: Tensor, target: Tensor) -> None:
    """Raises ShapeError unless both have one shape."""
    if input.shape != target.shape:
        raise ShapeError(f"{name}: target {target.shape} does not match input {input.shape}: expected the same shape")


def mse_loss(
    input: Tensor,
    target: Tensor,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
    weight: Tensor | None = None,
) -> Tensor:
    """(input - target)^2, times weight; the weighted mean divides by the sum of the weights."""
    check_reduction("mse_loss", reduction, size_average, reduce)
    if weight is not None:
        return _weighted(_pair("mse_loss", MSE, input, target, "none", warn=True), weight, reduction)
    return _pair("mse_loss", MSE, input, target, reduction, warn=True)


def l1_loss(
    input: Tensor,
    target: Tensor,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
    weight: Tensor | None = None,
) -> Tensor:
    """|input - target|, times weight as in `mse_loss`; the slope at 0 is 0."""
    check_reduction("l1_loss", reduction, size_average, reduce)
    if weight is not None:
        return _weighted(_pair("l1_loss", L1, input, target, "none", warn=True), weight, reduction)
    return _pair("l1_loss", L1, input, target, reduction, warn=True)


def smooth_l1_loss(
    input: Tensor,
    target: Tensor,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
    beta: float = 1.0,
) -> Tensor:
    """d^2 / (2 beta) where |d| < beta, else |d| - beta / 2. Source: Girshick 2015 (arXiv:1504.08083), equation 3."""
    check_reduction("smooth_l1_loss", reduction, size_average, reduce)
    if not beta >= 0:
        raise ArgumentError(f"smooth_l1_loss: beta must not be negative, got {beta}")
    if beta == 0:
        return _pair("smooth_l1_loss", L1, input, target, reduction, warn=True)
    return _pair("smooth_l1_loss", SMOOTH_L1, input, target, reduction, float(beta), warn=True)


def huber_loss(
    input: Tensor, target: Tensor, reduction: str = "mean", delta: float = 1.0, weight: Tensor | None = None
) -> Tensor:
    """d^2 / 2 where |d| < delta, else delta (|d| - delta / 2), times weight as in `mse_loss`. Source: Huber 1964."""
    check_reduction("huber_loss", reduction)
    if not delta > 0:
        raise ArgumentError(f"huber_loss: delta must be positive, got {delta}")
    if weight is not None:
        return _weighted(_pair("huber_loss", HUBER, input, target, "none", float(delta), warn=True), weight, reduction)
    return _pair("huber_loss", HUBER, input, target, reduction, float(delta), warn=True)


# ---------------------------------------------------------------- probabilities


def binary_cross_entropy(
    input: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Tensor:
    """-(t log p + (1 - t) log(1 - p)), times weight; logarithms are cut off at -100.

    The slope is taken as if p (1 - p) were at least 1e-12, so that it is finite everywhere.

    Args: input: probabilities p in [0, 1]. target: t in [0, 1], of the same shape. weight: broadcast.
    Raises: ShapeError, DtypeError, ArgumentError for a p outside [0, 1].
    """
    check_reduction("binary_cross_entropy", reduction, size_average, reduce)
    same_shapes("binary_cross_entropy", input, target)
    code = REDUCTIONS[reduction if weight is None else "none"]
    if mode.cast is not None:
        input, target = raised(input, target)
        (weight,) = raised(weight)
    loss = PairLoss.apply(input, target.to(input.dtype), PROBABILITIES, 0.0, code)
    return loss if weight is None else reduced(loss * weight, reduction)


def binary_cross_entropy_with_logits(
    input: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
    pos_weight: Tensor | None = None,
) -> Tensor:
    """binary_cross_entropy(sigmoid(input), target), as t softplus(-x) + (1 - t) softplus(x): without overflow.

    Args: input: scores. target: in [0, 1], of the same shape. weight: broadcast. pos_weight: of t = 1, broadcast.
    """
    name = "binary_cross_entropy_with_logits"
    check_reduction(name, reduction, size_average, reduce)
    same_shapes(name, input, target)
    if pos_weight is not None:
        loss = target * SoftplusUnit.apply(-input) * pos_weight + (1.0 - target) * SoftplusUnit.apply(input)
    else:
        loss = _pair(name, LOGITS, input, target, reduction if weight is None else "none")
        if weight is None:
            return loss
    return reduced(loss if weight is None else loss * weight, reduction)


def kl_div(
    input: Tensor,
    target: Tensor,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
    log_target: bool = False,
) -> Tensor:
    """t (log t - input): the Kullback-Leibler divergence of exp(input) from t, term by term.

    Args:
        input: logarithms of probabilities.
        target: probabilities t; with log_target their logarithms.
        reduction: also 'batchmean', the sum divided by the first size: only that is the divergence of the definition.
    """
    batchmean = reduction == "batchmean"
    check_reduction("kl_div", "mean" if batchmean else reduction, size_average, reduce)
    loss = _pair(
        "kl_div", LOG_DIVERGENCE if log_target else DIVERGENCE, input, target, "sum" if batchmean else reduction
    )
    return loss / (input.shape[0] if input.ndim else 1) if batchmean else loss


def poisson_nll_loss(
    input: Tensor,
    target: Tensor,
    log_input: bool = True,
    full: bool = False,
    size_average: bool | None = None,
    eps: float = 1e-8,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Tensor:
    """-log of the Poisson probability of target, without log(target!).

    Args:
        input: the logarithm of the rate; the rate itself with log_input=False.
        full: adds Stirling's approximation of log(target!) where target > 1.
        eps: added to a rate before its logarithm.
    """
    check_reduction("poisson_nll_loss", reduction, size_average, reduce)
    loss = ops.exp(input) - target * input if log_input else input - target * ops.log(input + eps)
    if full:
        safe = ops.where(target > 1, target, 1.0)
        stirling = safe * ops.log(safe) - safe + 0.5 * ops.log(safe * (2 * math.pi))
        loss = loss + ops.where(target > 1, stirling, 0.0)
    return reduced(loss, reduction)


def gaussian_nll_loss(
    input: Tensor,
    target: Tensor,
    var: Tensor | float,
    full: bool = False,
    eps: float = 1e-6,
    reduction: str = "mean",
) -> Tensor:
    """(log var + (input - target)^2 / var) / 2.

    Args:
        var: variances, of the shape of input, or that without its last axis or with size 1 there; or one number.
        full: adds log(2 pi) / 2.
        eps: variances count as at least this; the gradient does not see the limit.
    Source: Nix & Weigend 1994.
    """
    check_reduction("gaussian_nll_loss", reduction)
    spread = (
        var if isinstance(var, Tensor) else ops.full(input.shape, float(var), dtype=input.dtype, device=input.device)
    )
    if spread.shape != input.shape:
        if spread.shape == input.shape[:-1]:
            spread = ops.unsqueeze(spread, -1)
        elif spread.shape != (*input.shape[:-1], 1):
            raise ShapeError(f"gaussian_nll_loss: var {spread.shape} does not match input {input.shape}")
    plain = spread.detach()
    require(~(plain < 0), "gaussian_nll_loss: a variance is negative")
    limited = ops.where(plain < eps, spread + (eps - plain), spread)
    loss = 0.5 * (ops.log(limited) + ops.square(input - target) / limited)
    return reduced(loss + 0.5 * math.log(2 * math.pi) if full else loss, reduction)


def soft_margin_loss(
    input: Tensor, target: Tensor, size_average: bool | None = None, reduce: bool | None = None, reduction: str = "mean"
) -> Tensor:
    """log(1 + exp(-t x)) for targets t in {-1, +1}, without overflow."""
    check_reduction("soft_margin_loss", reduction, size_average, reduce)
    same_shapes("soft_margin_loss", input, target)
    return _pair("soft_margin_loss", SOFT_MARGIN, input, target, reduction)
