"""Lion: the sign of a running mean."""

from typing import Any, ClassVar

from pydl import _C
from pydl.optim.fused import FusedOptimizer, Launch
from pydl.optim.optimizer import Group, Params
from pydl.tensor import Tensor


class Lion(FusedOptimizer):
    """p -= lr (sign(beta1 m + (1 - beta1) g) + weight_decay p); m = beta2 m + (1 - beta2) g.

    Every element moves by lr, whatever its gradient: rates are three to ten times smaller than those of AdamW.

    Args:
        betas: how much of m counts in the step, and stays after it.
        maximize: step along the gradient instead of against it.
        foreach, capturable: accepted for code written for PyTorch; all parameters of a group always step in one launch.
    Raises: ArgumentError for options outside their range.
    Source: Chen et al. 2023 (arXiv:2302.06675), program 1.
    """

    _kernel = _C.lion
    _slots = ("exp_avg",)
    _hypers = 6
    _scalars: ClassVar[dict[str, int]] = {}

    def __init__(
        self,
        params: Params,
        lr: float = 1e-4,
        betas: tuple[float, float] = (0.9, 0.99),
        weight_decay: float = 0,
        *,
        foreach: bool | None = None,
        maximize: bool = False,
        capturable: bool = False,
        differentiable: bool = False,
    ) -> None:
        defaults: dict[str, Any] = {
            "lr": lr, "betas": betas, "weight_decay": weight_decay, "foreach": foreach, "maximize": maximize,
            "capturable": capturable, "differentiable": differentiable,
        }  # fmt: skip
        super().__init__(params, defaults)

    def _check(self, group: Group) -> None:
        self._range(group, "lr", "weight_decay")
        self._check_betas(group)

    def _decayed(self, group: Group, p: Tensor, d: Tensor) -> tuple[Tensor, Tensor]:
        return p * (1 - group["lr"] * group["weight_decay"]), d

    def _rule(self, group: Group, state: dict[str, Any], p: Tensor, d: Tensor, step: int) -> Tensor:
        (beta1, beta2), m = group["betas"], state["exp_avg"]
        state["exp_avg"] = m + (1 - beta2) * (d - m)
        moved: Tensor = p - group["lr"] * (m + (1 - beta1) * (d - m)).sign()
        return moved

    def _write(self, group: Group, launch: Launch) -> None:
        lr, decay, _, maximize = self._common(group)
        launch.write((lr, decay, True, maximize, *group["betas"]))
