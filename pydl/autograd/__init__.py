"""Gradients: recording, the walk back, and tools around them."""

from pydl.autograd.anomaly import detect_anomaly, set_detect_anomaly
from pydl.autograd.checkpoint import checkpoint
from pydl.autograd.engine import backward, grad
from pydl.autograd.function import Function
from pydl.autograd.gradcheck import GradcheckError, gradcheck, gradgradcheck
from pydl.autograd.mode import (
    enable_grad,
    inference_mode,
    is_grad_enabled,
    is_inference_mode_enabled,
    no_grad,
    set_grad_enabled,
)

__all__ = [
    "Function",
    "GradcheckError",
    "backward",
    "checkpoint",
    "detect_anomaly",
    "enable_grad",
    "grad",
    "gradcheck",
    "gradgradcheck",
    "inference_mode",
    "is_grad_enabled",
    "is_inference_mode_enabled",
    "no_grad",
    "set_detect_anomaly",
    "set_grad_enabled",
]


def __getattr__(name: str) -> object:
    """functional stands on pydl.func, which stands on this package: it is imported when it is first named."""
    if name != "functional":
        raise AttributeError(f"module 'pydl.autograd' has no attribute {name!r}")
    import importlib

    return importlib.import_module("pydl.autograd.functional")
