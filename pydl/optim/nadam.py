"""NAdam: Adam that looks ahead as Nesterov's method does."""

from typing import Any, ClassVar

from pydl import _C
from pydl.optim.fused import Launch
from pydl.optim.moments import Moments
from pydl.optim.optimizer import Group, Params
from pydl.tensor import Tensor

_STEP = 8  # its place among the hyperparameters


class NAdam(Moments):
    """p -= lr (mu' m / (1 - M mu') + (1 - mu) g / (1 - M)) / (sqrt(v / (1 - beta2^t)) + eps).

    mu = beta1 (1 - 0.96^(t momentum_decay) / 2), mu' is that of the next step, M the product of all mu so far.

    Args:
        betas: how much of m and of v stays in each step. weight_decay: times p is added to the gradient.
        momentum_decay: how slowly mu rises to beta1; with 0, mu = beta1 / 2 throughout.
        decoupled_weight_decay: p *= 1 - lr weight_decay instead, as AdamW does.
        maximize: step along the gradient instead of against it.
        foreach, capturable: accepted for code written for PyTorch; all parameters of a group always step in one launch.
    Raises: ArgumentError for options outside their range.
    Source: Dozat 2016, Incorporating Nesterov momentum into Adam.
    """

    _kernel = _C.nadam
    _hypers = 10
    _scalars: ClassVar[dict[str, int]] = {"step": _STEP, "mu_product": 9}
    _counts: ClassVar[bool] = False

    def __init__(
        self,
        params: Params,
        lr: float = 2e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0,
        momentum_decay: float = 4e-3,
        decoupled_weight_decay: bool = False,
        *,
        foreach: bool | None = None,
        maximize: bool = False,
        capturable: bool = False,
        differentiable: bool = False,
    ) -> None:
        defaults: dict[str, Any] = {
            "lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay, "momentum_decay": momentum_decay,
            "decoupled_weight_decay": decoupled_weight_decay, "foreach": foreach, "maximize": maximize,
            "capturable": capturable, "differentiable": differentiable,
        }  # fmt: skip
        super().__init__(params, defaults)

    def _check(self, group: Group) -> None:
        super()._check(group)
        self._range(group, "momentum_decay")

    def _start(self, group: Group, name: str) -> float:
        return 1.0 if name == "mu_product" else 0.0

    def _write(self, group: Group, launch: Launch) -> None:
        (product,) = launch.carried
        beta1, beta2 = group["betas"]
        step, decay = launch.age + 1, group["momentum_decay"]
        launch.coming = (product * beta1 * (1 - 0.5 * 0.96 ** (step * decay)),)
        launch.write((*self._common(group), beta1, beta2, group["eps"], decay))

    def _rule(self, group: Group, state: dict[str, Any], p: Tensor, d: Tensor, step: int) -> Tensor:
        beta1, beta2 = group["betas"]
        m, v = self._first(group, state, d), self._second(group, state, d)
        mu, coming = (beta1 * (1 - 0.5 * 0.96 ** (t * group["momentum_decay"])) for t in (step, step + 1))
        state["mu_product"] = product = state.get("mu_product", 1.0) * mu
        ahead = coming / (1 - product * coming) * m + (1 - mu) / (1 - product) * d
        moved: Tensor = p - group["lr"] * ahead / ((v / (1 - beta2**step)).sqrt() + group["eps"])
        return moved
