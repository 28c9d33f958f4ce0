"""Scaling of features, with scikit-learn's names. Rows are samples: every x is (n, d).

NumPy arrays give NumPy arrays and tensors give tensors (through differentiable operations, on their device). float32
and float64 keep their dtype; other numbers become float64 in NumPy and float32 in tensors. Statistics are float64.
"""

from __future__ import annotations

from typing import Any, ClassVar, Literal, TypeAlias, TypeVar

import numpy as np
import numpy.typing as npt

import pydl
from pydl.errors import ArgumentError, DtypeError, ShapeError

Floats: TypeAlias = npt.NDArray[np.float64]
ArrayLike = TypeVar("ArrayLike", npt.NDArray[Any], "pydl.Tensor")


class NotFittedError(ArgumentError, AttributeError):
    """A scaler was used before fit."""


class NotFiniteError(ArgumentError):
    """The data contain NaN or infinity."""


class Scaler:
    """Base class: checks, and one affine map per feature, x -> (x - shift) / scale, and back."""

    n_features_in_: int

    def fit(self, X: Any, y: None = None) -> Any:
        """Learn from X (n, d), forgetting what was learned before."""
        self._reset()
        return self.partial_fit(X)

    def partial_fit(self, X: Any, y: None = None) -> Any:
        """Learn from one more part of the data, (n, d)."""
        raise TypeError(f"{type(self).__name__}: a scaler must define partial_fit")

    def fit_transform(self, X: ArrayLike, y: None = None) -> ArrayLike:
        """fit(X), then transform(X)."""
        self.fit(X)
        return self.transform(X)

    def transform(self, X: ArrayLike) -> ArrayLike:
        """X (n, d) scaled."""
        shift, scale = self._affine()
        x = _numbers(type(self).__name__, X, self.n_features_in_)
        if shift is not None:
            x = x - _like(shift, x)
        out: ArrayLike = x / _like(scale, x) if scale is not None else _new(x, X)
        return out

    def inverse_transform(self, X: ArrayLike) -> ArrayLike:
        """Undo transform: X (n, d) scaled -> original."""
        shift, scale = self._affine()
        x = _numbers(type(self).__name__, X, self.n_features_in_)
        if scale is not None:
            x = x * _like(scale, x)
        out: ArrayLike = x + _like(shift, x) if shift is not None else _new(x, X)
        return out

    def _affine(self) -> tuple[Floats | None, Floats | None]:
        """(shift, scale), each (d,) or None."""
        raise TypeError(f"{type(self).__name__}: a scaler must define _affine")

    def _reset(self) -> None:
        for name in [name for name in vars(self) if name.endswith("_") and not name.startswith("_")]:
            delattr(self, name)

    def _fitted(self) -> None:
        if not hasattr(self, "n_features_in_"):
            raise NotFittedError(f"{type(self).__name__}: call fit before transform")

    def _part(self, X: Any) -> Floats:
        """X to learn from, as float64 (n, d) with n >= 1."""
        x = _numbers(type(self).__name__, X, getattr(self, "n_features_in_", None))
        if x.shape[0] == 0:
            raise ShapeError(f"{type(self).__name__}: fit needs at least one sample, got shape {tuple(x.shape)}")
        self.n_features_in_ = int(x.shape[1])
        return np.array(x.detach().cpu().numpy() if isinstance(x, pydl.Tensor) else x, np.float64)


