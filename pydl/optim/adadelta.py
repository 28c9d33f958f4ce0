"""Adadelta: steps in the units of the parameters."""

from typing import Any, ClassVar

from pydl import _C
from pydl.errors import ArgumentError
from pydl.optim.fused import FusedOptimizer, Launch
from pydl.optim.optimizer import Group, Params
from pydl.tensor import Tensor

_STEP = 6  # its place among the hyperparameters


class Adadelta(FusedOptimizer):
    """p -= lr d with d = sqrt(mean of d^2 + eps) / sqrt(mean of g^2 + eps) g.

    The first mean is of the steps before, the second includes g. Without eps the first step, and so every other, is 0.

    Args:
        rho: how much of the means stays in each step. weight_decay: times p is added to the gradient.
        maximize: step along the gradient instead of against it.
        foreach, capturable: accepted for code written for PyTorch; all parameters of a group always step in one launch.
    Raises: ArgumentError for options outside their range.
    Source: Zeiler 2012 (arXiv:1212.5701), algorithm 1.
    """

    _kernel = _C.adadelta
    _slots = ("square_avg", "acc_delta")
    _hypers = 7
    _scalars: ClassVar[dict[str, int]] = {"step": _STEP}

    def __init__(
        self,
        params: Params,
        lr: float = 1.0,
        rho: float = 0.9,
        eps: float = 1e-6,
        weight_decay: float = 0,
        foreach: bool | None = None,
        *,
        capturable: bool = False,
        maximize: bool = False,
        differentiable: bool = False,
    ) -> None:
        defaults: dict[str, Any] = {
            "lr": lr, "rho": rho, "eps": eps, "weight_decay": weight_decay, "foreach": foreach,
            "capturable": capturable, "maximize": maximize, "differentiable": differentiable,
        }  # fmt: skip
        super().__init__(params, defaults)

    def _check(self, group: Group) -> None:
        self._range(group, "lr", "eps", "weight_decay")
        if not 0.0 <= float(group["rho"]) <= 1.0:
            raise ArgumentError(f"{self._name}: rho must be between 0 and 1, got {group['rho']}")

    def _write(self, group: Group, launch: Launch) -> None:
        launch.write((*self._common(group), group["rho"], group["eps"]))

    def _rule(self, group: Group, state: dict[str, Any], p: Tensor, d: Tensor, step: int) -> Tensor:
        rho, eps = group["rho"], group["eps"]
        state["square_avg"] = squares = rho * state["square_avg"] + (1 - rho) * d * d
        change = (state["acc_delta"] + eps).sqrt() / (squares + eps).sqrt() * d
        state["acc_delta"] = rho * state["acc_delta"] + (1 - rho) * change * change
        moved: Tensor = p - group["lr"] * change
        return moved
