"""Names where PyTorch's users look for them, and what a network sees and costs."""

from pydl.utils import checkpoint, counting, data, network

__all__ = ["checkpoint", "counting", "data", "network"]
