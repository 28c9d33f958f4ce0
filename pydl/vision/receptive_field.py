"""The part of the image that one output of a chain of convolutions and poolings reads."""

from collections.abc import Iterator
from typing import Any, NamedTuple

from pydl import nn
from pydl.errors import ArgumentError
from pydl.nn import activation, dropout

__all__ = ["ReceptiveField", "receptive_field"]

_CONVS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)
_POOLS = (nn.MaxPool1d, nn.MaxPool2d, nn.MaxPool3d, nn.AvgPool1d, nn.AvgPool2d, nn.AvgPool3d)
_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)
_POINTWISE = tuple(getattr(module, name) for module in (activation, dropout) for name in module.__all__)


class ReceptiveField(NamedTuple):
    """Of each axis: output i reads the inputs from start + i jump to start + i jump + size - 1.

    Attributes: size: how many inputs.   jump: by how many neighbours are apart.   start: of output 0; below 0 in the
        padding.
    """

    size: tuple[int, ...]
    jump: tuple[int, ...]
    start: tuple[int, ...]


def receptive_field(model: nn.Module) -> ReceptiveField:
    """The receptive field of the outputs of a chain: convolutions, poolings, batch norms and pointwise layers.

    With kernels of k, dilation d, padding p and stride s, layer after layer: size += (k - 1) d jump,
    start -= p jump, jump *= s.
    Args: model: a layer, or (nested) nn.Sequential. Batch norms count as pointwise, as they are in evaluation mode.
    Raises: ArgumentError for a layer that is none of these, and for layers of different numbers of axes.
    """
    windows = [window for layer in _layers(model) for window in _window(layer)]
    if not windows:
        raise ArgumentError("receptive_field: expected a convolution or pooling at least")
    axes = len(windows[0][0])
    size, jump, start = [1] * axes, [1] * axes, [0] * axes
    for kernel, stride, padding, dilation in windows:
        if len(kernel) != axes:
            raise ArgumentError(f"receptive_field: layers of {axes} and of {len(kernel)} axes: expected the same")
        for i in range(axes):
            size[i] += (kernel[i] - 1) * dilation[i] * jump[i]
            start[i] -= padding[i] * jump[i]
            jump[i] *= stride[i]
    return ReceptiveField(tuple(size), tuple(jump), tuple(start))


def _layers(model: nn.Module) -> Iterator[nn.Module]:
    if isinstance(model, nn.Sequential):
        for part in model:
            yield from _layers(part)
    else:
        yield model


def _window(layer: Any) -> list[list[tuple[int, ...]]]:
    """Kernel, stride, padding and dilation of a layer that has a window, each with a number for each axis."""
    if isinstance(layer, _CONVS):
        padding: Any = 0 if layer.padding == "valid" else layer.padding
        if padding == "same":
            padding = tuple(d * (k - 1) // 2 for k, d in zip(layer.kernel_size, layer.dilation, strict=True))
        settings: tuple[Any, ...] = (layer.kernel_size, layer.stride, padding, layer.dilation)
        axes = _CONVS.index(next(kind for kind in _CONVS if isinstance(layer, kind))) + 1
    elif isinstance(layer, _POOLS):
        settings = (layer.kernel_size, layer.stride, layer.padding, getattr(layer, "dilation", 1))
        axes = _POOLS.index(next(kind for kind in _POOLS if isinstance(layer, kind))) % 3 + 1
    elif isinstance(layer, (nn.Identity, *_NORMS, *_POINTWISE)):
        return []
    else:
        raise ArgumentError(
            f"receptive_field: {type(layer).__name__} has none: expected a chain of convolutions, poolings, batch "
            "norms and pointwise layers"
        )
    return [[(part,) * axes if isinstance(part, int) else tuple(part) for part in settings]]
