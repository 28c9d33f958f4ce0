"""What a function can reach: the modules, tensors and numbers that decide whether a recorded plan still fits."""

from collections.abc import Iterator, Mapping
from functools import partial
from types import CodeType, FunctionType, MethodType, ModuleType
from typing import Any

from pydl import _C
from pydl.replay.tree import replaced
from pydl.tensor import Tensor

_MOST = 10_000  # objects looked at
_FEW = 64  # numbers in a list or dict that are looked at
_PLAIN = (str, bytes, int, float, bool, type(None))
_ENDS = (type, ModuleType, *_PLAIN)
_MOST_COMMON = frozenset(_PLAIN)  # classes: of what leads nowhere, told by a look at its class alone


class Reached:
    """What closures, globals, attributes and containers lead to from a function, but not its arguments' tensors.

    Attributes: modules, tensors, functions, objects, lists, dicts: of each kind; the last two of a few numbers only.
    """

    def __init__(self, function: Any, args: Any, kwargs: Any) -> None:
        from pydl.nn import Module
        from pydl.optim import Optimizer

        self.watch = getattr(function, "watch", None)
        self.modules: list[Any] = []
        self.tensors: list[Tensor] = []
        self.functions: list[FunctionType] = []
        self.objects: list[Any] = []
        self.lists: list[Any] = []
        self.dicts: list[Any] = []
        seen: set[int] = set()
        held: list[Any] = []  # so that no id is used twice
        todo = [
            *getattr(function, "roots", (function,)),
            replaced(args, lambda _: None),
            replaced(kwargs, lambda _: None),
        ]
        while todo and len(seen) < _MOST:
            x = todo.pop()
            if type(x) in _MOST_COMMON or id(x) in seen or isinstance(x, _ENDS):
                continue
            seen.add(id(x))
            held.append(x)
            if isinstance(x, Tensor):
                self.tensors.append(x)
            elif isinstance(x, Optimizer):
                todo.append(x.param_groups)
            else:
                todo += self._parts(x, isinstance(x, Module))

    def _parts(self, x: Any, module: bool) -> Iterator[Any]:
        """What one object holds."""
        if module:
            self.modules.append(x)
            yield from x.__dict__.values()
            if not _ours(type(x)):
                yield type(x).forward
        elif isinstance(x, (dict, list)):
            more = [v for v in (x.values() if isinstance(x, dict) else x) if type(v) not in _MOST_COMMON]
            if type(x) in (dict, list) and len(x) <= _FEW and all(isinstance(v, _PLAIN) for v in more):
                (self.dicts if isinstance(x, dict) else self.lists).append(x)
            yield from more
        elif isinstance(x, (tuple, set, frozenset)):
            yield from x
        elif isinstance(x, FunctionType):
            if not (self.functions and _ours(x)):
                self.functions.append(x)
                yield from _named(x)
        elif isinstance(x, MethodType):
            yield from (x.__self__, x.__func__)
        elif isinstance(x, partial):
            yield from (x.func, x.args, x.keywords)
        elif isinstance(x, Mapping):
            yield from x.values()
        elif hasattr(x, "__dict__") and not callable(getattr(x, "__array__", None)):
            self.objects.append(x)
            for value in x.__dict__.values():
                own = type(value) in (dict, list) and _steered(x)
                yield from (value.values() if isinstance(value, dict) else value) if own else (value,)
            if not _ours(type(x)) and isinstance(called := vars(type(x)).get("__call__"), FunctionType):
                yield called

    def guard(self) -> Any:
        """What compares all of it with what it is now: arrays, requires_grad, the attributes of modules, the variables
        of closures, and the globals and attributes that the functions name."""
        guard = _C.Guard()
        for tensor in self.tensors:
            guard.tensor(tensor)
        names = set[str]().union(*[names_of(f.__code__) for f in self.functions])
        for function in self.functions:
            for cell in function.__closure__ or ():
                guard.cell(cell)
            own = function.__globals__
            guard.names(own, [n for n in names_of(function.__code__) if not isinstance(own.get(n), (ModuleType, type))])
        for module in self.modules:
            guard.entries(module.__dict__)
        for x in self.objects:
            if not _steered(x) and (named := [n for n, v in x.__dict__.items() if n in names or _fixed(x, v)]):
                guard.names(x.__dict__, named)
        if self.watch is not None:
            self.watch(guard, names)
        for numbers in self.lists:
            guard.elements(numbers)
        for numbers in self.dicts:
            guard.entries(numbers)
        return guard


def _ours(x: Any) -> bool:
    """Whether a function or class is the library's own, whose variables are its own business."""
    parts = (x.__module__ or "").split(".")
    return parts[0] == "pydl" and parts[1:2] != ["recipes"]


def _steered(x: Any) -> bool:
    """Whether an object's numbers may change, because it tells replays what to do about it: schedules and the like."""
    parts = (type(x).__module__ or "").split(".")
    return parts[0] == "pydl" and parts[1:2] in (["optim"], ["amp"], ["train"], ["replay"], ["data"])


def _fixed(x: Any, value: Any) -> bool:
    """Whether it is a number of another object of the library's, such as a schedule of dropout."""
    return _ours(type(x)) and isinstance(value, _PLAIN)


def _named(function: FunctionType) -> Iterator[Any]:
    """What a function names: its closure, its defaults and the globals it reads."""
    for cell in function.__closure__ or ():
        try:
            yield cell.cell_contents
        except ValueError:  # not filled yet
            continue
    yield function.__defaults__
    yield function.__kwdefaults__
    names = names_of(function.__code__)
    yield from (value for name, value in function.__globals__.items() if name in names)


def names_of(code: CodeType) -> set[str]:
    """The globals and attributes that code names, with those of the functions inside it."""
    names = set(code.co_names)
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            names |= names_of(constant)
    return names
