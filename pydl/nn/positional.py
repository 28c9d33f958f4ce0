"""Where a token stands: sinusoidal and learned positions that are added, and rotary ones that turn queries and keys."""

import numpy as np

from pydl import _C, ops
from pydl.errors import ArgumentError, BoundsError, ShapeError
from pydl.nn import init
from pydl.nn.dropout import Dropout
from pydl.nn.module import Module
from pydl.nn.parameter import Parameter
from pydl.ops.create import DeviceLike, default_dtype
from pydl.tensor import Tensor

__all__ = ["PositionalEncoding", "RotaryEmbedding"]


def _angles(length: int, width: int, base: float) -> np.ndarray:
    """(length, width / 2): place times base^(-2 i / width), in float64."""
    return np.outer(np.arange(length), base ** (-2 * np.arange((width + 1) // 2) / max(width, 1)))


class PositionalEncoding(Module):
    """Adds to each token a vector for its place.

    Args:
        d_model: features of a token.
        kind: 'sin': sines and cosines of wavelengths from 2 pi to 10000 * 2 pi, so that the vector k places on is a
            linear map of this one; 'learned': a table, N(0, 0.02^2) at first.
        max_len: the number of places.
        dropout: of the sum, in training.
        batch_first: (n, l, d_model) instead of (l, n, d_model).
    Attributes: table (max_len, d_model): a buffer that is not saved, or a parameter.
    Source: Vaswani et al. 2017 (arXiv:1706.03762), section 3.5; Gehring et al. 2017 (arXiv:1705.03122).
    """

    table: Tensor

    def __init__(
        self,
        d_model: int,
        kind: str = "sin",
        max_len: int = 5000,
        dropout: float = 0.0,
        batch_first: bool = True,
        device: DeviceLike = None,
        dtype: _C.dtype | None = None,
    ) -> None:
        super().__init__()
        if kind not in ("sin", "learned"):
            raise ArgumentError(f"PositionalEncoding: kind must be 'sin' or 'learned', got {kind!r}")
        if d_model < 0 or max_len < 0:
            raise ArgumentError(f"PositionalEncoding: sizes must not be negative, got {d_model} and {max_len}")
        self.d_model, self.kind, self.max_len, self.batch_first = d_model, kind, max_len, batch_first
        self.dropout = Dropout(dropout)
        if kind == "learned":
            self.table = Parameter(ops.empty(max_len, d_model, device=device, dtype=dtype))
            init.normal_(self.table, 0.0, 0.02)
        else:
            angles = _angles(max_len, d_model, 10000.0)
            both = np.stack([np.sin(angles), np.cos(angles)], 2).reshape(max_len, -1)[:, :d_model]
            self.register_buffer("table", ops.tensor(both, dtype=dtype or default_dtype()), persistent=False)

    def forward(self, x: Tensor, start: int = 0) -> Tensor:
        """x (n, l, d_model), (l, n, d_model) without batch_first, or (l, d_model), the first token at place `start`."""
        if x.ndim not in (2, 3) or x.shape[-1] != self.d_model:
            raise ShapeError(
                f"PositionalEncoding: expected (n, l, {self.d_model}) or (l, {self.d_model}), got {x.shape}"
            )
        length = x.shape[1] if x.ndim == 3 and self.batch_first else x.shape[0]
        if start < 0 or start + length > self.max_len:
            raise BoundsError(f"PositionalEncoding: places {start}..{start + length}: expected at most {self.max_len}")
        here = self.table[start : start + length]
        y: Tensor = self.dropout(x + (here if x.ndim == 2 or self.batch_first else here.unsqueeze(1)))
        return y

    def extra_repr(self) -> str:
        """Settings."""
        return f"{self.d_model}, kind={self.kind!r}, max_len={self.max_len}"


class RotaryEmbedding(Module):
    """Turns pairs of features by an angle that grows with the place, so that q . k depends on the distance alone.

    Args:
        dim: features of a head; even.
        base: place t turns pair i by t base^(-2 i / dim).
        interleaved: pairs are features 2 i and 2 i + 1 (the paper's way), not i and i + dim / 2 (that of most models).
        max_len: the number of places.
    Source: Su et al. 2021 (arXiv:2104.09864).
    """

    cos: Tensor
    sin: Tensor

    def __init__(
        self,
        dim: int,
        base: float = 10000.0,
        interleaved: bool = False,
        max_len: int = 4096,
        device: DeviceLike = None,
        dtype: _C.dtype | None = None,
    ) -> None:
        super().__init__()
        if dim < 0 or dim % 2:
            raise ArgumentError(f"RotaryEmbedding: dim must be even, got {dim}")
        self.dim, self.base, self.interleaved, self.max_len = dim, base, interleaved, max_len
        angles = _angles(max_len, dim, base)
        for name, values in (("cos", np.cos(angles)), ("sin", np.sin(angles))):
            self.register_buffer(name, ops.tensor(values, dtype=dtype or default_dtype()), persistent=False)

    def forward(self, x: Tensor, start: int = 0) -> Tensor:
        """x (..., l, dim), queries or keys by heads, the first token at place `start`, in the same shape."""
        if x.ndim < 2 or x.shape[-1] != self.dim:
            raise ShapeError(f"RotaryEmbedding: expected (..., l, {self.dim}), got {x.shape}")
        length, half = x.shape[-2], self.dim // 2
        if start < 0 or start + length > self.max_len:
            raise BoundsError(f"RotaryEmbedding: places {start}..{start + length}: expected at most {self.max_len}")
        cos, sin = (t[start : start + length].to(x.dtype) for t in (self.cos, self.sin))
        if not self.interleaved:
            a, b = x[..., :half], x[..., half:]
            return ops.cat([a * cos - b * sin, b * cos + a * sin], -1)
        pairs = x.reshape(*x.shape[:-1], half, 2)
        a, b = pairs[..., 0], pairs[..., 1]
        made: Tensor = ops.stack([a * cos - b * sin, b * cos + a * sin], -1).reshape(x.shape)
        return made

    def extra_repr(self) -> str:
        """Settings."""
        return f"{self.dim}, base={self.base}, interleaved={self.interleaved}"
