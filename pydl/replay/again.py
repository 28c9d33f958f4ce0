"""again: what Python does in a captured function and has to do before every replay too."""

from collections.abc import Callable
from functools import partial, wraps
from typing import Concatenate, ParamSpec, TypeVar

from pydl.autograd.mode import mode

P = ParamSpec("P")
R = TypeVar("R")
S = TypeVar("S")


def again(method: Callable[Concatenate[S, P], R]) -> Callable[Concatenate[S, P], R]:
    """A method that changes only its object's plain numbers: where it is recorded, each replay calls it first."""

    @wraps(method)
    def wrapped(self: S, *args: P.args, **kwargs: P.kwargs) -> R:
        hooks = mode.recording
        if hooks is None:
            return method(self, *args, **kwargs)
        mode.recording = None  # what it calls is called again by it
        try:
            made = method(self, *args, **kwargs)
        finally:
            mode.recording = hooks
        hooks.append(partial(method, self, *args, **kwargs))
        return made

    return wrapped  # type: ignore[return-value]  # mypy takes self for a named argument
