"""Adam, and with decoupled weight decay AdamW."""

from typing import Any, ClassVar

from pydl import _C, ops
from pydl.optim.fused import Launch
from pydl.optim.moments import Moments
from pydl.optim.optimizer import Group, Params
from pydl.tensor import Tensor

_STEP = 9  # its place among the hyperparameters


class Adam(Moments):
    """p -= lr m' / (sqrt(v') + eps): m and v are running means of the gradient and of its square, m' and v' without
    their bias towards the zeros they begin with.

    Args:
        betas: how much of m and of v stays in each step.
        weight_decay: times p is added to the gradient.
        amsgrad: divide by the largest v so far.
        decoupled_weight_decay: p *= 1 - lr weight_decay instead, as AdamW does.
        eps_inside: divide by sqrt(v' + eps), as some texts write it.
        maximize: step along the gradient instead of against it.
        foreach, capturable, fused: accepted for code written for PyTorch; all parameters of a group always step in one
            launch.
    Raises: ArgumentError for options outside their range.
    Source: Kingma and Ba 2015 (arXiv:1412.6980), algorithm 1; Reddi et al. 2018 (AMSGrad, arXiv:1904.09237).
    """

    _kernel = _C.adam
    _slots = ("exp_avg", "exp_avg_sq", "max_exp_avg_sq")
    _hypers = 10
    _scalars: ClassVar[dict[str, int]] = {"step": _STEP}

    def __init__(
        self,
        params: Params,
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0,
        amsgrad: bool = False,
        *,
        foreach: bool | None = None,
        maximize: bool = False,
        capturable: bool = False,
        differentiable: bool = False,
        fused: bool | None = None,
        decoupled_weight_decay: bool = False,
        eps_inside: bool = False,
    ) -> None:
        defaults: dict[str, Any] = {
            "lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay, "amsgrad": amsgrad,
            "maximize": maximize, "foreach": foreach, "capturable": capturable, "differentiable": differentiable,
            "fused": fused, "decoupled_weight_decay": decoupled_weight_decay, "eps_inside": eps_inside,
        }  # fmt: skip
        super().__init__(params, defaults)

    def _used(self, group: Group) -> tuple[str, ...]:
        return self._slots if group["amsgrad"] else self._slots[:2]

    def _write(self, group: Group, launch: Launch) -> None:
        beta1, beta2 = group["betas"]
        launch.write(
            (*self._common(group), float(beta1), float(beta2), group["eps"], group["eps_inside"], group["amsgrad"])
        )

    def _rule(self, group: Group, state: dict[str, Any], p: Tensor, d: Tensor, step: int) -> Tensor:
        beta1, beta2 = group["betas"]
        m, v = self._first(group, state, d), self._second(group, state, d)
        if group["amsgrad"]:
            state["max_exp_avg_sq"] = v = ops.maximum(state["max_exp_avg_sq"], v)
        v = v / (1 - beta2**step)
        root = (v + group["eps"]).sqrt() if group["eps_inside"] else v.sqrt() + group["eps"]
        moved: Tensor = p - group["lr"] / (1 - beta1**step) * m / root
        return moved
