"""What a function can reach: the modules and tensors whose state decides whether a recorded plan still fits."""

from collections.abc import Iterator, Mapping
from functools import partial
from types import CodeType, FunctionType, MethodType, ModuleType
from typing import Any

from pydl.replay.tree import replaced
from pydl.tensor import Tensor

_MOST = 10_000  # objects looked at


def reached(function: Any, args: Any, kwargs: Any) -> tuple[list[Any], list[Tensor]]:
    """The modules and the tensors that closures, globals, attributes and containers lead to, but not the arguments."""
    from pydl.nn import Module
    from pydl.optim import Optimizer

    modules: list[Any] = []
    tensors: list[Tensor] = []
    seen: set[int] = set()
    held: list[Any] = []  # so that no id is used twice
    todo = [function, replaced(args, lambda _: None), replaced(kwargs, lambda _: None)]
    while todo and len(seen) < _MOST:
        x = todo.pop()
        if id(x) in seen or isinstance(x, (str, bytes, int, float, bool, type, ModuleType)) or x is None:
            continue
        seen.add(id(x))
        held.append(x)
        if isinstance(x, Tensor):
            tensors.append(x)
        else:
            if isinstance(x, Module):
                modules.append(x)
            todo += [x.param_groups] if isinstance(x, Optimizer) else _parts(x)
    return modules, tensors


def _parts(x: Any) -> Iterator[Any]:
    """What one object holds."""
    if isinstance(x, Mapping):
        yield from x.values()
    elif isinstance(x, (list, tuple, set, frozenset)):
        yield from x
    elif isinstance(x, FunctionType):
        yield from _named(x)
    elif isinstance(x, MethodType):
        yield from (x.__self__, x.__func__)
    elif isinstance(x, partial):
        yield from (x.func, x.args, x.keywords)
    elif hasattr(x, "__dict__") and not callable(getattr(x, "__array__", None)):
        yield from x.__dict__.values()


def _named(function: FunctionType) -> Iterator[Any]:
    """What a function of the user's names: its closure, its defaults and the globals it reads."""
    if function.__module__ is not None and function.__module__.split(".")[0] == "pydl":
        return
    for cell in function.__closure__ or ():
        try:
            yield cell.cell_contents
        except ValueError:  # not filled yet
            continue
    yield function.__defaults__
    yield function.__kwdefaults__
    names = _globals_of(function.__code__)
    yield from (value for name, value in function.__globals__.items() if name in names)


def _globals_of(code: CodeType) -> set[str]:
    """The names that code reads, with those of the functions inside it."""
    names = set(code.co_names)
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            names |= _globals_of(constant)
    return names
