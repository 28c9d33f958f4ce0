"""SGDW: SGD whose weight decay does not pass through the momentum."""

from pydl.optim.optimizer import Params
from pydl.optim.sgd import SGD


class SGDW(SGD):
    """p *= 1 - lr weight_decay, then the step of SGD. Options as of `SGD`.

    Source: Loshchilov and Hutter 2019 (arXiv:1711.05101), algorithm 1.
    """

    def __init__(
        self,
        params: Params,
        lr: float = 1e-3,
        momentum: float = 0,
        dampening: float = 0,
        weight_decay: float = 1e-2,
        nesterov: bool = False,
        *,
        maximize: bool = False,
        foreach: bool | None = None,
        differentiable: bool = False,
        fused: bool | None = None,
        rate_inside: bool = False,
    ) -> None:
        super().__init__(
            params, lr, momentum, dampening, weight_decay, nesterov, maximize=maximize, foreach=foreach,
            differentiable=differentiable, fused=fused, decoupled_weight_decay=True, rate_inside=rate_inside,
        )  # fmt: skip
