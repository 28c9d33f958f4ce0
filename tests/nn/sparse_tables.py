"""What the tests of sparse gradients share: a sparse tensor, and tables of both libraries."""

from typing import Any

import numpy as np

import pydl
from pydl import nn

ROWS, WIDTH = 9, 3
IDS = np.array([[1, 7, 1], [4, 4, 1]])
TABLE = np.random.default_rng(0).standard_normal((ROWS, WIDTH))
INDEX, VALUES = [[1, 3, 1]], np.array([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]])
DENSE = np.array([[0, 0], [6, 8], [0, 0], [3, 4], [0, 0]], np.float64)


def example(**more: Any) -> pydl.Tensor:
    return pydl.sparse_coo_tensor(INDEX, VALUES, (5, 2), **more)


def tables(torch: Any, dtype: str = "float64", kind: str = "Embedding", **options: Any) -> tuple[Any, Any]:
    """The same sparse table of both libraries."""
    ours, theirs = getattr(pydl, dtype), getattr(torch, dtype)
    return (
        getattr(nn, kind)(ROWS, WIDTH, sparse=True, _weight=pydl.tensor(TABLE, dtype=ours), **options),
        getattr(torch.nn, kind)(ROWS, WIDTH, sparse=True, _weight=torch.tensor(TABLE, dtype=theirs), **options),
    )


def close(ours: Any, theirs: Any, tolerance: float = 1e-12) -> None:
    np.testing.assert_allclose(ours.detach().numpy(), theirs.detach().numpy(), tolerance, tolerance)
