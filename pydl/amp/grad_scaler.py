"""GradScaler: losses times a factor, so that small gradients do not vanish in float16."""

from collections.abc import Iterable
from typing import Any

from pydl import _C
from pydl.autograd import no_grad
from pydl.autograd.mode import mode
from pydl.errors import ArgumentError, CaptureError, CheckpointError
from pydl.ops.convert import by_device
from pydl.optim.numbers import Numbers, Renewed
from pydl.optim.optimizer import Optimizer
from pydl.sparse import numbers_of
from pydl.tensor import Tensor


def _copies(optimizer: Optimizer) -> list[tuple[Tensor, Tensor]]:
    """What a step changes, with copies of it."""
    params = [p for group in optimizer.param_groups for p in group["params"]]
    held = [v for p in params for v in optimizer.state.get(p, {}).values() if isinstance(v, Tensor)]
    return [(t, t.detach().clone()) for t in (*params, *held)]


class _Found:
    """Whether an optimizer's gradients held an infinity: 1 if so. What a GPU found stays there until it is asked for.

    Attributes: number: the answer on the CPU. waiting: those of GPUs that were not read yet, one for each.
    """

    __slots__ = ("number", "waiting")

    def __init__(self) -> None:
        self.number = Numbers(1)
        self.waiting: list[_C.Array] = []

    def unscale(self, gradients: list[_C.Array], scale: _C.Array) -> None:
        """Divides the gradients by the scale, one launch for each device that they are on."""
        self.number.values[0] = 0
        self.waiting.clear()
        if mode.recording is not None:  # a replay decides on the host which launches it leaves out
            _C.unscale(gradients, scale, self.number.array)
            return
        for arrays in by_device(gradients):
            where = arrays[0].device
            answer = self.number.array if where.type == "cpu" else _C.empty((1,), _C.float64, where)
            _C.unscale(arrays, scale, answer)
            if where.type != "cpu":
                self.waiting.append(answer)

    def read(self) -> bool:
        """The answer, for which the devices are waited for."""
        for answer in self.waiting:
            self.number.values[0] = max(self.number.values[0], answer.item())
        self.waiting.clear()
        return bool(self.number.values[0])


