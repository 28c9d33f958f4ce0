"""Convolutions of 1 to 3 axes, and the transposed ones.

The three products (forward, gradient of the input, gradient of the weights) are linear in each argument and each
other's derivatives, so that gradients of any order stay among them. x is (b, c, *image), w is (m, c / groups, *kernel),
y is (b, m, *size). Padding is what lies before the first element; what lies behind the last follows from the sizes.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

from pydl import _C
from pydl.autograd.mode import mode
from pydl.autograd.op import Op
from pydl.errors import ArgumentError, DtypeError, ShapeError
from pydl.ops.activation import ReluGrad, SigmoidGrad
from pydl.ops.elementary import TanhGrad
from pydl.ops.precision import lowered
from pydl.ops.shape import squeeze, unsqueeze
from pydl.tensor import Tensor

__all__ = [
    "conv1d",
    "conv2d",
    "conv3d",
    "conv_transpose1d",
    "conv_transpose2d",
    "conv_transpose3d",
]

Sizes = int | Sequence[int]


class Conv(Op):
    """x and w to y."""

    kernel = _C.conv

    def vjp(g, x, w, bias, stride, padding, dilation, groups, size, activation):
        same = {"stride": stride, "padding": padding, "dilation": dilation, "groups": groups}
        return (
            lambda: ConvInputGrad.apply(g, w, None, size=x.shape[2:], activation="none", **same),
            lambda: ConvWeightGrad.apply(x, g, size=w.shape[2:], **same),
            None if bias is None else lambda: _sum_of_channels(g),
        )


class ConvInputGrad(Op):
    """y and w to x: the adjoint of Conv in x, which is the transposed convolution."""

    kernel = _C.conv_input_grad

    def vjp(g, y, w, bias, stride, padding, dilation, groups, size, activation):
        same = {"stride": stride, "padding": padding, "dilation": dilation, "groups": groups}
        return (
            lambda: Conv.apply(g, w, None, size=y.shape[2:], activation="none", **same),
            lambda: ConvWeightGrad.apply(g, y, size=w.shape[2:], **same),
            None if bias is None else lambda: _sum_of_channels(g),
        )


class ConvWeightGrad(Op):
    """x and y to w: the adjoint of Conv in w."""

    kernel = _C.conv_weight_grad

    def vjp(g, x, y, stride, padding, dilation, groups, size):
        same = {"stride": stride, "padding": padding, "dilation": dilation, "groups": groups, "activation": "none"}
        return (
            lambda: ConvInputGrad.apply(y, g, None, size=x.shape[2:], **same),
            lambda: Conv.apply(x, g, None, size=y.shape[2:], **same),
        )


class ConvActivation(Conv):
    """Conv with the activation applied while the sums are in registers."""

    saves_output = True

    def vjp(g, x, w, bias, made, stride, padding, dilation, groups, size, activation):
        g = _SLOPES[activation].apply(g, made)
        return Conv.vjp(g, x, w, bias, stride, padding, dilation, groups, size, "none")


_SLOPES = {"relu": ReluGrad, "tanh": TanhGrad, "sigmoid": SigmoidGrad}


def _sum_of_channels(g: Tensor) -> Tensor:
    return g.sum([0, *range(2, g.ndim)])


# ---------------------------------------------------------------- arguments


def _sizes(op: str, name: str, value: Any, axes: int, lowest: int) -> tuple[int, ...]:
    """A number for all axes, or one for each."""
    given = (value,) if isinstance(value, int) else tuple(value) if isinstance(value, Sequence) else None
    if given is None or isinstance(value, str) or not all(isinstance(v, int) and v >= lowest for v in given):
        kind = "positive" if lowest else "non-negative"
        raise ArgumentError(f"{op}: {name} must be {kind} numbers, got {value!r}")
    if len(given) not in (1, axes):
        raise ArgumentError(f"{op}: {name} {given} does not fit {axes} axes: expected one number, or one for each axis")
    return given if len(given) == axes else given * axes


def _out_size(op: str, size: int, kernel: int, stride: int, padding: int, dilation: int) -> int:
    """floor((size + padding - dilation (kernel - 1) - 1) / stride) + 1; padding: on both sides together."""
    reach = dilation * (kernel - 1) + 1
    if kernel < 1 or size + padding < reach:
        raise ShapeError(
            f"{op}: a kernel of size {kernel} with dilation {dilation} reaches over {reach} elements, "
            f"the input has {size} and {padding} of padding: expected at least {max(reach, 1)}"
        )
    return (size + padding - reach) // stride + 1


class _Windows(NamedTuple):
    """How the kernel moves: one entry per axis."""

    stride: tuple[int, ...]
    padding: tuple[int, ...]
    dilation: tuple[int, ...]
    size: tuple[int, ...]


def _check(op: str, axes: int, input: Any, weight: Any, groups: Any) -> None:
    for x in (input, weight):
        if not isinstance(x, Tensor):
            raise DtypeError(f"{op}: expected a tensor, got {type(x).__name__}")
    if weight.ndim != axes + 2 or input.ndim not in (axes + 1, axes + 2):
        raise ShapeError(
            f"{op}: input {input.shape} and weight {weight.shape}: expected an input with {axes + 2} axes, or "
            f"{axes + 1} without a batch, and a weight with {axes + 2}"
        )
    if not isinstance(groups, int) or groups < 1:
        raise ArgumentError(f"{op}: groups must be a positive number, got {groups!r}")


def windows(
    op: str, image: tuple[int, ...], kernel: tuple[int, ...], stride: Sizes, padding: Sizes | str, dilation: Sizes
) -> _Windows:
    axes = len(image)
    steps, spread = _sizes(op, "stride", stride, axes, 1), _sizes(op, "dilation", dilation, axes, 1)
    if isinstance(padding, str):
        if padding not in ("same", "valid"):
            raise ArgumentError(f"{op}: padding must be numbers, 'same' or 'valid', got {padding!r}")
        if padding == "same" and any(s != 1 for s in steps):
            raise ArgumentError(f"{op}: padding 'same' needs a stride of 1, got {steps}")
        total = tuple(d * (k - 1) if padding == "same" else 0 for d, k in zip(spread, kernel, strict=True))
        before = tuple(t // 2 for t in total)
    else:
        before = _sizes(op, "padding", padding, axes, 0)
        total = tuple(2 * p for p in before)
    size = tuple(_out_size(op, *a) for a in zip(image, kernel, steps, total, spread, strict=True))
    return _Windows(steps, before, spread, size)


def _conv(
    axes: int,
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    stride: Sizes,
    padding: Sizes | str,
    dilation: Sizes,
    groups: int,
    activation: str | None,
) -> Tensor:
    op = f"conv{axes}d"
    _check(op, axes, input, weight, groups)
    if mode.cast is not None:
        input, weight, bias = lowered(input, weight, bias)
    if activation is not None and activation not in _SLOPES:
        raise ArgumentError(f"{op}: activation must be None, 'relu', 'tanh' or 'sigmoid', got {activation!r}")
    x = input if input.ndim == axes + 2 else unsqueeze(input, 0)
    w = windows(op, x.shape[2:], weight.shape[2:], stride, padding, dilation)
    kind = Conv if activation is None else ConvActivation
    y = kind.apply(x, weight, bias, groups=groups, activation=activation or "none", **w._asdict())
    return y if x is input else squeeze(y, 0)


def _conv_transpose(
    axes: int,
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    stride: Sizes,
    padding: Sizes,
    output_padding: Sizes,
    groups: int,
    dilation: Sizes,
) -> Tensor:
    op = f"conv_transpose{axes}d"
    _check(op, axes, input, weight, groups)
    if mode.cast is not None:
        input, weight, bias = lowered(input, weight, bias)
    x = input if input.ndim == axes + 2 else unsqueeze(input, 0)
    steps, spread = _sizes(op, "stride", stride, axes, 1), _sizes(op, "dilation", dilation, axes, 1)
    before, extra = _sizes(op, "padding", padding, axes, 0), _sizes(op, "output_padding", output_padding, axes, 0)
    for e, s, d in zip(extra, steps, spread, strict=True):
        if e >= max(s, d):
            raise ArgumentError(
                f"{op}: output_padding {extra} must be smaller than stride {steps} or dilation {spread}"
            )
    size = tuple(
        (n - 1) * s - 2 * p + d * (k - 1) + e + 1
        for n, s, p, d, k, e in zip(x.shape[2:], steps, before, spread, weight.shape[2:], extra, strict=True)
    )
    if any(n < 1 for n in size) or any(n < 1 for n in x.shape[2:]):
        raise ShapeError(f"{op}: input {input.shape} and weight {weight.shape} give an output of size {size}")
    y = ConvInputGrad.apply(
        x, weight, bias, stride=steps, padding=before, dilation=spread, groups=groups, size=size, activation="none"
    )
    return y if x is input else squeeze(y, 0)


# ---------------------------------------------------------------- public


def conv1d(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Sizes = 1,
    padding: Sizes | str = 0,
    dilation: Sizes = 1,
    groups: int = 1,
    *,
    activation: str | None = None,
) -> Tensor:
    """(b, c, l) or (c, l) by (m, c / groups, k) to (b, m, l'); see conv2d."""
    return _conv(1, input, weight, bias, stride, padding, dilation, groups, activation)


def conv2d(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Sizes = 1,
    padding: Sizes | str = 0,
    dilation: Sizes = 1,
    groups: int = 1,
    *,
    activation: str | None = None,
) -> Tensor:
    """activation(the cross-correlation of input and weight + bias), in one pass.

    Args:
        input: (b, c, h, w), or (c, h, w) without a batch.   weight: (m, c / groups, kh, kw).   bias: (m,).
        stride, dilation: a number, or one for each axis: steps between outputs, and between what one output reads.
        padding: zeros on both sides of each axis; 'valid' is 0, 'same' keeps the size (stride 1; where the number is
            odd, one more at the end).
        groups: the channels are split into this many, which do not see each other.
        activation: None, 'relu', 'tanh' or 'sigmoid'.
    Returns: (b, m, h', w') with h' = floor((h + 2 padding - dilation (kh - 1) - 1) / stride) + 1.
    Raises: ShapeError, DtypeError, ArgumentError.
    Cost: 2 b m h' w' (c / groups) kh kw flop; no matrix of patches is made.
    """
    return _conv(2, input, weight, bias, stride, padding, dilation, groups, activation)


def conv3d(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Sizes = 1,
    padding: Sizes | str = 0,
    dilation: Sizes = 1,
    groups: int = 1,
    *,
    activation: str | None = None,
) -> Tensor:
    """(b, c, d, h, w) or (c, d, h, w) by (m, c / groups, kd, kh, kw) to (b, m, d', h', w'); see conv2d."""
    return _conv(3, input, weight, bias, stride, padding, dilation, groups, activation)


def conv_transpose1d(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Sizes = 1,
    padding: Sizes = 0,
    output_padding: Sizes = 0,
    groups: int = 1,
    dilation: Sizes = 1,
) -> Tensor:
    """(b, c, l) or (c, l) by (c, m / groups, k) to (b, m, l'); see conv_transpose2d."""
    return _conv_transpose(1, input, weight, bias, stride, padding, output_padding, groups, dilation)


def conv_transpose2d(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Sizes = 1,
    padding: Sizes = 0,
    output_padding: Sizes = 0,
    groups: int = 1,
    dilation: Sizes = 1,
) -> Tensor:
    """The transposed convolution: the gradient of conv2d with respect to its input, as an operation.

    Args:
        input: (b, c, h, w), or (c, h, w) without a batch.   weight: (c, m / groups, kh, kw).   bias: (m,).
        stride, padding, dilation: those of the convolution that is transposed.
        output_padding: rows and columns more at the end of each axis; smaller than stride or dilation.
    Returns: (b, m, h', w') with h' = (h - 1) stride - 2 padding + dilation (kh - 1) + output_padding + 1.
    Raises: ShapeError, DtypeError, ArgumentError.
    """
    return _conv_transpose(2, input, weight, bias, stride, padding, output_padding, groups, dilation)


def conv_transpose3d(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Sizes = 1,
    padding: Sizes = 0,
    output_padding: Sizes = 0,
    groups: int = 1,
    dilation: Sizes = 1,
) -> Tensor:
    """(b, c, d, h, w) or (c, d, h, w) by (c, m / groups, kd, kh, kw) to (b, m, d', h', w'); see conv_transpose2d."""
    return _conv_transpose(3, input, weight, bias, stride, padding, output_padding, groups, dilation)
