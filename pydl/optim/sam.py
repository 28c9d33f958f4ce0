"""SAM: descent along the gradient at the worst point nearby."""

from collections.abc import Callable
from functools import partial
from typing import Any

from pydl import _C, ops
from pydl.autograd import enable_grad, no_grad
from pydl.autograd.mode import mode
from pydl.errors import ArgumentError
from pydl.optim.numbers import Numbers, Renewed
from pydl.optim.optimizer import Group, Optimizer, Params
from pydl.optim.wrapper import Wrapper
from pydl.tensor import Tensor


def _write(numbers: Numbers, groups: list[Group]) -> None:
    numbers.values[:] = [float(group["rho"]) for group in groups]


class SAM(Wrapper):
    """The step of another optimizer with the gradient at p + rho g / |g| in place of that at p.

    |g| is the norm over all parameters. A step asks for two gradients: call step(closure), or first_step and
    second_step with a backward before each.

    Args:
        base_optimizer: the class of the optimizer that takes the step; further options are its own.
        rho: distance to the worst point, in the norm of the parameters.
        adaptive: in the norm |g / |p|| instead: the same for rescaled parameters (ASAM).
    Raises: ArgumentError for options outside their range.
    Source: Foret et al. 2021 (arXiv:2010.01412), algorithm 1; Kwon et al. 2021 (arXiv:2102.11600), equation 7.
    """

    def __init__(
        self,
        params: Params,
        base_optimizer: Callable[..., Optimizer],
        rho: float = 0.05,
        adaptive: bool = False,
        **options: Any,
    ) -> None:
        super().__init__(base_optimizer(params, **options), {"rho": rho, "adaptive": adaptive})

    def _reset(self) -> None:
        super()._reset()
        self._numbers: dict[int, Numbers] = {}
        self._away: list[tuple[Tensor, Tensor]] = []  # parameters at the worst point, and where they came from

    def _check(self, group: Group) -> None:
        self._range(group, "rho")

    def first_step(self, zero_grad: bool = False) -> None:
        """Goes to the worst point nearby, along the gradient."""
        listed = self._with_gradients()
        with no_grad():
            ways = [self._scaled(p, 2 if group["adaptive"] else 0) for group, p in listed]
            weighed = [self._scaled(p, 1 if group["adaptive"] else 0) for group, p in listed]
            norm = ops.sqrt(Tensor(_C.sum_squares([w.array for w in weighed])).sum())
            self._away = [(p, p.detach().clone()) for _, p in listed]
            rhos = self._numbers.get(len(listed)) or self._numbers.setdefault(len(listed), Numbers(len(listed)))
            groups = [group for group, _ in listed]
            _write(rhos, groups)
            if mode.recording is not None:
                mode.recording.append(Renewed(partial(_write, rhos, groups), lambda: [g["adaptive"] for g in groups]))
            factors = Tensor(rhos.array) / (norm + 1e-12)
            _C.add_scaled_by([p.array for _, p in listed], [w.array for w in ways], factors.array)
        if zero_grad:
            self.zero_grad()

    @staticmethod
    def _scaled(p: Tensor, power: int) -> Tensor:
        """The gradient times |p|^power."""
        assert p.grad is not None
        return p.grad.detach() if power == 0 else p.grad.detach() * p.detach().abs() ** power

    def second_step(self, zero_grad: bool = False) -> None:
        """Comes back, and takes the step of the optimizer inside. Raises: ArgumentError without a first step."""
        if not self._away:
            raise ArgumentError("SAM: second_step needs a first_step before it")
        with no_grad():
            for p, old in self._away:
                p.copy_(old)
        self._away = []
        self.base.step()
        if zero_grad:
            self.zero_grad()

    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Both steps. Args: closure: clears the gradients, computes the loss, calls backward and returns the loss.

        Returns: the loss at p, from the first call. Raises: ArgumentError without a closure.
        """
        if closure is None:
            raise ArgumentError("SAM: step needs a closure: it asks for two gradients")
        losses: list[Any] = []

        def both() -> Any:
            with enable_grad():
                losses.append(closure())
                self.first_step()
                closure()
            return losses[0]

        return super().step(both)

    def _update(self) -> None:
        self.second_step()

    def _record(self, hooks: list[Callable[[], Any]]) -> None:
        """Nothing more: `first_step` and the optimizer inside have said what a replay needs."""