class GradScaler:
    """Dynamic loss scaling.

        scaler.scale(loss).backward()
        scaler.step(optimizer)  # skipped if a gradient is not finite
        scaler.update()

    On a GPU `unscale_` does not wait for the gradients; `step` does, once. The scale grows by `growth_factor` after
    `growth_interval` steps in a row without an infinity, and shrinks by `backoff_factor` after one with.

    Args: device: accepted for code written for PyTorch. enabled: False makes every method do nothing but its call.
    Raises: ArgumentError for numbers outside their range.
    Source: Micikevicius et al. 2018, Mixed precision training (arXiv:1710.03740), section 3.2.
    """

    def __init__(
        self,
        device: str = "cpu",
        init_scale: float = 2.0**16,
        growth_factor: float = 2.0,
        backoff_factor: float = 0.5,
        growth_interval: int = 2000,
        enabled: bool = True,
    ) -> None:
        self._device, self._enabled = device, enabled
        self._numbers = Numbers(3)  # the scale, steps in a row without an infinity, whether the last one had any
        self._numbers.values[0] = init_scale
        self.set_growth_factor(growth_factor)
        self.set_backoff_factor(backoff_factor)
        self.set_growth_interval(growth_interval)
        if not init_scale > 0:
            raise ArgumentError(f"GradScaler: init_scale must be > 0, got {init_scale}")
        self._found: dict[int, _Found] = {}  # of the optimizers unscaled since the last update
        self._flags: dict[int, _Found] = {}  # those of all optimizers seen
        self._stepped: set[int] = set()

    def is_enabled(self) -> bool:
        """Whether it does anything."""
        return self._enabled

    # ---- a step

    def scale(self, outputs: Any) -> Any:
        """A tensor, or all of an iterable of them, times the scale."""
        if not self._enabled:
            return outputs
        if isinstance(outputs, Tensor):
            if mode.recording is None:
                return outputs * self.get_scale()
            return outputs * self._numbers.number(0).to(outputs.dtype)
        if isinstance(outputs, Iterable) and not isinstance(outputs, str):
            made = [self.scale(output) for output in outputs]
            return tuple(made) if isinstance(outputs, tuple) else made
        raise ArgumentError(f"GradScaler: scale takes tensors, got {type(outputs).__name__}")

    def unscale_(self, optimizer: Optimizer) -> None:
        """Divides the gradients by the scale, to clip or look at them before `step`.

        Raises: ArgumentError if that was done since the last update, or a gradient is of float16.
        """
        if not self._enabled:
            return
        if id(optimizer) in self._stepped:
            raise ArgumentError("GradScaler: unscale_ comes before step: call update first")
        if id(optimizer) in self._found:
            raise ArgumentError("GradScaler: unscale_ was called since the last update: the gradients are unscaled")
        gradients = [p.grad for group in optimizer.param_groups for p in group["params"] if p.grad is not None]
        if any(g.dtype is _C.float16 for g in gradients):
            raise ArgumentError("GradScaler: gradients of float16 cannot be unscaled: keep the parameters in float32")
        self._found[id(optimizer)] = found = self._flags.get(id(optimizer)) or self._flags.setdefault(
            id(optimizer), _Found()
        )
        found.unscale([numbers_of(g) for g in gradients], self._numbers.part(0))

    def step(self, optimizer: Optimizer, *args: Any, **kwargs: Any) -> Any:
        """optimizer.step(*args, **kwargs) with unscaled gradients, unless one of them is not finite.

        Returns: what the step returns; None if it was skipped. Raises: ArgumentError for a second step since the last
            update, and for a closure.
        """
        if not self._enabled:
            return optimizer.step(*args, **kwargs)
        if any(a is not None for a in (*args, *kwargs.values())):
            raise ArgumentError("GradScaler: step takes no closure: its gradients could not be unscaled")
        if id(optimizer) in self._stepped:
            raise ArgumentError("GradScaler: step was called since the last update")
        if id(optimizer) not in self._found:
            self.unscale_(optimizer)
        self._stepped.add(id(optimizer))
        found = self._found[id(optimizer)]
        if mode.recording is not None:
            return self._recorded_step(optimizer, found.number)
        return None if found.read() else optimizer.step()

    @staticmethod
    def _recorded_step(optimizer: Optimizer, found: Numbers) -> Any:
        """The step as launches that a replay leaves out where an infinity was found."""
        hooks = mode.recording
        assert hooks is not None
        before = len(hooks)
        with _C.Aside():
            saved = _copies(optimizer) if found.values[0] else []
        with _C.Skipped(found.array):
            made = optimizer.step()
        hook: Any
        for hook in hooks[before:]:
            if not hasattr(hook, "back"):
                raise CaptureError(f"GradScaler: a captured step of {type(optimizer).__name__} cannot be left out")
            hook.skipped = found.array
            if found.values[0]:
                hook.back()
        with _C.Aside(), no_grad():
            for t, value in saved:  # this run is left out too
                t.copy_(value)
        return made

    def update(self, new_scale: float | Tensor | None = None) -> None:
        """The scale of the next step: a new one, or what the steps since the last update ask for.

        Raises: ArgumentError if there was no step.
        """
        if not self._enabled:
            return
        if new_scale is not None:
            if mode.recording is not None:
                raise CaptureError("GradScaler: update(new_scale) cannot be captured: call it outside")
            self._numbers.values[0] = float(new_scale)
        elif not self._found:
            raise ArgumentError("GradScaler: update needs a step before it")
        else:
            for f in self._found.values():
                f.read()
            found = [f.number.array for f in self._found.values()]
            _C.update_scale(self._numbers.array, found, *self._factors())
            if mode.recording is not None:
                mode.recording.append(Renewed(lambda: None, self._factors))
        self._restart()

    def _restart(self) -> None:
        """Forgets a step that was begun since the last update."""
        self._found, self._stepped = {}, set()

    def _factors(self) -> tuple[float, float, int]:
        """What an update goes by."""
        return self._growth_factor, self._backoff_factor, self._growth_interval

    # ---- options and state

    def get_scale(self) -> float:
        """The scale; 1 where it is not enabled."""
        return float(self._numbers.values[0]) if self._enabled else 1.0

    def get_growth_factor(self) -> float:
        """What the scale grows by."""
        return self._growth_factor

    def set_growth_factor(self, new_factor: float) -> None:
        """Sets it. Raises: ArgumentError if it is not above 1."""
        if not new_factor > 1:
            raise ArgumentError(f"GradScaler: growth_factor must be > 1, got {new_factor}")
        self._growth_factor = float(new_factor)

    def get_backoff_factor(self) -> float:
        """What the scale shrinks by."""
        return self._backoff_factor

    def set_backoff_factor(self, new_factor: float) -> None:
        """Sets it. Raises: ArgumentError if it is not between 0 and 1."""
        if not 0 < new_factor < 1:
            raise ArgumentError(f"GradScaler: backoff_factor must be between 0 and 1, got {new_factor}")
        self._backoff_factor = float(new_factor)

    def get_growth_interval(self) -> int:
        """Steps in a row without an infinity before the scale grows."""
        return self._growth_interval

    def set_growth_interval(self, new_interval: int) -> None:
        """Sets them. Raises: ArgumentError if there are none."""
        if not int(new_interval) >= 1:
            raise ArgumentError(f"GradScaler: growth_interval must be >= 1, got {new_interval}")
        self._growth_interval = int(new_interval)

    def state_dict(self) -> dict[str, Any]:
        """Scale, factors and count; empty where it is not enabled."""
        if not self._enabled:
            return {}
        return {
            "scale": self.get_scale(), "growth_factor": self._growth_factor, "backoff_factor": self._backoff_factor,
            "growth_interval": self._growth_interval, "_growth_tracker": int(self._numbers.values[1]),
        }  # fmt: skip

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Goes on from a state of `state_dict`, also of PyTorch's. Raises: CheckpointError if it lacks an entry."""
        if not self._enabled:
            return
        missing = set(self.state_dict()) - set(state_dict)
        if missing:
            raise CheckpointError(f"GradScaler: the state lacks {', '.join(sorted(missing))}")
        self.set_growth_factor(state_dict["growth_factor"])
        self.set_backoff_factor(state_dict["backoff_factor"])
        self.set_growth_interval(state_dict["growth_interval"])
        self._numbers.values[:] = (float(state_dict["scale"]), int(state_dict["_growth_tracker"]), 0)
