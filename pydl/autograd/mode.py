"""Whether operations are recorded: one flag per thread, and the contexts that set it."""

import threading
from collections.abc import Callable
from functools import wraps
from inspect import isgeneratorfunction
from types import TracebackType
from typing import Any, ParamSpec, TypeVar

__all__ = [
    "enable_grad",
    "inference_mode",
    "is_grad_enabled",
    "is_inference_mode_enabled",
    "no_grad",
    "set_grad_enabled",
]

P = ParamSpec("P")
R = TypeVar("R")


class _Mode(threading.local):
    enabled = True
    inference = False
    cast: Any = None  # the dtype that autocast asks for
    recording: list[Callable[[], Any]] | None = None  # by pydl.capture: what is to be called before each replay


mode = _Mode()


def is_grad_enabled() -> bool:
    """Whether operations of this thread are recorded."""
    return mode.enabled


def is_inference_mode_enabled() -> bool:
    """Whether this thread is inside `inference_mode`."""
    return mode.inference


class set_grad_enabled:
    """Turns recording on or off for this thread, at once; as a context until its end, as a decorator during calls."""

    def __init__(self, mode: bool) -> None:
        self._value = bool(mode)
        self._previous = _set_enabled(self._value)

    def __enter__(self) -> None:
        _set_enabled(self._value)

    def __exit__(self, *exc: object) -> None:
        _set_enabled(self._previous)

    def __call__(self, function: Callable[P, R]) -> Callable[P, R]:
        _set_enabled(self._previous)
        return wrapped(function, lambda: set_grad_enabled(self._value))


def _set_enabled(value: bool) -> bool:
    """Sets the flag; returns what it was."""
    before, mode.enabled = mode.enabled, value
    return before


def wrapped(function: Callable[P, R], context: Callable[[], Any]) -> Callable[P, R]:
    """function within a new context per call; a generator is within it only while it runs, not between its items."""
    if isgeneratorfunction(function):

        @wraps(function)
        def generator(*args: P.args, **kwargs: P.kwargs) -> Any:
            items = function(*args, **kwargs)
            step, value = items.send, None
            try:
                while True:
                    with context():
                        item = step(value)
                    try:
                        step, value = items.send, (yield item)
                    except GeneratorExit:
                        with context():
                            items.close()
                        raise
                    except BaseException as error:
                        step, value = items.throw, error
            except StopIteration as end:
                return end.value

        return generator  # type: ignore[return-value]

    @wraps(function)
    def wrapped(*args: P.args, **kwargs: P.kwargs) -> R:
        with context():
            return function(*args, **kwargs)

    return wrapped


class _Context:
    """A reentrant context and decorator that sets the flags and puts them back."""

    _enabled = False
    _inference = False

    def __init__(self, function: Callable[..., object] | None = None) -> None:
        self._stack: list[tuple[bool, bool]] = []

    def __new__(cls, function: Callable[P, R] | None = None) -> "_Context":
        if function is None:
            return super().__new__(cls)
        return wrapped(function, cls)  # type: ignore[return-value]  # @no_grad without parentheses

    def __enter__(self) -> None:
        self._stack.append((mode.enabled, mode.inference))
        mode.enabled, mode.inference = self._enabled, self._inference or (mode.inference and not self._enabled)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        mode.enabled, mode.inference = self._stack.pop()

    def __call__(self, function: Callable[P, R]) -> Callable[P, R]:
        return wrapped(function, type(self))


class no_grad(_Context):
    """Operations inside are not recorded: less memory, less time, no gradients."""


class enable_grad(_Context):
    """Operations inside are recorded, also within `no_grad`."""

    _enabled = True


class inference_mode(_Context):
    """As `no_grad`; says that the results are never differentiated later. inference_mode(False) records as usual."""

    def __init__(self, mode: bool | Callable[..., object] = True) -> None:
        super().__init__()
        self._enabled, self._inference = not mode, bool(mode)

    def __new__(cls, mode: bool | Callable[..., object] = True) -> "inference_mode":
        return super().__new__(cls, None if isinstance(mode, bool) else mode)  # type: ignore[return-value]

    def __call__(self, function: Callable[P, R]) -> Callable[P, R]:
        return wrapped(function, lambda: inference_mode(self._inference))
