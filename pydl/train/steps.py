"""What a trainer captures: a whole step; or, where gradients add up over batches, a batch's gradients and the step."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from pydl.autograd import no_grad
from pydl.replay import Capture
from pydl.replay.reach import Reached
from pydl.tensor import Tensor
from pydl.train.state import rng_state, set_rng

if TYPE_CHECKING:
    from pydl.train.trainer import Trainer


class Task:
    """A part of the training as a function of tensors.

    Attributes: roots: what it depends on, for `pydl.capture`.
    """

    def __init__(self, trainer: "Trainer", more: Sequence[Any] = ()) -> None:
        self.trainer = trainer
        compute: Any = type(trainer).compute
        self.own = not compute.__module__.startswith("pydl.train")
        self.roots = [trainer.model, trainer.loss, trainer.penalty, trainer.optimizer, trainer.autocast, *more]
        self.roots += [compute] if self.own else []

    def watch(self, guard: Any, names: set[str]) -> None:
        """Attributes of a trainer of the user's that its `compute` names: others change from step to step."""
        if self.own:
            guard.names(self.trainer.__dict__, [name for name in self.trainer.__dict__ if name in names])

    def shown(self, found: Sequence[Tensor]) -> tuple[Tensor, ...]:
        """What of a batch is asked for later: the loss; where there are metrics, predictions and targets too."""
        return tuple(found) if self.trainer.metrics else (found[0],)


def as_batch(kind: Any, parts: tuple[Any, ...]) -> Any:
    """A batch of its parts. kind: tuple or list; None where it is the one part."""
    return parts[0] if kind is None else kind(parts)


class Step(Task):
    """Loss, gradients, clipping and the optimizer's step of one batch."""

    def __call__(self, kind: Any, *parts: Any) -> tuple[Tensor, ...]:
        """What is `shown` of the batch."""
        trainer, batch = self.trainer, as_batch(kind, parts)
        if trainer.closure:
            return self.shown(trainer.step_by_closure(batch, _nothing))
        objective, *found = trainer.objective(batch)
        trainer.optimizer.zero_grad()
        trainer.gradients.weighed(objective, None).backward()
        trainer.gradients.take(None, _nothing)
        return self.shown(found)


def _nothing() -> None: ...


class Addition(Task):
    """Adds the gradients of a batch to the sums of those before it.

    The sums lie in memory of their own, where each batch, and the step, finds them in every replay.
    Attributes: params: the parameters. sums: the sum for the parameter of each number that has one.
    """

    def __init__(self, trainer: "Trainer") -> None:
        self.params: list[Tensor] = [p for group in trainer.optimizer.param_groups for p in group["params"]]
        self.sums: dict[int, Tensor] = {}
        super().__init__(trainer, [self.sums])

    def __call__(self, waiting: tuple[int, ...], weight: float | None, kind: Any, *parts: Any) -> tuple[Any, ...]:
        """The numbers of the parameters that have a gradient now, and what is `shown` of the batch.

        Args: waiting: the parameters whose gradients are their sums; the others have none. weight: of the loss.
        """
        objective, *found = self.trainer.objective(as_batch(kind, parts))
        self.trainer.gradients.weighed(objective, weight).backward()
        made = tuple(i for i, p in enumerate(self.params) if p.grad is not None)
        with no_grad():
            for i in made:
                self._keep(i)
        self.show(waiting)
        return made, *self.shown(found)

    def _keep(self, i: int) -> None:
        """Makes the gradient of a parameter its sum."""
        g, total = self.params[i].grad, self.sums.get(i)
        assert g is not None
        if total is None:
            self.sums[i] = g.detach().clone()
        elif g is not total:
            total.copy_(g)

    def adopt(self) -> tuple[int, ...]:
        """Makes the gradients that there are, as of a state that was loaded, sums. Returns: whose they are."""
        with no_grad():
            there = tuple(i for i, p in enumerate(self.params) if p.grad is not None)
            for i in there:
                self._keep(i)
        return there

    def show(self, waiting: tuple[int, ...]) -> None:
        """Makes the sums the gradients of these parameters; the others have none."""
        for p in self.params:
            p.grad = None
        for i in waiting:
            self.params[i].grad = self.sums[i]


class Finish(Task):
    """The optimizer's step, with clipping, from gradients that are there."""

    def __init__(self, trainer: "Trainer", sums: dict[int, Tensor]) -> None:
        super().__init__(trainer, [sums])

    def __call__(self, waiting: tuple[int, ...], share: float | None) -> bool:
        """True. Args: waiting: the parameters that have a gradient. share: what the gradients are multiplied by."""
        self.trainer.gradients.take(share, _nothing)
        return True


class Captured(Capture):
    """A captured task that gives up without a word."""

    gave_up = False

    def __init__(self, task: Task) -> None:
        super().__init__(task, 8)  # type: ignore[arg-type]  # every task that is made can be called
        self.task = task
        self.before: Before | None = None  # while it is recorded

    def _before_recording(self) -> None:
        self.before = Before(self.task)

    def _give_up(self) -> None:
        self.gave_up = True


class Before:
    """Everything a task changes, as it was, in case that it turns out that it cannot be recorded."""

    def __init__(self, task: Task) -> None:
        self.trainer = task.trainer
        tensors = Reached(task, (), {}).tensors
        self.saved = [(t, t.array.version, t.detach().clone()) for t in tensors]
        state = self.trainer.optimizer.state_dict()
        entries = {n: {k: _copy(v) for k, v in held.items()} for n, held in state["state"].items()}
        self.state = {"state": entries, "param_groups": state["param_groups"]}
        scaler = self.trainer.gradients.scaler
        self.scaler = None if scaler is None else scaler.state_dict()
        self.rng = rng_state()

    def put_back(self) -> None:
        """The tensors, the states of optimizer and scaler, and the random numbers."""
        with no_grad():
            for t, version, value in self.saved:
                if t.array.version != version:
                    t.copy_(value)
        self.trainer.optimizer.load_state_dict(self.state)
        if self.scaler is not None:
            self.trainer.gradients.scaler._restart()
            self.trainer.gradients.scaler.load_state_dict(self.scaler)
        set_rng(self.rng)


def _copy(value: Any) -> Any:
    return value.detach().clone() if isinstance(value, Tensor) else value
