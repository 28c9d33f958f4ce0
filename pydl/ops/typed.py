"""Wrong types of arguments become errors that name the argument.

The annotations of a public function say what it takes. They are read only after it has failed, so that a right call
costs nothing but the `try`.
"""

import inspect
import sys
import types
import typing
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cache, wraps
from typing import Any, TypeVar

import numpy as np

from pydl.errors import DtypeError, PydlError

Function = TypeVar("Function", bound=Callable[..., Any])

_INT64 = range(-(2**63), 2**63)


# These check their operands themselves, and are called so often on small tensors that a wrapper would be felt.
_LEAN = "add sub mul div pow neg exp log sqrt square maximum minimum relu sigmoid tanh matmul"


def typed(function: Function) -> Function:
    """function, whose errors over arguments of a wrong type are DtypeErrors that say which and what would fit."""
    if function.__name__ in _LEAN.split() or hasattr(function, "__wrapped__"):
        return function

    @wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        try:
            return function(*args, **kwargs)
        except PydlError:
            raise
        except (TypeError, AttributeError, ValueError, LookupError, ArithmeticError, BufferError) as error:
            complaint = mismatch(function, args, kwargs)
            if complaint is None:
                raise
            raise DtypeError(complaint) from error

    return typing.cast(Function, call)


def wrap(namespace: dict[str, Any], names: Iterable[str]) -> None:
    """Replaces the functions of these names in a namespace; two names of one function stay two names of one."""
    functions = {name: namespace[name] for name in names if inspect.isfunction(namespace[name])}
    made = {function: typed(function) for function in functions.values()}
    for function, wrapped in made.items():  # there too: other processes look a function up where it was written
        home = sys.modules[function.__module__]
        if getattr(home, function.__name__, None) is function:
            setattr(home, function.__name__, wrapped)
    namespace.update({name: made[function] for name, function in functions.items()})


def mismatch(function: Callable[..., Any], args: Sequence[Any], kwargs: Mapping[str, Any]) -> str | None:
    """Which argument is not what its annotation says, in words; None if all are."""
    signature, hints = inspect.signature(function), _hints(function)
    try:
        bound = signature.bind(*args, **kwargs)
    except TypeError as error:
        return f"{function.__name__}: {error}: expected {function.__name__}{_plain(signature)}"
    for name, value in bound.arguments.items():
        hint, kind = hints.get(name, Any), signature.parameters[name].kind
        each = value if kind is inspect.Parameter.VAR_POSITIONAL else (value,)
        if kind is inspect.Parameter.VAR_KEYWORD:
            each = tuple(value.values())
        for v in each:
            if not fits(v, hint):
                return f"{function.__name__}: {name} is {_describe(v)}: expected {_spell(hint)}"
    return None


def fits(value: Any, hint: Any) -> bool:
    """Whether a value is what an annotation says; an annotation that is not understood allows everything."""
    origin = typing.get_origin(hint)
    if origin in (typing.Union, types.UnionType):
        return any(fits(value, h) for h in typing.get_args(hint))
    if origin is typing.Literal:
        return value in typing.get_args(hint)
    if origin is not None:
        return _fits_generic(value, origin, typing.get_args(hint))
    if hint is Any:
        return True
    if hint is None or hint is type(None):
        return value is None
    if hint is int:
        return isinstance(value, (int, np.integer)) and int(value) in _INT64
    if hint is float:
        return isinstance(value, (int, float, np.integer, np.floating))
    if hint is bool:
        return isinstance(value, (bool, np.bool_))
    return not isinstance(hint, type) or isinstance(value, hint)


def _fits_generic(value: Any, origin: Any, args: tuple[Any, ...]) -> bool:
    """The same for list[int], tuple[Tensor, ...], Sequence[int] and the like."""
    if not isinstance(origin, type):
        return True
    if not isinstance(value, origin) or (isinstance(value, (str, bytes)) and issubclass(origin, (Sequence, Iterable))):
        return False
    if origin is tuple and args and args[-1] is not Ellipsis:
        return len(value) == len(args) and all(fits(v, a) for v, a in zip(value, args, strict=True))
    if issubclass(origin, Sequence) and args:
        return all(fits(v, args[0]) for v in value)
    return True


@cache
def _hints(function: Callable[..., Any]) -> dict[str, Any]:
    try:
        return typing.get_type_hints(function)
    except (NameError, TypeError):
        return {}


def _plain(signature: inspect.Signature) -> str:
    """A signature without its annotations."""
    bare = [p.replace(annotation=inspect.Parameter.empty) for p in signature.parameters.values()]
    return str(inspect.Signature(bare))


def _describe(value: Any) -> str:
    """A value in a few words."""
    if value is None or isinstance(value, (bool, int, float, complex, str, bytes, list, tuple)):
        text = repr(value)
        return f"{text if len(text) <= 60 else text[:57] + '...'} ({type(value).__name__})"
    return f"of type {type(value).__name__}"


def _spell(hint: Any) -> str:
    """An annotation as one writes it, without the names of modules."""
    if isinstance(hint, type) and typing.get_origin(hint) is None:
        return "None" if hint is type(None) else hint.__name__
    origin, args = typing.get_origin(hint), typing.get_args(hint)
    if origin in (typing.Union, types.UnionType):
        return " or ".join(dict.fromkeys(_spell(a) for a in args))
    if args and isinstance(origin, type):
        return f"{origin.__name__}[{', '.join('...' if a is Ellipsis else _spell(a) for a in args)}]"
    return str(hint).removeprefix("typing.")
