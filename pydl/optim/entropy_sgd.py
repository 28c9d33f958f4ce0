"""Entropy-SGD: descent on the local entropy, which prefers wide valleys."""

import math
from collections.abc import Callable
from typing import Any

from pydl import _C, ops
from pydl.autograd import enable_grad, no_grad
from pydl.errors import ArgumentError
from pydl.optim.numbers import Numbers, Renewed
from pydl.optim.optimizer import Group, Params
from pydl.optim.sgd import SGD
from pydl.optim.sgld import add_noise
from pydl.optim.wrapper import Wrapper
from pydl.tensor import Tensor

_GAMMA, _RATE, _NOISE, _MEAN = range(4)  # where a group's numbers stand


class EntropySGD(Wrapper):
    """SGD along gamma (x - <x'>), the gradient of -log of the integral of exp(-f(x') - gamma / 2 |x - x'|^2).

    <x'> is the running mean over L steps of Langevin dynamics from x,
    x' -= inner_lr (grad f(x') - gamma (x - x')) - sqrt(inner_lr) noise N(0, 1), so a step asks for L gradients.
    gamma = gamma0 (1 + gamma1)^t grows with the number t of steps ("scoping"): from wide valleys to f itself.

    Args:
        lr: of the outer step. Where gamma is small, lr = 1 / gamma0 makes steps as long as SGD's.
        L: Langevin steps. ema: how much of <x'> stays in each of them.
        noise: sqrt(2) samples exactly the law above; smaller ones, as in the paper, anneal it.
        momentum, nesterov, weight_decay: of the outer SGD.
        generator: of the noise; default pydl's.
    Raises: ArgumentError for options outside their range.
    Source: Chaudhari et al. 2017 (arXiv:1611.01838), algorithm 1.
    """

    def __init__(
        self,
        params: Params,
        lr: float = 1.0,
        L: int = 20,
        gamma0: float = 0.03,
        gamma1: float = 1e-3,
        noise: float = 1e-4,
        *,
        inner_lr: float = 0.1,
        ema: float = 0.75,
        momentum: float = 0.0,
        nesterov: bool = False,
        weight_decay: float = 0.0,
        generator: ops.Generator | None = None,
    ) -> None:
        self.generator = generator
        options = {
            "L": L, "gamma0": gamma0, "gamma1": gamma1, "noise": noise, "inner_lr": inner_lr, "ema": ema,
            "outer_steps": 0,
        }  # fmt: skip
        super().__init__(SGD(params, lr, momentum, weight_decay=weight_decay, nesterov=nesterov), options)

    def _reset(self) -> None:
        super()._reset()
        self._numbers: list[Numbers] = []  # of each group: see the places above

    def _check(self, group: Group) -> None:
        self._range(group, "gamma0", "gamma1", "noise", "inner_lr")
        if not isinstance(group["L"], int) or group["L"] < 1 or group["L"] != self.options["L"]:
            raise ArgumentError(f"EntropySGD: L must be one number of steps for all groups, got {group['L']!r}")
        if not 0.0 <= float(group["ema"]) < 1.0:
            raise ArgumentError(f"EntropySGD: ema must be at least 0 and below 1, got {group['ema']}")

    def gamma(self, group: Group) -> float:
        """The gamma of the next step of a group."""
        return float(group["gamma0"]) * (1 + float(group["gamma1"])) ** int(group["outer_steps"])

    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """L Langevin steps and one outer step. Afterwards the gradients are those of the local entropy.

        Args: closure: clears the gradients, computes the loss, calls backward and returns the loss; called L times.
        Returns: the loss at x, from the first call. Raises: ArgumentError without a closure.
        """
        if closure is None:
            raise ArgumentError("EntropySGD: step needs a closure: it asks for L gradients")
        return super().step(lambda: self._explore(closure))

    def _explore(self, closure: Callable[[], Any]) -> Any:
        """Leaves x in place and the gradient of the local entropy in grad. Returns: the loss at x."""
        self._write()
        numbers = {id(group): n for group, n in zip(self.param_groups, self._numbers, strict=True)}
        places: dict[Tensor, tuple[Numbers, Tensor, Tensor]] = {}  # each x' with its group's numbers, x and <x'>
        first = None
        for inner in range(self.options["L"]):
            with enable_grad():
                loss = closure()
            first = loss if inner == 0 else first
            with no_grad():
                for group, p in self._with_gradients():
                    if p not in places:
                        places[p] = (numbers[id(group)], p.detach().clone(), p.detach().clone())
                    self._inner_step(p, *places[p])
        with no_grad():
            for p, (own, x, mean) in places.items():
                p.copy_(x)
                p.grad = ((x - mean) * _gamma_of(own, p)).to(p.dtype)
        return first

    def _write(self) -> None:
        """The numbers of the next step."""
        while len(self._numbers) < len(self.param_groups):
            self._numbers.append(Numbers(4))
        for group, numbers in zip(self.param_groups, self._numbers, strict=True):
            numbers.values[:] = (
                self.gamma(group), -float(group["inner_lr"]), _noise_of(group), 1 - float(group["ema"]),
            )  # fmt: skip

    def _inner_step(self, p: Tensor, numbers: Numbers, x: Tensor, mean: Tensor) -> None:
        assert p.grad is not None
        pull = p.grad.detach() - (x - p.detach()) * _gamma_of(numbers, p)
        _C.add_scaled_by([p.array], [pull.to(p.dtype).array], numbers.part(_RATE))
        if numbers.values[_NOISE] != 0:
            add_noise([p], numbers.part(_NOISE), self.generator)
        way = p.detach() - mean
        _C.add_scaled_by([mean.array], [way.array], numbers.part(_MEAN))

    def _update(self) -> None:
        self.base.step()
        self._count(1)

    def _count(self, steps: int) -> None:
        for group in self.param_groups:
            group["outer_steps"] += steps

    def _record(self, hooks: list[Callable[[], Any]]) -> None:
        def before() -> None:
            self._write()
            self._count(1)

        hooks.append(Renewed(before, self._frozen, lambda: self._count(-1)))

    def _frozen(self) -> Any:
        """What a recorded step has in it."""
        noisy = [_noise_of(group) != 0 for group in self.param_groups]
        return self.options["L"], len(self._numbers), noisy

    def __getstate__(self) -> dict[str, Any]:
        return {**super().__getstate__(), "generator": self.generator}


def _gamma_of(numbers: Numbers, p: Tensor) -> Tensor:
    """The gamma of p's group, where p is."""
    return numbers.number(_GAMMA).to(p.device, p.dtype)


def _noise_of(group: Group) -> float:
    """The size of the noise of an inner step."""
    return math.sqrt(float(group["inner_lr"])) * float(group["noise"])
