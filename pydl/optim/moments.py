"""What Adam's kin share: running means of the gradient and of its square."""

from abc import ABC
from typing import Any, ClassVar

from pydl.optim.fused import FusedOptimizer, Launch
from pydl.optim.optimizer import Group
from pydl.tensor import Tensor


class Moments(FusedOptimizer, ABC):
    """An optimizer with betas and eps, which its kernel reads first of its own hyperparameters."""

    _slots: ClassVar[tuple[str, ...]] = ("exp_avg", "exp_avg_sq")

    def _check(self, group: Group) -> None:
        self._range(group, "lr", "eps", "weight_decay")
        self._check_betas(group)

    def _write(self, group: Group, launch: Launch) -> None:
        launch.write((*self._common(group), *group["betas"], group["eps"]))

    def _first(self, group: Group, state: dict[str, Any], d: Tensor) -> Tensor:
        """m, moved towards d."""
        m: Tensor = state["exp_avg"]
        state["exp_avg"] = m = m + (1 - group["betas"][0]) * (d - m)
        return m

    def _second(self, group: Group, state: dict[str, Any], d: Tensor) -> Tensor:
        """v, moved towards d^2."""
        beta = group["betas"][1]
        state["exp_avg_sq"] = v = beta * state["exp_avg_sq"] + (1 - beta) * d * d
        moved: Tensor = v
        return moved
