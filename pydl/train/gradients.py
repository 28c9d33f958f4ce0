"""From the losses of batches to one step of the optimizer: accumulation, loss scaling, clipping."""

from collections.abc import Callable, Mapping
from typing import Any

from pydl.errors import ArgumentError, CheckpointError
from pydl.nn import Module
from pydl.nn.utils import adaptive_clip_grad_, clip_grad_norm_, clip_grad_value_
from pydl.optim import Optimizer
from pydl.tensor import Tensor


class Gradients:
    """Gathers gradients and takes steps with them.

    Args:
        accumulate: batches per step. The gradient is that of the mean over all their examples, whatever their sizes.
        scaler: a `pydl.amp.GradScaler`, or None.
        clip_norm, clip_value, clip_adaptive: limits of the norm of all gradients, of each element, and of each unit
            by the size of its weights, or None.
    Attributes: pending: batches whose gradients wait for a step.
    """

    def __init__(
        self,
        model: Module,
        optimizer: Optimizer,
        accumulate: int = 1,
        scaler: Any = None,
        clip_norm: float | None = None,
        clip_value: float | None = None,
        clip_adaptive: float | None = None,
    ) -> None:
        if not isinstance(accumulate, int) or accumulate < 1:
            raise ArgumentError(f"Trainer: accumulate must be >= 1, got {accumulate}")
        for name, limit in (("clip_norm", clip_norm), ("clip_value", clip_value), ("clip_adaptive", clip_adaptive)):
            if limit is not None and not limit > 0:
                raise ArgumentError(f"Trainer: {name} must be > 0, got {limit}")
        self.model, self.optimizer, self.accumulate, self.scaler = model, optimizer, accumulate, scaler
        self.clip_norm, self.clip_value, self.clip_adaptive = clip_norm, clip_value, clip_adaptive
        self.pending = self.first = self.examples = 0

    @property
    def full(self) -> bool:
        """Whether a step is due."""
        return self.pending >= self.accumulate

    def add(self, loss: Tensor, size: int) -> None:
        """The gradients of a loss, the mean over `size` examples.

        Each batch weighs size / (size of the first one), so that batches of one size are added up as they are.
        """
        if self.pending == 0:
            self.optimizer.zero_grad()
        self.weighed(loss, self.weight(size)).backward()
        self.count(size)

    def weight(self, size: int) -> float | None:
        """What the loss of a batch is multiplied by; None for 1."""
        return None if self.pending == 0 or size == self.first else size / self.first

    def weighed(self, loss: Tensor, weight: float | None) -> Tensor:
        """What is differentiated in place of a loss."""
        if weight is not None:
            loss = loss * weight
        return loss if self.scaler is None else self.scaler.scale(loss)

    def count(self, size: int) -> None:
        """One batch more whose gradients wait."""
        if self.pending == 0:
            self.first, self.examples = size, 0
        self.pending += 1
        self.examples += size

    def finish(self, look: Callable[[], None]) -> bool:
        """Takes a step. Args: look: called when the gradients are whole, before they are clipped.

        Returns: whether the optimizer made one; a scaler leaves out those with infinite gradients.
        """
        before, share = self.scale, self.share
        self.pending = 0
        self.take(share, look)
        return self.scale >= before

    @property
    def share(self) -> float | None:
        """What turns the sum of the gradients that wait into that of the mean; None for 1."""
        return None if self.examples == self.first else self.first / self.examples

    @property
    def scale(self) -> float:
        """That of the scaler, which falls with a step that is left out."""
        return 1.0 if self.scaler is None else float(self.scaler.get_scale())

    def take(self, share: float | None, look: Callable[[], None]) -> None:
        """The step itself, with gradients that are there."""
        if self.scaler is not None:
            self.scaler.unscale_(self.optimizer)
        if share is not None:
            for p in self.model.parameters():
                if p.grad is not None:
                    p.grad.mul_(share)
        self._prepare(look)
        if self.scaler is None:
            self.optimizer.step()
        else:
            self.scaler.step(self.optimizer)
            self.scaler.update()

    def finish_by_closure(self, loss: Callable[[], Tensor], look: Callable[[], None]) -> None:
        """Takes a step with an optimizer that computes losses itself, as often as it needs."""

        def closure() -> Tensor:
            self.optimizer.zero_grad()
            value = loss()
            value.backward()
            self._prepare(look)
            return value

        self.pending = 0
        self.optimizer.step(closure)

    def _prepare(self, look: Callable[[], None]) -> None:
        look()
        self.clip()

    def clip(self) -> None:
        """Holds the gradients within their limits."""
        if self.clip_adaptive is not None:
            adaptive_clip_grad_(self.model.parameters(), self.clip_adaptive)
        if self.clip_value is not None:
            clip_grad_value_(self.model.parameters(), self.clip_value)
        if self.clip_norm is not None:
            clip_grad_norm_(self.model.parameters(), self.clip_norm)

    def state_dict(self) -> dict[str, Any]:
        """The gradients that wait, and those of the scaler."""
        waiting = {name: p.grad for name, p in self.model.named_parameters()} if self.pending else {}
        return {
            "pending": self.pending,
            "first": self.first,
            "examples": self.examples,
            "waiting": waiting,
            "scaler": None if self.scaler is None else self.scaler.state_dict(),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Goes on from a state of `state_dict`. Raises: CheckpointError if only one of both has a scaler."""
        if (state["scaler"] is None) != (self.scaler is None):
            raise CheckpointError("Trainer: either the state or the trainer has a scaler, the other one not")
        if self.scaler is not None:
            self.scaler.load_state_dict(state["scaler"])
        self.pending, self.first, self.examples = state["pending"], state["first"], state["examples"]
        for name, p in self.model.named_parameters():
            if self.pending:
                p.grad = state["waiting"][name]
