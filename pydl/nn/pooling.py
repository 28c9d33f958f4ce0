"""Pooling layers."""

from collections.abc import Callable, Sequence
from typing import Any, ClassVar

from pydl.nn import functional as F
from pydl.nn.functional.pooling import Output
from pydl.nn.module import Module
from pydl.ops.pool import Sizes
from pydl.tensor import Tensor

__all__ = [
    "AdaptiveAvgPool1d",
    "AdaptiveAvgPool2d",
    "AdaptiveAvgPool3d",
    "AdaptiveMaxPool1d",
    "AdaptiveMaxPool2d",
    "AdaptiveMaxPool3d",
    "AvgPool1d",
    "AvgPool2d",
    "AvgPool3d",
    "FractionalMaxPool2d",
    "FractionalMaxPool3d",
    "LPPool1d",
    "LPPool2d",
    "LPPool3d",
    "MaxPool1d",
    "MaxPool2d",
    "MaxPool3d",
    "MaxUnpool1d",
    "MaxUnpool2d",
    "MaxUnpool3d",
]


class _Pool(Module):
    """Windows of kernel_size, `stride` apart."""

    def __init__(self, kernel_size: Sizes, stride: Sizes | None) -> None:
        super().__init__()
        self.kernel_size = kernel_size
        self.stride = kernel_size if stride is None else stride


class _MaxPool(_Pool):
    function: ClassVar[Callable[..., Tensor | tuple[Tensor, Tensor]]]

    def __init__(
        self,
        kernel_size: Sizes,
        stride: Sizes | None = None,
        padding: Sizes = 0,
        dilation: Sizes = 1,
        return_indices: bool = False,
        ceil_mode: bool = False,
    ) -> None:
        super().__init__(kernel_size, stride)
        self.padding, self.dilation, self.return_indices, self.ceil_mode = padding, dilation, return_indices, ceil_mode

    def forward(self, x: Tensor) -> Tensor | tuple[Tensor, Tensor]:
        """(N, C, spatial...) or (C, spatial...), pooled over the spatial axes."""
        return self.function(
            x, self.kernel_size, self.stride, self.padding, self.dilation, self.ceil_mode, self.return_indices
        )

    def extra_repr(self) -> str:
        """The settings, as PyTorch prints them."""
        return (
            f"kernel_size={self.kernel_size}, stride={self.stride}, padding={self.padding}, "
            f"dilation={self.dilation}, ceil_mode={self.ceil_mode}"
        )


class _AvgPool(_Pool):
    function: ClassVar[Callable[..., Tensor]]

    def __init__(
        self,
        kernel_size: Sizes,
        stride: Sizes | None = None,
        padding: Sizes = 0,
        ceil_mode: bool = False,
        count_include_pad: bool = True,
        divisor_override: int | None = None,
    ) -> None:
        super().__init__(kernel_size, stride)
        self.padding, self.ceil_mode, self.count_include_pad = padding, ceil_mode, count_include_pad
        self.divisor_override = divisor_override

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, spatial...) or (C, spatial...), pooled over the spatial axes."""
        window = (self.kernel_size, self.stride, self.padding)
        return self.function(x, *window, self.ceil_mode, self.count_include_pad, self.divisor_override)

    def extra_repr(self) -> str:
        """The settings, as PyTorch prints them."""
        return f"kernel_size={self.kernel_size}, stride={self.stride}, padding={self.padding}"


class _LPPool(Module):
    function: ClassVar[Callable[..., Tensor]]

    def __init__(
        self, norm_type: float, kernel_size: Sizes, stride: Sizes | None = None, ceil_mode: bool = False
    ) -> None:
        super().__init__()
        self.norm_type, self.kernel_size, self.stride, self.ceil_mode = norm_type, kernel_size, stride, ceil_mode

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, spatial...) or (C, spatial...), pooled over the spatial axes."""
        return self.function(x, self.norm_type, self.kernel_size, self.stride, self.ceil_mode)

    def extra_repr(self) -> str:
        """The settings, as PyTorch prints them."""
        return (
            f"norm_type={self.norm_type}, kernel_size={self.kernel_size}, stride={self.stride}, "
            f"ceil_mode={self.ceil_mode}"
        )


class _MaxUnpool(_Pool):
    function: ClassVar[Callable[..., Tensor]]

    def __init__(self, kernel_size: Sizes, stride: Sizes | None = None, padding: Sizes = 0) -> None:
        super().__init__(kernel_size, stride)
        self.padding = padding

    def forward(self, x: Tensor, indices: Tensor, output_size: Sequence[int] | None = None) -> Tensor:
        """x and its indices, as the pooling with return_indices=True gave them."""
        return self.function(x, indices, self.kernel_size, self.stride, self.padding, output_size)

    def extra_repr(self) -> str:
        """The settings."""
        return f"kernel_size={self.kernel_size}, stride={self.stride}, padding={self.padding}"


class _Adaptive(Module):
    function: ClassVar[Callable[..., Any]]

    def __init__(self, output_size: Output) -> None:
        super().__init__()
        self.output_size = output_size

    def forward(self, x: Tensor) -> Any:
        """(N, C, spatial...) or (C, spatial...), pooled over the spatial axes."""
        return self.function(x, self.output_size)

    def extra_repr(self) -> str:
        """The settings."""
        return f"output_size={self.output_size}"


