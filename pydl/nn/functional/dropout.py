"""Dropout in its variants. p is the probability of dropping everywhere."""

from pydl import ops
from pydl.errors import ArgumentError, ShapeError
from pydl.tensor import Tensor

__all__ = [
    "alpha_dropout",
    "dropout",
    "dropout1d",
    "dropout2d",
    "dropout3d",
    "feature_alpha_dropout",
]

MODES = ("inverted", "original")
SELU_LIMIT = 1.7580993408473766  # selu's scale * alpha: what selu tends to for x -> -inf, with the sign turned


def check_probability(name: str, p: float) -> None:
    """Raises ArgumentError unless p is a probability."""
    if not 0.0 <= p <= 1.0:
        raise ArgumentError(f"{name}: p must be in [0, 1], got {p}")


def check_mode(name: str, mode: str) -> None:
    """Raises ArgumentError unless mode is one of the two."""
    if mode not in MODES:
        raise ArgumentError(f"{name}: mode must be 'inverted' or 'original', got {mode!r}")


def dropout(
    input: Tensor,
    p: float = 0.5,
    training: bool = True,
    inplace: bool = False,
    *,
    mode: str = "inverted",
    generator: ops.Generator | None = None,
) -> Tensor:
    """Each element becomes 0 with probability p in training.

    Args:
        mode: 'inverted' divides what is kept by 1 - p, and is the identity outside training (PyTorch's way);
            'original' leaves it, and multiplies by 1 - p outside training (the paper's way).
        inplace: accepted, without effect.
    Source: Hinton et al. 2012 (arXiv:1207.0580); Srivastava et al. 2014.
    """
    if mode == "inverted":
        return ops.dropout(input, p, training, generator=generator)
    check_mode("dropout", mode)
    check_probability("dropout", p)
    if p == 0:
        return input
    kept = ops.dropout(input, p, True, generator=generator) if training and p < 1 else input
    return kept * (1.0 - p)  # in training this takes back the division by 1 - p


def _channel_shape(x: Tensor, batched: bool) -> list[int]:
    """One entry per channel, broadcast over the places."""
    lead = 2 if batched else 1
    return [*x.shape[:lead], *[1] * (x.ndim - lead)]


def _channels(name: str, x: Tensor, p: float, training: bool, ranks: dict[int, bool], generator: object) -> Tensor:
    """x with whole channels dropped. ranks: the accepted numbers of axes, and whether the first is the batch."""
    check_probability(name, p)
    if x.ndim not in ranks:
        raise ShapeError(f"{name}: expected {' or '.join(str(r) for r in sorted(ranks))} axes, got shape {x.shape}")
    if not training or p == 0:
        return x
    ones = ops.ones(_channel_shape(x, ranks[x.ndim]), dtype=x.dtype)
    return x * ops.dropout(ones, p, True, generator=generator)  # type: ignore[arg-type]


def dropout1d(
    input: Tensor,
    p: float = 0.5,
    training: bool = True,
    inplace: bool = False,
    *,
    generator: ops.Generator | None = None,
) -> Tensor:
    """(n, c, l) or (c, l): whole channels become 0 with probability p, the others are divided by 1 - p."""
    return _channels("dropout1d", input, p, training, {2: False, 3: True}, generator)


def dropout2d(
    input: Tensor,
    p: float = 0.5,
    training: bool = True,
    inplace: bool = False,
    *,
    generator: ops.Generator | None = None,
) -> Tensor:
    """(n, c, h, w) or (n, c, l): whole channels become 0 with probability p, the others are divided by 1 - p.

    Three axes are read as (n, c, l), as PyTorch does. Source: Tompson et al. 2015 (arXiv:1411.4280).
    """
    return _channels("dropout2d", input, p, training, {3: True, 4: True}, generator)


def dropout3d(
    input: Tensor,
    p: float = 0.5,
    training: bool = True,
    inplace: bool = False,
    *,
    generator: ops.Generator | None = None,
) -> Tensor:
    """(n, c, d, h, w) or (c, d, h, w): whole channels become 0 with probability p, the others are divided by 1 - p."""
    return _channels("dropout3d", input, p, training, {4: False, 5: True}, generator)


def _alpha(x: Tensor, p: float, shape: list[int] | tuple[int, ...], generator: ops.Generator | None) -> Tensor:
    """Dropped entries get selu's negative limit; then scale and shift keep mean 0 and variance 1."""
    if p == 1:
        return x * 0.0
    kept = (ops.rand(shape, generator=generator, dtype=x.dtype) >= p).to(x.dtype)
    a = ((SELU_LIMIT * SELU_LIMIT * p + 1) * (1 - p)) ** -0.5
    y: Tensor = x * (kept * a) + ((kept - 1.0) * (SELU_LIMIT * a) + SELU_LIMIT * a * p)
    return y


def alpha_dropout(
    input: Tensor,
    p: float = 0.5,
    training: bool = False,
    inplace: bool = False,
    *,
    generator: ops.Generator | None = None,
) -> Tensor:
    """Dropout that keeps mean 0 and variance 1 behind selu. Source: Klambauer et al. 2017 (arXiv:1706.02515)."""
    check_probability("alpha_dropout", p)
    return _alpha(input, p, input.shape, generator) if training and p > 0 else input


def feature_alpha_dropout(
    input: Tensor,
    p: float = 0.5,
    training: bool = False,
    inplace: bool = False,
    *,
    generator: ops.Generator | None = None,
) -> Tensor:
    """alpha_dropout of whole channels (n, c, ...)."""
    check_probability("feature_alpha_dropout", p)
    if input.ndim < 2:
        raise ShapeError(f"feature_alpha_dropout: expected (n, c, ...), got shape {input.shape}")
    return _alpha(input, p, _channel_shape(input, True), generator) if training and p > 0 else input
