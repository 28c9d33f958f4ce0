"""Lookahead: slow weights that follow the fast ones of any optimizer."""

from collections.abc import Callable
from functools import partial
from typing import Any

from pydl import _C
from pydl.autograd import no_grad
from pydl.errors import ArgumentError
from pydl.optim.numbers import Numbers, Objects, Renewed, where_zero
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

    def _reset(self) -> None:
        super()._reset()
        self._numbers: dict[int, Numbers] = {}  # of each group: steps since the last jump, and alpha for each parameter

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
        for number, group in enumerate(self.param_groups):
            params = self._followed(group)
            known = self._numbers.get(number)
            if known is None or len(known.values) != len(params) + 1:
                self._numbers[number] = Numbers(len(params) + 1)
            self._count(number)
            where_zero(self._numbers[number], partial(self._moved, params), partial(self._jump, number))

    def _followed(self, group: Group) -> list[Tensor]:
        """The parameters of a group that have slow weights."""
        return [p for p in group["params"] if "slow" in self.state[p]]

    def _moved(self, params: list[Tensor]) -> list[Tensor]:
        """What a jump of these parameters changes."""
        return [*params, *[self.state[p]["slow"] for p in params]]

    def _count(self, number: int, steps: int = 1) -> None:
        """One step more, and the numbers that go with it."""
        group, values = self.param_groups[number], self._numbers[number].values
        group["fast_steps"] += steps
        values[0], values[1:] = group["fast_steps"] % group["k"], float(group["alpha"])

    def _jump(self, number: int) -> None:
        params, numbers = self._followed(self.param_groups[number]), self._numbers[number]
        with no_grad():
            slow = [self.state[p]["slow"] for p in params]
            ways = [p.detach() - s for p, s in zip(params, slow, strict=True)]
            _C.add_scaled_by([s.array for s in slow], [w.array for w in ways], numbers.part(1, len(params)))
            for p, s in zip(params, slow, strict=True):
                p.copy_(s)

    def _record(self, hooks: list[Callable[[], Any]]) -> None:
        def count(steps: int) -> None:
            for number in range(len(self.param_groups)):
                self._count(number, steps)

        hooks.append(Renewed(lambda: count(1), self._held, lambda: count(-1)))

    def _held(self) -> Any:
        """What a recorded step names."""
        moved = [t for group in self.param_groups for t in self._moved(self._followed(group))]
        return Objects([*moved, *self._numbers.values()])
