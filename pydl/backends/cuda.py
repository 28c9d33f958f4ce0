"""Switches for CUDA's matrix products: `pydl.backends.cuda.matmul.allow_tf32`."""

from pydl.backends.precision import matmul

__all__ = ["matmul"]