class StandardScaler(Scaler):
    """(x - mean) / standard deviation, per feature.

    Args:
        copy: accepted for scikit-learn's sake; the input is never changed.
        with_mean: subtract the mean.   with_std: divide by the standard deviation (of the population: / n).
    Attributes: mean_, var_, scale_ (d,) or None where not needed, scale_ 1 for constant features; n_samples_seen_;
        n_features_in_.
    Source: merging of parts as in Chan, Golub, LeVeque 1979, "Updating formulae and a pairwise algorithm".
    """

    mean_: Floats | None
    var_: Floats | None
    scale_: Floats | None
    n_samples_seen_: int
    _mean: Floats
    _squares: Floats

    def __init__(self, *, copy: bool = True, with_mean: bool = True, with_std: bool = True) -> None:
        self.copy = copy
        self.with_mean = with_mean
        self.with_std = with_std

    def partial_fit(self, X: Any, y: None = None) -> StandardScaler:
        x = self._part(X)
        n, mean = len(x), x.mean(axis=0)
        mean += (x - mean).mean(axis=0)  # a second pass takes the first one's rounding out
        squares = ((x - mean) ** 2).sum(axis=0)
        seen = getattr(self, "n_samples_seen_", 0)
        if seen:
            total, step = seen + n, mean - self._mean
            squares = self._squares + squares + step**2 * (seen * n / total)
            mean = self._mean + step * (n / total)
        self.n_samples_seen_, self._mean, self._squares = seen + n, mean, squares
        self.mean_ = mean if self.with_mean or self.with_std else None
        self.var_ = squares / self.n_samples_seen_ if self.with_std else None
        self.scale_ = None if self.var_ is None else _safe_scale(self.var_, mean, self.n_samples_seen_)
        return self

    def _affine(self) -> tuple[Floats | None, Floats | None]:
        self._fitted()
        return (self.mean_ if self.with_mean else None), self.scale_


class MinMaxScaler(Scaler):
    """Maps each feature's range in the data to `feature_range`.

    Args:
        feature_range: (low, high), low < high.
        copy: accepted for scikit-learn's sake; the input is never changed.
        clip: cut transformed values outside the range.
    Attributes: data_min_, data_max_, data_range_, scale_, min_ (d,) with x * scale_ + min_ the map (a constant feature
        maps to low); n_samples_seen_; n_features_in_.
    """

    data_min_: Floats
    data_max_: Floats
    data_range_: Floats
    scale_: Floats
    min_: Floats
    n_samples_seen_: int

    def __init__(
        self, feature_range: tuple[float, float] = (0.0, 1.0), *, copy: bool = True, clip: bool = False
    ) -> None:
        self.feature_range = feature_range
        self.copy = copy
        self.clip = clip

    def partial_fit(self, X: Any, y: None = None) -> MinMaxScaler:
        low, high = self.feature_range
        if not low < high:
            raise ArgumentError(f"MinMaxScaler: feature_range must be (low, high) with low < high, got {(low, high)}")
        x = self._part(X)
        smallest, largest = x.min(axis=0), x.max(axis=0)
        seen = getattr(self, "n_samples_seen_", 0)
        if seen:
            smallest, largest = np.minimum(smallest, self.data_min_), np.maximum(largest, self.data_max_)
        self.n_samples_seen_ = seen + len(x)
        self.data_min_, self.data_max_, self.data_range_ = smallest, largest, largest - smallest
        span = np.where(self.data_range_ < 10 * np.finfo(np.float64).eps, 1.0, self.data_range_)
        self.scale_ = (high - low) / span
        self.min_ = low - smallest * self.scale_
        return self

    def transform(self, X: ArrayLike) -> ArrayLike:
        """X (n, d) scaled to the range."""
        out = super().transform(X)
        return out.clip(*self.feature_range) if self.clip else out

    def _affine(self) -> tuple[Floats | None, Floats | None]:
        self._fitted()
        # (x - shift) / scale with shift where the map is zero, so that one formula serves both directions
        return self.data_min_ - self.feature_range[0] / self.scale_, 1 / self.scale_


