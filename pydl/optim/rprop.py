"""Rprop: steps whose size follows from the signs of the gradients alone."""

from typing import Any, ClassVar

from pydl import _C
from pydl.errors import ArgumentError
from pydl.optim.fused import FusedOptimizer, Launch
from pydl.optim.optimizer import Group, Params
from pydl.tensor import Tensor

_STEP = 8  # its place among the hyperparameters


class Rprop(FusedOptimizer):
    """p -= s sign(g); s grows while the sign stays and shrinks when it turns, and that step is left out.

    For gradients of the whole objective: the noise of a batch turns signs at random.

    Args:
        lr: the size of the first steps. etas: factors of shrinking and growing. step_sizes: smallest and largest size.
        maximize: step along the gradient instead of against it.
        foreach, capturable: accepted for code written for PyTorch; all parameters of a group always step in one launch.
    Raises: ArgumentError for options outside their range.
    Source: Riedmiller and Braun 1993, A direct adaptive method for faster backpropagation learning.
    """

    _kernel = _C.rprop
    _slots = ("prev", "step_size")
    _hypers = 9
    _scalars: ClassVar[dict[str, int]] = {"step": _STEP}

    def __init__(
        self,
        params: Params,
        lr: float = 1e-2,
        etas: tuple[float, float] = (0.5, 1.2),
        step_sizes: tuple[float, float] = (1e-6, 50),
        *,
        capturable: bool = False,
        foreach: bool | None = None,
        maximize: bool = False,
        differentiable: bool = False,
    ) -> None:
        defaults: dict[str, Any] = {
            "lr": lr, "etas": etas, "step_sizes": step_sizes, "capturable": capturable, "foreach": foreach,
            "maximize": maximize, "differentiable": differentiable,
        }  # fmt: skip
        super().__init__(params, defaults)

    def _check(self, group: Group) -> None:
        self._range(group, "lr")
        shrink, grow = group["etas"]
        if not 0.0 < shrink < 1.0 < grow:
            raise ArgumentError(f"{self._name}: etas must be one number below 1 and one above, got {group['etas']}")
        least, most = group["step_sizes"]
        if not 0.0 <= least <= most:
            raise ArgumentError(f"{self._name}: step_sizes must be a range of sizes, got {group['step_sizes']}")

    def _start(self, group: Group, name: str) -> float:
        return float(group["lr"]) if name == "step_size" else 0.0

    def _write(self, group: Group, launch: Launch) -> None:
        launch.write((*self._common(group), *group["etas"], *group["step_sizes"]))

    def _rule(self, group: Group, state: dict[str, Any], p: Tensor, d: Tensor, step: int) -> Tensor:
        (shrink, grow), (least, most) = group["etas"], group["step_sizes"]
        agreement = d * state["prev"]
        turned = agreement < 0
        factor = 1 + (agreement > 0).to(p.dtype) * (grow - 1) + turned.to(p.dtype) * (shrink - 1)
        state["step_size"] = size = (state["step_size"] * factor).clamp(least, most)
        state["prev"] = d = d.masked_fill(turned, 0)
        moved: Tensor = p - d.sign() * size
        return moved
