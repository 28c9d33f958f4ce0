"""Penalties on the size of weights: what is added to the loss."""

from collections.abc import Iterator

from pydl import ops
from pydl.errors import ArgumentError
from pydl.nn.module import Module
from pydl.tensor import Tensor

__all__ = ["ElasticNetPenalty", "L1Penalty", "L2Penalty"]


class ElasticNetPenalty:
    """l1 sum |w| + l2 / 2 sum w^2 over the weights of a module, ().

        trainer = Trainer(model, loss, optimizer, penalty=nn.ElasticNetPenalty(1e-4, 1e-3))

    The gradient of the second part is l2 w, as with weight_decay=l2 of `optim.SGD`.

    Args:
        l1, l2: how much of each.
        biases: whether parameters with fewer than two axes (biases, scales of normalisations) count too.
    Raises: ArgumentError if l1 or l2 is negative.
    Source: Zou & Hastie 2005; Tibshirani 1996 (l1 alone, the lasso); Hoerl & Kennard 1970 (l2 alone, the ridge).
    """

    def __init__(self, l1: float = 0.0, l2: float = 0.0, *, biases: bool = False) -> None:
        if not (l1 >= 0 and l2 >= 0):
            raise ArgumentError(f"{type(self).__name__}: weights of penalties must be >= 0, got {l1} and {l2}")
        self.l1, self.l2, self.biases = float(l1), float(l2), biases

    def __call__(self, model: Module) -> Tensor:
        """The penalty, which can be differentiated. Raises: ArgumentError if the module has no weights that count."""
        parts = [part for p in model.parameters() if p.ndim > 1 or self.biases for part in self._parts(p)]
        if not parts:
            counted = "parameters" if self.biases else "parameters with two axes or more"
            raise ArgumentError(f"{type(self).__name__}: {type(model).__name__} has no {counted}")
        return ops.stack([part.to(parts[0].dtype) for part in parts]).sum()

    def _parts(self, p: Tensor) -> Iterator[Tensor]:
        if self.l1 or not self.l2:
            yield self.l1 * p.abs().sum()
        if self.l2:
            yield (0.5 * self.l2) * (p * p).sum()

    def __repr__(self) -> str:
        return f"{type(self).__name__}(l1={self.l1}, l2={self.l2}, biases={self.biases})"


class L1Penalty(ElasticNetPenalty):
    """weight times the sum of |w|: small weights become 0. Args: as of `ElasticNetPenalty`."""

    def __init__(self, weight: float, *, biases: bool = False) -> None:
        super().__init__(weight, 0.0, biases=biases)


class L2Penalty(ElasticNetPenalty):
    """weight / 2 times the sum of w^2: all weights become smaller. Args: as of `ElasticNetPenalty`."""

    def __init__(self, weight: float, *, biases: bool = False) -> None:
        super().__init__(0.0, weight, biases=biases)
