"""Architectures."""

from pydl.models.mlp import MLP

__all__ = ["MLP"]
