"""Losses of a prediction and a target of the same shape. reduction: 'mean', 'sum' or 'none' everywhere."""

import math
import warnings
from typing import Any

from pydl import _C, ops
from pydl.autograd.op import Op
from pydl.errors import ArgumentError, ShapeError
from pydl.ops.activation import SoftplusUnit
from pydl.ops.elementary import Square
from pydl.ops.softmax import check_reduction
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


def reduced(loss: Tensor, reduction: str) -> Tensor:
    """The mean, the sum, or all of the losses."""
    if reduction == "mean":
        return ops.mean(loss)
    return ops.sum(loss) if reduction == "sum" else loss


def _difference(name: str, input: Tensor, target: Tensor, reduction: str) -> Tensor:
    check_reduction(name, reduction)
    if input.shape != target.shape:
        warnings.warn(
            f"{name}: target {target.shape} does not match input {input.shape}: they are broadcast, rarely on purpose",
            stacklevel=3,
        )
    return input - target


def same_shapes(name: str, input: Tensor, target: Tensor) -> None:
    """Raises ShapeError unless both have one shape."""
    if input.shape != target.shape:
        raise ShapeError(f"{name}: target {target.shape} does not match input {input.shape}: expected the same shape")


def mse_loss(input: Tensor, target: Tensor, *, reduction: str = "mean", weight: Tensor | None = None) -> Tensor:
    """(input - target)^2, times weight; the weighted mean divides by the sum of the weights."""
    loss = Square.apply(_difference("mse_loss", input, target, reduction))
    if weight is None:
        return reduced(loss, reduction)
    loss = loss * weight
    return ops.sum(loss) / ops.sum(weight.expand(loss.shape)) if reduction == "mean" else reduced(loss, reduction)


def l1_loss(input: Tensor, target: Tensor, *, reduction: str = "mean") -> Tensor:
    """|input - target|; the slope at 0 is 0."""
    return reduced(ops.abs(_difference("l1_loss", input, target, reduction)), reduction)


def smooth_l1_loss(input: Tensor, target: Tensor, *, reduction: str = "mean", beta: float = 1.0) -> Tensor:
    """d^2 / (2 beta) where |d| < beta, else |d| - beta / 2. Source: Girshick 2015 (arXiv:1504.08083), equation 3."""
    if beta < 0:
        raise ArgumentError(f"smooth_l1_loss: beta must not be negative, got {beta}")
    d = _difference("smooth_l1_loss", input, target, reduction)
    size = ops.abs(d)
    if beta == 0:
        return reduced(size, reduction)
    return reduced(ops.where(size < beta, d * d * (0.5 / beta), size - 0.5 * beta), reduction)


def huber_loss(input: Tensor, target: Tensor, reduction: str = "mean", delta: float = 1.0) -> Tensor:
    """d^2 / 2 where |d| < delta, else delta (|d| - delta / 2). Source: Huber 1964."""
    if delta <= 0:
        raise ArgumentError(f"huber_loss: delta must be positive, got {delta}")
    d = _difference("huber_loss", input, target, reduction)
    size = ops.abs(d)
    return reduced(ops.where(size < delta, d * d * 0.5, (size - 0.5 * delta) * delta), reduction)


# ---------------------------------------------------------------- probabilities


class BinaryCrossEntropy(Op):
    """Logarithms count as at least -100, and the slope as if p (1 - p) were at least 1e-12: finite everywhere."""

    @staticmethod
    def kernel(p: _C.Array, target: _C.Array) -> _C.Array:
        return _bce_plain(Tensor(p), Tensor(target)).array

    @staticmethod
    def vjp(g: Tensor, p: Tensor, target: Tensor) -> Any:  # type: ignore[override]
        def to_p() -> Tensor:
            return g * (p - target) / ops.clamp((1.0 - p) * p, min=1e-12)

        return to_p, lambda: g * (_clamped_log(1.0 - p) - _clamped_log(p))


def _clamped_log(p: Tensor) -> Tensor:
    return ops.clamp(ops.log(p), min=-100.0)


def _bce_plain(p: Tensor, target: Tensor) -> Tensor:
    return (target - 1.0) * _clamped_log(1.0 - p) - target * _clamped_log(p)


