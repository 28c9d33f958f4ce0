"""Softmax and its kin, and the gated linear unit, as modules."""

from pydl import ops
from pydl.errors import ShapeError
from pydl.nn import functional as F
from pydl.nn.activation import Activation
from pydl.tensor import Tensor

__all__ = ["GLU", "LogSoftmax", "Softmax", "Softmax2d", "Softmin"]


class GLU(Activation):
    """The first half along dim times the sigmoid of the second."""

    shown = ("dim",)

    def __init__(self, dim: int = -1) -> None:
        super().__init__()
        self.dim = dim

    def forward(self, input: Tensor) -> Tensor:
        """Half as large along dim."""
        return ops.glu(input, self.dim)


class _Along(Activation):
    shown = ("dim",)

    def __init__(self, dim: int | None = None) -> None:
        super().__init__()
        self.dim = dim


class Softmax(_Along):
    """exp(x) / sum(exp(x)) along dim."""

    def forward(self, input: Tensor) -> Tensor:
        """(...) -> (...)."""
        return F.softmax(input, self.dim)


class LogSoftmax(_Along):
    """log(softmax(x)) along dim."""

    def forward(self, input: Tensor) -> Tensor:
        """(...) -> (...)."""
        return F.log_softmax(input, self.dim)


class Softmin(_Along):
    """softmax(-x) along dim."""

    def forward(self, input: Tensor) -> Tensor:
        """(...) -> (...)."""
        return F.softmin(input, self.dim)


class Softmax2d(Activation):
    """softmax over the channels of (n, c, h, w) or (c, h, w)."""

    def forward(self, input: Tensor) -> Tensor:
        """The same shape."""
        if input.ndim not in (3, 4):
            raise ShapeError(f"Softmax2d: expected 3 or 4 axes, got shape {input.shape}")
        return ops.softmax(input, -3)
