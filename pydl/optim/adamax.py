"""Adamax: Adam with the largest gradient in place of the mean square."""

from typing import Any, ClassVar

from pydl import _C, ops
from pydl.optim.moments import Moments
from pydl.optim.optimizer import Group, Params
from pydl.tensor import Tensor

_STEP = 7  # its place among the hyperparameters


class Adamax(Moments):
    """p -= lr / (1 - beta1^t) m / u with u = max(beta2 u, |g| + eps), each element by itself.

    Args:
        betas: how much of m and of u stays in each step. weight_decay: times p is added to the gradient.
        maximize: step along the gradient instead of against it.
        foreach, capturable: accepted for code written for PyTorch; all parameters of a group always step in one launch.
    Raises: ArgumentError for options outside their range.
    Source: Kingma and Ba 2015 (arXiv:1412.6980), algorithm 2.
    """

    _kernel = _C.adamax
    _slots = ("exp_avg", "exp_inf")
    _hypers = 8
    _scalars: ClassVar[dict[str, int]] = {"step": _STEP}

    def __init__(
        self,
        params: Params,
        lr: float = 2e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0,
        foreach: bool | None = None,
        *,
        maximize: bool = False,
        differentiable: bool = False,
        capturable: bool = False,
    ) -> None:
        defaults: dict[str, Any] = {
            "lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay, "foreach": foreach,
            "maximize": maximize, "differentiable": differentiable, "capturable": capturable,
        }  # fmt: skip
        super().__init__(params, defaults)

    def _rule(self, group: Group, state: dict[str, Any], p: Tensor, d: Tensor, step: int) -> Tensor:
        beta1, beta2 = group["betas"]
        m = self._first(group, state, d)
        state["exp_inf"] = u = ops.maximum(beta2 * state["exp_inf"], d.abs() + group["eps"])
        moved: Tensor = p - group["lr"] / (1 - beta1**step) * m / u
        return moved
