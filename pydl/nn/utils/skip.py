"""Modules without their first values, for those that are loaded or drawn elsewhere."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

from pydl.errors import DtypeError
from pydl.nn import init
from pydl.nn.module import Module

__all__ = ["no_init_weights", "skip_init"]

M = TypeVar("M", bound=Module)


def skip_init(module_cls: type[M], *args: Any, **kwargs: Any) -> M:
    """module_cls(*args, **kwargs) without its reset_parameters: the parameters hold whatever their memory holds."""
    if not (isinstance(module_cls, type) and issubclass(module_cls, Module)):
        raise DtypeError(f"skip_init: expected a class of modules, got {module_cls!r}")
    bare = type(module_cls.__name__, (module_cls,), {"reset_parameters": lambda self: None})
    made = bare(*args, **kwargs)
    object.__setattr__(made, "__class__", module_cls)
    return made  # type: ignore[no-any-return]


@contextmanager
def no_init_weights() -> Iterator[None]:
    """Within it the functions of nn.init leave tensors as they are, so that networks of any class are made without
    first values. Memory that nobody writes costs addresses alone: the weights of large networks can be counted, and
    those that are loaded afterwards are not drawn before.
    """
    names = [name for name in init.__all__ if name.endswith("_")]
    kept = {name: getattr(init, name) for name in names}
    try:
        for name in names:
            setattr(init, name, lambda tensor, *args, **kwargs: tensor)
        yield
    finally:
        for name, function in kept.items():
            setattr(init, name, function)
