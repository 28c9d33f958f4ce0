"""SciPy's minimizers on the parameters of a model."""

from collections.abc import Callable
from typing import Any

import numpy as np

from pydl import _C
from pydl.autograd import enable_grad, no_grad
from pydl.errors import ArgumentError, require
from pydl.optim.optimizer import Group, Optimizer, Params
from pydl.tensor import Tensor


class ScipyMinimizer(Optimizer):
    """Every step is a whole run of scipy.optimize.minimize over all parameters as one float64 vector.

    step(closure) needs a closure that clears the gradients, computes the loss, calls backward and returns the loss. It
    returns the loss before; the parameters become the best ones found.

    Args:
        method: of those that take gradients: "L-BFGS-B", "BFGS", "CG", "TNC", "SLSQP", "trust-constr", ...
        bounds: (low, high) for all elements, None for no bound. tol, options: as SciPy takes them.
    Attributes: result: what the last run returned: x, fun, nit, nfev, success, message, ...
    Raises: ArgumentError for a second group or a step without closure; MissingExtraError without SciPy.
    Source: Virtanen et al. 2020, SciPy 1.0.
    """

    def __init__(
        self,
        params: Params,
        method: str = "L-BFGS-B",
        bounds: tuple[float | None, float | None] | None = None,
        tol: float | None = None,
        options: dict[str, Any] | None = None,
    ) -> None:
        self.result: Any = None
        super().__init__(params, {"method": method, "bounds": bounds, "tol": tol, "options": options})

    def _check(self, group: Group) -> None:
        if self.param_groups:
            raise ArgumentError("ScipyMinimizer: all parameters must be in one group")

    @property
    def params(self) -> list[Tensor]:
        """The parameters, which are minimized as one vector."""
        params: list[Tensor] = self.param_groups[0]["params"]
        return params

    def _run(self, closure: Callable[[], Any] | None) -> Any:
        if closure is None:
            raise ArgumentError("ScipyMinimizer: step needs a closure: it asks for the loss several times")
        optimize: Any = require("scipy.optimize", "science", "ScipyMinimizer")
        group, start = self.param_groups[0], self._flat([p.detach() for p in self.params])
        bounds = None if group["bounds"] is None else [group["bounds"]] * len(start)
        losses: list[Any] = []

        def look(x: "np.ndarray[Any, Any]") -> "tuple[float, np.ndarray[Any, Any]]":
            self._assign(x)
            with enable_grad():
                losses.append(closure())
            gradients = [p.detach() * 0 if p.grad is None else p.grad.detach() for p in self.params]
            return float(losses[-1]), self._flat(gradients)

        try:
            self.result = optimize.minimize(
                look, start, method=group["method"], jac=True, bounds=bounds, tol=group["tol"], options=group["options"]
            )
        except BaseException:
            self._assign(start)  # an error in the loss leaves the parameters where they were
            raise
        self._assign(self.result.x)
        return losses[0]

    @staticmethod
    def _flat(tensors: list[Tensor]) -> "np.ndarray[Any, Any]":
        return np.concatenate([t.double().numpy().ravel() for t in tensors])

    def _assign(self, x: "np.ndarray[Any, Any]") -> None:
        """x as the parameters."""
        begin = 0
        with no_grad():
            for p in self.params:
                part = np.array(x[begin : begin + p.numel()]).reshape(p.shape)
                p.copy_(Tensor(_C.cast(_C.from_numpy(part), p.dtype)))
                begin += p.numel()

    def __getstate__(self) -> dict[str, Any]:
        return {**super().__getstate__(), "result": None}