def binary_cross_entropy(
    input: Tensor, target: Tensor, weight: Tensor | None = None, *, reduction: str = "mean"
) -> Tensor:
    """-(t log p + (1 - t) log(1 - p)), times weight; logarithms are cut off at -100.

    Args: input: probabilities p in [0, 1]. target: t in [0, 1], of the same shape. weight: broadcast.
    Raises: ShapeError, ArgumentError for a p outside [0, 1].
    """
    check_reduction("binary_cross_entropy", reduction)
    same_shapes("binary_cross_entropy", input, target)
    p = input.detach()
    if not bool(((p >= 0) & (p <= 1)).all()):
        raise ArgumentError(
            "binary_cross_entropy: expected probabilities in [0, 1]; for scores use the loss with logits"
        )
    loss = BinaryCrossEntropy.apply(input, target)
    return reduced(loss if weight is None else loss * weight, reduction)


def binary_cross_entropy_with_logits(
    input: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    *,
    reduction: str = "mean",
    pos_weight: Tensor | None = None,
) -> Tensor:
    """binary_cross_entropy(sigmoid(input), target), as t softplus(-x) + (1 - t) softplus(x): without overflow.

    Args: input: scores. target: in [0, 1], of the same shape. weight: broadcast. pos_weight: of t = 1, broadcast.
    """
    check_reduction("binary_cross_entropy_with_logits", reduction)
    same_shapes("binary_cross_entropy_with_logits", input, target)
    positive = target * SoftplusUnit.apply(-input)
    if pos_weight is not None:
        positive = positive * pos_weight
    loss = positive + (1.0 - target) * SoftplusUnit.apply(input)
    return reduced(loss if weight is None else loss * weight, reduction)


def _x_log_x(t: Tensor) -> Tensor:
    """t log t, 0 at 0."""
    positive = t > 0
    return t * ops.log(ops.where(positive | (t != t), t, 1.0))


def kl_div(input: Tensor, target: Tensor, *, reduction: str = "mean", log_target: bool = False) -> Tensor:
    """t (log t - input): the Kullback-Leibler divergence of exp(input) from t, term by term.

    Args:
        input: logarithms of probabilities.
        target: probabilities t; with log_target their logarithms.
        reduction: also 'batchmean', the sum divided by the first size: only that is the divergence of the definition.
    """
    if reduction != "batchmean":
        check_reduction("kl_div", reduction)
    loss = ops.exp(target) * (target - input) if log_target else _x_log_x(target) - target * input
    if reduction == "batchmean":
        return ops.sum(loss) / (input.shape[0] if input.ndim else 1)
    return reduced(loss, reduction)


def poisson_nll_loss(
    input: Tensor,
    target: Tensor,
    log_input: bool = True,
    full: bool = False,
    eps: float = 1e-8,
    *,
    reduction: str = "mean",
) -> Tensor:
    """-log of the Poisson probability of target, without log(target!).

    Args:
        input: the logarithm of the rate; the rate itself with log_input=False.
        full: adds Stirling's approximation of log(target!) where target > 1.
        eps: added to a rate before its logarithm.
    """
    check_reduction("poisson_nll_loss", reduction)
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
    spread = var if isinstance(var, Tensor) else ops.full(input.shape, float(var), dtype=input.dtype)
    if spread.shape != input.shape:
        if spread.shape == input.shape[:-1]:
            spread = ops.unsqueeze(spread, -1)
        elif spread.shape != (*input.shape[:-1], 1):
            raise ShapeError(f"gaussian_nll_loss: var {spread.shape} does not match input {input.shape}")
    plain = spread.detach()
    if bool((plain < 0).any()):
        raise ArgumentError("gaussian_nll_loss: a variance is negative")
    limited = ops.where(plain < eps, spread + (eps - plain), spread)
    loss = 0.5 * (ops.log(limited) + ops.square(input - target) / limited)
    return reduced(loss + 0.5 * math.log(2 * math.pi) if full else loss, reduction)


def soft_margin_loss(input: Tensor, target: Tensor, *, reduction: str = "mean") -> Tensor:
    """log(1 + exp(-t x)) for targets t in {-1, +1}, without overflow."""
    check_reduction("soft_margin_loss", reduction)
    same_shapes("soft_margin_loss", input, target)
    return reduced(SoftplusUnit.apply(-(target * input)), reduction)
