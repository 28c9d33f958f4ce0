"""Adam, and with decoupled weight decay AdamW."""

from typing import Any

from pydl import _C
from pydl.errors import ArgumentError
from pydl.optim.fused import FusedOptimizer, Launch
from pydl.optim.optimizer import Group, Params, reject_differentiable
from pydl.tensor import Tensor

_STEP = 8  # its place among the hyperparameters


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
    _hypers = 9

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
        if len(group["betas"]) != 2 or not all(0.0 <= float(beta) < 1.0 for beta in group["betas"]):
            raise ArgumentError(f"{self._name}: betas must be two numbers in [0, 1), got {group['betas']}")

    def _used(self, group: Group) -> tuple[str, ...]:
        return self._slots if group["amsgrad"] else self._slots[:2]

    def _begin(self, launch: Launch) -> None:
        """Every parameter's step is a view of the one number that the kernel reads."""
        launch.numbers[_STEP] = launch.age
        step = Tensor(_C.view(_C.slice(launch.hyper, (_STEP,), (1,), (1,)), ()))
        for p in launch.params:
            self.state[p]["step"] = step

    def _write(self, group: Group, launch: Launch) -> None:
        beta1, beta2 = group["betas"]
        launch.write(
            (
                float(group["lr"]), beta1, beta2, group["eps"], group["weight_decay"],
                group["decoupled_weight_decay"], group["maximize"], group["eps_inside"],
            )
        )  # fmt: skip
        launch.numbers[_STEP] = launch.age + 1
