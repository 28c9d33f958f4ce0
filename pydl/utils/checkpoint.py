"""pydl.utils.checkpoint.checkpoint, as in PyTorch."""

from pydl.autograd.checkpoint import checkpoint

__all__ = ["checkpoint"]
