"""How far a network is from equivariance f(g x) = g f(x), and from invariance f(g x) = f(x)."""

from collections.abc import Callable, Iterable
from functools import partial

from pydl import ops
from pydl.autograd import no_grad
from pydl.errors import ArgumentError
from pydl.tensor import Tensor

__all__ = ["equivariance_error", "invariance_error", "quarter_turns", "translations"]

Action = Callable[[Tensor], Tensor]


def translations(height: int, width: int) -> list[Action]:
    """The height width shifts of images (..., height, width) around the edges."""
    if height < 1 or width < 1:
        raise ArgumentError(f"translations: expected a height and a width >= 1, got {height} and {width}")
    return [partial(ops.roll, shifts=(i, j), dims=(-2, -1)) for i in range(height) for j in range(width)]


def quarter_turns() -> list[Action]:
    """The four rotations of images (..., n, n) by multiples of 90 degrees."""
    return [partial(ops.rot90, k=k, dims=(-2, -1)) for k in range(4)]


def equivariance_error(model: Callable[[Tensor], Tensor], x: Tensor, group: Iterable[Action]) -> float:
    """The largest |f(g x) - g f(x)| over the group, in units of the largest |f(x)|.

    Args: model: f.   x: images (n, c, h, w).   group: functions that act on images and on feature maps alike.
    0 for a network that commutes with the group, as circular convolutions do with shifts.
    """
    return _error(model, x, group, lambda g, y: g(y))


def invariance_error(model: Callable[[Tensor], Tensor], x: Tensor, group: Iterable[Action]) -> float:
    """The largest |f(g x) - f(x)| over the group, in units of the largest |f(x)|; arguments as above."""
    return _error(model, x, group, lambda g, y: y)


def _error(
    model: Callable[[Tensor], Tensor], x: Tensor, group: Iterable[Action], expected: Callable[[Action, Tensor], Tensor]
) -> float:
    with no_grad():
        y = model(x)
        worst = max((float((model(g(x)) - expected(g, y)).abs().max()) for g in group), default=0.0)
        scale = float(y.abs().max())
    return worst / scale if scale else worst
