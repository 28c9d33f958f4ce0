"""Noise on gradients."""

import math
from collections.abc import Callable
from typing import Any

from pydl import ops
from pydl.autograd import enable_grad, no_grad
from pydl.errors import ArgumentError
from pydl.optim.optimizer import Optimizer
from pydl.tensor import RemovableHandle

__all__ = ["GaussianGradNoise"]


class GaussianGradNoise:
    """Adds N(0, eta / (1 + t)^gamma) to every gradient before step t = 0, 1, ... of an optimizer.

        GaussianGradNoise(eta=0.3).attach(optimizer)

    Args: eta: variance at the start. gamma: how fast it falls. generator: of the noise; default pydl's.
    Raises: ArgumentError for numbers outside their range.
    Source: Neelakantan et al. 2015 (arXiv:1511.06807), equation 1.
    """

    def __init__(self, eta: float = 0.01, gamma: float = 0.55, *, generator: ops.Generator | None = None) -> None:
        if not (eta >= 0 and gamma >= 0):
            raise ArgumentError(f"GaussianGradNoise: eta and gamma must be >= 0, got {eta} and {gamma}")
        self.eta, self.gamma, self.generator, self.t = eta, gamma, generator, 0

    @property
    def variance(self) -> float:
        """Of the noise of the next step."""
        return float(self.eta / (1 + self.t) ** self.gamma)

    def attach(self, optimizer: Optimizer) -> RemovableHandle:
        """Adds noise before every step of an optimizer, until the handle is removed."""
        return optimizer.register_step_pre_hook(self)

    def __call__(self, optimizer: Optimizer, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """The hook: the gradients there are, or those that the closure of this step makes."""
        closure: Callable[[], Any] | None = args[0] if args else None
        if closure is None:
            self._add(optimizer)
            return None

        def noisy() -> Any:
            with enable_grad():
                loss = closure()
            self._add(optimizer)
            return loss

        return (noisy,), kwargs

    def _add(self, optimizer: Optimizer) -> None:
        scale = math.sqrt(self.variance)
        self.t += 1
        with no_grad():
            for p in (p for group in optimizer.param_groups for p in group["params"] if p.grad is not None):
                p.grad = p.grad.detach() + ops.randn(p.shape, dtype=p.grad.dtype, generator=self.generator) * scale

    def state_dict(self) -> dict[str, Any]:
        """The number of the next step."""
        return {"t": self.t}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Goes on from a state of `state_dict`."""
        self.t = int(state_dict["t"])
