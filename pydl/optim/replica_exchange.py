"""Replica exchange: Langevin chains at several temperatures that trade places."""

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from pydl import ops
from pydl.autograd import enable_grad, no_grad
from pydl.errors import ArgumentError, ShapeError
from pydl.optim.optimizer import Group
from pydl.optim.sgld import SGLD
from pydl.tensor import Tensor


class ReplicaExchangeLangevin(SGLD):
    """Chains of SGLD at rising temperatures; before each step, neighbours trade places with probability

    a min(1, exp((1 / T_i - 1 / T_j) (V_i - V_j))): hot chains cross barriers, the coldest keeps its law.

    Args:
        chains: the parameters of each chain, equal in number and shapes.
        temps: one rising temperature for each chain. a: intensity of the exchange, in [0, 1].
    Attributes: swaps: exchanges so far between each chain and the next.
    Raises: ArgumentError, ShapeError for chains or options that do not fit.
    Source: Swendsen and Wang 1986; Chen et al. 2019 (arXiv:2007.01990), equation 4.
    """

    def __init__(
        self,
        chains: Sequence[Iterable[Tensor]],
        lr: float = 1e-3,
        temps: Sequence[float] = (1.0, 10.0),
        a: float = 1.0,
        *,
        generator: ops.Generator | None = None,
    ) -> None:
        listed = [list(chain) for chain in chains]
        if len(listed) < 2 or len(listed) != len(temps):
            raise ArgumentError(f"ReplicaExchangeLangevin: got {len(listed)} chains and {len(temps)} temperatures")
        if not all(float(t) > 0 for t in temps) or not all(s < t for s, t in zip(temps, temps[1:], strict=False)):
            raise ArgumentError(f"ReplicaExchangeLangevin: temps must be positive and rise, got {tuple(temps)}")
        if not 0.0 <= a <= 1.0:
            raise ArgumentError(f"ReplicaExchangeLangevin: a must be between 0 and 1, got {a}")
        shapes = [[p.shape for p in chain] for chain in listed]
        if any(other != shapes[0] for other in shapes):
            raise ShapeError(f"ReplicaExchangeLangevin: the chains have parameters of different shapes: {shapes}")
        self.a = a
        self.swaps = [0] * (len(listed) - 1)
        groups: list[Group] = [{"params": c, "temperature": float(t)} for c, t in zip(listed, temps, strict=True)]
        super().__init__(groups, lr, generator=generator)

    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Exchanges, then one step of each chain.

        Args: closure: clears the gradients, computes the potential of each chain, calls backward and returns the list
            of potentials: each of one element, or (r,) for r independent pairs along the parameters' first axis.
        Returns: what the closure returns. Raises: ArgumentError without one; ShapeError if it returns something else.
        """
        if closure is None:
            raise ArgumentError("ReplicaExchangeLangevin: step needs a closure that returns each chain's potential")

        def exchanged() -> Any:
            with enable_grad():
                potentials = closure()
            with no_grad():
                self._exchange(potentials)
            return potentials

        return super().step(exchanged)

    def _exchange(self, potentials: Sequence[Tensor]) -> None:
        if len(potentials) != len(self.param_groups):
            raise ShapeError(
                f"ReplicaExchangeLangevin: expected {len(self.param_groups)} potentials, got {len(potentials)}"
            )
        now = [v.detach().double().reshape(-1) for v in potentials]
        for i, (cold, hot) in enumerate(zip(self.param_groups, self.param_groups[1:], strict=False)):
            gain = 1 / cold["temperature"] - 1 / hot["temperature"]
            chance = self.a * (gain * (now[i] - now[i + 1])).clamp(max=0).exp()
            swap = ops.rand(chance.shape, dtype=chance.dtype, generator=self.generator) < chance
            self.swaps[i] += int(swap.sum())
            if bool(swap.any()):
                now[i], now[i + 1] = _traded(now[i], now[i + 1], swap)
                for p, q in zip(cold["params"], hot["params"], strict=True):
                    _trade(p, q, swap)

    def __getstate__(self) -> dict[str, Any]:
        return {**super().__getstate__(), "a": self.a, "swaps": self.swaps}


def _traded(x: Tensor, y: Tensor, swap: Tensor) -> tuple[Tensor, Tensor]:
    """x and y exchanged where swap (r,) says, along the first axis; where r = 1, as a whole."""
    mask = swap.reshape([-1] + [1] * (x.ndim - 1)) if x.ndim and swap.numel() > 1 else swap.reshape([1] * x.ndim)
    return ops.where(mask, y, x), ops.where(mask, x, y)


def _trade(p: Tensor, q: Tensor, swap: Tensor) -> None:
    """The parameters and their gradients, in place."""
    if swap.numel() > 1 and p.shape[:1] != swap.shape:
        raise ShapeError(f"ReplicaExchangeLangevin: {swap.numel()} potentials for parameters of shape {p.shape}")
    here, there = _traded(p.detach(), q.detach(), swap)
    p.copy_(here)
    q.copy_(there)
    if p.grad is not None and q.grad is not None:
        p.grad, q.grad = _traded(p.grad.detach(), q.grad.detach(), swap)
