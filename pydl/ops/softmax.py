"""Softmax, log-softmax and the fused cross entropy."""

from typing import Any

from pydl import _C
from pydl.autograd.op import Op
from pydl.errors import ArgumentError, DtypeError, ShapeError
from pydl.ops.compare import where
from pydl.ops.elementary import exp, log
from pydl.ops.reduce import amax, logsumexp, sum
from pydl.ops.shape import movedim, reshape, wrap
from pydl.tensor import Tensor

__all__ = [
    "cross_entropy",
    "log_softmax",
    "softmax",
]


def _softmax_plain(x):
    e = exp(x - amax(x.detach(), -1, True))
    return e / sum(e, -1, True)


def _log_softmax_plain(x):
    shifted = x - amax(x.detach(), -1, True)
    return shifted - log(sum(exp(shifted), -1, True))


def _softmax_grad_plain(g, y):
    return y * (g - sum(g * y, -1, True))


def _log_softmax_grad_plain(g, y):
    return g - exp(y) * sum(g, -1, True)


class SoftmaxGrad(Op):
    kernel = _C.softmax_grad
    reference = _softmax_grad_plain


class LogSoftmaxGrad(Op):
    kernel = _C.log_softmax_grad
    reference = _log_softmax_grad_plain


class Softmax(Op):
    """Over the last axis."""

    kernel = _C.softmax
    reference = _softmax_plain
    saves_output = True
    uses = ()

    def vjp(g, x, y):
        return (SoftmaxGrad.apply(g, y),)


class LogSoftmax(Op):
    """Over the last axis."""

    kernel = _C.log_softmax
    reference = _log_softmax_plain
    saves_output = True
    uses = ()

    def vjp(g, x, y):
        return (LogSoftmaxGrad.apply(g, y),)


def _along(op: type[Op], x: Tensor, dim: int, dtype: _C.dtype | None) -> Tensor:
    x = x if dtype is None else x.to(dtype)
    at = wrap(dim, x.ndim, op.__name__.lower())
    if at == x.ndim - 1 or x.ndim == 0:
        return op.apply(x)
    return movedim(op.apply(movedim(x, at, -1)), -1, at)


def softmax(input: Tensor, dim: int, dtype: _C.dtype | None = None) -> Tensor:
    """exp(x) / sum(exp(x)) along dim, without overflow."""
    return _along(Softmax, input, dim, dtype)


def log_softmax(input: Tensor, dim: int, dtype: _C.dtype | None = None) -> Tensor:
    """log(softmax(x)) along dim, without overflow."""
    return _along(LogSoftmax, input, dim, dtype)


# ---------------------------------------------------------------- cross entropy


def _row_weights(x, target, weight, ignore_index):
    """(n,) weight of each row: its class's, 0 where ignored; and the target with a class in place of ignore_index."""
    ignored = target == ignore_index
    classes = where(ignored, 0, target)
    kept = (~ignored).to(x.dtype)
    return (kept if weight is None else kept * weight.index_select(0, classes)), classes, kept


def _cross_entropy_plain(x, target, weight, ignore_index, label_smoothing):
    w, classes, kept = _row_weights(x, target, weight, ignore_index)
    lse = logsumexp(x, 1)
    loss = w * (lse - reshape(x.gather(1, classes.unsqueeze(1)), [-1]))
    if label_smoothing == 0:
        return loss
    gaps = lse.unsqueeze(1) - x
    spread = sum(gaps if weight is None else gaps * weight, 1) * kept
    return loss * (1 - label_smoothing) + spread * (label_smoothing / x.shape[1])


def _cross_entropy_grad_plain(g, x, target, weight, lse, ignore_index, label_smoothing):
    w, classes, kept = _row_weights(x, target, weight, ignore_index)
    p = Softmax.apply(x)
    hot = (classes.unsqueeze(1) == _steps(x)).to(x.dtype)
    per_row = (1 - label_smoothing) * w.unsqueeze(1) * (p - hot)
    if label_smoothing:
        v = Tensor(_C.full((x.shape[1],), 1, x.dtype, x.device)) if weight is None else weight
        per_row = per_row + (label_smoothing / x.shape[1]) * kept.unsqueeze(1) * (p * v.sum() - v)
    return g.unsqueeze(1) * per_row


