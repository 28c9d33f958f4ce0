"""Projected and mirror descent, for parameters that must stay in a set."""

from typing import Any

from pydl import ops
from pydl.autograd import no_grad
from pydl.errors import ArgumentError
from pydl.optim.optimizer import Group, Optimizer, Params
from pydl.tensor import Tensor


class MirrorDescent(Optimizer):
    """The point of the set that minimises lr g x + D(x, p), D the distance of the mirror.

    mirror "l2", D = |x - p|^2 / 2: p - lr g, projected. mirror "entropy", D = sum x log(x / p): p exp(-lr g), on the
    simplex divided by its sum: the exponentiated gradient, or multiplicative weights.

    Args:
        set: None (all numbers; for entropy the positive ones), "simplex" (each row along the last axis is >= 0 and sums
            to 1) or "box" (from low to high).
        maximize: step along the gradient instead of against it.
    Raises: ArgumentError for options that do not fit, and for parameters that entropy cannot start from.
    Source: Nemirovski and Yudin 1983; Kivinen and Warmuth 1997; Duchi et al. 2008 for the projection on the simplex.
    """

    def __init__(
        self,
        params: Params,
        lr: float = 1e-2,
        mirror: str = "l2",
        set: str | None = None,
        low: float = 0.0,
        high: float = 1.0,
        *,
        maximize: bool = False,
    ) -> None:
        defaults: dict[str, Any] = {
            "lr": lr, "mirror": mirror, "set": set, "low": low, "high": high, "maximize": maximize,
        }  # fmt: skip
        super().__init__(params, defaults)

    def _check(self, group: Group) -> None:
        self._range(group, "lr")
        if group["mirror"] not in ("l2", "entropy") or group["set"] not in (None, "simplex", "box"):
            raise ArgumentError(
                "MirrorDescent: expected the mirror 'l2' or 'entropy' and the set None, 'simplex' or 'box', got "
                f"{group['mirror']!r} and {group['set']!r}"
            )
        if not float(group["low"]) <= float(group["high"]):
            raise ArgumentError(f"MirrorDescent: low {group['low']} is above high {group['high']}")
        if group["set"] == "simplex" and any(p.ndim == 0 for p in group["params"]):
            raise ArgumentError("MirrorDescent: a single number has no simplex")
        if group["mirror"] == "entropy" and not all(bool((p.detach() > 0).all()) for p in group["params"]):
            raise ArgumentError("MirrorDescent: entropy needs parameters that are positive at the start")

    def _update(self) -> None:
        with no_grad():
            for group in self.param_groups:
                for p in group["params"]:
                    if p.grad is not None:
                        p.copy_(self._moved(group, p.detach(), p.grad.detach()))

    def _moved(self, group: Group, p: Tensor, g: Tensor) -> Tensor:
        change = g * (float(group["lr"]) if group["maximize"] else -float(group["lr"]))
        if group["mirror"] == "entropy":
            if group["set"] == "simplex":
                return ops.softmax(p.log() + change, -1)  # p exp(change) over its sum, without overflow
            moved = p * change.exp()
        else:
            moved = p + change
            if group["set"] == "simplex":
                return on_simplex(moved)
        return moved if group["set"] is None else moved.clamp(float(group["low"]), float(group["high"]))


def on_simplex(x: Tensor) -> Tensor:
    """(..., n): the nearest point to each row among those that are >= 0 and sum to 1.

    Source: Duchi et al. 2008, Efficient projections onto the l1-ball, figure 1.
    """
    if x.numel() == 0:
        return x
    falling = ops.sort(x, -1, descending=True)[0]
    over = falling.cumsum(-1) - 1
    count = ops.arange(1, x.shape[-1] + 1).to(x.dtype)
    kept = (falling - over / count > 0).to(x.dtype).sum(-1, keepdim=True)  # the largest `kept` of them stay positive
    shift = over.gather(-1, kept.long() - 1) / kept
    nearest: Tensor = (x - shift).clamp(min=0)
    return nearest
