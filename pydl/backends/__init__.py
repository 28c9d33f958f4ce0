"""Switches of what kernels may do, under PyTorch's names.

`cuda.matmul.allow_tf32` is for matrix products, `cudnn.allow_tf32` for convolutions, whose kernels are the library's
own as all others. Both are False at first; PyTorch's second one is True.
"""

from pydl.backends import cuda
from pydl.backends.precision import convolution as cudnn

__all__ = ["cuda", "cudnn"]
