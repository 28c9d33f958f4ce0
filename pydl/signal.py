"""Convolution and correlation of signals with kernels, as in scipy.signal; differentiable to any order."""

from pydl import ops
from pydl.errors import ArgumentError, DtypeError, ShapeError
from pydl.tensor import Tensor

__all__ = ["convolve", "correlate"]


def convolve(in1: Tensor, in2: Tensor, mode: str = "full") -> Tensor:
    """sum_u in1(u) in2(n - u), over one to three axes.

    Args:
        in1, in2: tensors of the same number of axes; floating.
        mode: 'full': wherever they overlap; 'same': the middle of it, of in1's shape; 'valid': where one lies within
            the other.
    Raises: ArgumentError, ShapeError, DtypeError.
    """
    small, large, shape = _checked("convolve", in1, in2, mode)
    axes, turned = list(range(small.ndim)), small.shape
    padding = [0] * small.ndim if mode == "valid" else [k - 1 for k in turned]
    kernel = ops.flip(small, axes)[None, None]
    y = (ops.conv1d, ops.conv2d, ops.conv3d)[small.ndim - 1](large[None, None], kernel, None, 1, padding)[0, 0]
    if mode == "same":
        cuts = [(whole - part) // 2 for whole, part in zip(y.shape, shape, strict=True)]
        y = y[tuple(slice(cut, cut + part) for cut, part in zip(cuts, shape, strict=True))]
    return y


def correlate(in1: Tensor, in2: Tensor, mode: str = "full") -> Tensor:
    """sum_u in1(u + n) in2(u): `convolve` with in2 turned around. A convolutional layer does this in mode 'valid'."""
    _checked("correlate", in1, in2, mode)
    return convolve(in1, ops.flip(in2, list(range(in2.ndim))), mode)


def _checked(op: str, in1: Tensor, in2: Tensor, mode: str) -> tuple[Tensor, Tensor, tuple[int, ...]]:
    """The smaller tensor, the larger one, the shape of in1."""
    if mode not in ("full", "same", "valid"):
        raise ArgumentError(f"{op}: mode must be 'full', 'same' or 'valid', got {mode!r}")
    if in1.ndim != in2.ndim or not 1 <= in1.ndim <= 3 or 0 in (*in1.shape, *in2.shape):
        raise ShapeError(
            f"{op}: in1 {in1.shape} and in2 {in2.shape}: expected one to three axes, equally many, not empty"
        )
    if in1.dtype != in2.dtype or not in1.is_floating_point():
        raise DtypeError(f"{op}: in1 is {in1.dtype} and in2 {in2.dtype}: expected one floating dtype")
    within = [a >= b for a, b in zip(in1.shape, in2.shape, strict=True)]
    if mode == "valid" and not all(within) and any(a > b for a, b in zip(in1.shape, in2.shape, strict=True)):
        raise ShapeError(f"{op}: in1 {in1.shape} and in2 {in2.shape}: expected one to fit within the other")
    return (in2, in1, in1.shape) if all(within) or mode != "valid" else (in1, in2, in1.shape)
