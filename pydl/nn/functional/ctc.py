"""Connectionist temporal classification: the likelihood of a label sequence over all its alignments with the input.

Axes: t time, n batch, c classes.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from pydl import _C, ops
from pydl.errors import ArgumentError, BoundsError, DtypeError, ShapeError
from pydl.ops.ctc import ctc
from pydl.ops.softmax import check_reduction
from pydl.tensor import Tensor

__all__ = ["ctc_loss"]

Lengths = Tensor | Sequence[int] | int


def _whole(name: str, values: Any) -> np.ndarray:
    array = values.numpy() if isinstance(values, Tensor) else np.asarray(values)
    if array.dtype.kind not in "iu" and array.size:
        raise DtypeError(f"ctc_loss: {name} must be integers, got {array.dtype}")
    return array.astype(np.int64)


def _lengths(name: str, values: Any, n: int, most: int) -> np.ndarray:
    array = np.atleast_1d(_whole(name, values))
    if array.shape != (n,):
        raise ShapeError(f"ctc_loss: {name} {array.shape}: expected ({n},), one for each of the batch")
    if n and (array.min() < 0 or array.max() > most):
        raise ArgumentError(f"ctc_loss: {name} must be from 0 to {most}, got {array.tolist()}")
    return array


def _padded(targets: np.ndarray, lengths: np.ndarray, blank: int) -> np.ndarray:
    """Targets as (n, longest), blanks behind their ends."""
    longest = int(lengths.max(initial=0))
    table = np.full((len(lengths), longest), blank)
    inside = np.arange(longest) < lengths[:, None]
    table[inside] = targets if targets.ndim == 1 else targets[:, :longest][inside]
    return table


def _labels(targets: Any, lengths: Any, n: int, classes: int, blank: int) -> tuple[np.ndarray, np.ndarray]:
    """Targets (n, longest) and their lengths, checked."""
    values = _whole("targets", targets)
    if values.ndim not in (1, 2) or (values.ndim == 2 and values.shape[0] != n):
        raise ShapeError(f"ctc_loss: targets {values.shape}: expected ({n}, longest) or (sum of target_lengths,)")
    counts = _lengths("target_lengths", lengths, n, values.shape[-1])
    if values.ndim == 1 and counts.sum() != len(values):
        raise ShapeError(f"ctc_loss: targets {values.shape}: expected ({counts.sum()},), the sum of target_lengths")
    table = _padded(values, counts, blank)
    if table.size and (table.min() < 0 or table.max() >= classes):
        raise BoundsError(f"ctc_loss: targets must be classes from 0 to {classes - 1}")
    return table, counts


def _tensor(values: np.ndarray) -> Tensor:
    return ops.from_numpy(np.ascontiguousarray(values))


def _whole_tensors(targets: Any, inputs: Any, counts: Any) -> tuple[Any, Any, Any]:
    """All three if they are what the operation takes, so that their numbers need not be read here; else None."""
    given = targets, inputs, counts
    fits = all(
        isinstance(x, Tensor) and x.dtype is _C.int64 and x.ndim == n for x, n in zip(given, (2, 1, 1), strict=True)
    )
    return given if fits else (None, None, None)


def ctc_loss(
    log_probs: Tensor,
    targets: Tensor,
    input_lengths: Lengths,
    target_lengths: Lengths,
    blank: int = 0,
    reduction: str = "mean",
    zero_infinity: bool = False,
) -> Tensor:
    """-log of the probability that the input spells the target, summed over all alignments with blanks.

    Args:
        log_probs: (t, n, c) logarithms of probabilities, or (t, c) of a single input.
        targets: (n, longest) classes, or all of them one after the other (sum of target_lengths,).
        input_lengths, target_lengths: (n,) integers.
        blank: the class that spells nothing.
        reduction: 'none': (n,); 'sum'; 'mean': of the losses over their target lengths.
        zero_infinity: 0 in place of an infinite loss, of an input too short for its target. Its gradient is 0 in
            either case.
    Raises: ShapeError, DtypeError, ArgumentError, BoundsError for a target that is no class.
    Source: Graves et al. 2006. Cost: O(t n longest) time and memory, in one pass each way; differentiable to any order.
    """
    check_reduction("ctc_loss", reduction)
    if not isinstance(log_probs, Tensor) or not log_probs.is_floating_point():
        raise DtypeError("ctc_loss: log_probs must be a floating tensor")
    if log_probs.ndim not in (2, 3) or log_probs.shape[0] == 0 or log_probs.shape[-1] == 0:
        raise ShapeError(f"ctc_loss: log_probs {log_probs.shape}: expected (time, batch, classes) or (time, classes)")
    single = log_probs.ndim == 2
    x = log_probs.unsqueeze(1) if single else log_probs
    x = x.float() if x.dtype in (_C.float16, _C.bfloat16) else x
    t, n, classes = x.shape
    if isinstance(blank, bool) or not isinstance(blank, int) or not 0 <= blank < classes:
        raise ArgumentError(f"ctc_loss: blank must be a class from 0 to {classes - 1}, got {blank!r}")
    table, inputs, counts = _whole_tensors(targets, input_lengths, target_lengths)
    if table is None:
        inputs = _tensor(_lengths("input_lengths", input_lengths, n, t))
        table, counts = map(_tensor, _labels(targets, target_lengths, n, classes, blank))
    loss = ctc(x, table, inputs, counts, blank)
    if zero_infinity:
        loss = ops.where(loss.detach() == float("inf"), 0.0, loss)
    loss = loss.to(log_probs.dtype)
    if reduction == "none":
        return loss.select(0, 0) if single else loss
    if reduction == "sum":
        return loss.sum()
    return (loss / ops.clamp(counts, min=1).to(loss.dtype)).mean()
