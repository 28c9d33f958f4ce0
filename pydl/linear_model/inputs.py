"""What the linear models accept: tensors, arrays or lists, checked once."""

from typing import Any

import numpy as np
import numpy.typing as npt

from pydl.errors import ArgumentError, ShapeError
from pydl.preprocessing import NotFiniteError, NotFittedError
from pydl.tensor import Tensor

__all__ = ["Floats", "coefficients", "features", "numbers", "two_classes"]

Floats = npt.NDArray[np.float64]


def _array(values: Any, name: str) -> npt.NDArray[Any]:
    if isinstance(values, Tensor):
        return values.detach().cpu().numpy()
    try:
        return np.asarray(values)
    except ValueError as error:  # ragged lists
        raise ShapeError(f"{name}: {error}") from error


def _floats(values: Any, name: str) -> Floats:
    array = _array(values, name)
    try:
        x = np.asarray(array, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise ArgumentError(f"{name}: expected numbers: {error}") from error
    if not np.isfinite(x).all():
        raise NotFiniteError(f"{name}: expected finite values, got NaN or infinity")
    return x


def features(X: Any, count: int | None = None) -> Floats:
    """X as (n, d) float64; d must be `count` where that is given."""
    x = _floats(X, "X")
    if x.ndim != 2 or x.shape[1] == 0 or (count is not None and x.shape[1] != count):
        raise ShapeError(f"X: got shape {x.shape}, expected (n, {'d' if count is None else count})")
    return x


def _one_per_row(y: npt.NDArray[Any], n: int) -> None:
    if y.shape != (n,) or n == 0:
        raise ShapeError(f"y: got shape {y.shape}, expected ({n},) as X has {n} rows, and one row at least")


def numbers(X: Any, y: Any) -> tuple[Floats, Floats]:
    """X as (n, d) and y as (n,), both float64, n >= 1."""
    x, t = features(X), _floats(y, "y")
    _one_per_row(t, len(x))
    return x, t


def two_classes(X: Any, y: Any, name: str) -> tuple[Floats, npt.NDArray[np.bool_], npt.NDArray[Any]]:
    """X as (n, d) float64, whether each y is the larger of the two classes (n,), and the classes (2,)."""
    x, labels = features(X), _array(y, "y")
    _one_per_row(labels, len(x))
    if labels.dtype.kind == "f":
        _floats(labels, "y")
    classes = np.unique(labels)
    if len(classes) != 2:
        raise ArgumentError(f"{name}: expected two classes in y, got {len(classes)}")
    return x, labels == classes[1], classes


def coefficients(model: Any) -> Floats:
    """coef_ (d,) of a fitted model."""
    if not hasattr(model, "coef_"):
        raise NotFittedError(f"{type(model).__name__}: call fit before it is used")
    found: Floats = model.coef_
    return found
