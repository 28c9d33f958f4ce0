"""Adam, and with decoupled weight decay AdamW."""

from typing import Any, ClassVar

from pydl import _C
from pydl.optim.fused import FusedOptimizer, Launch
from pydl.optim.optimizer import Group, Params, reject_differentiable

_STEP = 9  # its place among the hyperparameters


class Adam(FusedOptimizer):
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

    def _check(self, group: Group) -> None:
        reject_differentiable(self, group)
        self._range(group, "lr", "eps", "weight_decay")
        self._check_betas(group)

    def _used(self, group: Group) -> tuple[str, ...]:
        return self._slots if group["amsgrad"] else self._slots[:2]

    def _write(self, group: Group, launch: Launch) -> None:
        beta1, beta2 = group["betas"]
        launch.write(
            (*self._common(group), float(beta1), float(beta2), group["eps"], group["eps_inside"], group["amsgrad"])
        )
        launch.numbers[_STEP] = launch.age + 1
