"""The step of a trainer as a captured function, where it can be one."""

import logging
from typing import TYPE_CHECKING, Any

from pydl.autograd import no_grad
from pydl.errors import ArgumentError, CaptureError
from pydl.nn.hooks import GLOBAL
from pydl.replay import Capture
from pydl.replay.reach import Reached
from pydl.tensor import Tensor
from pydl.train.state import rng_state, set_rng

if TYPE_CHECKING:
    from pydl.train.trainer import Trainer

__all__ = ["CapturedStep"]

_log = logging.getLogger("pydl.train")


class Step:
    """Loss, gradients, clipping and the optimizer's step of one batch, as one function of it.

    Attributes: roots: what it depends on, for `pydl.capture`.
    """

    __slots__ = ("roots", "trainer")

    def __init__(self, trainer: "Trainer") -> None:
        self.trainer = trainer
        compute: Any = type(trainer).compute
        own = () if compute.__module__.startswith("pydl.train") else (compute,)
        self.roots = [trainer.model, trainer.loss, trainer.penalty, trainer.optimizer, trainer.autocast, *own]

    def __call__(self, kind: Any, *parts: Any) -> tuple[Tensor, ...]:
        """The loss; where there are metrics, predictions and targets too.

        Args: kind: tuple or list, of which parts the batch is made; None where it is the one part.
        """
        trainer, batch = self.trainer, parts[0] if kind is None else kind(parts)
        objective, *found = trainer.objective(batch)
        trainer.optimizer.zero_grad()
        objective.backward()
        trainer.gradients.clip()
        trainer.optimizer.step()
        return tuple(found) if trainer.metrics else (found[0],)

    def watch(self, guard: Any, names: set[str]) -> None:
        """Attributes of a trainer of the user's that its `compute` names: others change from step to step."""
        if len(self.roots) > 5:
            guard.names(self.trainer.__dict__, [name for name in self.trainer.__dict__ if name in names])


class Captured(Capture):
    """A captured step that gives up without a word."""

    gave_up = False

    def __init__(self, step: Step) -> None:
        super().__init__(step, 8)
        self.step = step
        self.before: _Before | None = None  # while a step is recorded

    def _before_recording(self) -> None:
        self.before = _Before(self.step)

    def _give_up(self) -> None:
        self.gave_up = True


class CapturedStep:
    """Takes steps by replays where it can.

    Args: wanted: "auto", True (then what stands against it is an error) or False.
    Attributes: reason: why steps are taken without capture; None while they are taken with it.
    """

    def __init__(self, wanted: Any) -> None:
        if wanted not in (True, False, "auto"):
            raise ArgumentError(f'Trainer: capture must be True, False or "auto", got {wanted!r}')
        self.wanted = wanted
        self.reason: str | None = "capture is off"
        self._run: Captured | None = None

    def start(self, trainer: "Trainer") -> None:
        """Looks whether the steps of this `fit` can be captured."""
        self._run = None
        self.reason = "capture is off" if self.wanted is False else _obstacle(trainer)
        if self.reason is None:
            self._run = Captured(Step(trainer))
            _log.info("fit: steps are captured")
        elif self.wanted is not False:
            self._stand_down(self.reason)

    def __call__(self, batch: Any) -> tuple[Tensor, ...] | None:
        """What a step gives; None if it is to be taken without capture."""
        run = self._run
        if run is None:
            return None
        kind = type(batch)
        try:
            made: tuple[Tensor, ...] = run(kind, *batch) if kind in (tuple, list) else run(None, batch)
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
        self._run, self.reason = None, reason.splitlines()[0]
        if self.wanted is True:
            raise CaptureError(f"Trainer: the steps cannot be captured: {self.reason}")
        _log.info("fit: steps are taken without capture: %s", self.reason)


class _Before:
    """Everything a step changes, as it was, in case that it turns out that it cannot be recorded."""

    def __init__(self, step: Step) -> None:
        self.optimizer = step.trainer.optimizer
        tensors = Reached(step, (), {}).tensors
        self.saved = [(t, t.array.version, t.detach().clone()) for t in tensors]
        state = self.optimizer.state_dict()
        entries = {n: {k: _copy(v) for k, v in held.items()} for n, held in state["state"].items()}
        self.state = {"state": entries, "param_groups": state["param_groups"]}
        self.rng = rng_state()

    def put_back(self) -> None:
        """The tensors, the optimizer's state and the random numbers."""
        with no_grad():
            for t, version, value in self.saved:
                if t.array.version != version:
                    t.copy_(value)
        self.optimizer.load_state_dict(self.state)
        set_rng(self.rng)


def _copy(value: Any) -> Any:
    return value.detach().clone() if isinstance(value, Tensor) else value


def _obstacle(trainer: "Trainer") -> str | None:
    """What of the trainer's settings stands against capture."""
    if trainer.closure:
        return "the optimizer calls a closure"
    if trainer.gradients.accumulate > 1:
        return "gradients add up over several batches"
    if trainer.gradients.scaler is not None:
        return "a scaler decides by values whether a step is taken"
    for event in ("on_batch_end", "on_gradients"):
        for method in trainer.events[event]:
            if not method.__self__.late:
                return f"{type(method.__self__).__name__}.{event} is called in the middle of a step"
    if not trainer.optimizer.captures:
        return f"steps of {type(trainer.optimizer).__name__} cannot be captured"
    if trainer.optimizer._pre_hooks or trainer.optimizer._post_hooks:
        return "the optimizer has hooks"
    return _hooked([m for m in (trainer.model, trainer.loss) if hasattr(m, "modules")])


def _hooked(models: list[Any]) -> str | None:
    """The first module with hooks: Python code that a replay would not run."""
    if GLOBAL:
        return "there are hooks on all modules"
    for model in models:
        for name, module in model.named_modules():
            hooks = module._hooks
            if hooks is not None and (hooks.pre or hooks.forward or hooks.backward_pre or hooks.backward):
                return f"module {name or type(module).__name__!r} has hooks"
    for model in models:
        for name, p in model.named_parameters():
            if p.hooks:
                return f"parameter {name!r} has hooks"
    return None
