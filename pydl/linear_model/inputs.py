"""What the linear models accept: tensors, arrays or lists, checked once."""

from typing import Any

import numpy as np

from pydl.errors import ArgumentError, ShapeError
from pydl.tensor import Tensor

__all__ = ["features", "labelled"]


def _array(values: Any) -> np.ndarray:
    return values.detach().numpy() if isinstance(values, Tensor) else np.asarray(values)


def features(X: Any, count: int | None = None) -> np.ndarray:
    """X as (n, d) float64; d must be `count` where that is given."""
    x = np.asarray(_array(X), dtype=np.float64)
    if x.ndim != 2 or (count is not None and x.shape[1] != count):
        raise ShapeError(f"X has shape {x.shape}: expected (n, {'d' if count is None else count})")
    if not np.isfinite(x).all():
        raise ArgumentError("X holds values that are not finite")
    return x


def labelled(X: Any, y: Any) -> tuple[np.ndarray, np.ndarray]:
    """X as (n, d) float64 and y as (n,), n >= 1."""
    x, t = features(X), _array(y)
    if t.shape != (len(x),) or not len(x):
        raise ShapeError(f"y has shape {t.shape}: expected ({len(x)},), at least one")
    return x, t
