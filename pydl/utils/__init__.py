"""Names where PyTorch's users look for them."""

from pydl import data
from pydl.utils import checkpoint

__all__ = ["checkpoint", "data"]
