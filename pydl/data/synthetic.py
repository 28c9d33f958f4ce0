"""Small made-up problems. Argument names follow sklearn.datasets where it has the problem.

Every function returns x float32 (n, d) and y int64 (n,), as tensors, or as NumPy arrays with as_tensor=False.
`random_state` is a seed or a NumPy generator; None draws a seed from pydl's default generator.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

import pydl
from pydl.data.seeds import draw_seed
from pydl.errors import ArgumentError, ShapeError

Floats: TypeAlias = npt.NDArray[np.float64]
RandomState: TypeAlias = "int | np.random.Generator | None"


def make_moons(
    n_samples: int = 100,
    *,
    shuffle: bool = True,
    noise: float | None = None,
    random_state: RandomState = None,
    as_tensor: bool = True,
) -> tuple[Any, Any]:
    """Two interleaving half circles of radius 1: class 0 above, class 1 below and shifted by (1, 0.5).

    Returns: x (n_samples, 2), y in {0, 1}; noise is the standard deviation added to each coordinate.
    """
    rng = _rng(random_state)
    outer = _count("make_moons", n_samples) // 2
    a, b = np.linspace(0, np.pi, outer), np.linspace(0, np.pi, n_samples - outer)
    upper = np.stack([np.cos(a), np.sin(a)], axis=1)
    lower = np.stack([1 - np.cos(b), 0.5 - np.sin(b)], axis=1)
    return _finish("make_moons", [upper, lower], rng, shuffle, noise, as_tensor)


def make_circles(
    n_samples: int = 100,
    *,
    shuffle: bool = True,
    noise: float | None = None,
    factor: float = 0.8,
    random_state: RandomState = None,
    as_tensor: bool = True,
) -> tuple[Any, Any]:
    """A circle of radius 1 (class 0) around one of radius `factor` (class 1), 0 <= factor < 1.

    Returns: x (n_samples, 2), y in {0, 1}.
    """
    if not 0 <= factor < 1:
        raise ArgumentError(f"make_circles: factor must be in [0, 1), got {factor}")
    rng = _rng(random_state)
    outer = _count("make_circles", n_samples) // 2
    rings = [_circle(outer), factor * _circle(n_samples - outer)]
    return _finish("make_circles", rings, rng, shuffle, noise, as_tensor)


def make_spirals(
    n_samples: int = 100,
    n_classes: int = 2,
    *,
    turns: float = 1.0,
    shuffle: bool = True,
    noise: float | None = None,
    random_state: RandomState = None,
    as_tensor: bool = True,
) -> tuple[Any, Any]:
    """`n_classes` arms that wind `turns` times around the origin, radius growing from 0.05 to 1 with the angle.

    Returns: x (n_samples, 2), y in 0..n_classes-1, arm sizes equal up to one.
    """
    rng = _rng(random_state)
    arms = []
    for k, size in enumerate(_sizes("make_spirals", n_samples, n_classes)):
        t = np.linspace(0, 1, size)
        angle = 2 * np.pi * (turns * t + k / n_classes)
        radius = 0.05 + 0.95 * t
        arms.append(np.stack([radius * np.cos(angle), radius * np.sin(angle)], axis=1))
    return _finish("make_spirals", arms, rng, shuffle, noise, as_tensor)


def make_xor(
    n_samples: int = 100,
    *,
    shuffle: bool = True,
    noise: float | None = 0.2,
    random_state: RandomState = None,
    as_tensor: bool = True,
) -> tuple[Any, Any]:
    """Four clusters at (+-1, +-1); class 1 where the signs differ. No line separates the classes.

    Returns: x (n_samples, 2), y in {0, 1}; noise is the clusters' standard deviation.
    """
    rng = _rng(random_state)
    corners = np.array([[-1.0, -1.0], [1.0, 1.0], [-1.0, 1.0], [1.0, -1.0]])
    sizes = _sizes("make_xor", n_samples, 4)
    groups = [np.repeat(corners[k : k + 1], size, axis=0) for k, size in enumerate(sizes)]
    return _finish("make_xor", groups, rng, shuffle, noise, as_tensor, labels=[0, 0, 1, 1])


def make_ring(
    n_samples: int = 100,
    n_modes: int = 8,
    *,
    radius: float = 2.0,
    cluster_std: float = 0.02,
    shuffle: bool = True,
    random_state: RandomState = None,
    as_tensor: bool = True,
) -> tuple[Any, Any]:
    """Gaussians evenly spaced on a circle: the usual test of whether a generative model drops modes.

    Returns: x (n_samples, 2), y the mode, 0..n_modes-1. Radius and width as in Metz et al. 2017 (arXiv:1611.02163).
    """
    rng = _rng(random_state)
    sizes = _sizes("make_ring", n_samples, n_modes)
    centers = radius * _circle(n_modes)
    groups = [np.repeat(centers[k : k + 1], size, axis=0) for k, size in enumerate(sizes)]
    return _finish("make_ring", groups, rng, shuffle, cluster_std, as_tensor)


def make_blobs(
    n_samples: int = 100,
    n_features: int = 2,
    *,
    centers: int | Sequence[Sequence[float]] | npt.NDArray[Any] = 3,
    cluster_std: float = 1.0,
    center_box: tuple[float, float] = (-10.0, 10.0),
    margin: float | None = None,
    shuffle: bool = True,
    random_state: RandomState = None,
    as_tensor: bool = True,
) -> tuple[Any, Any]:
    """Gaussian clusters, one class each.

    Args:
        centers: how many (drawn uniformly from center_box), or their positions (k, d).
        margin: when given, points are drawn back towards their centre until every two classes lie on opposite sides
            of the plane midway between their centres, each at least `margin` away from it.
    Returns: x (n_samples, n_features), y in 0..k-1.
    Raises: ArgumentError when the centres are too close for the margin.
    """
    rng = _rng(random_state)
    low, high = center_box
    if not low <= high or not cluster_std >= 0:
        raise ArgumentError(f"make_blobs: expected low <= high and a deviation >= 0, got {center_box}, {cluster_std}")
    if isinstance(centers, int | np.integer):
        middle = rng.uniform(low, high, (_count("make_blobs", centers), _count("make_blobs", n_features)))
    else:
        middle = np.asarray(centers, np.float64)
        if middle.ndim != 2:
            raise ShapeError(f"make_blobs: centers must have shape (k, d), got {middle.shape}")
    groups = []
    limit = math.inf if margin is None else _room(middle, margin)
    for center, size in zip(middle, _sizes("make_blobs", n_samples, len(middle)), strict=True):
        offset = cluster_std * rng.standard_normal((size, middle.shape[1]))
        length = np.linalg.norm(offset, axis=1, keepdims=True)
        groups.append(center + offset * np.minimum(1.0, limit / np.maximum(length, 1e-300)))
    return _finish("make_blobs", groups, rng, shuffle, None, as_tensor)


def make_separable(
    n_samples: int = 100,
    n_features: int = 2,
    *,
    margin: float = 0.1,
    radius: float = 1.0,
    random_state: RandomState = None,
    as_tensor: bool = True,
    return_direction: bool = False,
) -> tuple[Any, ...]:
    """Two classes that a plane through the origin separates, with the two numbers of the perceptron's mistake bound.

    A unit vector w is drawn; every x has |x| <= radius and w.x >= margin (class 1) or w.x <= -margin (class 0), so a
    perceptron without bias makes at most (radius / margin)**2 mistakes (Novikoff 1962). Along w the points are
    uniform in the allowed range, across it uniform in the ball that is left.

    Returns: x (n_samples, n_features), y in {0, 1}, and with return_direction w (n_features,).
    """
    if not 0 <= margin < radius:
        raise ArgumentError(f"make_separable: expected 0 <= margin < radius, got {margin} and {radius}")
    rng = _rng(random_state)
    n, d = _count("make_separable", n_samples), _count("make_separable", n_features)
    w = rng.standard_normal(d)
    w /= np.linalg.norm(w)
    y = rng.integers(0, 2, n)
    slack = 1e-6 * radius  # rounding to float32 must not cross either bound
    along = rng.uniform(margin + slack, max(margin + slack, radius - slack), n)
    side = rng.standard_normal((n, d))
    side -= (side @ w)[:, None] * w
    length = np.linalg.norm(side, axis=1, keepdims=True)
    reach = np.sqrt(np.maximum((radius - slack) ** 2 - along**2, 0.0)) * rng.uniform(0, 1, n) ** (1 / max(d - 1, 1))
    side *= np.where(length > 1e-9, reach[:, None] / np.maximum(length, 1e-9), 0.0)
    x = np.where(y == 1, along, -along)[:, None] * w + side
    made = _as_kind(x, y, as_tensor)
    if not return_direction:
        return made
    direction = w.astype(np.float32)
    return (*made, pydl.from_numpy(direction) if as_tensor else direction)


def _rng(random_state: RandomState) -> np.random.Generator:
    if isinstance(random_state, np.random.Generator):
        return random_state
    if random_state is None:
        return np.random.Generator(np.random.Philox(draw_seed()))
    if isinstance(random_state, bool) or not isinstance(random_state, int | np.integer) or random_state < 0:
        raise ArgumentError(f"random_state must be a seed >= 0, a NumPy generator or None, got {random_state!r}")
    return np.random.Generator(np.random.Philox(int(random_state)))


def _count(name: str, n: int) -> int:
    if isinstance(n, bool) or not isinstance(n, int | np.integer) or n < 1:
        raise ArgumentError(f"{name}: counts must be positive integers, got {n!r}")
    return int(n)


def _sizes(name: str, n_samples: int, groups: int) -> list[int]:
    """n_samples in `groups` parts that differ by one at most, the larger ones first."""
    n, k = _count(name, n_samples), _count(name, groups)
    return [n // k + (i < n % k) for i in range(k)]


def _circle(n: int) -> Floats:
    """(n, 2) evenly spaced points of the unit circle."""
    angle = 2 * np.pi * np.arange(n) / n
    return np.stack([np.cos(angle), np.sin(angle)], axis=1)


def _room(centers: Floats, margin: float) -> float:
    """How far points may lie from their centre."""
    if len(centers) < 2:
        return math.inf
    gaps = np.linalg.norm(centers[:, None] - centers[None], axis=2)
    nearest = float(gaps[~np.eye(len(centers), dtype=np.bool_)].min())
    # float32 rounding of the coordinates must not cross the bound
    room = nearest / 2 - margin - 1e-6 * float(np.abs(centers).max() + nearest)
    if margin < 0 or room <= 0:
        raise ArgumentError(
            f"make_blobs: margin must be in [0, {nearest / 2:.6g}) for centres this close, got {margin}"
        )
    return room


def _finish(
    name: str,
    groups: list[Floats],
    rng: np.random.Generator,
    shuffle: bool,
    noise: float | None,
    as_tensor: bool,
    labels: Sequence[int] | None = None,
) -> tuple[Any, Any]:
    """Groups (n_k, d) with their labels -> noise, random order, the asked kind."""
    x = np.concatenate(groups)
    y = np.repeat(np.arange(len(groups)) if labels is None else np.asarray(labels), [len(g) for g in groups])
    if noise is not None:
        if not noise >= 0:
            raise ArgumentError(f"{name}: the noise's standard deviation must be >= 0, got {noise}")
        x = x + noise * rng.standard_normal(x.shape)
    if shuffle:
        order = rng.permutation(len(x))
        x, y = x[order], y[order]
    return _as_kind(x, y, as_tensor)


def _as_kind(x: Floats, y: npt.NDArray[Any], as_tensor: bool) -> tuple[Any, Any]:
    x32, y64 = np.ascontiguousarray(x, np.float32), np.ascontiguousarray(y, np.int64)
    return (pydl.from_numpy(x32), pydl.from_numpy(y64)) if as_tensor else (x32, y64)
