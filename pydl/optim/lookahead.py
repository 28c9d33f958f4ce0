"""Lookahead: slow weights that follow the fast ones of any optimizer."""

from pydl import _C
from pydl.autograd import no_grad
from pydl.errors import ArgumentError
from pydl.optim.optimizer import Group, Optimizer
from pydl.optim.wrapper import Wrapper
from pydl.tensor import Tensor


class Lookahead(Wrapper):
    """After every k steps of the optimizer inside: slow += alpha (p - slow); p = slow.

    Args:
        optimizer: takes the steps. Its own state (momentum, ...) goes on over the jump.
        k: steps between two jumps. alpha: part of the way that the slow weights go.
    Raises: ArgumentError for options outside their range.
    Source: Zhang et al. 2019 (arXiv:1907.08610), algorithm 1.
    """

    def __init__(self, optimizer: Optimizer, k: int = 5, alpha: float = 0.5) -> None:
        super().__init__(optimizer, {"k": k, "alpha": alpha, "fast_steps": 0})

    def _check(self, group: Group) -> None:
        if not isinstance(group["k"], int) or group["k"] < 1:
            raise ArgumentError(f"{self._name}: k must be a number of steps, got {group['k']!r}")
        if not 0.0 <= float(group["alpha"]) <= 1.0:
            raise ArgumentError(f"{self._name}: alpha must be between 0 and 1, got {group['alpha']}")

    def _update(self) -> None:
        for _, p in self._with_gradients():
            if "slow" not in self.state[p]:
                self.state[p]["slow"] = p.detach().clone()
        self.base.step()
        for group in self.param_groups:
            group["fast_steps"] += 1
            if group["fast_steps"] % group["k"] == 0:
                self._jump([p for p in group["params"] if "slow" in self.state[p]], float(group["alpha"]))

    def _jump(self, params: list[Tensor], alpha: float) -> None:
        with no_grad():
            slow = [self.state[p]["slow"] for p in params]
            ways = [p.detach() - s for p, s in zip(params, slow, strict=True)]
            _C.add_scaled([s.array for s in slow], [w.array for w in ways], [alpha] * len(params))
            for p, s in zip(params, slow, strict=True):
                p.copy_(s)
