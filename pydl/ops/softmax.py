"""Softmax, log-softmax, the logarithm of sums of exponentials and the fused cross entropy."""

from typing import Any

from pydl import _C
from pydl.autograd.mode import mode
from pydl.autograd.op import REFUSALS, Op, recovered
from pydl.errors import ArgumentError, DtypeError, ShapeError
from pydl.ops.compare import where
from pydl.ops.elementary import exp, log
from pydl.ops.precision import raised
from pydl.ops.reduce import Dims, amax, sum
from pydl.ops.shape import movedim, reshape, squeeze, unsqueeze, wrap
from pydl.tensor import Tensor

__all__ = [
    "cross_entropy",
    "log_softmax",
    "logsumexp",
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


def _logsumexp_plain(x):
    return _logsumexp_over(x, [-1], False)


def _logsumexp_over(x, axes, keepdim):
    top = amax(x.detach(), axes, True)
    top = where(top.isfinite(), top, 0.0)
    y = log(sum(exp(x - top), axes, True)) + top
    return y if keepdim else squeeze(y, axes) if axes else reshape(y, [])


class LogSumExp(Op):
    """Over the last axis, which is not empty."""

    kernel = _C.logsumexp
    reference = _logsumexp_plain
    saves_output = True

    def vjp(g, x, y):
        return (unsqueeze(g, -1) * exp(x - unsqueeze(y, -1)),)


def logsumexp(input: Tensor, dim: Dims, keepdim: bool = False) -> Tensor:
    """log(sum(exp(x))) over dim, without overflow."""
    axes = [dim] if isinstance(dim, int) else list(dim or ())
    if not input.numel():
        return log(sum(exp(input), axes, keepdim))
    if len(axes) != 1 or input.ndim == 0 or not input.array.is_floating:
        return _logsumexp_over(input, axes, keepdim)
    at = wrap(axes[0], input.ndim, "logsumexp")
    y = LogSumExp.apply(input if at == input.ndim - 1 else movedim(input, at, -1))
    return unsqueeze(y, at) if keepdim else y


def _row_weights(x, target, weight, ignore_index):
    """(n,) weight of each row: its class's, 0 where ignored; and the target with a class in place of ignore_index."""
    ignored = target == ignore_index
    classes = where(ignored, 0, target)
    kept = (~ignored).to(x.dtype)
    return (kept if weight is None else kept * weight.index_select(0, classes)), classes, kept


def _reduced(loss, weights, reduction):
    return loss if reduction == NONE else sum(loss) if reduction == SUM else sum(loss) / sum(weights)


def _cross_entropy_plain(x, target, weight, ignore_index, label_smoothing, reduction):
    w, classes, kept = _row_weights(x, target, weight, ignore_index)
    lse = logsumexp(x, 1)
    loss = w * (lse - reshape(x.gather(1, classes.unsqueeze(1)), [-1]))
    if label_smoothing:
        gaps = lse.unsqueeze(1) - x
        spread = sum(gaps if weight is None else gaps * weight, 1) * kept
        loss = loss * (1 - label_smoothing) + spread * (label_smoothing / x.shape[1])
    return _reduced(loss, w, reduction)


def _cross_entropy_grad_plain(g, x, target, weight, lse, total, ignore_index, label_smoothing, reduction):
    w, classes, kept = _row_weights(x, target, weight, ignore_index)
    p = Softmax.apply(x)
    hot = (classes.unsqueeze(1) == _steps(x)).to(x.dtype)
    per_row = (1 - label_smoothing) * w.unsqueeze(1) * (p - hot)
    if label_smoothing:
        v = Tensor(_C.full((x.shape[1],), 1, x.dtype, x.device)) if weight is None else weight
        per_row = per_row + (label_smoothing / x.shape[1]) * kept.unsqueeze(1) * (p * v.sum() - v)
    if reduction == NONE:
        return g.unsqueeze(1) * per_row
    return g * per_row if reduction == SUM else g / sum(w) * per_row


def _steps(x):
    return Tensor(_C.arange(0, x.shape[1], 1, _C.int64, x.device))


class CrossEntropyGrad(Op):
    """Its residuals lse and total depend on x and weight, so the reference takes them and computes its own."""

    kernel = _C.cross_entropy_grad
    reference = _cross_entropy_grad_plain


class CrossEntropy(Op):
    """(n, c) scores and (n,) classes, in one pass."""

    kernel = _C.cross_entropy
    reference = _cross_entropy_plain

    @classmethod
    def apply(  # type: ignore[override]
        cls,
        x: Tensor,
        target: Tensor,
        weight: Tensor | None,
        ignore_index: int,
        label_smoothing: float,
        reduction: int,
    ) -> Tensor:
        """The same without loops."""
        try:
            y, *residuals = cls.kernel(
                x.array,
                target.array,
                None if weight is None else weight.array,
                ignore_index,
                label_smoothing,
                reduction,
            )
        except REFUSALS as error:
            options = {"ignore_index": ignore_index, "label_smoothing": label_smoothing, "reduction": reduction}
            return recovered(error, cls, (x, target, weight), options)
        if mode.enabled and (x.requires_grad or (weight is not None and weight.requires_grad)):
            attrs = {"ignore_index": ignore_index, "label_smoothing": label_smoothing, "reduction": reduction}
            return cls.record(y, (x, target, weight), tuple(residuals), attrs)
        return Tensor(y)

    def vjp(g, x, target, weight, lse, total, ignore_index, label_smoothing, reduction):
        if weight is not None and weight.requires_grad:
            return None  # only the reference knows the gradient of the weights
        gx = CrossEntropyGrad.apply(
            g, x, target, weight, lse, total,
            ignore_index=ignore_index, label_smoothing=label_smoothing, reduction=reduction,
        )  # fmt: skip
        return gx, None, None


def _smoothed(x, target, weight, label_smoothing):
    q = target * (1 - label_smoothing) + label_smoothing / x.shape[1] if label_smoothing else target
    return q if weight is None else q * weight


def _soft_entropy_plain(x, target, weight, label_smoothing, reduction):
    loss = -sum(LogSoftmax.apply(x) * _smoothed(x, target, weight, label_smoothing), 1)
    return loss if reduction == NONE else sum(loss) if reduction == SUM else sum(loss) / x.shape[0]


def _soft_entropy_grad_plain(g, x, target, weight, lse, mass, label_smoothing, reduction):
    q = _smoothed(x, target, weight, label_smoothing)
    per_row = Softmax.apply(x) * sum(q, 1, True) - q
    if reduction == NONE:
        return g.unsqueeze(1) * per_row
    return g * per_row if reduction == SUM else g / x.shape[0] * per_row


class SoftEntropyGrad(Op):
    """Its residuals lse and mass depend on the inputs, so the reference takes them and computes its own."""

    kernel = _C.soft_entropy_grad
    reference = _soft_entropy_grad_plain


class SoftEntropy(Op):
    """(n, c) scores and (n, c) probabilities, in one pass."""

    kernel = _C.soft_entropy
    reference = _soft_entropy_plain

    def vjp(g, x, target, weight, lse, mass, label_smoothing, reduction):
        if weight is not None and weight.requires_grad:
            return None  # only the reference knows the gradient of the weights

        def to_x():
            return SoftEntropyGrad.apply(
                g, x, target, weight, lse, mass, label_smoothing=label_smoothing, reduction=reduction
            )

        def to_target():
            gt = (label_smoothing - 1) * LogSoftmax.apply(x)
            gt = (gt if weight is None else gt * weight) * (g.unsqueeze(1) if reduction == NONE else g)
            return gt / x.shape[0] if reduction == MEAN else gt

        return to_x, to_target, None


def cross_entropy(
    input: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    size_average: bool | None = None,
    ignore_index: int = -100,
    reduce: bool | None = None,
    reduction: str = "mean",
    label_smoothing: float = 0.0,
) -> Tensor:
    """-log softmax(input)[target], in one pass forward and one backward.

    Args:
        input: (c,), (n, c) or (n, c, d1, ...) scores.
        target: classes, int64 or int32, of shape (), (n,) or (n, d1, ...); or probabilities of the shape of input.
        weight: (c,) weight of each class.
        ignore_index: rows of this class count for nothing (class indices only).
        reduction: 'mean' (class indices: weighted, over what is not ignored; probabilities: over the rows), 'sum' or
            'none'.
        label_smoothing: the part of each target that is spread evenly over all classes.
        size_average, reduce: PyTorch's old names of reduction; an error unless left out.
    Raises: ShapeError, DtypeError, BoundsError, ArgumentError.
    """
    code = REDUCTIONS.get(reduction)
    if code is None or size_average is not None or reduce is not None:
        check_reduction("cross_entropy", reduction, size_average, reduce)
    if mode.cast is not None:
        input, weight = raised(input, weight)
    x, t = input.array, target.array
    if x.ndim == 2 and t.ndim == 1 and t.dtype is _C.int64 and x.is_floating and x.shape[0] == t.size:
        return CrossEntropy.apply(input, target, weight, ignore_index, label_smoothing, code)
    shape = _checked_shape(input, target)
    if t.is_floating:
        loss = SoftEntropy.apply(
            _rows(input), _rows(target.to(input.dtype)), weight, label_smoothing=label_smoothing, reduction=code
        )
    else:
        flat = target.to(_C.int64).reshape([-1])
        loss = CrossEntropy.apply(_rows(input), flat, weight, ignore_index, label_smoothing, code)
    return reshape(loss, shape) if code == NONE else loss


def _checked_shape(input: Tensor, target: Tensor) -> tuple[int, ...]:
    """The shape of the losses before they are reduced. Raises: ShapeError, DtypeError."""
    if input.ndim == 0:
        raise ShapeError("cross_entropy: expected scores with at least one axis")
    if not input.array.is_floating:
        raise DtypeError(f"cross_entropy: expected a floating dtype, got {input.dtype}")
    if target.dtype is _C.bool:
        raise DtypeError("cross_entropy: expected classes (integers) or probabilities, got dtype bool")
    soft = target.array.is_floating
    shape = input.shape[:1] + input.shape[2:] if input.ndim > 1 else ()
    expected = input.shape if soft else shape
    if target.shape != expected:
        what = f"probabilities {expected}" if soft else f"classes {expected}"
        raise ShapeError(f"cross_entropy: target {target.shape} does not match input {input.shape}: expected {what}")
    return shape


def _rows(x: Tensor) -> Tensor:
    """(n, c, d1, ...) as (n d1 ..., c); (c,) as one row."""
    if x.ndim == 2:
        return x
    at = 1 if x.ndim > 1 else 0
    classes = x.shape[at]
    return movedim(x, at, -1).reshape([x.numel() // classes if classes else 0, classes])


NONE, SUM, MEAN = range(3)
REDUCTIONS = {"none": NONE, "sum": SUM, "mean": MEAN}


def check_reduction(op: str, reduction: str, size_average: Any = None, reduce: Any = None) -> None:
    """Raises ArgumentError unless reduction is one of the three and PyTorch's old arguments are left out."""
    if size_average is not None or reduce is not None:
        raise ArgumentError(f"{op}: size_average and reduce are no longer taken: expected reduction='mean' or 'sum'")
    if reduction not in ("mean", "sum", "none"):
        raise ArgumentError(f"{op}: reduction must be 'mean', 'sum' or 'none', got {reduction!r}")
