"""What the tests of recorded functions share: tensors, and results as bits."""

from typing import Any

import numpy as np

import pydl


def normal(*shape: int, seed: int = 0) -> pydl.Tensor:
    return pydl.tensor(np.random.default_rng(seed).standard_normal(shape).astype(np.float32))


def integers(high: int, *shape: int, seed: int = 0) -> pydl.Tensor:
    return pydl.tensor(np.random.default_rng(seed).integers(0, high, shape))


def bits(tree: Any) -> Any:
    if isinstance(tree, pydl.Tensor):
        return tree.detach().contiguous().numpy().tobytes()
    return [bits(x) for x in tree] if isinstance(tree, (tuple, list)) else tree
