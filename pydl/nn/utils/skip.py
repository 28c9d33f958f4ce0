"""Modules without their first values, for those that are loaded or drawn elsewhere."""

from typing import Any, TypeVar

from pydl.errors import DtypeError
from pydl.nn.module import Module

__all__ = ["skip_init"]

M = TypeVar("M", bound=Module)


def skip_init(module_cls: type[M], *args: Any, **kwargs: Any) -> M:
    """module_cls(*args, **kwargs) without its reset_parameters: the parameters hold whatever their memory holds."""
    if not (isinstance(module_cls, type) and issubclass(module_cls, Module)):
        raise DtypeError(f"skip_init: expected a class of modules, got {module_cls!r}")
    bare = type(module_cls.__name__, (module_cls,), {"reset_parameters": lambda self: None})
    made = bare(*args, **kwargs)
    object.__setattr__(made, "__class__", module_cls)
    return made  # type: ignore[no-any-return]
