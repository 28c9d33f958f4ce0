"""LAMB: Adam whose step is as long as the layer's weights allow, for large batches."""

from typing import Any, ClassVar

from pydl import _C, ops
from pydl.autograd import no_grad
from pydl.optim.fused import Launch, Plan
from pydl.optim.moments import Moments
from pydl.optim.optimizer import Group, Params, state_dtype
from pydl.tensor import Tensor

_STEP = 8  # its place among the hyperparameters


def _step(p: list[_C.Array], g: list[_C.Array], buffers: list[list[_C.Array]], hyper: _C.Array) -> None:
    """Three launches: the directions, the norms of all parameters and directions, the steps."""
    directions = buffers[2]
    _C.lamb_direction(p, g, buffers, hyper)
    squares = Tensor(_C.sum_squares(p + directions))
    weights, lengths = squares[: len(p)], squares[len(p) :]
    with no_grad():
        trust = ops.where((weights > 0) & (lengths != 0), ops.sqrt(weights / lengths), 1.0)
        factors = trust * -Tensor(_C.slice(hyper, (0,), (1,), (1,))).to(trust.device)
    _C.add_scaled_by(p, directions, factors.array)


class LAMB(Moments):
    """p -= lr |p| / |u| u with u = m' / (sqrt(v') + eps) + weight_decay p, the norms over each parameter by itself.

    m' and v' are those of Adam. The ratio is 1 where a norm is 0.

    Args:
        betas: how much of m and of v stays in each step. weight_decay: outside the running means.
        maximize: step along the gradient instead of against it.
        foreach, capturable: accepted for code written for PyTorch; all parameters of a group always step together.
    Raises: ArgumentError for options outside their range.
    Source: You et al. 2020 (arXiv:1904.00962), algorithm 2, with the identity as phi.
    """

    _kernel = staticmethod(_step)
    _hypers = 9
    _scalars: ClassVar[dict[str, int]] = {"step": _STEP}

    def __init__(
        self,
        params: Params,
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-6,
        weight_decay: float = 0,
        *,
        foreach: bool | None = None,
        maximize: bool = False,
        capturable: bool = False,
        differentiable: bool = False,
    ) -> None:
        defaults: dict[str, Any] = {
            "lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay, "foreach": foreach,
            "maximize": maximize, "capturable": capturable, "differentiable": differentiable,
        }  # fmt: skip
        super().__init__(params, defaults)

    def _planned(self, group: Group, params: list[Tensor], used: tuple[str, ...]) -> Plan:
        plan = super()._planned(group, params, used)
        for launch in plan.launches:
            launch.buffers.append([_C.full(p.shape, 0, state_dtype(p), p.device) for p in launch.params])
        return plan

    def _write(self, group: Group, launch: Launch) -> None:
        lr, decay, _, maximize = self._common(group)
        launch.write((lr, 0.0, False, maximize, *group["betas"], group["eps"], decay))

    def _decayed(self, group: Group, p: Tensor, d: Tensor) -> tuple[Tensor, Tensor]:
        return p, d  # it is part of the direction

    def _rule(self, group: Group, state: dict[str, Any], p: Tensor, d: Tensor, step: int) -> Tensor:
        beta1, beta2 = group["betas"]
        m, v = self._first(group, state, d) / (1 - beta1**step), self._second(group, state, d) / (1 - beta2**step)
        u = m / (v.sqrt() + group["eps"]) + group["weight_decay"] * p
        weights, lengths = (p * p).sum(), (u * u).sum()
        trust = (weights / lengths).sqrt() if weights.item() > 0 and lengths.item() != 0 else 1.0
        moved: Tensor = p - group["lr"] * trust * u
        return moved
