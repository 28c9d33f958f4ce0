"""pydl: deep learning with hand-written kernels; PyTorch's names, numpy the only requirement."""

from pydl import _openmp  # noqa: I001  first: it decides how OpenMP waits
from pydl import autograd, cuda, errors, ops
from pydl._C import bfloat16, bool, device, dtype, float16, float32, float64, int32, int64, promote_types, uint8
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
from pydl.runtime import empty_cache, get_num_threads, memory_stats, reset_peak_memory_stats, set_num_threads
from pydl.sparse import sparse_coo_tensor  # its methods are attached as it is imported
from pydl.tensor import Tensor
from pydl.version import __version__

__all__ = [
    "Tensor",
    "__version__",
    "amp",
    "autocast",
    "autograd",
    "backends",
    "bfloat16",
    "bool",
    "capture",
    "cuda",
    "device",
    "dtype",
    "empty_cache",
    "enable_grad",
    "errors",
    "export",
    "float16",
    "float32",
    "float64",
    "get_float32_matmul_precision",
    "get_num_threads",
    "get_printoptions",
    "inference_mode",
    "int32",
    "int64",
    "is_grad_enabled",
    "is_inference_mode_enabled",
    "load",
    "load_plan",
    "memory_stats",
    "nn",
    "no_grad",
    "optim",
    "profile",
    "promote_types",
    "reset_peak_memory_stats",
    "save",
    "save_sharded",
    "set_float32_matmul_precision",
    "set_grad_enabled",
    "set_num_threads",
    "set_printoptions",
    "sparse_coo_tensor",
    "uint8",
]
__all__ += ops.__all__

# What a program may not need, and the module that has it.
_PACKAGES = """
    amp backends data func linalg linear_model models nn optim preprocessing signal sklearn sparse special theory train
    utils vision xp
"""
_LATER = {name: f"pydl.{name}" for name in _PACKAGES.split()} | {
    "autocast": "pydl.amp",
    "capture": "pydl.replay",
    "export": "pydl.replay",
    "get_float32_matmul_precision": "pydl.backends.precision",
    "load": "pydl.serialize",
    "load_plan": "pydl.replay",
    "profile": "pydl.replay",
    "save": "pydl.serialize",
    "save_sharded": "pydl.serialize",
    "set_float32_matmul_precision": "pydl.backends.precision",
}


def __getattr__(name: str) -> object:
    """What a program may not need is imported when it is first named: importing pydl stays cheap."""
    home = _LATER.get(name)
    if home is None:
        raise AttributeError(f"module 'pydl' has no attribute {name!r}")
    import importlib

    module = importlib.import_module(home)
    globals()[name] = found = module if home == f"pydl.{name}" else getattr(module, name)
    return found


def __dir__() -> list[str]:
    return [*globals(), *_LATER]
