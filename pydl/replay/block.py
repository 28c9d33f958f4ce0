"""The context form of capture: the launches of a block of code, to be run again on the same memory."""

from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Any

from pydl import _C
from pydl.autograd.mode import mode
from pydl.errors import CaptureError
from pydl.replay.capture import Capture
from pydl.replay.passes import ALL, checked, optimise
from pydl.replay.plan import draws, line_of, steps_of, written
from pydl.replay.scopes import Scopes

__all__ = ["Block"]


class Block:
    """What `pydl.capture()` gives: a decorator, and a context whose launches `replay` runs again.

        with pydl.capture() as plan:
            loss = step(x, y)
        x.copy_(more)
        plan.replay()  # loss is that of the new x

    The block runs once, as it would without. Its tensors stay where they are: a replay reads those from before as they
    are then, and writes new numbers into those that were made inside. What is made on first use (an optimizer's state)
    must be there before. The learning rates of optimizers and schedules may change; other numbers are frozen.

    Attributes: changes: launches of the block that each pass has removed, joined or moved.
    Raises: CaptureError, as a captured function, and where a replay meets an optimizer that has changed.
    """

    def __init__(self, make: Callable[[Callable[..., Any]], Capture], passes: Sequence[str] = ALL) -> None:
        self._make = make
        self._passes = checked(passes)
        self._scopes = Scopes()
        self.changes: dict[str, int] = {}
        self._ready: Any = None
        self._hooks: list[Any] = []
        self._draws: Any = None
        self.plan: Any = None

    def __call__(self, function: Callable[..., Any]) -> Capture:
        return self._make(function)

    def __enter__(self) -> "Block":
        self._ready, self._hooks, self._draws = None, [], draws()
        self.plan = _C.Plan()
        self.plan.begin([])
        mode.recording = self._hooks
        self._scopes.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._scopes.__exit__(kind, error, trace)
        mode.recording = None
        self.plan.end([])
        if isinstance(error, CaptureError):
            raise CaptureError(f"{error}{line_of(error)}") from error
        if error is not None:
            return
        if draws() != self._draws:
            raise CaptureError("capture: the block draws Python's or NumPy's random numbers: draw pydl's")
        self.changes = optimise(self.plan, self._passes, None, [])
        guard = _C.Guard()
        for hook in self._hooks:
            if hasattr(hook, "watch"):
                hook.watch(guard)
        self._ready = _C.Ready(self.plan, guard, None, [], [], steps_of(self._hooks), self._gradients(), (None,))

    def _gradients(self) -> list[Any]:
        """The parameters of the optimizers that step inside, with gradients that were made inside."""
        stepped = [hook.optimizer for hook in self._hooks if hasattr(hook, "optimizer")]
        params = [p for optimizer in stepped for group in optimizer.param_groups for p in group["params"]]
        return [(p, p.grad) for p in params if p.grad is not None and self.plan.owns(p.grad.array)]

    def replay(self) -> None:
        """Runs the launches again. Raises: CaptureError before the block has ended, or where it no longer holds."""
        if self._ready is None:
            raise CaptureError("capture: there is nothing to replay: the block has not come to its end")
        if self._ready.run([]) is NotImplemented:
            raise CaptureError("capture: an optimizer of the block is no longer as it was recorded: record it again")

    def report(self) -> str:
        """The launches: calls, bytes and milliseconds; and the memory of the plan."""
        return written(self.plan, self.changes)
