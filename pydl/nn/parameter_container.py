"""Modules made of parameters: lists and dicts."""

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any, overload

from pydl.errors import ArgumentError, DtypeError, KeyMissingError
from pydl.nn.container import position
from pydl.nn.module import Module, indent
from pydl.nn.parameter import Parameter
from pydl.tensor import Tensor

if TYPE_CHECKING:
    from typing_extensions import Self

__all__ = ["ParameterDict", "ParameterList"]


def _as_parameter(value: Any) -> Any:
    """A plain tensor as a parameter; everything else as it is."""
    return Parameter(value) if isinstance(value, Tensor) and not isinstance(value, Parameter) else value


def _line(key: Any, value: Any) -> str:
    if isinstance(value, Tensor):
        kind = "Parameter" if isinstance(value, Parameter) else "Tensor"
        return f"({key}): {kind} containing: [{value.dtype} of size {'x'.join(str(s) for s in value.shape)}]"
    if isinstance(value, Module):
        return f"({key}): {indent(repr(value))}"
    return f"({key}): Object of type: {type(value).__name__}"


class ParameterList(Module):
    """A list of parameters; tensors put into it become parameters, other objects stay as they are."""

    def __init__(self, values: Iterable[Any] | None = None) -> None:
        super().__init__()
        self._size = 0
        if values is not None:
            self.extend(values)

    def __len__(self) -> int:
        return self._size

    def __iter__(self) -> Iterator[Any]:
        return (self.__dict__[str(i)] for i in range(self._size))

    @overload
    def __getitem__(self, index: slice) -> "ParameterList": ...
    @overload
    def __getitem__(self, index: int) -> Any: ...
    def __getitem__(self, index: int | slice) -> Any:
        if isinstance(index, slice):
            return ParameterList(list(self)[index])
        return self.__dict__[str(position(index, self._size, "ParameterList"))]

    def __setitem__(self, index: int, value: Any) -> None:
        setattr(self, str(position(index, self._size, "ParameterList")), _as_parameter(value))

    def append(self, value: Any) -> "Self":
        """Adds a value at the end; returns itself."""
        setattr(self, str(self._size), _as_parameter(value))
        self._size += 1
        return self

    def extend(self, values: Iterable[Any]) -> "Self":
        """Adds values at the end; returns itself."""
        for value in list(values):
            self.append(value)
        return self

    def __iadd__(self, values: Iterable[Any]) -> "Self":
        return self.extend(values)

    def extra_repr(self) -> str:
        """One line per entry."""
        return "\n".join(_line(i, value) for i, value in enumerate(self))

    def __repr__(self) -> str:
        return _listed(self)


class ParameterDict(Module):
    """A dict of parameters; tensors put into it become parameters, other objects stay as they are."""

    def __init__(self, parameters: Any = None) -> None:
        super().__init__()
        self._keys: dict[str, None] = {}
        if parameters is not None:
            self.update(parameters)

    def __getitem__(self, key: str) -> Any:
        if key not in self._keys:
            raise KeyMissingError(f"ParameterDict: no entry {key!r}: there are {list(self._keys)}")
        return self.__dict__[key]

    def __setitem__(self, key: str, value: Any) -> None:
        if not isinstance(key, str):
            raise DtypeError(f"ParameterDict: expected a string as key, got {type(key).__name__}")
        if key not in self._keys and hasattr(self, key):
            raise ArgumentError(f"ParameterDict: {key!r} is already an attribute")
        self._keys[key] = None
        setattr(self, key, _as_parameter(value))

    def __delitem__(self, key: str) -> None:
        self.pop(key)

    def __len__(self) -> int:
        return len(self._keys)

    def __iter__(self) -> Iterator[str]:
        return iter(self._keys)

    def __contains__(self, key: str) -> bool:
        return key in self._keys

    def keys(self) -> Iterable[str]:
        """The names."""
        return self._keys.keys()

    def values(self) -> Iterable[Any]:
        """The entries."""
        return (self.__dict__[k] for k in self._keys)

    def items(self) -> Iterable[tuple[str, Any]]:
        """Names and entries."""
        return ((k, self.__dict__[k]) for k in self._keys)

    def get(self, key: str, default: Any = None) -> Any:
        """The entry, or default."""
        return self.__dict__[key] if key in self._keys else default

    def pop(self, key: str) -> Any:
        """Takes out an entry and returns it."""
        value = self[key]
        del self._keys[key]
        delattr(self, key)
        return value

    def clear(self) -> None:
        """Takes out all entries."""
        for key in list(self._keys):
            self.pop(key)

    def update(self, parameters: Any) -> None:
        """Adds the entries of a mapping or of (name, value) pairs."""
        for key, value in parameters.items() if hasattr(parameters, "items") else parameters:
            self[key] = value

    def setdefault(self, key: str, default: Any = None) -> Any:
        """The entry, after default was put there if there was none."""
        if key not in self._keys:
            self[key] = default
        return self[key]

    def popitem(self) -> tuple[str, Any]:
        """Takes out the last entry and returns its name and value."""
        if not self._keys:
            raise KeyMissingError("ParameterDict: there is no entry to take out")
        key = next(reversed(self._keys))
        return key, self.pop(key)

    def copy(self) -> "ParameterDict":
        """A ParameterDict of the same entries."""
        return ParameterDict(dict(self.items()))

    def fromkeys(self, keys: Iterable[str], default: Any = None) -> "ParameterDict":
        """A ParameterDict with default under all keys."""
        return ParameterDict(dict.fromkeys(keys, default))

    def __reversed__(self) -> Iterator[str]:
        return reversed(self._keys)

    def __or__(self, other: "ParameterDict") -> "ParameterDict":
        made = self.copy()
        made.update(other)
        return made

    def __ror__(self, other: "ParameterDict") -> "ParameterDict":
        return other.copy() | self

    def __ior__(self, other: "ParameterDict") -> "Self":
        self.update(other)
        return self

    def extra_repr(self) -> str:
        """One line per entry."""
        return "\n".join(_line(key, value) for key, value in self.items())

    def __repr__(self) -> str:
        return _listed(self)


def _listed(module: Module) -> str:
    lines = module.extra_repr()
    return f"{module._get_name()}(\n  " + indent(lines) + "\n)" if lines else f"{module._get_name()}()"
