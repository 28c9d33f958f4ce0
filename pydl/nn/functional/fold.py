"""Windows of images as columns, and back."""

from pydl.errors import ShapeError
from pydl.ops.pool import Sizes, sizes
from pydl.ops.resample import Fold, Unfold
from pydl.tensor import Tensor

__all__ = ["fold", "unfold"]


def _window(op: str, kernel: Sizes, dilation: Sizes, padding: Sizes, stride: Sizes) -> dict[str, tuple[int, ...]]:
    return {
        "kernel": sizes(op, "kernel_size", kernel, 2),
        "dilation": sizes(op, "dilation", dilation, 2),
        "padding": sizes(op, "padding", padding, 2),
        "stride": sizes(op, "stride", stride, 2),
    }


def unfold(input: Tensor, kernel_size: Sizes, dilation: Sizes = 1, padding: Sizes = 0, stride: Sizes = 1) -> Tensor:
    """(n, c, h, w) to (n, c kh kw, windows): every window of the zero-padded image as a column.

    Also (c, h, w) to (c kh kw, windows). Convolution is a product with these columns.
    """
    window = _window("unfold", kernel_size, dilation, padding, stride)
    if input.ndim not in (3, 4):
        raise ShapeError(f"unfold: expected (n, c, h, w) or (c, h, w), got shape {input.shape}")
    if input.ndim == 3:
        return Unfold.apply(input.unsqueeze(0), **window).squeeze(0)
    return Unfold.apply(input, **window)


def fold(
    input: Tensor,
    output_size: Sizes,
    kernel_size: Sizes,
    dilation: Sizes = 1,
    padding: Sizes = 0,
    stride: Sizes = 1,
) -> Tensor:
    """(n, c kh kw, windows) to (n, c, *output_size): columns put back as windows, summed where they overlap.

    Also (c kh kw, windows) to (c, *output_size). The transpose of `unfold`.
    """
    window = _window("fold", kernel_size, dilation, padding, stride)
    window["output"] = sizes("fold", "output_size", output_size, 2)
    if min(window["output"]) < 1:
        raise ShapeError(f"fold: expected an output_size greater than 0, got {output_size}")
    if input.ndim not in (2, 3):
        raise ShapeError(f"fold: expected (n, c * kernel, windows) or without n, got shape {input.shape}")
    if input.ndim == 2:
        return Fold.apply(input.unsqueeze(0), **window).squeeze(0)
    return Fold.apply(input, **window)
