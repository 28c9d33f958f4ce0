"""Names where PyTorch's users look for them."""

from pydl.utils import checkpoint, data

__all__ = ["checkpoint", "data"]
