"""save and load: trees of tensors in safetensors files, never pickle."""

from pydl.serialize.loading import load
from pydl.serialize.saving import save
from pydl.serialize.shards import save_sharded

__all__ = ["load", "save", "save_sharded"]
