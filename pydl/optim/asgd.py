"""Averaged stochastic gradient descent (Polyak and Ruppert)."""

from typing import Any, ClassVar

from pydl import _C
from pydl.optim.fused import FusedOptimizer, Launch
from pydl.optim.optimizer import Group, Params
from pydl.tensor import Tensor

_STEP = 7  # its place among the hyperparameters


class ASGD(FusedOptimizer):
    """p = (1 - lambd eta) p - eta g with eta = lr / (1 + lambd lr t)^alpha, and from step t0 on the mean of all p.

    The mean is `state[p]["ax"]`; until t0 it is p itself.

    Args:
        lambd: decay. alpha: power of the rate's decay. t0: step at which averaging begins.
        weight_decay: times p is added to the gradient.
        maximize: step along the gradient instead of against it.
        foreach, capturable: accepted for code written for PyTorch; all parameters of a group always step in one launch.
    Raises: ArgumentError for options outside their range.
    Source: Polyak and Juditsky 1992, Acceleration of stochastic approximation by averaging; Xu 2011 (arXiv:1107.2490).
    """

    _kernel = _C.asgd
    _slots = ("ax",)
    _hypers = 10
    _scalars: ClassVar[dict[str, int]] = {"step": _STEP, "eta": 8, "mu": 9}
    _counts: ClassVar[bool] = False

    def __init__(
        self,
        params: Params,
        lr: float = 1e-2,
        lambd: float = 1e-4,
        alpha: float = 0.75,
        t0: float = 1e6,
        weight_decay: float = 0,
        foreach: bool | None = None,
        maximize: bool = False,
        differentiable: bool = False,
        capturable: bool = False,
    ) -> None:
        defaults: dict[str, Any] = {
            "lr": lr, "lambd": lambd, "alpha": alpha, "t0": t0, "weight_decay": weight_decay, "foreach": foreach,
            "maximize": maximize, "differentiable": differentiable, "capturable": capturable,
        }  # fmt: skip
        super().__init__(params, defaults)

    def _check(self, group: Group) -> None:
        self._range(group, "lr", "weight_decay")

    def _start(self, group: Group, name: str) -> float:
        return {"eta": float(group["lr"]), "mu": 1.0}.get(name, 0.0)

    def _write(self, group: Group, launch: Launch) -> None:
        eta, mu = launch.carried
        launch.coming = self._coming(group, float(group["lr"]), launch.age + 1)
        launch.write((*self._common(group), group["lambd"], eta, mu))

    def _rule(self, group: Group, state: dict[str, Any], p: Tensor, d: Tensor, step: int) -> Tensor:
        lr, eta, mu = group["lr"], state.get("eta", group["lr"]), float(state.get("mu", 1.0))
        new = p * (1 - group["lambd"] * eta) - eta * d
        state["ax"] = new if mu == 1 else state["ax"] + mu * (new - state["ax"])
        state["eta"], state["mu"] = self._coming(group, lr, step)
        moved: Tensor = new
        return moved

    def _coming(self, group: Group, lr: Any, step: int) -> tuple[Any, float]:
        """eta and mu of the step after this one."""
        return lr / (1 + group["lambd"] * lr * step) ** group["alpha"], 1 / max(1.0, step - group["t0"])
