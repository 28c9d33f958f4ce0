"""Dropout layers. p is the probability of dropping; outside training they let everything through (see `mode`)."""

from pydl import ops
from pydl.nn import functional as F
from pydl.nn.drop_schedule import DropSchedule
from pydl.nn.functional.dropout import check_mode, check_probability
from pydl.nn.module import Module
from pydl.tensor import Tensor

__all__ = ["AlphaDropout", "Dropout", "Dropout1d", "Dropout2d", "Dropout3d", "FeatureAlphaDropout"]


class _Dropout(Module):
    """p: a number, or a `DropSchedule`, whose value of the moment counts."""

    def __init__(self, p: float | DropSchedule = 0.5, inplace: bool = False) -> None:
        super().__init__()
        if not isinstance(p, DropSchedule):
            check_probability(type(self).__name__, p)
        self.p, self.inplace = p, inplace

    def _rate(self) -> float:
        return self.p.value if isinstance(self.p, DropSchedule) else self.p

    def extra_repr(self) -> str:
        """Settings."""
        return f"p={self.p}, inplace={self.inplace}"


class Dropout(_Dropout):
    """Each element becomes 0 with probability p in training.

    Args:
        p: a number, or a `DropSchedule` that moves it while training goes on.
        inplace: accepted, without effect.
        mode: 'inverted' divides what is kept by 1 - p in training; 'original' multiplies by 1 - p outside training.
    """

    def __init__(self, p: float | DropSchedule = 0.5, inplace: bool = False, *, mode: str = "inverted") -> None:
        super().__init__(p, inplace)
        check_mode("Dropout", mode)
        self.mode = mode

    def forward(self, input: Tensor) -> Tensor:
        """(...) -> (...)."""
        if self.mode == "inverted":
            return ops.dropout(input, self._rate(), self.training)
        return F.dropout(input, self._rate(), self.training, mode=self.mode)

    def extra_repr(self) -> str:
        """Settings."""
        text = super().extra_repr()
        return text if self.mode == "inverted" else f"{text}, mode={self.mode!r}"


class Dropout1d(_Dropout):
    """(n, c, l) or (c, l): drops whole channels."""

    def forward(self, input: Tensor) -> Tensor:
        """The same shape."""
        return F.dropout1d(input, self._rate(), self.training)


class Dropout2d(_Dropout):
    """(n, c, h, w) or (n, c, l): drops whole channels."""

    def forward(self, input: Tensor) -> Tensor:
        """The same shape."""
        return F.dropout2d(input, self._rate(), self.training)


class Dropout3d(_Dropout):
    """(n, c, d, h, w) or (c, d, h, w): drops whole channels."""

    def forward(self, input: Tensor) -> Tensor:
        """The same shape."""
        return F.dropout3d(input, self._rate(), self.training)


class AlphaDropout(_Dropout):
    """Dropout that keeps mean 0 and variance 1 behind selu."""

    def forward(self, input: Tensor) -> Tensor:
        """(...) -> (...)."""
        return F.alpha_dropout(input, self._rate(), self.training)


class FeatureAlphaDropout(_Dropout):
    """AlphaDropout of whole channels (n, c, ...)."""

    def forward(self, input: Tensor) -> Tensor:
        """The same shape."""
        return F.feature_alpha_dropout(input, self._rate(), self.training)
