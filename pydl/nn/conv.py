"""Convolutional layers of 1 to 3 axes, and the transposed ones."""

import math
from collections.abc import Sequence
from typing import Any, ClassVar

from pydl import _C, ops
from pydl.errors import ArgumentError, ShapeError
from pydl.nn import init
from pydl.nn.functional.padding import pad
from pydl.nn.module import Module
from pydl.nn.parameter import Parameter
from pydl.ops.conv import Sizes
from pydl.ops.create import DeviceLike
from pydl.tensor import Tensor

__all__ = [
    "Conv1d",
    "Conv2d",
    "Conv3d",
    "ConvTranspose1d",
    "ConvTranspose2d",
    "ConvTranspose3d",
    "LazyConv1d",
    "LazyConv2d",
    "LazyConv3d",
    "LazyConvTranspose1d",
    "LazyConvTranspose2d",
    "LazyConvTranspose3d",
]

PADDING_MODES = ("zeros", "reflect", "replicate", "circular")


def _each(name: str, setting: str, value: Any, axes: int, lowest: int) -> tuple[int, ...]:
    """A number for all axes, or one for each."""
    given = (value,) * axes if isinstance(value, int) else tuple(value) if isinstance(value, Sequence) else ()
    given = given * axes if len(given) == 1 else given
    if len(given) != axes or not all(isinstance(v, int) and v >= lowest for v in given):
        raise ArgumentError(f"{name}: {setting} must be one number or {axes} of at least {lowest}, got {value!r}")
    return given


