"""The step of a trainer as captured functions, where it can be one."""

import logging
from typing import TYPE_CHECKING, Any

from pydl.amp import GradScaler
from pydl.errors import ArgumentError, CaptureError
from pydl.nn.hooks import hooked
from pydl.replay.plan import detached
from pydl.tensor import Tensor
from pydl.train.steps import Addition, Captured, Finish, Step

if TYPE_CHECKING:
    from pydl.train.trainer import Trainer

__all__ = ["CapturedStep"]

_log = logging.getLogger("pydl.train")


class CapturedStep:
    """Takes steps by replays where it can: each as a whole, or its batches and its end, where gradients add up.

    Args: wanted: "auto", True (then what stands against it is an error) or False.
    Attributes: reason: why steps are taken without capture; None while they are taken with it.
    """

    def __init__(self, wanted: Any) -> None:
        if wanted not in (True, False, "auto"):
            raise ArgumentError(f'Trainer: capture must be True, False or "auto", got {wanted!r}')
        self.wanted = wanted
        self.reason: str | None = "capture is off"
        self._step: Captured | None = None  # whole, or the gradients of a batch
        self._end: Captured | None = None  # the step behind those
        self._waiting: dict[tuple[int, ...], tuple[int, ...]] = {}  # one object for each: plans compare objects

    def start(self, trainer: "Trainer") -> None:
        """Looks whether the steps of this `fit` can be captured."""
        self._step = self._end = None
        self.reason = "capture is off" if self.wanted is False else _obstacle(trainer)
        if self.reason is not None:
            if self.wanted is not False:
                self._stand_down(self.reason)
            return
        if trainer.gradients.accumulate == 1:
            self._step = Captured(Step(trainer))
        else:
            batch = Addition(trainer)
            self._step, self._end = Captured(batch), Captured(Finish(trainer, batch.sums))
        _log.info("fit: steps are captured")

    @property
    def whole(self) -> bool:
        """Whether a call takes a whole step."""
        return self._end is None

    def __call__(self, batch: Any, size: int) -> tuple[Tensor, ...] | None:
        """What a batch gives; None if it is to be taken without capture."""
        if self._step is None:
            return None
        listed = type(batch) in (tuple, list)
        kind, parts = (type(batch), batch) if listed else (None, (batch,))
        if self._end is None:
            made: tuple[Tensor, ...] | None = self._run(self._step, kind, *parts)
            return made
        return self._added(self._step, size, kind, parts)

    def _added(self, run: Captured, size: int, kind: Any, parts: Any) -> tuple[Tensor, ...] | None:
        """Adds the gradients of a batch to those that wait."""
        task: Any = run.task
        gradients = task.trainer.gradients
        waiting = self._same(task.adopt() if gradients.pending else ())
        task.show(waiting)
        try:
            made = self._run(run, waiting, gradients.weight(size), kind, *parts)
        finally:
            task.show(waiting)
        if made is None:
            return None
        numbers, *found = made
        task.show(numbers)
        gradients.count(size)
        return tuple(found)

    def finish(self) -> bool:
        """The step behind the batches. Returns: whether it was taken; else that is to be done without capture."""
        run = self._end
        if run is None:
            return False
        gradients, batch = run.task.trainer.gradients, self._step
        assert batch is not None
        task: Any = batch.task
        waiting = self._same(task.adopt())
        task.show(waiting)
        if self._run(run, waiting, gradients.share) is None:
            return False
        gradients.pending = 0
        return True

    def _same(self, waiting: tuple[int, ...]) -> tuple[int, ...]:
        return self._waiting.setdefault(waiting, waiting)

    def _run(self, run: Captured, *args: Any) -> Any:
        """What a captured task gives; None, and no more capture, where it cannot be recorded."""
        trainer = run.task.trainer
        try:
            if trainer.gradients.scaler is not None and not trainer.optimizer._has_stepped:
                return detached(run.function(*args))  # what is made in the first step is there when one is recorded
            made = run(*args)
        except CaptureError as error:
            if run.before is not None:
                run.before.put_back()
            self._stand_down(str(error))
            return None
        run.before = None
        if run.gave_up:
            self._stand_down("values or shapes change with nearly every batch")
        return made

    def _stand_down(self, reason: str) -> None:
        self._step = self._end = None
        self.reason = reason.splitlines()[0]
        if self.wanted is True:
            raise CaptureError(f"Trainer: the steps cannot be captured: {self.reason}")
        _log.info("fit: steps are taken without capture: %s", self.reason)


def _obstacle(trainer: "Trainer") -> str | None:
    """What of the trainer's settings stands against capture."""
    adds_up = trainer.gradients.accumulate > 1
    for event in ("on_gradients",) if adds_up else ("on_batch_end", "on_gradients"):
        for method in trainer.events[event]:
            if not method.__self__.late:
                return f"{type(method.__self__).__name__}.{event} is called in the middle of a step"
    scaler = trainer.gradients.scaler
    if scaler is not None and type(scaler) is not GradScaler:
        return f"{type(scaler).__name__} is not pydl's GradScaler: it decides in Python whether a step is taken"
    if not trainer.optimizer.captures:
        return f"steps of {type(trainer.optimizer).__name__} cannot be captured"
    if trainer.optimizer._pre_hooks or trainer.optimizer._post_hooks:
        return "the optimizer has hooks"
    models = [m for m in (trainer.model, trainer.loss) if hasattr(m, "modules")]
    return _hooked(models) or (_apart(trainer, models) if adds_up else None)


def _apart(trainer: "Trainer", models: list[Any]) -> str | None:
    """What keeps gradients from being added up in place."""
    own = {id(p) for group in trainer.optimizer.param_groups for p in group["params"]}
    for model in models:
        for name, module in model.named_modules():
            if getattr(module, "sparse", False):
                return f"gradients of module {name!r} are sparse, and add up over several batches"
        for name, p in model.named_parameters():
            if p.requires_grad and id(p) not in own:
                return f"gradients of {name!r}, which is not the optimizer's, add up over all batches"
    return None


def _hooked(models: list[Any]) -> str | None:
    """The first module or parameter with hooks: Python code that a replay would not run."""
    for model in models:
        if why := hooked(model):
            return why
    for model in models:
        for name, p in model.named_parameters():
            if p.hooks:
                return f"parameter {name!r} has hooks"
    return None
