"""CUDA devices: whether there are any, and if not, why."""

from pydl import _C

__all__ = ["device_count", "is_available", "reason"]


def is_available() -> bool:
    """Whether a CUDA device can be used."""
    return not _C.cuda_missing()


def device_count() -> int:
    """The number of CUDA devices that can be used."""
    return int(is_available())


def reason() -> str:
    """Why no CUDA device can be used; empty if one can."""
    return _C.cuda_missing()
