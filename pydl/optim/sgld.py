"""Langevin dynamics: gradient steps with noise, whose law is exp(-V / T)."""

import math
from typing import Any, ClassVar

from pydl import _C, ops
from pydl.optim.fused import FusedOptimizer, Launch
from pydl.optim.numbers import Numbers
from pydl.optim.optimizer import Group, Params, state_dtype
from pydl.tensor import Tensor


class SGLD(FusedOptimizer):
    """p -= lr g - sqrt(2 lr temperature) N(0, 1), g the gradient of the potential V, of all data or of a batch.

    For small lr the law of p tends to exp(-V / temperature) / Z. On V = k p^2 / 2 its variance is
    temperature / (k (1 - lr k / 2)): too large by the factor that the step size makes.

    Args:
        temperature: 0 is gradient descent. weight_decay: times p is added to the gradient: a Gaussian prior.
        maximize: climb V instead, with the law exp(V / temperature).
        generator: of the noise; default pydl's.
    Raises: ArgumentError for options outside their range.
    Source: Welling and Teh 2011, Bayesian learning via stochastic gradient Langevin dynamics.
    """

    _kernel = _C.sgd
    _slots = ("momentum_buffer",)
    _hypers = 9
    _scalars: ClassVar[dict[str, int]] = {}
    _counts: ClassVar[bool] = False
    _replays: ClassVar[bool] = True

    def __init__(
        self,
        params: Params,
        lr: float = 1e-3,
        temperature: float = 1.0,
        weight_decay: float = 0,
        *,
        maximize: bool = False,
        generator: ops.Generator | None = None,
    ) -> None:
        self.generator = generator
        defaults: dict[str, Any] = {
            "lr": lr, "temperature": temperature, "weight_decay": weight_decay, "maximize": maximize,
        }  # fmt: skip
        super().__init__(params, defaults)

    def _check(self, group: Group) -> None:
        self._range(group, "lr", "temperature", "weight_decay")

    def _used(self, group: Group) -> tuple[str, ...]:
        return ("noise",) if _scale(group) != 0 else ()

    def _rule(self, group: Group, state: dict[str, Any], p: Tensor, d: Tensor, step: int) -> Tensor:
        moved: Tensor = p - group["lr"] * d
        return moved

    def _write(self, group: Group, launch: Launch) -> None:
        launch.write((*self._common(group), 0.0, 0.0, False, False, True))

    def _reset(self) -> None:
        super()._reset()
        self._noise: dict[int, Numbers] = {}

    def advance(self) -> None:
        super().advance()
        for number, group in enumerate(self.param_groups):
            self._noise[number].values[:] = _scale(group)

    def _update(self) -> None:
        super()._update()
        for number, group in enumerate(self.param_groups):
            moved = [p for p in group["params"] if p.grad is not None]
            scales = self._noise.get(number)
            if scales is None or len(scales.values) != len(moved):
                scales = self._noise[number] = Numbers(len(moved))
            scales.values[:] = _scale(group)
            if _scale(group) != 0 and moved:
                add_noise(moved, scales.array, self.generator)

    def __getstate__(self) -> dict[str, Any]:
        return {**super().__getstate__(), "generator": self.generator}


def _scale(group: Group) -> float:
    """The size of the noise."""
    return math.sqrt(2 * float(group["lr"]) * float(group["temperature"]))


def add_noise(params: list[Tensor], scales: _C.Array, generator: ops.Generator | None) -> None:
    """p += scale N(0, 1) for each of params, in place; scales: (number of params,) float64."""
    noise = [ops.randn(p.shape, dtype=state_dtype(p), generator=generator).array for p in params]
    _C.add_scaled_by([p.array for p in params], noise, scales)
