"""Adafactor: Adam's second moment from the sums of its rows and columns, and steps in units of the parameters."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from pydl import _C, ops
from pydl.autograd import no_grad
from pydl.autograd.mode import mode
from pydl.errors import ArgumentError
from pydl.optim.numbers import Numbers, Renewed
from pydl.optim.optimizer import Group, Optimizer, Params, state_dtype
from pydl.tensor import Tensor

_EPS: dict[_C.dtype, Any] = {_C.float64: np.finfo(np.float64).eps, _C.float32: np.finfo(np.float32).eps}
_STEP, _FRESH, _RATE, _KEEP = range(4)  # steps taken; what the means take up; the largest step; p's factor
_EPS |= {_C.float16: np.finfo(np.float16).eps, _C.bfloat16: 2.0**-7}


class Adafactor(Optimizer):
    """p -= max(eps2, rms(p)) min(lr, 1 / sqrt(t)) u / max(1, rms(u) / d) with u = g / sqrt(v).

    For two axes and more, v is the product of the running means of g^2 over rows and over columns, divided by their
    mean: m + n numbers of state instead of m n. The means keep 1 - t^beta2_decay in each step.

    Args:
        eps: (least v is the square of the first, default the dtype's eps; least size of a parameter).
        d: largest root mean square of u. weight_decay: p *= 1 - lr weight_decay before the step.
        maximize: step along the gradient instead of against it. foreach: accepted for code written for PyTorch.
    Raises: ArgumentError for options outside their range.
    Source: Shazeer and Stern 2018 (arXiv:1804.04235), algorithms 4 and 5, in the form of torch.optim.Adafactor.
    """

    def __init__(
        self,
        params: Params,
        lr: float = 1e-2,
        beta2_decay: float = -0.8,
        eps: tuple[float | None, float] = (None, 1e-3),
        d: float = 1.0,
        weight_decay: float = 0.0,
        *,
        foreach: bool | None = None,
        maximize: bool = False,
    ) -> None:
        defaults: dict[str, Any] = {
            "lr": lr, "beta2_decay": beta2_decay, "eps": eps, "d": d, "weight_decay": weight_decay,
            "foreach": foreach, "maximize": maximize,
        }  # fmt: skip
        super().__init__(params, defaults)

    def _check(self, group: Group) -> None:
        self._range(group, "lr", "weight_decay")
        if not float(group["beta2_decay"]) <= 0.0:
            raise ArgumentError(f"{self._name}: beta2_decay must be <= 0, got {group['beta2_decay']}")
        if not float(group["d"]) >= 1.0:
            raise ArgumentError(f"{self._name}: d must be >= 1, got {group['d']}")
        if any(e is not None and not float(e) >= 0.0 for e in group["eps"]):
            raise ArgumentError(f"{self._name}: eps must be >= 0, got {group['eps']}")

    def _reset(self) -> None:
        super()._reset()
        self._numbers: dict[Tensor, Numbers] = {}  # of each parameter: see the places below

    def _update(self) -> None:
        with no_grad():
            for group in self.param_groups:
                for p in group["params"]:
                    if p.grad is not None:
                        self._step(group, p, p.grad.detach().to(state_dtype(p)))

    def _written(self, group: Group, p: Tensor) -> Numbers:
        """The numbers of the next step of p, as the options are now."""
        numbers = self._numbers.get(p)
        if numbers is None:
            numbers = self._numbers[p] = Numbers(4)
            numbers.values[_STEP] = int(self.state[p].get("step", 0))
        values, lr = numbers.values, float(group["lr"])
        step = values[_STEP] + 1
        values[:] = (
            step, step ** float(group["beta2_decay"]), -min(lr, 1 / math.sqrt(step)),
            1 - lr * float(group["weight_decay"]),
        )  # fmt: skip
        return numbers

    def _step(self, group: Group, p: Tensor, g: Tensor) -> None:
        state, numbers = self.state[p], self._written(group, p)
        eps1, eps2 = group["eps"]
        least = float(_EPS[p.dtype] if eps1 is None else eps1)
        fresh = numbers.number(_FRESH).to(g.dtype)
        update = self._direction(state, -g if group["maximize"] else g, fresh, least)
        # the sizes come before anything of p changes, so that a failing step changes nothing
        sizes = ops.sqrt(Tensor(_C.sum_squares([p.array, update.array])) / max(1, p.numel()))
        rate = sizes[0].clamp(min=float(eps2)) * numbers.number(_RATE) / (sizes[1] / float(group["d"])).clamp(min=1.0)
        if group["weight_decay"] != 0:
            _C.scale_by([p.array], numbers.part(_KEEP))
        _C.add_scaled_by([p.array], [update.array], rate.reshape(1).array)
        if "step" not in state or mode.recording is None:
            state["step"] = numbers.number(_STEP)

    def _record(self, hooks: list[Callable[[], Any]]) -> None:
        stepped = [(g, p) for g in self.param_groups for p in g["params"] if p.grad is not None]
        hooks.append(Renewed(lambda: [self._written(group, p) for group, p in stepped], self._frozen, self._back))

    def _back(self) -> None:
        for numbers in self._numbers.values():
            numbers.values[_STEP] -= 1

    def _frozen(self) -> Any:
        """What a recorded step has in it."""
        options = [(*g["eps"], g["d"], g["maximize"], g["weight_decay"] != 0) for g in self.param_groups]
        return options, [(id(p), id(n)) for p, n in self._numbers.items()], [
            [id(v) for name, v in self.state[p].items() if name != "step"] for p in self._numbers
        ]  # fmt: skip

    def _direction(self, state: dict[str, Any], g: Tensor, fresh: Tensor, least: float) -> Tensor:
        """g / sqrt(v), with the running means moved by the part `fresh` towards g^2."""
        squares = g * g

        def moved(name: str, now: Tensor) -> Tensor:
            old = state.get(name)
            mean: Tensor = now * fresh if old is None else old + (now - old) * fresh
            state[name] = mean if old is None else old.copy_(mean)
            return mean

        if g.ndim < 2:
            v = moved("variance", squares)
        elif g.numel() == 0:
            return g
        else:
            row, column = (
                moved("row_var", squares.mean(-1, keepdim=True)),
                moved("col_var", squares.mean(-2, keepdim=True)),
            )
            v = row @ column / row.mean(-2, keepdim=True).clamp(min=least)
        direction: Tensor = g * v.clamp(min=least * least).rsqrt()
        return direction

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        self._numbers = {}

    def _state_shape(self, key: str, p: Tensor) -> tuple[int, ...]:
        shape = p.shape
        return {"row_var": (*shape[:-1], 1), "col_var": (*shape[:-2], 1, *shape[-1:])}.get(key, shape)
