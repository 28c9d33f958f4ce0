"""Whether operations are recorded: one flag per thread, and the contexts that set it."""

import threading
from collections.abc import Callable
from functools import wraps
from types import TracebackType
from typing import ParamSpec, TypeVar

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


mode = _Mode()


def is_grad_enabled() -> bool:
    """Whether operations of this thread are recorded."""
    return mode.enabled


def is_inference_mode_enabled() -> bool:
    """Whether this thread is inside `inference_mode`."""
    return mode.inference


class set_grad_enabled:
    """Turns recording on or off for this thread, at once; as a context or decorator, until its end."""

    def __init__(self, mode_: bool) -> None:
        self._value = bool(mode_)
        self._previous = [mode.enabled]
        mode.enabled = self._value

    def __enter__(self) -> None:
        mode.enabled = self._value

    def __exit__(self, *exc: object) -> None:
        mode.enabled = self._previous[-1]


class _Context:
    """A reentrant context and decorator that sets the flags and puts them back."""

    _enabled = False
    _inference = False

    def __init__(self, function: Callable[..., object] | None = None) -> None:
        self._stack: list[tuple[bool, bool]] = []

    def __new__(cls, function: Callable[P, R] | None = None) -> "_Context":
        if function is None or isinstance(function, bool):
            return super().__new__(cls)
        return cls()(function)  # type: ignore[return-value]  # @no_grad without parentheses

    def __enter__(self) -> None:
        self._stack.append((mode.enabled, mode.inference))
        mode.enabled, mode.inference = self._enabled, self._inference or (mode.inference and not self._enabled)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        mode.enabled, mode.inference = self._stack.pop()

    def __call__(self, function: Callable[P, R]) -> Callable[P, R]:
        context = type(self)

        @wraps(function)
        def wrapped(*args: P.args, **kwargs: P.kwargs) -> R:
            with context():
                return function(*args, **kwargs)

        return wrapped


class no_grad(_Context):
    """Operations inside are not recorded: less memory, less time, no gradients."""


class enable_grad(_Context):
    """Operations inside are recorded, also within `no_grad`."""

    _enabled = True


class inference_mode(_Context):
    """As `no_grad`; says that the results are never differentiated later."""

    _inference = True
