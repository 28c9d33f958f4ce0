"""Which module a launch is of: the names of modules as their calls nest; those of backward are its node's."""

from bisect import bisect_right
from threading import Lock, local
from types import TracebackType
from typing import Any

from pydl import _C
from pydl.autograd import engine
from pydl.nn import module as modules

_state = local()
_lock = Lock()
_running = 0  # scopes of all threads: calls of modules are only watched while there are any
_step = engine._step  # while nothing is watched


class Scopes:
    """A context: launches of this thread are noted with their module's name, such as `Sequential.0`.

    A module's name is that of the module whose forward calls it and the attribute that holds it there.
    """

    def __enter__(self) -> "Scopes":
        self._outer = getattr(_state, "scopes", None)
        self._modules: list[Any] = []
        self._names = [""]
        self._ticks = [_C.tick()]  # from each on, nodes are of the module of the same place in _since
        self._since = [""]
        _watch(1)
        _state.scopes = self
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        _state.scopes = self._outer
        _watch(-1)
        _C.set_scope("" if self._outer is None else self._outer._names[-1])

    def call(self, module: Any, args: Any, kwargs: Any) -> Any:
        """Calls a module under its name."""
        self._names.append(self._named(module))
        self._modules.append(module)
        self._turn()
        try:
            return modules.run(module, args, kwargs)
        finally:
            self._names.pop()
            self._modules.pop()
            self._turn()

    def _turn(self) -> None:
        self._ticks.append(_C.tick())
        self._since.append(self._names[-1])
        _C.set_scope(self._names[-1])

    def _named(self, module: Any) -> str:
        kind = type(module).__name__
        if not self._modules:
            return kind
        held = (name for name, child in self._modules[-1].__dict__.items() if child is module)
        return f"{self._names[-1]}.{next(held, kind)}"

    def step(self, node: Any, rest: Any) -> None:
        """Runs the rule of a node under the name of the module that made it."""
        _C.set_scope(self._since[max(bisect_right(self._ticks, node.seq) - 1, 0)])
        try:
            _step(node, *rest)
        finally:
            _C.set_scope(self._names[-1])


def _called(module: Any, args: Any, kwargs: Any) -> Any:
    scopes = getattr(_state, "scopes", None)
    return modules.run(module, args, kwargs) if scopes is None else scopes.call(module, args, kwargs)


def _stepped(node: Any, *rest: Any) -> None:
    scopes = getattr(_state, "scopes", None)
    if scopes is None:
        _step(node, *rest)
    else:
        scopes.step(node, rest)


def _watch(more: int) -> None:
    """Puts the watching functions in place for the first scopes, and takes them away after the last."""
    global _running
    with _lock:
        _running += more
        modules.watch = _called if _running > 0 else None
        setattr(engine, "_step", _stepped if _running > 0 else _step)  # noqa: B010  mypy wants all of its arguments
