"""The arithmetic of shapes."""

from pydl.ops.conv import Sizes, windows

__all__ = ["conv_out_size"]


def conv_out_size(
    size: Sizes, kernel_size: Sizes, stride: Sizes = 1, padding: Sizes | str = 0, dilation: Sizes = 1
) -> int | tuple[int, ...]:
    """The size of what a convolution or pooling window of these settings makes of an axis, or of several.

    floor((size + 2 padding - dilation (kernel_size - 1) - 1) / stride) + 1, with PyTorch's meaning of each argument;
    a number where size is one, else a tuple. Raises: ShapeError where the kernel does not fit, ArgumentError.
    """
    image = (size,) if isinstance(size, int) else tuple(size)
    kernel = (kernel_size,) * len(image) if isinstance(kernel_size, int) else tuple(kernel_size)
    made = windows("conv_out_size", image, kernel, stride, padding, dilation).size
    return made[0] if isinstance(size, int) else made
