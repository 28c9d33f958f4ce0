"""Attributes of a module that are computed when they are read, in the place of a parameter or buffer.

The module's class becomes a subclass with one property per computed name. These classes are made once per class and set
of names and never changed, so copies of a module are independent of each other.
"""

from functools import cache
from typing import Any, Protocol

from pydl.nn.module import Module

__all__ = ["Source", "base_of", "compute", "source_of", "uncompute"]


class Source(Protocol):
    """Where a computed attribute comes from, and what assigning to it does."""

    def read(self) -> Any: ...

    def write(self, value: Any) -> None: ...


def compute(module: Module, name: str, source: Source) -> None:
    """Takes the tensor `name` out of the module; from now on the attribute is source.read()."""
    delattr(module, name)
    sources = module.__dict__.setdefault("_computed", {})
    sources[name] = source
    _reclass(module)


def uncompute(module: Module, name: str) -> None:
    """Makes `name` a free name again."""
    del module.__dict__["_computed"][name]
    _reclass(module)


def source_of(module: Module, name: str) -> Source | None:
    """Where a computed attribute comes from; None if it is an ordinary one."""
    found: Source | None = module.__dict__.get("_computed", {}).get(name)
    return found


def base_of(module: Module) -> type[Module]:
    """The class as it was before attributes became computed."""
    kind = type(module)
    return kind.__bases__[0] if "_computes" in kind.__dict__ else kind


def _reclass(module: Module) -> None:
    names, base = tuple(sorted(module.__dict__["_computed"])), base_of(module)
    if not names:
        del module.__dict__["_computed"]
    kind: Any = base
    object.__setattr__(module, "__class__", _class_with(kind, names) if names else base)


@cache
def _class_with(base: Any, names: tuple[str, ...]) -> Any:
    def set_attribute(self: Any, name: str, value: Any) -> None:
        if name in names:
            self.__dict__["_computed"][name].write(value)
        else:
            base.__setattr__(self, name, value)

    body: dict[str, Any] = {name: _property(name) for name in names}
    body |= {"_computes": names, "__setattr__": set_attribute, "__module__": base.__module__, "__doc__": base.__doc__}
    return type(f"Parametrized{base.__name__}", (base,), body)


def _property(name: str) -> property:
    return property(lambda self: self.__dict__["_computed"][name].read(), doc=f"{name}, computed from other tensors.")
