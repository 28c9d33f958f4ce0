"""Pooling over the last one to three axes of (N, C, spatial...) or (C, spatial...) tensors.

Maxima remember the place of each window's largest element; averages are linear. Picking at remembered places and adding
there are each other's gradients, as are averaging and sharing out, so all of them differentiate to any order.
"""

from collections.abc import Sequence

from pydl import _C
from pydl.autograd.mode import mode
from pydl.autograd.op import Op
from pydl.errors import ArgumentError
from pydl.ops.reduce import mean
from pydl.tensor import Tensor

__all__: list[str] = []

Sizes = int | Sequence[int]


class MaxPool(Op):
    uses = ()

    def kernel(x, kernel, stride, padding, dilation, ceil_mode):
        return _C.max_pool(x, kernel, stride, padding, dilation, ceil_mode)

    def vjp(g, x, index, kernel, **window):
        return (PoolPlace.apply(g, index, spatial=x.shape[-len(kernel) :], kernel=kernel, **window),)


class PoolPick(Op):
    """The elements at the places that a MaxPool found."""

    uses = (1,)

    def kernel(x, index, kernel, **_):
        return _C.pool_pick(x, index, len(kernel))

    def vjp(g, x, index, kernel, **window):
        return PoolPlace.apply(g, index, spatial=x.shape[-len(kernel) :], kernel=kernel, **window), None


class PoolPlace(Op):
    """Zeros with g added at the places that a MaxPool found."""

    uses = (1,)

    def kernel(g, index, spatial, kernel, stride, padding, dilation, ceil_mode):
        return _C.pool_place(g, index, spatial, kernel, stride, padding, dilation, ceil_mode)

    def vjp(gg, g, index, spatial, **window):
        return PoolPick.apply(gg, index, **window), None


class AvgPool(Op):
    uses = ()

    def kernel(x, kernel, stride, padding, ceil_mode, count_include_pad, divisor_override):
        return _C.avg_pool(x, kernel, stride, padding, ceil_mode, count_include_pad, divisor_override)

    def vjp(g, x, **window):
        return (AvgPoolGrad.apply(g, shape=x.shape, **window),)


class AvgPoolGrad(Op):
    uses = ()

    def kernel(g, shape, kernel, stride, padding, ceil_mode, count_include_pad, divisor_override):
        return _C.avg_pool_grad(g, shape, kernel, stride, padding, ceil_mode, count_include_pad, divisor_override)

    def vjp(gg, g, shape, **window):
        return (AvgPool.apply(gg, **window),)


def sizes(op: str, name: str, value: Sizes, axes: int) -> tuple[int, ...]:
    """One size for each axis; a single number stands for all."""
    given = (value,) * axes if isinstance(value, int) else tuple(value)
    if len(given) == 1:
        given *= axes
    if len(given) != axes or not all(isinstance(v, int) for v in given):
        raise ArgumentError(f"{op}: {name} must be an int or {axes} ints, got {value!r}")
    return given


def max_pool(
    op: str,
    input: Tensor,
    axes: int,
    kernel: Sizes,
    stride: Sizes | None,
    padding: Sizes,
    dilation: Sizes,
    ceil_mode: bool,
    indices: bool,
) -> Tensor | tuple[Tensor, Tensor]:
    """The largest of each window, and where asked its int64 place in the flat spatial axes."""
    window = {
        "kernel": sizes(op, "kernel_size", kernel, axes),
        "stride": sizes(op, "stride", kernel if stride is None else stride, axes),
        "padding": sizes(op, "padding", padding, axes),
        "dilation": sizes(op, "dilation", dilation, axes),
        "ceil_mode": bool(ceil_mode),
    }
    return _found(input, window) if indices else MaxPool.apply(input, **window)


def adaptive_max_pool(op: str, input: Tensor, output: tuple[int, ...], indices: bool) -> Tensor | tuple[Tensor, Tensor]:
    """The same over windows that cut each axis into as many parts as asked."""
    window = {"kernel": output, "stride": (), "padding": (), "dilation": (), "ceil_mode": False}
    return _found(input, window) if indices else MaxPool.apply(input, **window)


def _found(input: Tensor, window: dict[str, object]) -> tuple[Tensor, Tensor]:
    made, index = MaxPool.kernel(input.array, **window)
    recorded = input.requires_grad and mode.enabled
    y = MaxPool.record(made, (input,), (index,), window) if recorded else Tensor(made)
    return y, Tensor(index).to(_C.int64)


def avg_pool(
    op: str,
    input: Tensor,
    axes: int,
    kernel: Sizes,
    stride: Sizes | None,
    padding: Sizes,
    ceil_mode: bool,
    count_include_pad: bool,
    divisor_override: int | None,
) -> Tensor:
    """The mean of each window."""
    return AvgPool.apply(
        input,
        kernel=sizes(op, "kernel_size", kernel, axes),
        stride=sizes(op, "stride", kernel if stride is None else stride, axes),
        padding=sizes(op, "padding", padding, axes),
        ceil_mode=bool(ceil_mode),
        count_include_pad=bool(count_include_pad),
        divisor_override=divisor_override,
    )


def adaptive_avg_pool(input: Tensor, output: tuple[int, ...]) -> Tensor:
    """The mean of windows that cut each axis into as many parts as asked."""
    if all(n == 1 for n in output):
        return mean(input, tuple(range(-len(output), 0)), keepdim=True)
    return AvgPool.apply(
        input, kernel=output, stride=(), padding=(), ceil_mode=False, count_include_pad=True, divisor_override=None
    )
