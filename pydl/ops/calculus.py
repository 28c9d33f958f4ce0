"""Differences and slopes along an axis; norms and second moments of samples."""

from collections.abc import Sequence
from typing import Any

from pydl import _C
from pydl.errors import ArgumentError, ShapeError
from pydl.ops.compare import where
from pydl.ops.reduce import mean, norm, sum
from pydl.ops.shape import broadcast_to, cat, movedim, narrow, reshape, unsqueeze, wrap
from pydl.tensor import Tensor

__all__ = [
    "corrcoef",
    "cov",
    "diff",
    "gradient",
    "renorm",
]


# ---------------------------------------------------------------- differences and slopes


def diff(
    input: Tensor, n: int = 1, dim: int = -1, prepend: Tensor | None = None, append: Tensor | None = None
) -> Tensor:
    """The differences between neighbours along dim, n times over; prepend and append are joined to input first."""
    at = wrap(dim, input.ndim, "diff")
    if not input.ndim or n < 0:
        raise ArgumentError(f"diff: expected at least one axis and n >= 0, got shape {input.shape} and n {n}")
    y = input if prepend is None and append is None else cat(_joined(prepend, input, append, at), at)
    for _ in range(n):
        size = max(y.shape[at] - 1, 0)
        a, b = narrow(y, at, min(1, y.shape[at]), size), narrow(y, at, 0, size)
        y = a ^ b if y.array.dtype is _C.bool else a - b
    return y


def _joined(before: Tensor | None, x: Tensor, after: Tensor | None, at: int) -> list[Tensor]:
    """The parts that are there; one number stands for a slice."""
    line = [1 if i == at else s for i, s in enumerate(x.shape)]
    return [broadcast_to(t, line) if t.ndim == 0 else t for t in (before, x, after) if t is not None]


def gradient(
    input: Tensor, *, spacing: Any = 1, dim: int | Sequence[int] | None = None, edge_order: int = 1
) -> tuple[Tensor, ...]:
    """Slopes along each dim by second-order differences; at the ends of order edge_order (1 or 2).

    Args: spacing: the distance of samples, one number or one per dim, or a vector of places per dim.
    """
    axes = list(range(input.ndim)) if dim is None else [dim] if isinstance(dim, int) else list(dim)
    axes = [wrap(d, input.ndim, "gradient") for d in axes]
    given = list(spacing) if isinstance(spacing, (tuple, list)) else [spacing] * len(axes)
    if len(given) != len(axes) or edge_order not in (1, 2):
        raise ArgumentError(
            f"gradient: expected one spacing per dim and edge_order 1 or 2, got {len(given)} for {len(axes)} dims and "
            f"{edge_order}"
        )
    return tuple(_slopes(input, axis, s, edge_order) for axis, s in zip(axes, given, strict=True))


def _slopes(x: Tensor, axis: int, spacing: Any, order: int) -> Tensor:
    n = x.shape[axis] if x.ndim else 0
    if n < order + 1:
        raise ShapeError(f"gradient: expected at least {order + 1} samples along dim {axis}, got shape {x.shape}")
    places = spacing if isinstance(spacing, Tensor) and spacing.ndim else None
    if places is not None and places.shape != (n,):
        raise ShapeError(f"gradient: spacing {places.shape} does not fit dim {axis} of shape {x.shape}")
    part = lambda start, count: narrow(x, axis, start, count)  # noqa: E731
    shaped = lambda t: reshape(t, [-1 if i == axis else 1 for i in range(x.ndim)])  # noqa: E731
    h = shaped(places[1:] - places[:-1]) if places is not None else None
    gap = lambda start, count: spacing if h is None else narrow(h, axis, start, count)  # noqa: E731
    parts = []
    a, b = gap(0, n - 2), gap(1, n - 2)
    if n > 2:
        slopes_left, slopes_right = (part(1, n - 2) - part(0, n - 2)) / a, (part(2, n - 2) - part(1, n - 2)) / b
        parts = [(slopes_left * b + slopes_right * a) / (a + b)]
    return cat([_edge(x, axis, gap, order, True), *parts, _edge(x, axis, gap, order, False)], axis)


def _edge(x: Tensor, axis: int, gap: Any, order: int, first: bool) -> Tensor:
    """The slope at an end: of the nearest line, or of the parabola through the nearest three samples."""
    n = x.shape[axis]
    at = lambda i: narrow(x, axis, i if first else n - 1 - i, 1)  # noqa: E731
    sign = 1 if first else -1
    near = gap(0 if first else n - 2, 1)
    line = sign * (at(1) - at(0)) / near
    if order == 1:
        return line
    far = gap(1 if first else n - 3, 1)
    bend = (sign * (at(2) - at(1)) / far - line) / (near + far)
    return line - bend * near


# ---------------------------------------------------------------- norms and moments


def renorm(input: Tensor, p: float, dim: int, maxnorm: float) -> Tensor:
    """input with each slice along dim whose p-norm is above maxnorm scaled down to it."""
    if p <= 0 or maxnorm < 0 or input.ndim < 2:
        raise ArgumentError(
            f"renorm: expected p > 0, maxnorm >= 0 and at least 2 axes, got {p}, {maxnorm} and shape {input.shape}"
        )
    at = wrap(dim, input.ndim, "renorm")
    size = norm(input, p, [i for i in range(input.ndim) if i != at], True)
    return input * where(size > maxnorm, maxnorm / (size + 1e-7), 1.0)


def cov(
    input: Tensor, *, correction: int = 1, fweights: Tensor | None = None, aweights: Tensor | None = None
) -> Tensor:
    """(n, n): the covariances of n variables, the rows of input; their samples are the columns.

    Args: correction: 1 gives the unbiased estimate; fweights: how often each sample counts; aweights: its weight.
    """
    if input.ndim > 2:
        raise ShapeError(f"cov: expected at most 2 axes, got shape {input.shape}")
    x = input if input.array.is_floating else input.to(_C.float32)
    x = x if x.ndim == 2 else reshape(x, [1, x.numel()])
    weights = None
    for w, name in ((fweights, "fweights"), (aweights, "aweights")):
        if w is not None:
            if w.shape != (x.shape[1],):
                raise ShapeError(f"cov: {name} {w.shape} does not fit {x.shape[1]} samples")
            weights = w.to(x.dtype) if weights is None else weights * w.to(x.dtype)
    if weights is None:
        centred, free = x - mean(x, 1, True), float(x.shape[1])
        scaled, total = centred, max(free - correction, 0.0)
    else:
        mass = sum(weights)
        centred = x - unsqueeze(sum(x * weights, 1) / mass, 1)
        scaled = centred * weights
        spread = sum(weights * aweights.to(x.dtype)) if aweights is not None else mass
        total = mass - correction * spread / mass
        total = where(total > 0, total, 0.0)
    made = scaled @ movedim(centred, 0, 1) / total
    return reshape(made, []) if input.ndim < 2 else made


def corrcoef(input: Tensor) -> Tensor:
    """(n, n): the correlations of n variables, the rows of input, between -1 and 1."""
    c = cov(input)
    if not c.ndim:
        return c / c
    deviation = c.diagonal() ** 0.5
    return (c / unsqueeze(deviation, 1) / unsqueeze(deviation, 0)).clamp(-1, 1)
