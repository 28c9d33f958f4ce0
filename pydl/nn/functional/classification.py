"""Losses of class scores: negative log-likelihood and the multi-class margins."""

from pydl import _C, ops
from pydl.autograd.mode import mode
from pydl.errors import ArgumentError, DtypeError, ShapeError
from pydl.nn.functional.loss import reduced, same_shapes
from pydl.ops.loss import Nll
from pydl.ops.precision import raised
from pydl.ops.softmax import REDUCTIONS, check_reduction
from pydl.tensor import Tensor

__all__ = [
    "multi_margin_loss",
    "multilabel_margin_loss",
    "multilabel_soft_margin_loss",
    "nll_loss",
]

check_classes = _C.check_classes


def nll_loss(
    input: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    size_average: bool | None = None,
    ignore_index: int = -100,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Tensor:
    """-weight[t] * input[t].

    Args:
        input: (c,), (n, c) or (n, c, d1, ...) logarithms of probabilities.
        target: classes t, (), (n,) or (n, d1, ...).
        weight: (c,).
        ignore_index: rows of this class count for nothing.
        reduction: 'mean' divides by the sum of the weights of what is not ignored.
    """
    check_reduction("nll_loss", reduction, size_average, reduce)
    if target.array.dtype not in (_C.int64, _C.int32):
        raise DtypeError(f"nll_loss: expected int64 or int32 classes, got {target.dtype}")
    if mode.cast is not None:
        (input,), (weight,) = raised(input), raised(weight)
    return Nll.apply(
        input, target.to(_C.int64), weight, ignore_index=int(ignore_index), reduction=REDUCTIONS[reduction]
    )


def multi_margin_loss(
    input: Tensor,
    target: Tensor,
    p: int = 1,
    margin: float = 1.0,
    weight: Tensor | None = None,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Tensor:
    """sum over i != t of max(0, margin - x_t + x_i)^p / c, times weight[t].

    Args: input: (n, c) or (c,) scores x. target: (n,) or () classes t. p: 1 or 2. weight: (c,).
    Source: Crammer & Singer 2001; Weston & Watkins 1999.
    """
    check_reduction("multi_margin_loss", reduction, size_average, reduce)
    if p not in (1, 2):
        raise ArgumentError(f"multi_margin_loss: p must be 1 or 2, got {p}")
    if input.ndim not in (1, 2) or target.shape != input.shape[:-1]:
        raise ShapeError(f"multi_margin_loss: target {target.shape} does not match input {input.shape}")
    classes = input.shape[-1]
    check_classes("multi_margin_loss", target.array, classes, None)
    at = ops.unsqueeze(target, -1)
    gaps = ops.clamp(input - ops.gather(input, -1, at) + margin, min=0.0)
    gaps = ops.where(ops.arange(classes) == at, 0.0, gaps if p == 1 else gaps * gaps)
    loss = ops.sum(gaps, -1) / classes
    if weight is not None:
        loss = loss * ops.reshape(ops.index_select(weight, 0, ops.reshape(target, [-1])), target.shape)
    return reduced(loss, reduction)


def multilabel_margin_loss(
    input: Tensor, target: Tensor, size_average: bool | None = None, reduce: bool | None = None, reduction: str = "mean"
) -> Tensor:
    """sum over wanted j and unwanted i of max(0, 1 - (x_j - x_i)) / c.

    Args: input: (n, c) or (c,) scores. target: the wanted classes of each row, of the shape of input, ended by -1.
    """
    check_reduction("multilabel_margin_loss", reduction, size_average, reduce)
    same_shapes("multilabel_margin_loss", input, target)
    if input.ndim not in (1, 2):
        raise ShapeError(f"multilabel_margin_loss: expected (n, c) or (c,) scores, got {input.shape}")
    listed = ops.cumsum((target < 0).to(_C.int64), -1) == 0  # everything before the first -1
    classes = ops.where(listed, target, 0)
    check_classes("multilabel_margin_loss", classes.array, input.shape[-1], None)
    hits = ops.zeros(input.shape, dtype=_C.int64).scatter_add(-1, classes, listed.to(_C.int64))
    pairs = ops.unsqueeze(listed, -1) & ops.unsqueeze(hits == 0, -2)
    gaps = ops.unsqueeze(input, -2) - ops.unsqueeze(ops.gather(input, -1, classes), -1) + 1.0
    loss = ops.sum(ops.where(pairs, ops.clamp(gaps, min=0.0), 0.0), [-2, -1]) / input.shape[-1]
    return reduced(loss, reduction)


def multilabel_soft_margin_loss(
    input: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Tensor:
    """The mean over the classes of the binary cross entropies.

    Args: input: (..., c) scores. target: 0 or 1, of the shape of input. weight: (c,).
    """
    check_reduction("multilabel_soft_margin_loss", reduction, size_average, reduce)
    same_shapes("multilabel_soft_margin_loss", input, target)
    terms = target * ops.softplus(-input) + (1.0 - target) * ops.softplus(input)
    return reduced(ops.mean(terms if weight is None else terms * weight, -1), reduction)
