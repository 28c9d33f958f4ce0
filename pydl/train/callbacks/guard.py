"""A guard against NaN: it stops at the first loss or gradient that is not finite and says where that was made."""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

from pydl.autograd import detect_anomaly
from pydl.autograd.node import Node, tick
from pydl.errors import AutogradError, NonFiniteError
from pydl.nn import Module
from pydl.nn.utils import get_total_norm
from pydl.ops import get_rng_state, set_rng_state
from pydl.tensor import Tensor
from pydl.train.callbacks.callback import Callback

if TYPE_CHECKING:
    from pydl.train.trainer import Trainer


class NanGuard(Callback):
    """Ends the training before a step with a loss or a gradient that is NaN or infinite, and names its origin.

    The batch is computed once more from the same random state, with every operation checked, so the error says which
    operation of which layer made the first such value, forward or backward. Parameters are as before the step.

    Args:
        gradients: look at the gradients too, one pass over them per step. With a loss scaler, which expects infinite
            ones, the losses alone are looked at.
    Raises: NonFiniteError.
    """

    def __init__(self, gradients: bool = True) -> None:
        self.gradients = gradients
        self._batches: list[tuple[Any, Tensor]] = []

    def on_epoch_start(self, trainer: "Trainer") -> None:
        self._batches.clear()

    def on_batch_start(self, trainer: "Trainer") -> None:
        self._batches.append((trainer.current, get_rng_state()))

    def on_batch_end(self, trainer: "Trainer") -> None:
        if not math.isfinite(trainer.running["loss"].compute()) and not trainer.closure:
            self._report(trainer, "the loss")

    def on_gradients(self, trainer: "Trainer") -> None:
        if self.gradients and trainer.gradients.scaler is None:
            grads = [p.grad for p in trainer.model.parameters() if p.grad is not None]
            if not math.isfinite(get_total_norm(grads).item()):
                self._report(trainer, "the gradient")

    def on_step_end(self, trainer: "Trainer") -> None:
        self._batches.clear()

    def _report(self, trainer: "Trainer", what: str) -> None:
        place = f"NanGuard: epoch {trainer.epoch + 1}, batch {trainer.batch}: {what} is not finite"
        for name, p in trainer.model.named_parameters():
            if p.array.size and not _finite(p):
                raise NonFiniteError(f"{place}: parameter {name} {p.shape} was not before either")
        for batch, state in self._batches:
            set_rng_state(state)
            found = origin(trainer, batch)
            if found is not None:
                raise NonFiniteError(f"{place}: {found}")
        raise NonFiniteError(f"{place}, but every operation is, computed once more: is there other randomness?")


def _finite(x: Tensor) -> bool:
    return bool(x.detach().isfinite().all())


def origin(trainer: "Trainer", batch: Any) -> str | None:
    """The operation and the layer that make the first value that is not finite; None if there is none."""
    layers = _Layers(trainer.model)
    held, trainer.current = trainer.current, batch
    kept = [(p, p.grad) for p in trainer.model.parameters()]
    for p, _ in kept:
        p.grad = None
    try:
        with layers.watched(), detect_anomaly():
            objective = trainer.objective(trainer.current)[0]
            layers.follow(objective)
            objective.backward()
    except AutogradError as error:
        return f"{str(error).removeprefix('detect_anomaly: ')}, {layers.where()}"
    finally:
        trainer.current = held
        for p, grad in kept:
            p.grad = grad
    return None


class _Layers:
    """Knows which module runs, and afterwards, by the running numbers of nodes, in which one a node was recorded."""

    def __init__(self, model: Module) -> None:
        self.names = {module: name or "the model" for name, module in model.named_modules()}
        self.running: list[Module] = []
        self.spans: list[tuple[int, int, Module]] = []  # those that ended first come first: the inner ones
        self.begun: list[int] = []
        self.node: Node | None = None

    @contextmanager
    def watched(self) -> Iterator[None]:
        """While it lasts, modules report that they begin and end."""
        handles = []
        for module in self.names:
            handles.append(module.register_forward_pre_hook(self._begin))
            handles.append(module.register_forward_hook(self._end))
        try:
            yield
        finally:
            for handle in handles:
                handle.remove()

    def _begin(self, module: Module, args: Any) -> None:
        self.running.append(module)
        self.begun.append(tick())

    def _end(self, module: Module, args: Any, output: Any) -> None:
        self.spans.append((self.begun.pop(), tick(), self.running.pop()))

    def follow(self, root: Tensor) -> None:
        """From here on `node` is the one whose gradient rule runs."""
        todo, seen = [root.node], set()
        while todo:
            node = todo.pop()
            if node is not None and node not in seen:
                seen.add(node)
                todo += node.next_functions
                node.hooks = {**(node.hooks or {}), -1: partial(self._reach, node)}

    def _reach(self, node: Node, gradient: Tensor) -> None:
        self.node = node

    def where(self) -> str:
        """The layer that runs, or that recorded the node whose rule runs."""
        if self.running:
            return self._called(self.running[-1])
        if self.node is not None:
            for first, last, module in self.spans:
                if first < self.node.seq < last:
                    return self._called(module)
        return "outside the model (the loss?)"

    def _called(self, module: Module) -> str:
        return f"in layer {self.names[module]!r} ({type(module).__name__})"
