"""Elastic averaging: several workers, each with weights of its own, tied to a common centre."""

from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Any

from pydl import _C
from pydl.autograd import no_grad
from pydl.autograd.mode import mode
from pydl.errors import ArgumentError, CaptureError, ShapeError
from pydl.optim.numbers import Numbers, Objects, Renewed, where_zero
from pydl.optim.optimizer import Group
from pydl.optim.sgd import SGD
from pydl.optim.wrapper import Wrapper
from pydl.tensor import Tensor


class EASGD(Wrapper):
    """SGD of each worker x_i; every `period` steps d = x_i - c; x_i -= alpha d; the centre c += alpha d.

    `step` moves all workers together (all d from the same c), `step_worker` one of them, as they would arrive. The
    workers are in this process; each is a group of its own.

    Args:
        workers: the parameters of each worker, equal in number and shapes; c starts at their mean.
        alpha: elasticity; default beta / (number of workers).
        momentum: EAMSGD: Nesterov's momentum in each worker.
    Attributes: center: list of tensors, c.
    Raises: ArgumentError, ShapeError for workers or options that do not fit.
    Source: Zhang, Choromanska and LeCun 2015 (arXiv:1412.6651), algorithms 1 and 2, equations 5 and 6.
    """

    base: SGD

    def __init__(
        self,
        workers: Sequence[Iterable[Tensor]],
        lr: float = 1e-2,
        alpha: float | None = None,
        beta: float = 0.9,
        period: int = 4,
        momentum: float = 0.0,
        *,
        weight_decay: float = 0.0,
    ) -> None:
        listed = [list(worker) for worker in workers]
        if not listed:
            raise ArgumentError("EASGD: expected at least one worker")
        shapes = [[p.shape for p in worker] for worker in listed]
        if any(other != shapes[0] for other in shapes):
            raise ShapeError(f"EASGD: the workers have parameters of different shapes: {shapes}")
        groups: list[Group] = [{"params": worker} for worker in listed]
        base = SGD(groups, lr, momentum, weight_decay=weight_decay, nesterov=momentum > 0)
        elasticity = beta / len(listed) if alpha is None else alpha
        super().__init__(base, {"alpha": elasticity, "period": period, "clock": 0})
        with no_grad():
            for same in zip(*listed, strict=True):
                self.state[same[0]]["center"] = sum((p.detach() for p in same[1:]), same[0].detach().clone()) / len(
                    same
                )

    def _reset(self) -> None:
        super()._reset()
        self._numbers: list[
            Numbers
        ] = []  # of each worker: 0 if an exchange is due, then -alpha and alpha of each tensor

    def _check(self, group: Group) -> None:
        if not 0.0 <= float(group["alpha"]) <= 1.0:
            raise ArgumentError(f"EASGD: alpha must be between 0 and 1, got {group['alpha']}")
        if not isinstance(group["period"], int) or group["period"] < 1:
            raise ArgumentError(f"EASGD: period must be a number of steps, got {group['period']!r}")

    @property
    def center(self) -> list[Tensor]:
        """The weights that all workers are tied to: those to use in the end."""
        return [self.state[p]["center"] for p in self.param_groups[0]["params"]]

    def step_worker(self, worker: int) -> None:
        """One step of one worker, with its exchange if it is due.

        Raises: ArgumentError if there is no such worker; CaptureError where it is recorded: `step` can be captured.
        """
        if mode.recording is not None:
            raise CaptureError("EASGD: step_worker cannot be captured: capture step, which moves all workers")
        if not 0 <= worker < len(self.param_groups):
            raise ArgumentError(f"EASGD: there are {len(self.param_groups)} workers, got number {worker}")
        self._pull([worker])
        self.base.update_group(worker)
        self.param_groups[worker]["clock"] += 1

    def _update(self) -> None:
        self._pull(range(len(self.param_groups)))
        self.base.step()
        self._tick(1)

    def _tick(self, steps: int) -> None:
        for group in self.param_groups:
            group["clock"] += steps

    def _pull(self, workers: Iterable[int]) -> None:
        """The exchange of those whose clock says so."""
        self._write()
        ways: dict[int, list[_C.Array]] = {}
        for worker in workers:
            where_zero(self._numbers[worker], list, partial(self._measure, worker, ways))
        for worker in workers:
            where_zero(self._numbers[worker], partial(self._moved, worker), partial(self._exchange, worker, ways))

    def _write(self) -> None:
        """The numbers of the next step."""
        n = len(self.param_groups[0]["params"])
        self._numbers = self._numbers or [Numbers(1 + 2 * n) for _ in self.param_groups]
        for group, numbers in zip(self.param_groups, self._numbers, strict=True):
            alpha, clock = float(group["alpha"]), group["clock"]
            numbers.values[0] = clock % group["period"] if clock > 0 else 1
            numbers.values[1 : n + 1], numbers.values[n + 1 :] = -alpha, alpha

    def _measure(self, worker: int, ways: dict[int, list[_C.Array]]) -> None:
        """The way from the centre to a worker."""
        pairs = zip(self.param_groups[worker]["params"], self.center, strict=True)
        with no_grad():
            ways[worker] = [(p.detach() - c).array for p, c in pairs]

    def _moved(self, worker: int) -> list[Tensor]:
        """What an exchange changes."""
        return [*self.param_groups[worker]["params"], *self.center]

    def _exchange(self, worker: int, ways: dict[int, list[_C.Array]]) -> None:
        numbers, way = self._numbers[worker], ways[worker]
        n = len(way)
        _C.add_scaled_by([p.array for p in self.param_groups[worker]["params"]], way, numbers.part(1, n))
        _C.add_scaled_by([c.array for c in self.center], way, numbers.part(1 + n, n))

    def _record(self, hooks: list[Callable[[], Any]]) -> None:
        def before() -> None:
            self._write()
            self._tick(1)

        hooks.append(Renewed(before, lambda: Objects([*self.center, *self._numbers]), lambda: self._tick(-1)))

    def add_param_group(self, param_group: Group) -> None:
        """Not offered: the workers are given at the start. Raises: ArgumentError."""
        raise ArgumentError("EASGD: workers are given at the start: make a new EASGD")

    def load_state_dict(self, state_dict: Any) -> None:
        """As of every optimizer; a state without a centre keeps the one there is."""
        center = self.center
        super().load_state_dict(state_dict)
        for p, c in zip(self.param_groups[0]["params"], center, strict=True):
            self.state[p].setdefault("center", c)
