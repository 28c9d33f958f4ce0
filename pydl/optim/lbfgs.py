"""L-BFGS: Newton's method with a curvature learned from the last few steps."""

from collections.abc import Callable
from typing import Any

from pydl import _C, ops
from pydl.autograd import enable_grad, no_grad
from pydl.errors import ArgumentError, CheckpointError
from pydl.ops import as_tensor
from pydl.optim.line_search import Point, StrongWolfe
from pydl.optim.optimizer import Group, Optimizer, Params
from pydl.tensor import Tensor

_MOST_LOOKS = 25  # of one line search


class LBFGS(Optimizer):
    """p -= t H g with H the inverse Hessian as the last `history_size` steps show it; for the whole objective.

    The step asks for the loss several times: step(closure) needs a closure that clears the gradients, computes the
    loss, calls backward and returns the loss; it returns the loss before. All parameters are in one group.

    Args:
        lr: the first step length tried, 1 being Newton's.
        max_iter, max_eval: iterations and evaluations of one call of step; default of the latter 1.25 max_iter.
        tolerance_grad: ends where no element of the gradient is larger.
        tolerance_change: ends where neither parameters nor loss change by more.
        line_search_fn: None steps by lr; "strong_wolfe" finds a length that lowers loss and slope enough.
    Raises: ArgumentError for options that do not fit, a second group, or a step without closure.
    Source: Nocedal 1980; Nocedal and Wright 2006, algorithms 7.4 and 7.5.
    """

    def __init__(
        self,
        params: Params,
        lr: float = 1,
        max_iter: int = 20,
        max_eval: int | None = None,
        tolerance_grad: float = 1e-7,
        tolerance_change: float = 1e-9,
        history_size: int = 100,
        line_search_fn: str | None = None,
    ) -> None:
        most = max_iter * 5 // 4 if max_eval is None else max_eval
        defaults: dict[str, Any] = {
            "lr": lr, "max_iter": max_iter, "max_eval": most, "tolerance_grad": tolerance_grad,
            "tolerance_change": tolerance_change, "history_size": history_size, "line_search_fn": line_search_fn,
        }  # fmt: skip
        super().__init__(params, defaults)

    def _check(self, group: Group) -> None:
        if self.param_groups:
            raise ArgumentError("LBFGS: all parameters must be in one group")
        self._range(group, "lr", "max_iter", "max_eval", "tolerance_grad", "tolerance_change")
        if not int(group["history_size"]) >= 1:
            raise ArgumentError(f"LBFGS: history_size must be >= 1, got {group['history_size']}")
        if group["line_search_fn"] not in (None, "strong_wolfe"):
            raise ArgumentError(
                f"LBFGS: line_search_fn must be None or 'strong_wolfe', got {group['line_search_fn']!r}"
            )

    def _run(self, closure: Callable[[], Any] | None) -> Any:
        if closure is None:
            raise ArgumentError("LBFGS: step needs a closure: it asks for the loss several times")
        with enable_grad():
            loss = closure()
        with no_grad():
            _Descent(self, closure).run(float(loss))
        return loss

    @property
    def params(self) -> list[Tensor]:
        """The parameters, which step as one vector."""
        params: list[Tensor] = self.param_groups[0]["params"]
        return params

    def _fitted(self, key: str, value: Any, p: Tensor) -> Any:
        if isinstance(value, (list, tuple)):
            return [self._fitted(key, v, p) for v in value]
        if not hasattr(value, "__dlpack__"):
            return value
        made, n = as_tensor(value, copy=True), sum(q.numel() for q in self.params)
        if made.ndim and made.shape != (n,):
            raise CheckpointError(f"LBFGS: {key} of shape {made.shape} does not fit {n} parameters")
        return made.to(p.dtype) if made.ndim else made.item()