class _Conv(Module):
    """What all convolutional layers share: settings, weight and bias, their start and their text."""

    axes: ClassVar[int]
    transposed: ClassVar[bool] = False
    weight: Parameter
    bias: Parameter | None

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Sizes,
        stride: Sizes = 1,
        padding: Sizes | str = 0,
        dilation: Sizes = 1,
        groups: int = 1,
        bias: bool = True,
        padding_mode: str = "zeros",
        device: DeviceLike = None,
        dtype: _C.dtype | None = None,
        *,
        output_padding: Sizes = 0,
        activation: str | None = None,
    ) -> None:
        super().__init__()
        name = type(self).__name__
        if padding_mode not in PADDING_MODES or (self.transposed and padding_mode != "zeros"):
            allowed = "'zeros'" if self.transposed else f"one of {PADDING_MODES}"
            raise ArgumentError(f"{name}: padding_mode must be {allowed}, got {padding_mode!r}")
        if activation not in (None, "relu", "tanh", "sigmoid"):
            raise ArgumentError(f"{name}: activation must be None, 'relu', 'tanh' or 'sigmoid', got {activation!r}")
        if not isinstance(groups, int) or groups < 1:
            raise ArgumentError(f"{name}: groups must be a positive number, got {groups!r}")
        self.in_channels, self.out_channels, self.groups = in_channels, out_channels, groups
        self.kernel_size = _each(name, "kernel_size", kernel_size, self.axes, 1)
        self.stride = _each(name, "stride", stride, self.axes, 1)
        self.dilation = _each(name, "dilation", dilation, self.axes, 1)
        self.output_padding = _each(name, "output_padding", output_padding, self.axes, 0)
        self.padding = self._padding(name, padding)
        self.padding_mode, self.activation = padding_mode, activation
        self._make(bias, device, dtype)

    def _padding(self, name: str, padding: Sizes | str) -> tuple[int, ...] | str:
        if not isinstance(padding, str) or self.transposed:
            return _each(name, "padding", padding, self.axes, 0)
        if padding not in ("same", "valid"):
            raise ArgumentError(f"{name}: padding must be numbers, 'same' or 'valid', got {padding!r}")
        if padding == "same" and any(s != 1 for s in self.stride):
            raise ArgumentError(f"{name}: padding 'same' needs a stride of 1, got {self.stride}")
        return padding

    def _make(self, bias: bool, device: DeviceLike, dtype: _C.dtype | None) -> None:
        """Makes weight and bias."""
        name = type(self).__name__
        for what, count in (("in_channels", self.in_channels), ("out_channels", self.out_channels)):
            if not isinstance(count, int) or count < 1 or count % self.groups:
                raise ArgumentError(
                    f"{name}: {what} must be positive and divisible by groups, got {count} and {self.groups}"
                )
        first, second = self.out_channels, self.in_channels // self.groups
        if self.transposed:
            first, second = self.in_channels, self.out_channels // self.groups
        self.weight = Parameter(ops.empty(first, second, *self.kernel_size, device=device, dtype=dtype))
        offset = Parameter(ops.empty(self.out_channels, device=device, dtype=dtype)) if bias else None
        self.register_parameter("bias", offset)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draws weight and bias anew: uniform in +-1 / sqrt(fan in)."""
        fan_in = self.weight.shape[1] * math.prod(self.kernel_size)
        bound = 1 / math.sqrt(fan_in) if fan_in > 0 else 0.0
        for p in (self.weight, self.bias):
            if p is not None:
                init.uniform_(p, -bound, bound)

    def extra_repr(self) -> str:
        """Sizes and settings that are not the default."""
        text = f"{self.in_channels}, {self.out_channels}, kernel_size={self.kernel_size}, stride={self.stride}"
        none = (0,) * self.axes
        for name, usual in (("padding", none), ("dilation", (1,) * self.axes), ("output_padding", none), ("groups", 1)):
            value = getattr(self, name)
            text += "" if value == usual else f", {name}={value}"
        text += ", bias=False" if self.bias is None else ""
        text += "" if self.padding_mode == "zeros" else f", padding_mode={self.padding_mode}"
        return text if self.activation is None else f"{text}, activation={self.activation!r}"


class _Forward(_Conv):
    """A layer that calls conv1d, conv2d or conv3d."""

    def forward(self, input: Tensor) -> Tensor:
        """(b, c, *image) or (c, *image) to the same with out_channels and the sizes that conv_out_size gives."""
        padding = self.padding
        if self.padding_mode != "zeros":
            input, padding = self._extended(input), "valid"
        convolve = (ops.conv1d, ops.conv2d, ops.conv3d)[self.axes - 1]
        return convolve(
            input, self.weight, self.bias, self.stride, padding, self.dilation, self.groups, activation=self.activation
        )

    def _extended(self, input: Tensor) -> Tensor:
        """input with its border filled from inside."""
        if input.ndim not in (self.axes + 1, self.axes + 2):
            raise ShapeError(
                f"{type(self).__name__}: expected an input with {self.axes + 2} axes, or {self.axes + 1} "
                f"without a batch, got {input.shape}"
            )
        sides = []  # of the last axis first
        for i in reversed(range(self.axes)):
            total = self.dilation[i] * (self.kernel_size[i] - 1)
            if self.padding == "same":
                sides += [total // 2, total - total // 2]
            else:
                sides += [0 if isinstance(self.padding, str) else self.padding[i]] * 2
        return pad(input, sides, self.padding_mode) if any(sides) else input


class Conv1d(_Forward):
    """(b, in, l) or (in, l) to (b, out, l'); see Conv2d."""

    axes = 1


class Conv2d(_Forward):
    """activation(cross-correlation with a learnt kernel + bias): (b, in, h, w) or (in, h, w) to (b, out, h', w').

    Args:
        in_channels, out_channels: channels of input and output.
        kernel_size, stride, dilation: a number, or one for each axis.
        padding: numbers, 'same' (keeps the size; stride 1) or 'valid' (none).
        groups: the channels are split into this many, which do not see each other; in_channels of them: depthwise.
        bias: whether there is one.
        padding_mode: what the border holds: 'zeros', 'reflect', 'replicate' or 'circular'.
        activation: None, 'relu', 'tanh' or 'sigmoid', applied while the sums are in registers.
    Attributes: weight (out, in / groups, kh, kw), bias (out,): uniform in +-1 / sqrt(in / groups kh kw) at first.
    """

    axes = 2


class Conv3d(_Forward):
    """(b, in, d, h, w) or (in, d, h, w) to (b, out, d', h', w'); see Conv2d."""

    axes = 3


class _Transposed(_Conv):
    """A layer that calls conv_transpose1d, conv_transpose2d or conv_transpose3d."""

    transposed = True
    padding: tuple[int, ...]

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Sizes,
        stride: Sizes = 1,
        padding: Sizes = 0,
        output_padding: Sizes = 0,
        groups: int = 1,
        bias: bool = True,
        dilation: Sizes = 1,
        padding_mode: str = "zeros",
        device: DeviceLike = None,
        dtype: _C.dtype | None = None,
    ) -> None:
        super().__init__(
            in_channels, out_channels, kernel_size, stride, padding, dilation, groups, bias, padding_mode, device,
            dtype, output_padding=output_padding,
        )  # fmt: skip

    def forward(self, input: Tensor, output_size: Sequence[int] | None = None) -> Tensor:
        """(b, in, *image) or (in, *image) to the same with out_channels.

        Args: output_size: the sizes of the result (with or without batch and channels), of those that give this input
            back; in place of output_padding.
        """
        extra = self.output_padding if output_size is None else self._output_padding(input, output_size)
        convolve = (ops.conv_transpose1d, ops.conv_transpose2d, ops.conv_transpose3d)[self.axes - 1]
        return convolve(input, self.weight, self.bias, self.stride, self.padding, extra, self.groups, self.dilation)

    def _output_padding(self, input: Tensor, output_size: Sequence[int]) -> tuple[int, ...]:
        name, wanted = type(self).__name__, tuple(output_size)
        if len(wanted) not in (self.axes, input.ndim):
            raise ArgumentError(f"{name}: output_size {wanted} does not fit: expected {self.axes} sizes")
        wanted = wanted[-self.axes :]
        least = tuple(
            (n - 1) * s - 2 * p + d * (k - 1) + 1
            for n, s, p, d, k in zip(
                input.shape[-self.axes :], self.stride, self.padding, self.dilation, self.kernel_size, strict=True
            )
        )
        extra = tuple(w - low for w, low in zip(wanted, least, strict=True))
        if not all(0 <= e < s for e, s in zip(extra, self.stride, strict=True)):
            most = tuple(low + s - 1 for low, s in zip(least, self.stride, strict=True))
            raise ArgumentError(f"{name}: output_size must lie between {least} and {most}, got {wanted}")
        return extra


