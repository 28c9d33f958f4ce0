"""Adam for tables that are looked up by index: rows without a gradient stay as they are."""

from typing import Any

from pydl import _C
from pydl.errors import ArgumentError, AutogradError
from pydl.optim.optimizer import Group, Optimizer, Params, state_dtype
from pydl.optim.rows import RowStep
from pydl.tensor import Tensor


class SparseAdam(Optimizer):
    """Adam's step of the rows that a sparse gradient holds: the means of the other rows do not decay meanwhile.

    Args: as of `Adam`. Gradients must be sparse, as `nn.Embedding(sparse=True)` makes them.
    Raises: ArgumentError for options outside their range; AutogradError, in a step, for a dense gradient.
    Source: Kingma and Ba 2015 (arXiv:1412.6980), algorithm 1, by rows.
    """

    _takes_sparse = True

    def __init__(
        self,
        params: Params,
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        maximize: bool = False,
    ) -> None:
        super().__init__(params, {"lr": lr, "betas": betas, "eps": eps, "maximize": maximize})

    def _check(self, group: Group) -> None:
        self._range(group, "lr")
        self._check_betas(group)
        if not float(group["eps"]) > 0:
            raise ArgumentError(f"{self._name}: eps must be > 0, got {group['eps']}")

    def _update(self) -> None:
        moved = [(group, p) for group in self.param_groups for p in group["params"] if p.grad is not None]
        for _, p in moved:
            if not p.grad.is_sparse:
                raise AutogradError(
                    f"{self._name}: the gradient of a parameter of shape {p.shape} is dense: expected a sparse one: "
                    "use Adam"
                )
        for group, p in moved:
            self._step(group, p, p.grad)

    def _step(self, group: Group, p: Tensor, g: Tensor) -> None:
        """The step of one parameter by the rows of its gradient."""
        state: dict[str, Any] = self.state[p]
        if not state:
            zeros = [Tensor(_C.full(p.shape, 0, state_dtype(p), p.device)) for _ in range(2)]
            state |= {"step": 0, "exp_avg": zeros[0], "exp_avg_sq": zeros[1]}
        state["step"] = step = int(state["step"]) + 1
        (beta1, beta2), rows = group["betas"], RowStep(p, g)
        d = -rows.gradient if group["maximize"] else rows.gradient
        m, v = rows.read(state["exp_avg"]), rows.read(state["exp_avg_sq"])
        m, v = m + (1 - beta1) * (d - m), v + (1 - beta2) * (d * d - v)
        rows.write(state["exp_avg"], m)
        rows.write(state["exp_avg_sq"], v)
        rate = float(group["lr"]) * (1 - beta2**step) ** 0.5 / (1 - beta1**step)
        rows.write(p, rows.old() - rate * m / (v.sqrt() + group["eps"]))
