"""Padding as layers. padding: one number for all sides, or (before, after) of the last axis, then of the
one before it, ...; negative numbers cut away."""

from collections.abc import Sequence

from pydl.errors import ShapeError
from pydl.nn import functional as F
from pydl.nn.module import Module
from pydl.tensor import Tensor

__all__ = [
    "CircularPad1d",
    "CircularPad2d",
    "CircularPad3d",
    "ConstantPad1d",
    "ConstantPad2d",
    "ConstantPad3d",
    "ReflectionPad1d",
    "ReflectionPad2d",
    "ReflectionPad3d",
    "ReplicationPad1d",
    "ReplicationPad2d",
    "ReplicationPad3d",
    "ZeroPad1d",
    "ZeroPad2d",
    "ZeroPad3d",
]


class _Pad(Module):
    axes: int  # how many are padded
    mode: str

    def __init__(self, padding: int | Sequence[int]) -> None:
        super().__init__()
        count = 2 * self.axes
        self.padding = (padding,) * count if isinstance(padding, int) else tuple(padding)
        if len(self.padding) != count:
            raise ShapeError(f"{type(self).__name__}: padding {self.padding}: expected one number or {count}")

    def forward(self, input: Tensor) -> Tensor:
        """The last axes grown by their padding."""
        return F.pad(input, self.padding, self.mode)

    def extra_repr(self) -> str:
        """The padding."""
        return f"{self.padding}"


class _ConstantPad(_Pad):
    def __init__(self, padding: int | Sequence[int], value: float) -> None:
        super().__init__(padding)
        self.value = value

    def forward(self, input: Tensor) -> Tensor:
        """The last axes grown by their padding."""
        return F.pad(input, self.padding, "constant", self.value)

    def extra_repr(self) -> str:
        """Settings."""
        return f"padding={self.padding}, value={self.value}"


class _ZeroPad(_ConstantPad):
    def __init__(self, padding: int | Sequence[int]) -> None:
        super().__init__(padding, 0.0)

    def extra_repr(self) -> str:
        """The padding."""
        return f"{self.padding}"


class ConstantPad1d(_ConstantPad):
    """(..., w): value around the last axis."""

    axes = 1


class ConstantPad2d(_ConstantPad):
    """(..., h, w): value around the last 2 axes."""

    axes = 2


class ConstantPad3d(_ConstantPad):
    """(..., d, h, w): value around the last 3 axes."""

    axes = 3


class ZeroPad1d(_ZeroPad):
    """(..., w): zeros around the last axis."""

    axes = 1


class ZeroPad2d(_ZeroPad):
    """(..., h, w): zeros around the last 2 axes."""

    axes = 2


class ZeroPad3d(_ZeroPad):
    """(..., d, h, w): zeros around the last 3 axes."""

    axes = 3


class ReflectionPad1d(_Pad):
    """(n, c, w), with or without n: the image mirrored at its edges, which are not repeated."""

    axes, mode = 1, "reflect"


class ReflectionPad2d(_Pad):
    """(n, c, h, w), with or without n: the image mirrored at its edges, which are not repeated."""

    axes, mode = 2, "reflect"


class ReflectionPad3d(_Pad):
    """(n, c, d, h, w), with or without n: the image mirrored at its edges, which are not repeated."""

    axes, mode = 3, "reflect"


class ReplicationPad1d(_Pad):
    """(n, c, w), with or without n: the edges repeated."""

    axes, mode = 1, "replicate"


class ReplicationPad2d(_Pad):
    """(n, c, h, w), with or without n: the edges repeated."""

    axes, mode = 2, "replicate"


class ReplicationPad3d(_Pad):
    """(n, c, d, h, w), with or without n: the edges repeated."""

    axes, mode = 3, "replicate"


class CircularPad1d(_Pad):
    """(n, c, w), with or without n: the image repeated."""

    axes, mode = 1, "circular"


class CircularPad2d(_Pad):
    """(n, c, h, w), with or without n: the image repeated."""

    axes, mode = 2, "circular"


class CircularPad3d(_Pad):
    """(n, c, d, h, w), with or without n: the image repeated."""

    axes, mode = 3, "circular"
