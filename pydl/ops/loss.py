"""Losses of a prediction and a target of one shape, and the negative log-likelihood of classes: each in one pass
forward and one backward. Their public functions are those of pydl.nn.functional."""

from typing import Any

from pydl import _C
from pydl.autograd.mode import mode
from pydl.autograd.op import REFUSALS, Op, recovered
from pydl.ops.activation import SoftplusUnit, sigmoid
from pydl.ops.arithmetic import square
from pydl.ops.compare import clamp, where
from pydl.ops.elementary import abs, exp, log, sign
from pydl.ops.index import index_select, one_hot
from pydl.ops.reduce import sum
from pydl.ops.shape import movedim, reshape, unsqueeze
from pydl.ops.softmax import MEAN, NONE, SUM
from pydl.tensor import Tensor

__all__: list[str] = []

MSE, L1, HUBER, SMOOTH_L1, LOGITS, PROBABILITIES, DIVERGENCE, LOG_DIVERGENCE, SOFT_MARGIN = range(9)

same_type = _C.same_type


# ---------------------------------------------------------------- the plain definitions, p being a parameter


def _huber(d, p):
    size = abs(d)
    return where(size < p, square(d) * 0.5, (size - 0.5 * p) * p)


def _limited_log(p):
    return clamp(log(p), min=-100.0)


def _safe(t):
    return where((t > 0) | (t != t), t, 1.0)


def _logits(x, t):
    return t * SoftplusUnit.apply(-x) + (1.0 - t) * SoftplusUnit.apply(x)


def _probabilities(x, t):
    return (t - 1.0) * _limited_log(1.0 - x) - t * _limited_log(x)


# Per kind: the term, its slope by x, and its slope by t.
PLAIN: dict[int, tuple[Any, Any, Any]] = {
    MSE: (lambda x, t, p: square(x - t), lambda x, t, p: 2.0 * (x - t), lambda x, t, p: 2.0 * (t - x)),
    L1: (lambda x, t, p: abs(x - t), lambda x, t, p: sign(x - t), lambda x, t, p: sign(t - x)),
    HUBER: (lambda x, t, p: _huber(x - t, p), lambda x, t, p: clamp(x - t, -p, p), lambda x, t, p: clamp(t - x, -p, p)),
    SMOOTH_L1: (
        lambda x, t, p: _huber(x - t, p) / p,
        lambda x, t, p: clamp(x - t, -p, p) / p,
        lambda x, t, p: clamp(t - x, -p, p) / p,
    ),
    LOGITS: (lambda x, t, p: _logits(x, t), lambda x, t, p: sigmoid(x) - t, lambda x, t, p: -x),
    PROBABILITIES: (
        lambda x, t, p: _probabilities(x, t),
        lambda x, t, p: (x - t) / clamp((1.0 - x) * x, min=1e-12),
        lambda x, t, p: _limited_log(1.0 - x) - _limited_log(x),
    ),
    DIVERGENCE: (
        lambda x, t, p: t * log(_safe(t)) - t * x,
        lambda x, t, p: -t,
        lambda x, t, p: log(_safe(t)) + (t != 0).to(t.dtype) - x,
    ),
    LOG_DIVERGENCE: (
        lambda x, t, p: exp(t) * (t - x),
        lambda x, t, p: -exp(t),
        lambda x, t, p: exp(t) * (t - x + 1.0),
    ),
    SOFT_MARGIN: (
        lambda x, t, p: SoftplusUnit.apply(-(t * x)),
        lambda x, t, p: -(t * sigmoid(-(t * x))),
        lambda x, t, p: -(x * sigmoid(-(t * x))),
    ),
}


def plain_loss(x: Tensor, target: Tensor, kind: int, parameter: float, reduction: int) -> Tensor:
    """The loss in plain operations; x and target may broadcast."""
    loss: Tensor = PLAIN[kind][0](x, target, parameter)
    return loss if reduction == NONE else loss.sum() if reduction == SUM else loss.mean()


def _plain_gradient(g, x, target, kind, parameter, reduction, of_target=False):
    made = g * PLAIN[kind][2 if of_target else 1](x, target, parameter)
    return made / x.numel() if reduction == MEAN else made


class PairLossGrad(Op):
    kernel = _C.pair_loss_grad
    reference = _plain_gradient


class PairLoss(Op):
    """x and target of one shape and dtype; kind is one of the above."""

    kernel = _C.pair_loss
    reference = plain_loss

    @classmethod
    def apply(cls, x: Tensor, target: Tensor, kind: int, parameter: float, reduction: int) -> Tensor:  # type: ignore[override]
        try:
            y = cls.kernel(x.array, target.array, kind, parameter, reduction)
        except REFUSALS as error:
            options = {"kind": kind, "parameter": parameter, "reduction": reduction}
            return recovered(error, cls, (x, target), options)
        if (x.requires_grad or target.requires_grad) and mode.enabled:
            return cls.record(y, (x, target), (), {"kind": kind, "parameter": parameter, "reduction": reduction})
        return Tensor(y)

    def vjp(g, x, target, kind, parameter, reduction):
        options = {"kind": kind, "parameter": parameter, "reduction": reduction}

        def to_x():
            return PairLossGrad.apply(g, x, target, **options)

        def to_target():
            return PairLossGrad.apply(g, x, target, **options, of_target=True)

        return to_x, to_target


# ---------------------------------------------------------------- negative log-likelihood


def _class_weights(x, target, weight, ignore_index):
    """The weight of each target, 0 where ignored; and the targets with a class in place of ignore_index."""
    ignored = target == ignore_index
    classes = where(ignored, 0, target)
    kept = (~ignored).to(x.dtype)
    if weight is None:
        return kept, classes
    return kept * reshape(index_select(weight, 0, reshape(classes, [-1])), classes.shape), classes


def _over(loss, weights, reduction):
    return loss if reduction == NONE else sum(loss) if reduction == SUM else sum(loss) / sum(weights)


def _nll_plain(x, target, weight, ignore_index, reduction):
    at = 1 if x.ndim > 1 else 0
    weights, classes = _class_weights(x, target, weight, ignore_index)
    picked = x.gather(at, unsqueeze(classes, at)).squeeze(at)
    return _over(-where(target == ignore_index, 0.0, picked) * weights, weights, reduction)


def _nll_grad_plain(g, target, weight, total, shape, ignore_index, reduction):
    at = 1 if len(shape) > 1 else 0
    weights, classes = _class_weights(g, target, weight, ignore_index)
    hot = movedim(one_hot(classes, shape[at]).to(g.dtype), -1, at)
    scale = weights / sum(weights) if reduction == MEAN else weights
    return -hot * unsqueeze(g * scale, at)


class NllGrad(Op):
    """Its residual total depends on the weights, so the reference takes it and computes its own."""

    kernel = _C.nll_grad
    reference = _nll_grad_plain


class Nll(Op):
    """(n, c, ...) logarithms of probabilities and (n, ...) classes."""

    kernel = _C.nll
    reference = _nll_plain

    def vjp(g, x, target, weight, total, ignore_index, reduction):
        if weight is not None and weight.requires_grad:
            return None  # only the reference knows the gradient of the weights
        gx = NllGrad.apply(g, target, weight, total, shape=x.shape, ignore_index=ignore_index, reduction=reduction)
        return gx, None, None