class _AdaptiveMaxPool(_Adaptive):
    function: ClassVar[Callable[..., Tensor | tuple[Tensor, Tensor]]]

    def __init__(self, output_size: Output, return_indices: bool = False) -> None:
        super().__init__(output_size)
        self.return_indices = return_indices

    def forward(self, x: Tensor) -> Tensor | tuple[Tensor, Tensor]:
        """(N, C, spatial...) or (C, spatial...), pooled over the spatial axes."""
        return self.function(x, self.output_size, self.return_indices)


class _Fractional(Module):
    function: ClassVar[Callable[..., Tensor | tuple[Tensor, Tensor]]]

    def __init__(
        self,
        kernel_size: Sizes,
        output_size: Sizes | None = None,
        output_ratio: float | Sequence[float] | None = None,
        return_indices: bool = False,
        _random_samples: Tensor | None = None,
    ) -> None:
        super().__init__()
        self.kernel_size, self.output_size, self.output_ratio = kernel_size, output_size, output_ratio
        self.return_indices, self._random_samples = return_indices, _random_samples

    def forward(self, x: Tensor) -> Tensor | tuple[Tensor, Tensor]:
        """(N, C, spatial...) or (C, spatial...), pooled over the spatial axes."""
        return self.function(
            x, self.kernel_size, self.output_size, self.output_ratio, self.return_indices, self._random_samples
        )


class MaxPool1d(_MaxPool):
    """The largest of each window of (N, C, L)."""

    function = staticmethod(F.max_pool1d)


class AvgPool1d(_AvgPool):
    """The mean of each window of (N, C, L)."""

    def __init__(
        self,
        kernel_size: Sizes,
        stride: Sizes | None = None,
        padding: Sizes = 0,
        ceil_mode: bool = False,
        count_include_pad: bool = True,
    ) -> None:
        super().__init__(kernel_size, stride, padding, ceil_mode, count_include_pad)

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, L) or (C, L), pooled over the last axis."""
        return F.avg_pool1d(x, self.kernel_size, self.stride, self.padding, self.ceil_mode, self.count_include_pad)


class AdaptiveMaxPool1d(_AdaptiveMaxPool):
    """The largest of parts of nearly equal size of (N, C, L), as many as output_size says."""

    function = staticmethod(F.adaptive_max_pool1d)


class AdaptiveAvgPool1d(_Adaptive):
    """The mean of parts of nearly equal size of (N, C, L), as many as output_size says."""

    function = staticmethod(F.adaptive_avg_pool1d)


class LPPool1d(_LPPool):
    """The p-norm of each window of (N, C, L)."""

    function = staticmethod(F.lp_pool1d)


class MaxUnpool1d(_MaxUnpool):
    """Puts the maxima of MaxPool1d back in their places, among zeros."""

    function = staticmethod(F.max_unpool1d)


class MaxPool2d(_MaxPool):
    """The largest of each window of (N, C, H, W)."""

    function = staticmethod(F.max_pool2d)


class AvgPool2d(_AvgPool):
    """The mean of each window of (N, C, H, W)."""

    function = staticmethod(F.avg_pool2d)


class AdaptiveMaxPool2d(_AdaptiveMaxPool):
    """The largest of parts of nearly equal size of (N, C, H, W), as many as output_size says."""

    function = staticmethod(F.adaptive_max_pool2d)


class AdaptiveAvgPool2d(_Adaptive):
    """The mean of parts of nearly equal size of (N, C, H, W), as many as output_size says."""

    function = staticmethod(F.adaptive_avg_pool2d)


class LPPool2d(_LPPool):
    """The p-norm of each window of (N, C, H, W)."""

    function = staticmethod(F.lp_pool2d)


class MaxUnpool2d(_MaxUnpool):
    """Puts the maxima of MaxPool2d back in their places, among zeros."""

    function = staticmethod(F.max_unpool2d)


class MaxPool3d(_MaxPool):
    """The largest of each window of (N, C, D, H, W)."""

    function = staticmethod(F.max_pool3d)


class AvgPool3d(_AvgPool):
    """The mean of each window of (N, C, D, H, W)."""

    function = staticmethod(F.avg_pool3d)


class AdaptiveMaxPool3d(_AdaptiveMaxPool):
    """The largest of parts of nearly equal size of (N, C, D, H, W), as many as output_size says."""

    function = staticmethod(F.adaptive_max_pool3d)


class AdaptiveAvgPool3d(_Adaptive):
    """The mean of parts of nearly equal size of (N, C, D, H, W), as many as output_size says."""

    function = staticmethod(F.adaptive_avg_pool3d)


class LPPool3d(_LPPool):
    """The p-norm of each window of (N, C, D, H, W)."""

    function = staticmethod(F.lp_pool3d)


class MaxUnpool3d(_MaxUnpool):
    """Puts the maxima of MaxPool3d back in their places, among zeros."""

    function = staticmethod(F.max_unpool3d)


class FractionalMaxPool2d(_Fractional):
    """The largest of windows of (N, C, H, W) at random distances (Graham 2014)."""

    function = staticmethod(F.fractional_max_pool2d)


class FractionalMaxPool3d(_Fractional):
    """The largest of windows of (N, C, D, H, W) at random distances (Graham 2014)."""

    function = staticmethod(F.fractional_max_pool3d)
