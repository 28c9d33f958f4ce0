"""Cross entropy of a linear layer's scores, for vocabularies so large that the scores of a whole batch are too many."""

import math
from dataclasses import dataclass
from typing import Any

from pydl import ops
from pydl.autograd.checkpoint import checkpoint
from pydl.errors import ArgumentError, ShapeError
from pydl.ops.softmax import check_reduction, cross_entropy
from pydl.tensor import Tensor

__all__ = ["LinearCrossEntropyOptions", "linear_cross_entropy"]


@dataclass(frozen=True)
class LinearCrossEntropyOptions:
    """How the rows of a batch are cut, so that the scores of all never exist at once; backward computes them again.

    Attributes:
        batch_chunk_size: rows of a part.
        chunking_method: where batch_chunk_size is left out. 'aspect_ratio': the scores of a part take no more memory
            than the input; 'aspect_ratio:N': an N-th of that; 'auto': 'aspect_ratio:2'; None: one part.
        allow_retain_graph, acc_policy, acc_dtype: accepted as PyTorch has them; gradients may be taken any number of
            times and to any order, and halves add in float32.
    Raises: ArgumentError.
    """

    allow_retain_graph: bool = False
    batch_chunk_size: int | None = None
    chunking_method: str | None = "auto"
    acc_policy: str = "auto"
    acc_dtype: Any = None

    def __post_init__(self) -> None:
        name, _, factor = (self.chunking_method or "auto").partition(":")
        divided = name == "aspect_ratio" and factor.isdigit() and int(factor) > 0
        if not divided and (name not in ("auto", "aspect_ratio") or factor):
            raise ArgumentError(f"LinearCrossEntropyOptions: there is no chunking_method {self.chunking_method!r}")
        if self.batch_chunk_size is not None and self.batch_chunk_size < 1:
            raise ArgumentError(f"LinearCrossEntropyOptions: batch_chunk_size {self.batch_chunk_size} is not positive")
        if self.acc_policy not in ("auto", "accurate", "balanced", "compact"):
            raise ArgumentError(f"LinearCrossEntropyOptions: there is no acc_policy {self.acc_policy!r}")

    def rows(self, count: int, features: int, classes: int) -> int:
        """How many of `count` rows make a part."""
        if self.batch_chunk_size is not None:
            return self.batch_chunk_size
        if self.chunking_method is None:
            return max(count, 1)
        factor = 2 if self.chunking_method == "auto" else int(self.chunking_method.partition(":")[2] or 1)
        return max(count * features // (classes * factor), 1)


def linear_cross_entropy(
    input: Tensor,
    linear_weight: Tensor,
    target: Tensor,
    *,
    linear_bias: Tensor | None = None,
    weight: Tensor | None = None,
    reduction: str = "mean",
    ignore_index: int | None = None,
    label_smoothing: float = 0.0,
    options: LinearCrossEntropyOptions | None = None,
) -> Tensor:
    """cross_entropy(linear(input, linear_weight, linear_bias), target, ...).

    Args:
        input: (n, features) or (features,).
        linear_weight: (classes, features), or (classes, d1, ..., features) for a loss of (n, d1, ...) targets.
        linear_bias: (classes,) or (classes, d1, ...).
        target: classes or probabilities, as of `cross_entropy`.
        ignore_index: of class indices alone; -100 where left out.
        options: how to cut a batch (of one loss per row) into parts; None computes all scores at once.
    Raises: ShapeError, DtypeError, BoundsError, ArgumentError.
    """
    check_reduction("linear_cross_entropy", reduction)
    shape = _scores_shape(input, linear_weight, linear_bias, target, ignore_index)
    features, more = linear_weight.shape[-1], shape[input.ndim :]
    rest: dict[str, Any] = {
        "ignore_index": -100 if ignore_index is None else ignore_index,
        "label_smoothing": label_smoothing,
    }
    if options is not None and input.ndim == 2 and not more:
        size = options.rows(input.shape[0], features, linear_weight.shape[0])
        return _in_parts(input, linear_weight, linear_bias, target, weight, reduction, size, rest)
    flat = linear_weight.reshape(math.prod(shape[input.ndim - 1 :]), features)  # type: ignore[attr-defined]
    bias = None if linear_bias is None else linear_bias.reshape(-1)  # type: ignore[attr-defined]
    scores = ops.linear(input, flat, bias).reshape(shape)  # type: ignore[attr-defined]
    return cross_entropy(scores, target, weight, reduction=reduction, **rest)


def _scores_shape(
    input: Tensor, linear_weight: Tensor, linear_bias: Tensor | None, target: Tensor, ignore_index: int | None
) -> tuple[int, ...]:
    """(n, classes, d1, ...), or without n. Raises: ShapeError, ArgumentError where the arguments do not fit."""
    name = "linear_cross_entropy"
    if linear_weight.ndim < 2 or input.ndim not in (1, 2) or input.shape[-1] != linear_weight.shape[-1]:
        raise ShapeError(
            f"{name}: input {input.shape} does not match linear_weight {linear_weight.shape}: expected (n, features) "
            "and (classes, ..., features)"
        )
    classes, *more = linear_weight.shape[:-1]
    if more and input.ndim == 1:
        raise ShapeError(f"{name}: linear_weight {linear_weight.shape} needs a batch, got input {input.shape}")
    if linear_bias is not None and linear_bias.shape != (classes, *more):
        raise ShapeError(f"{name}: linear_bias {linear_bias.shape} does not fit: expected {(classes, *more)}")
    if input.ndim == 2 and target.shape[:1] != input.shape[:1]:
        raise ShapeError(f"{name}: target {target.shape} does not match input {input.shape}: expected as many rows")
    shape = (*input.shape[:-1], classes, *more)
    if ignore_index is not None and target.shape == shape:
        raise ArgumentError(f"{name}: ignore_index {ignore_index} is of classes, but target holds probabilities")
    return shape


def _in_parts(
    x: Tensor,
    linear_weight: Tensor,
    linear_bias: Tensor | None,
    target: Tensor,
    weight: Tensor | None,
    reduction: str,
    size: int,
    rest: dict[str, Any],
) -> Tensor:
    """The same, of `size` rows at a time."""

    def loss(x: Tensor, w: Tensor, b: Tensor | None, t: Tensor) -> Tensor:
        return cross_entropy(ops.linear(x, w, b), t, weight, reduction="none" if reduction == "none" else "sum", **rest)

    starts = range(0, max(x.shape[0], 1), size)
    parts = [checkpoint(loss, x[i : i + size], linear_weight, linear_bias, target[i : i + size]) for i in starts]
    if reduction == "none":
        return ops.cat(parts)
    total = ops.stack(parts).sum()  # type: ignore[attr-defined]
    if reduction == "sum":
        return total  # type: ignore[no-any-return]
    if target.dtype.is_floating_point:
        return total / x.shape[0]  # type: ignore[no-any-return]
    counted = ops.ne(target, rest["ignore_index"])
    if weight is None:
        return total / counted.sum().to(x.dtype)  # type: ignore[attr-defined,no-any-return]
    each = ops.where(counted, ops.take(weight, ops.where(counted, target, 0)), 0.0)
    return total / each.sum()  # type: ignore[attr-defined,no-any-return]
