"""Temporal convolutional networks: causal dilated convolutions in residual blocks. Axes: b batch, c channels, t time.

Source: Bai, Kolter & Koltun 2018 (arXiv:1803.01271).
"""

from collections.abc import Sequence

from pydl import _C
from pydl.errors import ArgumentError
from pydl.nn.activation import ReLU
from pydl.nn.container import Sequential
from pydl.nn.conv import Conv1d
from pydl.nn.dropout import Dropout
from pydl.nn.functional import relu
from pydl.nn.module import Module
from pydl.nn.padding import ConstantPad1d
from pydl.nn.utils.parametrizations import weight_norm as normalised
from pydl.ops.create import DeviceLike
from pydl.tensor import Tensor

__all__ = ["TCN", "TemporalBlock"]


class TemporalBlock(Module):
    """relu(x + f(x)), f some causal convolutions with relu and dropout; x by a 1x1 convolution where widths differ.

    Args:
        in_channels, out_channels: widths.
        kernel_size, dilation: of the convolutions. Output t reads inputs up to t alone.
        dropout: after each relu.
        convs: how many convolutions.
        weight_norm: whether their weights are lengths times directions.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int = 3,
        dilation: int = 1,
        dropout: float = 0.0,
        convs: int = 2,
        weight_norm: bool = True,
        device: DeviceLike = None,
        dtype: _C.dtype | None = None,
    ) -> None:
        super().__init__()
        for name, n in (("kernel_size", kernel_size), ("dilation", dilation), ("convs", convs)):
            if isinstance(n, bool) or not isinstance(n, int) or n < 1:
                raise ArgumentError(f"TemporalBlock: {name} must be a positive integer, got {n!r}")
        parts: list[Module] = []
        for i in range(convs):
            width = in_channels if i == 0 else out_channels
            conv = Conv1d(width, out_channels, kernel_size, dilation=dilation, device=device, dtype=dtype)
            parts += [ConstantPad1d(((kernel_size - 1) * dilation, 0), 0.0)]
            parts += [normalised(conv) if weight_norm else conv, ReLU(), Dropout(dropout)]
        self.path = Sequential(*parts)
        same = in_channels == out_channels
        self.shortcut = None if same else Conv1d(in_channels, out_channels, 1, device=device, dtype=dtype)
        self.reach = convs * (kernel_size - 1) * dilation

    def forward(self, input: Tensor) -> Tensor:
        """(b, c, t) -> (b, out, t)."""
        shortcut = input if self.shortcut is None else self.shortcut(input)
        return relu(shortcut + self.path(input))


class TCN(Module):
    """Temporal blocks whose dilations double: 1, 2, 4, ...

    Args:
        in_channels: of the input.
        channels: of each block; as many blocks as there are.
        kernel_size, dropout, convs, weight_norm: of each block.
    Attributes: receptive_field: how many inputs an output reads: 1 + the sum of convs (kernel_size - 1) dilation.
    """

    def __init__(
        self,
        in_channels: int,
        channels: Sequence[int],
        kernel_size: int = 3,
        dropout: float = 0.0,
        convs: int = 2,
        weight_norm: bool = True,
        device: DeviceLike = None,
        dtype: _C.dtype | None = None,
    ) -> None:
        super().__init__()
        if not channels:
            raise ArgumentError("TCN: channels is empty: expected the width of each block")
        widths = [in_channels, *channels]
        blocks = [
            TemporalBlock(widths[i], widths[i + 1], kernel_size, 2**i, dropout, convs, weight_norm, device, dtype)
            for i in range(len(channels))
        ]
        self.blocks = Sequential(*blocks)
        self.receptive_field = 1 + sum(block.reach for block in blocks)

    def forward(self, input: Tensor) -> Tensor:
        """(b, c, t) -> (b, channels[-1], t)."""
        return self.blocks(input)  # type: ignore[no-any-return]