class ConvTranspose1d(_Transposed):
    """(b, in, l) or (in, l) to (b, out, l'); see ConvTranspose2d."""

    axes = 1


class ConvTranspose2d(_Transposed):
    """The transposed convolution with a learnt kernel: (b, in, h, w) or (in, h, w) to (b, out, h', w').

    Args:
        in_channels, out_channels: channels of input and output.
        kernel_size, stride, padding, dilation: those of the convolution that is transposed.
        output_padding: rows and columns more at the end; forward's output_size says it by the result.
        groups, bias: as in Conv2d.
        padding_mode: 'zeros'.
    Attributes: weight (in, out / groups, kh, kw), bias (out,): uniform in +-1 / sqrt(out / groups kh kw) at first.
    """

    axes = 2


class ConvTranspose3d(_Transposed):
    """(b, in, d, h, w) or (in, d, h, w) to (b, out, d', h', w'); see ConvTranspose2d."""

    axes = 3


class _Lazy(_Conv):
    """A layer whose in_channels are those of the first input, after which it is one of the plain kind."""

    plain: ClassVar[type[_Conv]]

    def __init__(self, out_channels: int, kernel_size: Sizes, *args: Any, **kwargs: Any) -> None:
        super().__init__(0, out_channels, kernel_size, *args, **kwargs)

    def _make(self, bias: bool, device: DeviceLike, dtype: _C.dtype | None) -> None:
        self.weight = Parameter(ops.empty(0, device=device, dtype=dtype))
        self.register_parameter("bias", Parameter(ops.empty(0, device=device, dtype=dtype)) if bias else None)

    def reset_parameters(self) -> None:
        """Nothing to draw before the first input."""

    def forward(self, input: Tensor, *args: Any) -> Tensor:
        """Sets in_channels, makes weight and bias, and computes what the plain layer computes."""
        if input.ndim not in (self.axes + 1, self.axes + 2):
            raise ShapeError(
                f"{type(self).__name__}: expected an input with {self.axes + 2} axes, or {self.axes + 1} "
                f"without a batch, got {input.shape}"
            )
        weight, bias = self.weight, self.bias
        made = self.plain(
            input.shape[-self.axes - 1], self.out_channels, self.kernel_size, groups=self.groups,
            bias=bias is not None, device=weight.device, dtype=weight.dtype,
        )  # fmt: skip
        weight.array = made.weight.array  # the same objects: an optimizer may hold them
        if bias is not None and made.bias is not None:
            bias.array = made.bias.array
        self.in_channels = made.in_channels
        self.__class__ = self.plain  # type: ignore[assignment]
        return self.forward(input, *args)


class LazyConv1d(_Lazy, Conv1d):
    """Conv1d without in_channels: they are those of the first input."""

    plain = Conv1d


class LazyConv2d(_Lazy, Conv2d):
    """Conv2d without in_channels: they are those of the first input."""

    plain = Conv2d


class LazyConv3d(_Lazy, Conv3d):
    """Conv3d without in_channels: they are those of the first input."""

    plain = Conv3d


class LazyConvTranspose1d(_Lazy, ConvTranspose1d):
    """ConvTranspose1d without in_channels: they are those of the first input."""

    plain = ConvTranspose1d


class LazyConvTranspose2d(_Lazy, ConvTranspose2d):
    """ConvTranspose2d without in_channels: they are those of the first input."""

    plain = ConvTranspose2d


class LazyConvTranspose3d(_Lazy, ConvTranspose3d):
    """ConvTranspose3d without in_channels: they are those of the first input."""

    plain = ConvTranspose3d