class Normalizer:
    """Divides each row by its norm; rows of zeros stay. Nothing is learned: fit only checks.

    Args:
        norm: "l1", "l2" or "max" (of absolute values).
        copy: accepted for scikit-learn's sake; the input is never changed.
    """

    norms: ClassVar[tuple[str, ...]] = ("l1", "l2", "max")

    def __init__(self, norm: Literal["l1", "l2", "max"] = "l2", *, copy: bool = True) -> None:
        self.norm = norm
        self.copy = copy

    def fit(self, X: Any, y: None = None) -> Normalizer:
        """Check X (n, d)."""
        if self.norm not in self.norms:
            raise ArgumentError(f"Normalizer: norm must be one of {self.norms}, got {self.norm!r}")
        self.n_features_in_ = int(_numbers("Normalizer", X, None).shape[1])
        return self

    def fit_transform(self, X: ArrayLike, y: None = None) -> ArrayLike:
        """fit(X), then transform(X)."""
        self.fit(X)
        return self.transform(X)

    def transform(self, X: ArrayLike) -> ArrayLike:
        """X (n, d) with rows of norm 1."""
        if self.norm not in self.norms:
            raise ArgumentError(f"Normalizer: norm must be one of {self.norms}, got {self.norm!r}")
        x = _numbers("Normalizer", X, None)
        out: ArrayLike = x / _row_norms(x, self.norm)
        return out


def _row_norms(x: Any, norm: str) -> Any:
    """(n, 1) norms, 1 where a row is zero. A row's largest entry is taken out first, so squares cannot overflow."""
    size = abs(x)
    if isinstance(x, pydl.Tensor):
        peak = size.amax(dim=1, keepdim=True)
        peak = pydl.where(peak == 0, pydl.ones_like(peak), peak)
        scaled = size / peak
        if norm == "max":
            return peak
        rest = scaled.sum(dim=1, keepdim=True) if norm == "l1" else (scaled * scaled).sum(dim=1, keepdim=True)
        rest = pydl.where(rest == 0, pydl.ones_like(rest), rest)
        return peak * (rest if norm == "l1" else rest.sqrt())
    peak = size.max(axis=1, keepdims=True, initial=0)
    peak[peak == 0] = 1
    scaled = size / peak
    if norm == "max":
        return peak
    rest = scaled.sum(axis=1, keepdims=True) if norm == "l1" else np.square(scaled).sum(axis=1, keepdims=True)
    rest[rest == 0] = 1
    return peak * (rest if norm == "l1" else np.sqrt(rest))


def _numbers(name: str, X: Any, n_features: int | None) -> Any:
    """X as floats of its own kind, checked: two axes, the right number of features, finite."""
    if not isinstance(X, pydl.Tensor):
        X = np.asarray(X)
        if X.dtype.kind not in "biuf":
            raise DtypeError(f"{name}: expected numbers, got dtype {X.dtype}")
        if X.dtype not in (np.float32, np.float64):
            X = X.astype(np.float64)
    elif X.dtype not in (pydl.float32, pydl.float64):
        X = X.to(pydl.float32)
    shape = tuple(X.shape)
    if len(shape) != 2:
        raise ShapeError(f"{name}: expected shape (n, d), got {shape}")
    if n_features is not None and shape[1] != n_features:
        raise ShapeError(f"{name}: got {shape}, expected {n_features} features as in fit")
    values = X.detach().cpu().numpy() if isinstance(X, pydl.Tensor) else X
    if not np.isfinite(values).all():
        raise NotFiniteError(f"{name}: the data contain NaN or infinity")
    return X


def _like(values: Floats, x: Any) -> Any:
    """(d,) float64 numbers in the kind, dtype and device of x."""
    if isinstance(x, pydl.Tensor):
        return pydl.from_numpy(np.array(values)).to(x.dtype).to(x.device)
    return values.astype(x.dtype)


def _new(x: Any, given: Any) -> Any:
    """x, copied where it is still the caller's array."""
    if x is not given:
        return x
    return x.clone() if isinstance(x, pydl.Tensor) else x.copy()


def _safe_scale(var: Floats, mean: Floats, n: int) -> Floats:
    """sqrt(var), 1 where the variance is no more than the rounding error of a constant feature."""
    eps = float(np.finfo(np.float64).eps)
    constant = var <= n * eps * var + (n * mean * eps) ** 2
    return np.where(constant, 1.0, np.sqrt(var))
