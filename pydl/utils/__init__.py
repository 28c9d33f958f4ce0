"""Names where PyTorch's users look for them, and what a network sees and costs."""

from pydl.utils import checkpoint, data, network

__all__ = ["checkpoint", "data", "network"]
