"""Noise on the gradients."""

from typing import TYPE_CHECKING

from pydl import ops
from pydl.errors import ArgumentError
from pydl.train.callbacks.callback import Callback

if TYPE_CHECKING:
    from pydl.train.trainer import Trainer


class GradientNoise(Callback):
    """Adds N(0, eta / (1 + t)^gamma) to every gradient before step t of the training, and before it is clipped.

    Args: eta: the variance at the start; 0.01, 0.3 and 1 are the paper's. gamma: how fast it falls.
    Raises: ArgumentError for negative numbers.
    Source: Neelakantan et al. 2015 (arXiv:1511.06807), equation 1.
    """

    def __init__(self, eta: float = 0.01, gamma: float = 0.55) -> None:
        if not (eta >= 0 and gamma >= 0):
            raise ArgumentError(f"GradientNoise: eta and gamma must be >= 0, got {eta} and {gamma}")
        self.eta, self.gamma = eta, gamma

    def on_gradients(self, trainer: "Trainer") -> None:
        deviation = (self.eta / (1 + trainer.step) ** self.gamma) ** 0.5
        for p in trainer.model.parameters():
            if p.grad is not None:
                noise = ops.randn(p.shape, dtype=p.grad.dtype, device=p.grad.device)
                p.grad = p.grad.detach() + noise * deviation
