"""Hogwild: threads that step on the same weights without locks."""

from dataclasses import dataclass
from threading import Thread
from typing import Any

import numpy as np

from pydl import _C
from pydl.errors import ArgumentError, ShapeError
from pydl.tensor import Tensor


@dataclass(frozen=True)
class HogwildResult:
    """What `hogwild` did.

    Attributes:
        losses: the mean loss after each epoch.
        written: weights written, by all workers.
        overwrites: those among them that another worker had changed since they were read.
    """

    losses: list[float]
    written: int
    overwrites: int

    @property
    def overwrite_rate(self) -> float:
        """Overwrites over weights written."""
        return self.overwrites / max(1, self.written)


@dataclass(frozen=True)
class SparseMatrix:
    """A matrix (n, d) by its nonzeros: those of row i are at starts[i] to starts[i + 1].

    Attributes: starts: (n + 1,) int64. columns: (nonzeros,) int64. values: (nonzeros,) float64. width: d.
    """

    starts: Tensor
    columns: Tensor
    values: Tensor
    width: int

    @classmethod
    def of(cls, x: Any) -> "SparseMatrix":
        """From a dense matrix (n, d), or one of SciPy's sparse ones. Raises: ShapeError if it is no matrix."""
        if hasattr(x, "tocsr"):
            rows = x.tocsr()
            parts = (rows.indptr, rows.indices, rows.data)
        else:
            rows = x.detach().double().numpy() if isinstance(x, Tensor) else np.asarray(x, np.float64)
            if rows.ndim != 2:
                raise ShapeError(f"hogwild: expected a matrix, got shape {rows.shape}")
            where = np.nonzero(rows)
            counts = np.bincount(where[0], minlength=len(rows))
            parts = (np.concatenate([[0], np.cumsum(counts)]), where[1], rows[where])
        kinds = (np.int64, np.int64, np.float64)
        starts, columns, values = (Tensor(_C.from_numpy(np.array(p, k))) for p, k in zip(parts, kinds, strict=True))
        return cls(starts, columns, values, int(rows.shape[1]))

    def matmul(self, w: "np.ndarray[Any, Any]") -> "np.ndarray[Any, Any]":
        """(n,): its product with a vector w (d,)."""
        products = self.values.numpy() * w[self.columns.numpy()]
        total = np.concatenate([[0.0], np.cumsum(products)])
        starts = self.starts.numpy()
        return np.asarray(total[starts[1:]] - total[starts[:-1]])


def hogwild(
    x: Any,
    y: Any,
    weights: Tensor,
    *,
    lr: float = 0.1,
    weight_decay: float = 0.0,
    epochs: int = 1,
    workers: int = 2,
    seed: int = 0,
) -> HogwildResult:
    """Logistic regression by stochastic gradient descent, the rows of each epoch dealt to threads that share weights.

    The threads take no locks, so runs with several workers are not repeatable bit by bit; one worker is plain SGD.

    Args:
        x: (n, d), dense or one of SciPy's sparse matrices.   y: (n,) of 0 and 1.
        weights: (d,) float64, changed in place.
        weight_decay: L2 penalty on the weights that a row touches.
    Returns: losses and counts. Raises: ArgumentError, ShapeError for arguments that do not fit.
    Source: Niu, Recht, Re and Wright 2011 (arXiv:1106.5730).
    """
    matrix = x if isinstance(x, SparseMatrix) else SparseMatrix.of(x)
    n = matrix.starts.shape[0] - 1
    target = np.array(y.detach().numpy() if isinstance(y, Tensor) else y, np.float64)
    if target.shape != (n,) or weights.shape != (matrix.width,):
        raise ShapeError(
            f"hogwild: x ({n}, {matrix.width}) does not match y {target.shape} and weights {weights.shape}"
        )
    if not np.isin(target, (0.0, 1.0)).all():
        raise ArgumentError("hogwild: y must be 0 and 1")
    if workers < 1 or epochs < 0 or not lr >= 0 or not weight_decay >= 0:
        raise ArgumentError(f"hogwild: got {workers} workers, {epochs} epochs, lr {lr}, weight_decay {weight_decay}")
    rng, labels = np.random.default_rng(seed), _C.from_numpy(target)
    arrays = (matrix.starts.array, matrix.columns.array, matrix.values.array, labels)
    losses, counts = [], np.zeros(2, np.int64)
    for _ in range(epochs):
        hands = [_C.from_numpy(hand.copy()) for hand in np.array_split(rng.permutation(n), workers)]
        counts += _together([(*arrays, hand, weights.array, lr, weight_decay) for hand in hands])
        margin = matrix.matmul(weights.detach().numpy())
        losses.append(float(np.mean(np.logaddexp(0, margin) - target * margin)))
    return HogwildResult(losses, int(counts[0]), int(counts[1]))


def _together(jobs: list[tuple[Any, ...]]) -> Any:
    """(2,): the summed counts of all calls, each on a thread of its own."""
    found: list[Any] = [None] * len(jobs)

    def work(i: int) -> None:
        try:
            found[i] = _C.hogwild(*jobs[i])
        except Exception as error:
            found[i] = error

    threads = [Thread(target=work, args=(i,)) for i in range(1, len(jobs))]
    for thread in threads:
        thread.start()
    work(0)
    for thread in threads:
        thread.join()
    for error in found:
        if isinstance(error, Exception):
            raise error
    return np.array(found, np.int64).sum(0)