class _Descent:
    """One call of `LBFGS.step`: the parameters as one vector, and the memory of earlier steps."""

    def __init__(self, optimizer: LBFGS, closure: Callable[[], Any]) -> None:
        self.closure, self.params = closure, optimizer.params
        self.group = optimizer.param_groups[0]
        self.memory = optimizer.state[self.params[0]]
        self.memory.setdefault("func_evals", 0)
        self.memory.setdefault("n_iter", 0)
        self.looks = 1

    def run(self, loss: float) -> None:
        """Iterates until one of the group's limits is reached."""
        memory, group = self.memory, self.group
        memory["func_evals"] += 1
        gradient = self._gradient()
        if gradient.numel() == 0:
            return
        for iteration in range(1, int(group["max_iter"]) + 1):
            if float(gradient.abs().max()) <= group["tolerance_grad"]:
                return
            memory["n_iter"] += 1
            self._remember(gradient)
            d = memory["d"] = self._direction(gradient)
            memory["prev_flat_grad"], memory["prev_loss"], before = gradient, loss, loss
            slope = float((gradient * d).sum())
            if slope > -group["tolerance_change"]:
                return
            last = iteration == group["max_iter"]
            loss, gradient = self._moved(Point(0.0, loss, gradient, slope), d, last)
            if last or self.looks >= group["max_eval"]:
                return
            if float((d * memory["t"]).abs().max()) <= group["tolerance_change"]:
                return
            if abs(loss - before) < group["tolerance_change"]:
                return

    def _gradient(self) -> Tensor:
        """(n,): of all parameters, zeros for those without one."""
        flat = [ops.zeros_like(p) if p.grad is None else p.grad.detach() for p in self.params]
        return ops.cat([g.reshape(-1) for g in flat])

    def _add(self, t: float, d: Tensor) -> None:
        """p += t d."""
        parts = d.split([p.numel() for p in self.params])
        ways = [part.reshape(p.shape).to(p.dtype).array for part, p in zip(parts, self.params, strict=True)]
        _C.add_scaled([p.array for p in self.params], ways, [t] * len(ways))

    def _remember(self, gradient: Tensor) -> None:
        """Takes the last step s and the change y of the gradient along it into the memory."""
        memory = self.memory
        if memory["n_iter"] == 1:
            memory.update({"old_dirs": [], "old_stps": [], "ro": [], "H_diag": 1.0})
            return
        y, s = gradient - memory["prev_flat_grad"], memory["d"] * memory["t"]
        curvature = float((y * s).sum())
        if curvature <= 1e-10:  # H would not stay positive definite
            return
        for name, value in (("old_dirs", y), ("old_stps", s), ("ro", 1.0 / curvature)):
            memory[name] = [*memory[name], value][-int(self.group["history_size"]) :]
        memory["H_diag"] = curvature / float((y * y).sum())

    def _direction(self, gradient: Tensor) -> Tensor:
        """-H g by the two loops, through the memory backwards and forwards."""
        memory, d = self.memory, -gradient
        steps = list(zip(memory["old_dirs"], memory["old_stps"], memory["ro"], strict=True))
        parts = []
        for y, s, ro in reversed(steps):
            parts.append(float((s * d).sum()) * float(ro))
            d = d - y * parts[-1]
        d = d * float(memory["H_diag"])
        for (y, s, ro), part in zip(steps, reversed(parts), strict=True):
            d = d + s * (part - float((y * d).sum()) * float(ro))
        return d

    def _moved(self, start: Point, d: Tensor, last: bool) -> tuple[float, Tensor]:
        """Goes along d; returns loss and gradient there."""
        lr, memory = float(self.group["lr"]), self.memory
        t = min(1.0, 1.0 / float(start.gradient.abs().sum())) * lr if memory["n_iter"] == 1 else lr
        found = Point(t, start.loss, start.gradient, start.slope)
        if self.group["line_search_fn"] == "strong_wolfe":
            search = StrongWolfe(self._looking(d), d, start, float(self.group["tolerance_change"]), _MOST_LOOKS)
            found, looks = search.run(t), search.tries + 1
            self._add(found.t, d)
        else:
            self._add(t, d)
            looks = 0
            if not last:  # the last look of a call would only be thrown away
                loss = float(self._evaluated())
                found, looks = Point(t, loss, self._gradient(), 0.0), 1
        memory["t"] = found.t
        self.looks += looks
        memory["func_evals"] += looks
        return found.loss, found.gradient

    def _looking(self, d: Tensor) -> Callable[[float], tuple[float, Tensor]]:
        """look(t): loss and gradient at p + t d; p itself is put back, bit by bit."""
        origin = [p.detach().clone() for p in self.params]

        def look(t: float) -> tuple[float, Tensor]:
            self._add(t, d)
            loss, gradient = float(self._evaluated()), self._gradient()
            for p, x in zip(self.params, origin, strict=True):
                p.copy_(x)
            return loss, gradient

        return look

    def _evaluated(self) -> Any:
        with enable_grad():
            return self.closure()
