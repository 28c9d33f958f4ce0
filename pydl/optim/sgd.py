"""Stochastic gradient descent with momentum in all its forms."""

from typing import Any, ClassVar

from pydl import _C
from pydl.errors import ArgumentError
from pydl.optim.fused import FusedOptimizer, Launch
from pydl.optim.optimizer import Group, Params, state_dtype
from pydl.optim.rows import RowStep, add_rows
from pydl.tensor import Tensor


class SGD(FusedOptimizer):
    """p -= lr v, with v = momentum v + (1 - dampening) g and g the gradient plus weight_decay p.

    The first step takes v = g. With `nesterov`, p -= lr (g + momentum v). Without momentum, v = g.

    Args:
        momentum, dampening: of v.
        nesterov: needs momentum > 0 and dampening = 0.
        rate_inside: the classical form v = momentum v + lr g; p -= v. The same while lr is constant; when lr changes,
            here the steps that v holds keep the size they were taken with.
        decoupled_weight_decay: p *= 1 - lr weight_decay instead, as SGDW does.
        maximize: step along the gradient instead of against it.
        foreach, fused: accepted for code written for PyTorch; all parameters of a group always step in one launch.
    A sparse gradient moves its rows alone; with momentum or weight decay, which move all rows, it becomes a dense one.
    Raises: ArgumentError for options outside their range.
    Source: Polyak 1964; Nesterov 1983; Sutskever et al. 2013, On the importance of initialization and momentum.
    """

    _kernel = _C.sgd
    _slots = ("momentum_buffer",)
    _hypers = 9
    _scalars: ClassVar[dict[str, int]] = {}
    _takes_sparse = True

    def __init__(
        self,
        params: Params,
        lr: float = 1e-3,
        momentum: float = 0,
        dampening: float = 0,
        weight_decay: float = 0,
        nesterov: bool = False,
        *,
        maximize: bool = False,
        foreach: bool | None = None,
        differentiable: bool = False,
        fused: bool | None = None,
        decoupled_weight_decay: bool = False,
        rate_inside: bool = False,
    ) -> None:
        defaults: dict[str, Any] = {
            "lr": lr, "momentum": momentum, "dampening": dampening, "weight_decay": weight_decay,
            "nesterov": nesterov, "maximize": maximize, "foreach": foreach, "differentiable": differentiable,
            "fused": fused, "decoupled_weight_decay": decoupled_weight_decay, "rate_inside": rate_inside,
        }  # fmt: skip
        if nesterov and (momentum <= 0 or dampening != 0):
            raise ArgumentError(f"SGD: nesterov needs momentum > 0 and dampening 0, got {momentum} and {dampening}")
        super().__init__(params, defaults)

    def _check(self, group: Group) -> None:
        self._range(group, "lr", "momentum", "weight_decay")

    def _used(self, group: Group) -> tuple[str, ...]:
        return self._slots if group["momentum"] != 0 else ()

    def _age(self, state: dict[str, Any]) -> int:
        return int(state.get("momentum_buffer") is not None)

    def _step_rows(self, group: Group, p: Tensor, g: Tensor) -> bool:
        if group["momentum"] != 0 or group["weight_decay"] != 0:
            return False
        rate = float(group["lr"]) if group["maximize"] else -float(group["lr"])
        if p.dtype is state_dtype(p):  # rows that occur twice are added twice
            add_rows(p, g.detach() * rate)
        else:
            rows = RowStep(p, g)
            rows.write(p, rows.old() + rows.gradient * rate)
        return True

    def _rule(self, group: Group, state: dict[str, Any], p: Tensor, d: Tensor, step: int) -> Tensor:
        lr, momentum = group["lr"], group["momentum"]
        own = lr * d if group["rate_inside"] else d
        if momentum == 0:
            moved: Tensor = p - lr * d
            return moved
        v = own if step == 1 else momentum * state["momentum_buffer"] + (1 - group["dampening"]) * own
        state["momentum_buffer"] = v
        way = own + momentum * v if group["nesterov"] else v
        return p - way if group["rate_inside"] else p - lr * way

    def _write(self, group: Group, launch: Launch) -> None:
        launch.write(
            (
                *self._common(group), group["momentum"], group["dampening"], group["nesterov"], group["rate_inside"],
                launch.age == 0,
            )
        )  # fmt: skip
