"""Connectionist temporal classification, fused: the forward variables one way, the backward ones the other.

Axes: t time, n batch, c classes, s labels of a target, 2 s + 1 labels with a blank before, between and behind them.
The gradient of a gradient is that of the plain definition, step by step.
"""

import numpy as np

from pydl import _C
from pydl.autograd.mode import mode
from pydl.autograd.op import Op
from pydl.ops.arithmetic import maximum
from pydl.ops.compare import where
from pydl.ops.create import from_numpy, full
from pydl.ops.index import gather
from pydl.ops.parts import unbind
from pydl.ops.shape import cat, narrow, stack
from pydl.ops.softmax import logsumexp
from pydl.tensor import Tensor

__all__: list[str] = []

# Stands for log 0 in the plain definition: far below any real sum, and finite, so that gradients are 0 and not NaN.
NEVER = -1e30


def _tensor(values: np.ndarray) -> Tensor:
    return from_numpy(np.ascontiguousarray(values))


def _states(targets: np.ndarray, blank: int) -> tuple[np.ndarray, np.ndarray]:
    """Labels with blanks between them, and whether a state is reached from the one before the last."""
    labels = np.full((len(targets), 2 * targets.shape[1] + 1), blank)
    labels[:, 1::2] = targets
    skips = np.zeros(labels.shape, dtype=bool)
    skips[:, 2:] = (labels[:, 2:] != blank) & (labels[:, 2:] != labels[:, :-2])
    return labels, skips


def _plain(log_probs, targets, steps, counts, blank):
    """By the forward variables of the paper's equation 6."""
    (t, n, _), inputs, lengths = log_probs.shape, steps.numpy(), counts.numpy()
    inside = np.arange(targets.shape[1]) < lengths[:, None]
    labels, skips = _states(np.where(inside, targets.numpy(), blank), blank)
    width, dtype = labels.shape[1], log_probs.dtype
    emitted = maximum(gather(log_probs, 2, _tensor(np.broadcast_to(labels, (t, n, width)))), NEVER)
    stay = _tensor(np.where(skips, 0.0, NEVER)).to(dtype)
    edge = full((n, 2), NEVER, dtype=dtype)
    start = np.full((n, width), NEVER)
    start[:, :2] = 0.0
    rows = unbind(emitted, 0)
    alpha = _tensor(start).to(dtype) + rows[0]
    for step in range(1, int(inputs.max(initial=0))):
        wide = cat([edge, alpha], 1)
        ways = stack([alpha, narrow(wide, 1, 1, width), narrow(wide, 1, 0, width) + stay])
        moved = logsumexp(ways, 0) + rows[step]
        live = inputs > step
        alpha = moved if live.all() else where(_tensor(live[:, None]), moved, alpha)
    ends = gather(alpha, 1, _tensor(np.stack([2 * lengths, np.maximum(2 * lengths - 1, 0)], 1)))
    barred = np.stack([0 * lengths, np.where(lengths > 0, 0.0, NEVER)], 1)  # of no labels: one end, not two
    loss = -logsumexp(ends + _tensor(barred).to(dtype), 1)
    loss = where(_tensor(inputs > 0), loss, _tensor(np.where(lengths > 0, -NEVER, 0.0)).to(dtype))
    return where(loss.detach() < -NEVER / 2, loss, float("inf"))


def _gradient(given, blank):
    """That of log_probs, by one kernel; outside the graph."""
    return Tensor(_C.ctc_grad(*[x.array for x in given], blank))


class CTC(Op):
    """log_probs (t, n, c), targets (n, s), steps and counts (n,) to losses (n,); see csrc/runtime/table/ctc.h."""

    reference = _plain
    saves_output = True

    def kernel(log_probs, targets, steps, counts, blank):
        return _C.ctc(log_probs, targets, steps, counts, blank)

    def vjp(g, log_probs, targets, steps, counts, loss, alpha, blank):
        if mode.enabled:
            return None
        return _gradient((g, log_probs, targets, steps, counts, loss, alpha), blank), None, None, None


def ctc(log_probs: Tensor, targets: Tensor, steps: Tensor, counts: Tensor, blank: int) -> Tensor:
    """(n,): -log of the probability that each input spells its target.

    Args: log_probs: (t, n, c).   targets: (n, s).   steps, counts: (n,): how much of both counts; all int64.
    """
    return CTC.apply(log_probs, targets, steps, counts, blank=blank)
