"""Muon: momentum whose singular values are made equal, for the matrices of hidden layers."""

import math
from collections.abc import Callable
from typing import Any

from pydl import _C, ops
from pydl.autograd import no_grad
from pydl.errors import ArgumentError, ShapeError
from pydl.optim.numbers import Numbers, Renewed
from pydl.optim.optimizer import Group, Optimizer, Params, state_dtype
from pydl.tensor import Tensor

_COEFFICIENTS = (3.4445, -4.7750, 2.0315)  # of Jordan et al.: the steepest slope at 0 that keeps values near 1


class Muon(Optimizer):
    """p = (1 - lr weight_decay) p - lr s NS(m): m the running mean of the gradients, NS(m) near the U V^T of U S V^T.

    NS is ns_steps times X = a X + (b X X^T + c (X X^T)^2) X, from X = m / |m|. It takes singular values to about 1 with
    matrix products alone; products of equal shape run as one batch, in float32 (float64 for float64).

    Args:
        params: matrices. Biases, embeddings and the like belong to another optimizer.
        momentum: how much of m stays in each step. nesterov: NS of g + momentum (m - g) instead.
        ns_coefficients: a, b, c. eps: least norm.
        adjust_lr_fn: s is sqrt(max(1, rows / columns)) for "original" and None, 0.2 sqrt(max(rows, columns)), which
            makes steps as long as those of AdamW, for "match_rms_adamw".
        maximize: step along the gradient instead of against it.
    Raises: ArgumentError for options outside their range; ShapeError for parameters that are not matrices.
    Source: Jordan et al. 2024, Muon: an optimizer for hidden layers in neural networks; Liu et al. 2025
        (arXiv:2502.16982) for match_rms_adamw.
    """

    def __init__(
        self,
        params: Params,
        lr: float = 1e-3,
        weight_decay: float = 0.1,
        momentum: float = 0.95,
        nesterov: bool = True,
        ns_coefficients: tuple[float, float, float] = _COEFFICIENTS,
        eps: float = 1e-7,
        ns_steps: int = 5,
        adjust_lr_fn: str | None = None,
        *,
        maximize: bool = False,
    ) -> None:
        defaults: dict[str, Any] = {
            "lr": lr, "weight_decay": weight_decay, "momentum": momentum, "nesterov": nesterov,
            "ns_coefficients": ns_coefficients, "eps": eps, "ns_steps": ns_steps, "adjust_lr_fn": adjust_lr_fn,
            "maximize": maximize,
        }  # fmt: skip
        super().__init__(params, defaults)

    def _check(self, group: Group) -> None:
        self._range(group, "lr", "weight_decay", "momentum", "eps")
        if len(group["ns_coefficients"]) != 3:
            raise ArgumentError(f"Muon: ns_coefficients must be three numbers, got {group['ns_coefficients']}")
        if not isinstance(group["ns_steps"], int) or not 0 <= group["ns_steps"] < 100:
            raise ArgumentError(f"Muon: ns_steps must be a number from 0 to 99, got {group['ns_steps']!r}")
        if group["adjust_lr_fn"] not in (None, "original", "match_rms_adamw"):
            raise ArgumentError(
                f"Muon: adjust_lr_fn must be None, 'original' or 'match_rms_adamw', got {group['adjust_lr_fn']!r}"
            )
        for p in group["params"]:
            if p.ndim != 2:
                raise ShapeError(f"Muon: expected matrices, got a parameter of shape {p.shape}")

    def _reset(self) -> None:
        super()._reset()
        self._numbers: dict[Any, Numbers] = {}  # of each group and shape: the factors of parameters, then of updates

    def _update(self) -> None:
        with no_grad():
            for number, group in enumerate(self.param_groups):
                for kind, params in self._alike(group).items():
                    key = (number, kind, len(params))
                    if key not in self._numbers:
                        self._numbers[key] = Numbers(1 + len(params))
                    self._step(group, params, self._written(key))

    @staticmethod
    def _alike(group: Group) -> dict[Any, list[Tensor]]:
        """The parameters that have a gradient, by shape and dtype."""
        alike: dict[Any, list[Tensor]] = {}
        for p in group["params"]:
            if p.grad is not None and p.numel() > 0:
                alike.setdefault((p.shape, p.dtype), []).append(p)
        return alike

    def _written(self, key: Any) -> Numbers:
        """The numbers of a step as the options are now."""
        number, ((rows, columns), _), _ = key
        group, numbers = self.param_groups[number], self._numbers[key]
        scale = math.sqrt(max(1.0, rows / columns))
        if group["adjust_lr_fn"] == "match_rms_adamw":
            scale = 0.2 * math.sqrt(max(rows, columns))
        lr = float(group["lr"])
        numbers.values[0], numbers.values[1:] = 1 - lr * float(group["weight_decay"]), -lr * scale
        return numbers

    def _record(self, hooks: list[Callable[[], Any]]) -> None:
        hooks.append(Renewed(lambda: [self._written(key) for key in self._numbers], self._frozen))

    def _frozen(self) -> Any:
        """What a recorded step has in it."""
        options = [
            (g["momentum"], g["nesterov"], *g["ns_coefficients"], g["eps"], g["ns_steps"], g["maximize"])
            for g in self.param_groups
        ]
        decays = [g["weight_decay"] != 0 for g in self.param_groups]
        return (
            options,
            decays,
            [id(self.state[p].get("momentum_buffer")) for g in self.param_groups for p in g["params"]],
        )

    def _step(self, group: Group, params: list[Tensor], numbers: Numbers) -> None:
        """Parameters of one shape and dtype."""
        update = ops.stack([self._mean(group, p) for p in params])
        update = orthogonalized(update, group["ns_coefficients"], group["ns_steps"], float(group["eps"]))
        arrays = [p.array for p in params]
        if group["weight_decay"] != 0:
            _C.scale_by(arrays, numbers.part(0))
        _C.add_scaled_by(arrays, [u.array for u in update.unbind(0)], numbers.part(1, len(params)))

    def _mean(self, group: Group, p: Tensor) -> Tensor:
        assert p.grad is not None
        state, momentum = self.state[p], float(group["momentum"])
        g = p.grad.detach().to(state_dtype(p))
        g = -g if group["maximize"] else g
        old = state.get("momentum_buffer")
        m = g * (1 - momentum) if old is None else old + (g - old) * (1 - momentum)
        state["momentum_buffer"] = m if old is None else old.copy_(m)
        return g + (m - g) * momentum if group["nesterov"] else m


def orthogonalized(x: Tensor, coefficients: tuple[float, float, float], steps: int, eps: float) -> Tensor:
    """x (k, m, n) with singular values near 1: the iteration of Newton and Schulz with a quintic."""
    a, b, c = coefficients
    wide = x if x.shape[1] <= x.shape[2] else x.transpose(1, 2)
    wide = wide / (wide * wide).sum([1, 2], keepdim=True).sqrt().clamp(min=eps)
    for _ in range(steps):
        gram = wide @ wide.transpose(1, 2)
        wide = ops.baddbmm(wide, ops.baddbmm(gram, gram, gram, beta=b, alpha=c), wide, beta=a)
    return wide if x.shape[1] <= x.shape[2] else wide.transpose(1, 2)
