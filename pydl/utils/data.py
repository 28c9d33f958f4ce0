"""pydl.utils.data, as in PyTorch: the same names as pydl.data."""

from pydl.data import *  # noqa: F403
from pydl.data import __all__ as __all__
