"""detect_anomaly: names the first operation, forward or backward, that makes a NaN or an infinity."""

from collections.abc import Callable
from typing import Any

from pydl import _C
from pydl.autograd.op import Op
from pydl.errors import AutogradError
from pydl.tensor import Tensor

__all__ = ["detect_anomaly", "set_detect_anomaly"]

_state: dict[str, int] = {"depth": 0, "always": 0}


def _checked(op: type[Op], kernel: Callable[..., Any]) -> Callable[..., Any]:
    """The kernel with a look at its result. An infinity is allowed to pass on: masks of scores are made of them."""

    def run(*arrays: Any, **attrs: Any) -> Any:
        made = kernel(*arrays, **attrs)
        first = made[0] if isinstance(made, tuple) else made
        if first.is_floating and not _every(_C.isfinite, first):
            _report(op, first, [a for a in arrays if isinstance(a, _C.Array) and a.is_floating])
        return made

    run.plain = kernel  # type: ignore[attr-defined]
    return run


def _every(test: Callable[..., Any], a: Any) -> bool:
    return a.data_ptr == 0 or bool(_C.all(test(a)).item())


def _report(op: type[Op], made: Any, inputs: list[Any]) -> None:
    finite = all(_every(_C.isfinite, a) for a in inputs)
    has_nan = bool(_C.any(_C.isnan(made)).item())
    given_nan = any(a.data_ptr and bool(_C.any(_C.isnan(a)).item()) for a in inputs)
    shapes = ", ".join(str(a.shape) for a in inputs)
    if given_nan:
        raise AutogradError(f"detect_anomaly: {op.__name__} was given a NaN ({shapes})")
    if has_nan or finite:
        what, of = "a NaN" if has_nan else "an infinity", "finite inputs" if finite else "an infinity"
        raise AutogradError(f"detect_anomaly: {op.__name__} made {what} from {of} ({shapes})")


def _named(op: type[Op], rule: Callable[..., Any]) -> Callable[..., Any]:
    """The gradient rule, which adds its operation to the message of what fails within."""

    def guard(call: Callable[..., Any]) -> Callable[..., Any]:
        def run(*args: Any, **attrs: Any) -> Any:
            try:
                return call(*args, **attrs)
            except AutogradError as error:
                text = str(error)
                if not text.startswith("detect_anomaly") or "gradient of" in text:
                    raise
                raise AutogradError(f"{text}, in the gradient of {op.__name__}") from None

        return run

    def later(g: Any) -> Any:
        return guard(g) if callable(g) and not isinstance(g, Tensor) else g

    def run(*args: Any, **attrs: Any) -> Any:
        gradients = guard(rule)(*args, **attrs)
        return None if gradients is None else [later(g) for g in gradients]

    run.plain = rule  # type: ignore[attr-defined]
    return run


def _set(active: bool) -> None:
    """Puts a check around every kernel and rule, or takes it off: operations pay nothing while it is off."""
    for op in Op.subclasses:
        for name, wrap in (("kernel", _checked), ("vjp", _named)):
            held = op.__dict__.get(name)
            if held is None:
                continue
            static = isinstance(held, staticmethod)
            function = held.__func__ if static else held
            plain = getattr(function, "plain", function)
            wrapped = wrap(op, plain) if active else plain
            setattr(op, name, staticmethod(wrapped) if static else wrapped)


def set_detect_anomaly(mode: bool) -> None:
    """Turns the checks on or off for the whole process."""
    _state["always"] = int(mode)
    _set(bool(mode) or _state["depth"] > 0)


class detect_anomaly:
    """Context: an operation, forward or backward, that makes a NaN or an infinity raises AutogradError with its name.

    Every result is read once more, so this is for debugging. It holds for all threads.
    """

    def __enter__(self) -> "detect_anomaly":
        _state["depth"] += 1
        _set(True)
        return self

    def __exit__(self, *exc: object) -> None:
        _state["depth"] -= 1
        _set(_state["always"] + _state["depth"] > 0)
