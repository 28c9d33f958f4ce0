"""RAdam: Adam whose first steps are taken for what they are worth."""

from typing import Any, ClassVar

from pydl import _C
from pydl.optim.moments import Moments
from pydl.optim.optimizer import Group, Params
from pydl.tensor import Tensor

_STEP = 7  # its place among the hyperparameters


class RAdam(Moments):
    """Adam with its step times r, and plain momentum for as long as v rests on too few gradients for r to exist.

    r = sqrt((l - 4) (l - 2) L / ((L - 4) (L - 2) l)) with L = 2 / (1 - beta2) - 1 and
    l = L - 2 t beta2^t / (1 - beta2^t), once l > 5.

    Args:
        betas: how much of m and of v stays in each step. weight_decay: times p is added to the gradient.
        decoupled_weight_decay: p *= 1 - lr weight_decay instead, as AdamW does.
        maximize: step along the gradient instead of against it.
        foreach, capturable: accepted for code written for PyTorch; all parameters of a group always step in one launch.
    Raises: ArgumentError for options outside their range.
    Source: Liu et al. 2020 (arXiv:1908.03265), algorithm 2.
    """

    _kernel = _C.radam
    _hypers = 8
    _scalars: ClassVar[dict[str, int]] = {"step": _STEP}

    def __init__(
        self,
        params: Params,
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0,
        decoupled_weight_decay: bool = False,
        *,
        foreach: bool | None = None,
        maximize: bool = False,
        capturable: bool = False,
        differentiable: bool = False,
    ) -> None:
        defaults: dict[str, Any] = {
            "lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay,
            "decoupled_weight_decay": decoupled_weight_decay, "foreach": foreach, "maximize": maximize,
            "capturable": capturable, "differentiable": differentiable,
        }  # fmt: skip
        super().__init__(params, defaults)

    def _rule(self, group: Group, state: dict[str, Any], p: Tensor, d: Tensor, step: int) -> Tensor:
        beta1, beta2 = group["betas"]
        m, v = self._first(group, state, d), self._second(group, state, d)
        rate, power, most = group["lr"] / (1 - beta1**step), beta2**step, 2 / (1 - beta2) - 1
        length = most - 2 * step * power / (1 - power)
        way = m
        if length > 5:
            factor = (1 - power) * (length - 4) * (length - 2) * most / ((most - 4) * (most - 2) * length)
            way = factor**0.5 * m / (v.sqrt() + group["eps"])
        moved: Tensor = p - rate * way
        return moved
