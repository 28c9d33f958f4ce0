"""Modules made of modules: chains, lists and dicts."""

import operator
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, overload

from pydl.errors import ArgumentError, BoundsError, DtypeError, KeyMissingError
from pydl.nn.module import Module, indent
from pydl.nn.state import MODULE

if TYPE_CHECKING:
    from typing_extensions import Self

__all__ = ["ModuleDict", "ModuleList", "Sequential"]


def position(index: Any, size: int, name: str) -> int:
    """index counted from the start."""
    i = operator.index(index)
    if not -size <= i < size:
        raise BoundsError(f"{name}: index {i} is out of range for {size} entries")
    return i % size


class _Numbered(Module):
    """Modules under names; subclasses give them as a sequence."""

    def __len__(self) -> int:
        return len(self._modules)

    def __iter__(self) -> Iterator[Any]:
        return iter(self._modules.values())

    def __dir__(self) -> list[str]:
        return [name for name in super().__dir__() if not str(name).isdigit()]

    def _names(self) -> list[str]:
        return list(self._modules)

    def _name(self, index: Any) -> str:
        return self._names()[position(index, len(self), type(self).__name__)]

    def _renumber(self, modules: Iterable[Module | None]) -> None:
        """Holds just these modules, named by their place."""
        listed = list(modules)
        for module in listed:
            if not isinstance(module, Module):
                raise DtypeError(f"{type(self).__name__}: expected a Module, got {type(module).__name__}")
        for name in self._names():
            delattr(self, name)
        for i, module in enumerate(listed):
            self.register_module(str(i), module)

    def __setitem__(self, index: int, module: Module) -> None:
        setattr(self, self._name(index), module)

    def __delitem__(self, index: int | slice) -> None:
        names = self._names()
        gone = set(names[index] if isinstance(index, slice) else [self._name(index)])
        self._renumber(m for name, m in self._modules.items() if name not in gone)

    def append(self, module: Module) -> "Self":
        """Adds a module at the end; returns itself."""
        self.register_module(str(len(self)), module)
        return self

    def insert(self, index: int, module: Module) -> "Self":
        """Adds a module before index; returns itself."""
        if not -len(self) <= index <= len(self):
            raise BoundsError(f"{type(self).__name__}: index {index} is out of range for {len(self)} entries")
        listed = list(self)
        listed.insert(index, module)
        self._renumber(listed)
        return self

    def extend(self, modules: Iterable[Module]) -> "Self":
        """Adds modules at the end; returns itself."""
        for module in list(modules):
            self.append(module)
        return self

    def pop(self, index: int | slice) -> Any:
        """Takes out a module and returns it."""
        taken = self[index]  # type: ignore[index]
        del self[index]
        return taken


class Sequential(_Numbered):
    """Modules that are called one after the other, each with what the one before returned.

    Args: modules in order, or one dict of names to modules.
    """

    def __init__(self, *args: Any) -> None:
        super().__init__()
        named = args[0].items() if len(args) == 1 and isinstance(args[0], Mapping) else enumerate(args)
        for name, module in named:
            self.register_module(str(name), module)

    def forward(self, input: Any) -> Any:
        """The output of the last module."""
        own = self.__dict__
        for name, kind in self._kinds.items():
            if kind == MODULE:
                input = own[name](input)
        return input

    @overload
    def __getitem__(self, index: slice) -> "Sequential": ...
    @overload
    def __getitem__(self, index: int) -> Module: ...
    def __getitem__(self, index: int | slice) -> Module:
        """A module, or a Sequential of the same modules."""
        if isinstance(index, slice):
            return Sequential(dict(list(self._modules.items())[index]))
        module = self._modules[self._name(index)]
        assert module is not None
        return module

    def __add__(self, other: "Sequential") -> "Sequential":
        if not isinstance(other, Sequential):
            raise ArgumentError(f"Sequential: expected a Sequential to add, got {type(other).__name__}")
        return Sequential(*self, *other)

    def __iadd__(self, other: "Sequential") -> "Self":
        if not isinstance(other, Sequential):
            raise ArgumentError(f"Sequential: expected a Sequential to add, got {type(other).__name__}")
        return self.extend(other)

    def __mul__(self, other: int) -> "Sequential":
        if other <= 0:
            raise ArgumentError(f"Sequential: expected a positive number of repeats, got {other}")
        return Sequential(*(list(self) * other))

    __rmul__ = __mul__

    def __imul__(self, other: int) -> "Self":
        if other <= 0:
            raise ArgumentError(f"Sequential: expected a positive number of repeats, got {other}")
        return self.extend(list(self) * (other - 1))


class ModuleList(_Numbered):
    """A list of modules."""

    def __init__(self, modules: Iterable[Module] | None = None) -> None:
        super().__init__()
        if modules is not None:
            self.extend(modules)

    @overload
    def __getitem__(self, index: slice) -> "ModuleList": ...
    @overload
    def __getitem__(self, index: int) -> Module: ...
    def __getitem__(self, index: int | slice) -> Module:
        """A module, or a list of the same modules."""
        if isinstance(index, slice):
            return type(self)(list(self)[index])
        module = self._modules[self._name(index)]
        assert module is not None
        return module

    def __add__(self, other: Iterable[Module]) -> "ModuleList":
        return ModuleList([*self, *other])

    def __iadd__(self, modules: Iterable[Module]) -> "Self":
        return self.extend(modules)

    def __repr__(self) -> str:
        """Neighbours of the same text are printed once, with their range and number."""
        if not len(self):
            return f"{self._get_name()}()"
        blocks: list[tuple[int, int, str]] = []
        for i, text in enumerate(repr(m) for m in self):
            if blocks and blocks[-1][2] == text:
                blocks[-1] = (blocks[-1][0], i, text)
            else:
                blocks.append((i, i, text))
        lines = [
            f"({first}): {indent(text)}" if first == last else f"({first}-{last}): {last - first + 1} x {indent(text)}"
            for first, last, text in blocks
        ]
        return f"{self._get_name()}(\n  " + "\n  ".join(lines) + "\n)"


class ModuleDict(Module):
    """A dict of modules."""

    def __init__(self, modules: Any = None) -> None:
        super().__init__()
        if modules is not None:
            self.update(modules)

    def __getitem__(self, key: str) -> Module:
        if key not in self:
            raise KeyMissingError(f"ModuleDict: no module {key!r}: there are {list(self)}")
        module: Module = self.__dict__[key]
        return module

    def __setitem__(self, key: str, module: Module) -> None:
        self.register_module(key, module)

    def __delitem__(self, key: str) -> None:
        self.pop(key)

    def __len__(self) -> int:
        return len(self._modules)

    def __iter__(self) -> Iterator[str]:
        return iter(self._modules)

    def __contains__(self, key: str) -> bool:
        return key in self._modules

    def keys(self) -> Iterable[str]:
        """The names."""
        return self._modules.keys()

    def values(self) -> Iterable[Any]:
        """The modules."""
        return self._modules.values()

    def items(self) -> Iterable[tuple[str, Any]]:
        """Names and modules."""
        return self._modules.items()

    def pop(self, key: str) -> Module:
        """Takes out a module and returns it."""
        module = self[key]
        delattr(self, key)
        return module

    def clear(self) -> None:
        """Takes out all modules."""
        for key in list(self):
            delattr(self, key)

    def update(self, modules: Any) -> None:
        """Adds the modules of a mapping or of (name, module) pairs."""
        for key, module in modules.items() if hasattr(modules, "items") else modules:
            self[key] = module