def _steps(x):
    return Tensor(_C.arange(0, x.shape[1], 1, _C.int64, x.device))


class CrossEntropyGrad(Op):
    """Its residual lse depends on x, so the reference takes it and computes its own."""

    def kernel(g, x, target, weight, lse, ignore_index, label_smoothing):
        return _C.cross_entropy_grad(g, x, target, weight, lse, ignore_index, label_smoothing)

    reference = _cross_entropy_grad_plain


class CrossEntropy(Op):
    """(n, c) scores and (n,) classes to (n,) losses, in one pass."""

    kernel = _C.cross_entropy
    reference = _cross_entropy_plain

    def vjp(g, x, target, weight, lse, ignore_index, label_smoothing):
        if weight is not None and weight.requires_grad:
            return None  # only the reference knows the gradient of the weights
        gx = CrossEntropyGrad.apply(
            g, x, target, weight, lse, ignore_index=ignore_index, label_smoothing=label_smoothing
        )
        return gx, None, None


def cross_entropy(
    input: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    ignore_index: int = -100,
    reduction: str = "mean",
    label_smoothing: float = 0.0,
) -> Tensor:
    """-log softmax(input)[target], in one pass forward and one backward.

    Args:
        input: (c,), (n, c) or (n, c, d1, ...) scores.
        target: class indices int64 of shape (), (n,) or (n, d1, ...); or probabilities of the shape of input.
        weight: (c,) weight of each class.
        ignore_index: rows of this class count for nothing (class indices only).
        reduction: 'mean' (weighted, over what is not ignored), 'sum' or 'none'.
        label_smoothing: the part of each target that is spread evenly over all classes.
    Raises: ShapeError, DtypeError, BoundsError, ArgumentError.
    """
    check_reduction("cross_entropy", reduction)
    if input.ndim == 0:
        raise ShapeError("cross_entropy: expected scores with at least one axis")
    if not input.array.is_floating:
        raise DtypeError(f"cross_entropy: expected a floating dtype, got {input.dtype}")
    if target.array.is_floating:
        return _soft_cross_entropy(input, target, weight, reduction, label_smoothing)
    expected = input.shape[:1] + input.shape[2:] if input.ndim > 1 else ()
    if target.shape != expected:
        raise ShapeError(
            f"cross_entropy: target {target.shape} does not match input {input.shape}: expected classes {expected}"
        )
    classes = 1 if input.ndim > 1 else 0
    rows = input if input.ndim == 2 else movedim(input, classes, -1).reshape([-1, input.shape[classes]])
    flat = target if target.ndim == 1 else target.reshape([-1])
    loss = CrossEntropy.apply(
        rows, flat.to(_C.int64), weight, ignore_index=int(ignore_index), label_smoothing=float(label_smoothing)
    )
    if reduction == "none":
        return loss if target.ndim == 1 else reshape(loss, target.shape)
    if reduction == "sum":
        return loss.sum()
    if weight is None:
        return loss.sum() / (flat != ignore_index).to(loss.dtype).sum()
    return loss.sum() / _row_weights(rows, flat, weight, ignore_index)[0].sum()


def _soft_cross_entropy(input: Tensor, target: Tensor, weight: Any, reduction: str, label_smoothing: float) -> Tensor:
    """Targets given as probabilities."""
    if target.shape != input.shape:
        raise ShapeError(f"cross_entropy: probabilities {target.shape} do not match input {input.shape}")
    at = 1 if input.ndim > 1 else 0
    if label_smoothing:
        target = target * (1 - label_smoothing) + label_smoothing / input.shape[at]
    terms = log_softmax(input, at) * target
    if weight is not None:
        terms = terms * weight.reshape([-1 if i == at else 1 for i in range(input.ndim)])
    loss = -sum(terms, at)
    if reduction == "none":
        return loss
    rows = input.numel() // max(input.shape[at], 1) if input.ndim > 1 else 1
    return loss.sum() if reduction == "sum" else loss.sum() / rows


def check_reduction(op: str, reduction: str) -> None:
    """Raises ArgumentError unless reduction is one of the three."""
    if reduction not in ("mean", "sum", "none"):
        raise ArgumentError(f"{op}: reduction must be 'mean', 'sum' or 'none', got {reduction!r}")
