"""Gradient descent on the whole objective."""

from pydl.optim.optimizer import Params
from pydl.optim.sgd import SGD


class GD(SGD):
    """p -= lr g, where g is the gradient of the whole objective, not of a sample.

    On a quadratic with Hessian H the error after t steps is (I - lr H)^t of the first; it vanishes if and only if
    lr < 2 / (largest eigenvalue of H).
    Source: Cauchy 1847.
    """

    def __init__(self, params: Params, lr: float = 1e-3) -> None:
        super().__init__(params, lr)
