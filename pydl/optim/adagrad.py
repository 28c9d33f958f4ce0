"""Adagrad: rates that fall with the gradients seen."""

from typing import Any, ClassVar

from pydl import _C
from pydl.optim.fused import FusedOptimizer, Launch
from pydl.optim.optimizer import Group, Params, state_dtype
from pydl.optim.rows import RowStep
from pydl.tensor import Tensor

_STEP = 7  # its place among the hyperparameters


class Adagrad(FusedOptimizer):
    """p -= lr / (1 + (t - 1) lr_decay) g / (sqrt(G) + eps) with G the sum of all g^2 so far.

    Args:
        lr_decay: of the rate with the number of steps. weight_decay: times p is added to the gradient.
        initial_accumulator_value: where G begins.
        maximize: step along the gradient instead of against it.
        eps_inside: divide by sqrt(G + eps), as some texts write it.
        foreach, fused: accepted for code written for PyTorch; all parameters of a group always step in one launch.
    A sparse gradient moves its rows alone; with weight decay, which moves all rows, it becomes a dense one.
    Raises: ArgumentError for options outside their range.
    Source: Duchi, Hazan and Singer 2011, Adaptive subgradient methods for online learning and stochastic optimization.
    """

    _kernel = _C.adagrad
    _slots = ("sum",)
    _hypers = 8
    _scalars: ClassVar[dict[str, int]] = {"step": _STEP}
    _takes_sparse = True

    def __init__(
        self,
        params: Params,
        lr: float = 1e-2,
        lr_decay: float = 0,
        weight_decay: float = 0,
        initial_accumulator_value: float = 0,
        eps: float = 1e-10,
        foreach: bool | None = None,
        *,
        maximize: bool = False,
        differentiable: bool = False,
        fused: bool | None = None,
        eps_inside: bool = False,
    ) -> None:
        defaults: dict[str, Any] = {
            "lr": lr, "lr_decay": lr_decay, "weight_decay": weight_decay,
            "initial_accumulator_value": initial_accumulator_value, "eps": eps, "foreach": foreach,
            "maximize": maximize, "differentiable": differentiable, "fused": fused, "eps_inside": eps_inside,
        }  # fmt: skip
        super().__init__(params, defaults)

    def _check(self, group: Group) -> None:
        self._range(group, "lr", "lr_decay", "weight_decay", "initial_accumulator_value", "eps")

    def _start(self, group: Group, name: str) -> float:
        return float(group["initial_accumulator_value"]) if name == "sum" else 0.0

    def _write(self, group: Group, launch: Launch) -> None:
        launch.write((*self._common(group), group["lr_decay"], group["eps"], group["eps_inside"]))

    def _step_rows(self, group: Group, p: Tensor, g: Tensor) -> bool:
        if group["weight_decay"] != 0:
            return False
        state, rows = self.state[p], RowStep(p, g)
        step = self._age(state) + 1
        state["step"] = Tensor(_C.full((), step, _C.float64, _C.device("cpu")))
        if "sum" not in state:
            state["sum"] = Tensor(_C.full(p.shape, self._start(group, "sum"), state_dtype(p), p.device))
        own = {"sum": rows.read(state["sum"])}
        rows.write(p, self._rule(group, own, rows.old(), -rows.gradient if group["maximize"] else rows.gradient, step))
        rows.write(state["sum"], own["sum"])
        return True

    def _rule(self, group: Group, state: dict[str, Any], p: Tensor, d: Tensor, step: int) -> Tensor:
        state["sum"] = total = state["sum"] + d * d
        root = (total + group["eps"]).sqrt() if group["eps_inside"] else total.sqrt() + group["eps"]
        moved: Tensor = p - group["lr"] / (1 + (step - 1) * group["lr_decay"]) * d / root
        return moved
