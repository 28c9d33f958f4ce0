"""RMSprop: steps over the root of the mean square of the gradient."""

from typing import Any, ClassVar

from pydl import _C
from pydl.optim.fused import FusedOptimizer, Launch
from pydl.optim.optimizer import Group, Params
from pydl.tensor import Tensor

_STEP = 9  # its place among the hyperparameters


class RMSprop(FusedOptimizer):
    """p -= lr g / (sqrt(v) + eps) with v the running mean of g^2.

    Args:
        alpha: how much of v stays in each step.
        momentum: b = momentum b + g / (sqrt(v) + eps); p -= lr b.
        centered: v minus the square of the running mean of g, an estimate of the variance.
        weight_decay: times p is added to the gradient.
        maximize: step along the gradient instead of against it.
        eps_inside: divide by sqrt(v + eps), as some texts write it.
        foreach, capturable: accepted for code written for PyTorch; all parameters of a group always step in one launch.
    Raises: ArgumentError for options outside their range.
    Source: Tieleman and Hinton 2012, lecture 6.5; Graves 2013 (arXiv:1308.0850) for the centred form.
    """

    _kernel = _C.rmsprop
    _slots = ("square_avg", "momentum_buffer", "grad_avg")
    _hypers = 10
    _scalars: ClassVar[dict[str, int]] = {"step": _STEP}

    def __init__(
        self,
        params: Params,
        lr: float = 1e-2,
        alpha: float = 0.99,
        eps: float = 1e-8,
        weight_decay: float = 0,
        momentum: float = 0,
        centered: bool = False,
        capturable: bool = False,
        foreach: bool | None = None,
        maximize: bool = False,
        differentiable: bool = False,
        *,
        eps_inside: bool = False,
    ) -> None:
        defaults: dict[str, Any] = {
            "lr": lr, "alpha": alpha, "eps": eps, "weight_decay": weight_decay, "momentum": momentum,
            "centered": centered, "capturable": capturable, "foreach": foreach, "maximize": maximize,
            "differentiable": differentiable, "eps_inside": eps_inside,
        }  # fmt: skip
        super().__init__(params, defaults)

    def _check(self, group: Group) -> None:
        self._range(group, "lr", "alpha", "eps", "weight_decay", "momentum")

    def _used(self, group: Group) -> tuple[str, ...]:
        wanted = (True, group["momentum"] != 0, group["centered"])
        return tuple(name for name, want in zip(self._slots, wanted, strict=True) if want)

    def _write(self, group: Group, launch: Launch) -> None:
        launch.write(
            (
                *self._common(group), group["alpha"], group["eps"], group["eps_inside"], group["momentum"],
                group["centered"],
            )
        )  # fmt: skip

    def _rule(self, group: Group, state: dict[str, Any], p: Tensor, d: Tensor, step: int) -> Tensor:
        alpha, momentum = group["alpha"], group["momentum"]
        state["square_avg"] = second = alpha * state["square_avg"] + (1 - alpha) * d * d
        if group["centered"]:
            state["grad_avg"] = centre = state["grad_avg"] + (1 - alpha) * (d - state["grad_avg"])
            second = second - centre * centre
        change = d / ((second + group["eps"]).sqrt() if group["eps_inside"] else second.sqrt() + group["eps"])
        if momentum != 0:
            state["momentum_buffer"] = change = momentum * state["momentum_buffer"] + change
        moved: Tensor = p - group["lr"] * change
        return moved
