"""pydl: deep learning with hand-written kernels; PyTorch's names, numpy the only requirement."""

from pydl import _openmp  # noqa: I001  first: it decides how OpenMP waits
from pydl import amp, autograd, cuda, errors, nn, ops, optim
from pydl._C import bfloat16, bool, device, dtype, float16, float32, float64, int32, int64, promote_types, uint8
from pydl.amp import autocast
from pydl.autograd import (
    enable_grad,
    inference_mode,
    is_grad_enabled,
    is_inference_mode_enabled,
    no_grad,
    set_grad_enabled,
)
from pydl.ops import methods as _methods
from pydl.ops import *
from pydl.printing import get_printoptions, set_printoptions
from pydl.replay import capture, profile
from pydl.runtime import empty_cache, get_num_threads, memory_stats, reset_peak_memory_stats, set_num_threads
from pydl.serialize import load, save
from pydl.tensor import Tensor
from pydl.version import __version__

__all__ = [
    "Tensor",
    "__version__",
    "amp",
    "autocast",
    "autograd",
    "bfloat16",
    "bool",
    "capture",
    "cuda",
    "device",
    "dtype",
    "empty_cache",
    "enable_grad",
    "errors",
    "float16",
    "float32",
    "float64",
    "get_num_threads",
    "get_printoptions",
    "inference_mode",
    "int32",
    "int64",
    "is_grad_enabled",
    "is_inference_mode_enabled",
    "load",
    "memory_stats",
    "nn",
    "no_grad",
    "optim",
    "profile",
    "promote_types",
    "reset_peak_memory_stats",
    "save",
    "set_grad_enabled",
    "set_num_threads",
    "set_printoptions",
    "uint8",
]
__all__ += ops.__all__

_LATER = (
    "data",
    "func",
    "linalg",
    "linear_model",
    "models",
    "preprocessing",
    "signal",
    "sklearn",
    "special",
    "theory",
    "train",
    "utils",
    "vision",
    "xp",
)


def __getattr__(name: str) -> object:
    """Packages that a program may not need are imported when they are first named: importing pydl stays cheap."""
    if name not in _LATER:
        raise AttributeError(f"module 'pydl' has no attribute {name!r}")
    import importlib

    return importlib.import_module(f"pydl.{name}")
