"""Nested containers of tensors: taken apart into a list of leaves, and put together again.

A container is a tuple, list, dict, namedtuple or dataclass; everything else, also None, is a leaf.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, fields, is_dataclass
from typing import Any

from pydl.errors import ArgumentError
from pydl.tensor import Tensor

__all__ = ["Structure", "flatten", "flatten_like", "tensors_of", "tree_map"]


@dataclass(frozen=True)
class Structure:
    """What a tree looks like without its leaves.

    Attributes: kind: the container's type, None for a leaf; keys: of a dict or dataclass; parts: one per child.
    """

    kind: Any
    keys: tuple[Any, ...] = ()
    parts: "tuple[Structure, ...]" = ()

    @property
    def count(self) -> int:
        """The number of leaves."""
        return 1 if self.kind is None else sum(part.count for part in self.parts)

    def build(self, leaves: Iterable[Any]) -> Any:
        """The tree with these leaves, taken in order."""
        return self._build(iter(leaves))

    def _build(self, leaves: Iterator[Any]) -> Any:
        if self.kind is None:
            return next(leaves)
        made = [part._build(leaves) for part in self.parts]
        if issubclass(self.kind, dict):
            return self.kind(zip(self.keys, made, strict=True))
        if self.keys:
            return self.kind(**dict(zip(self.keys, made, strict=True)))
        if hasattr(self.kind, "_fields"):
            return self.kind(*made)
        return self.kind(made)

    def __str__(self) -> str:
        if self.kind is None:
            return "*"
        names = [f"{key}: " for key in self.keys] or [""] * len(self.parts)
        inside = ", ".join(name + str(part) for name, part in zip(names, self.parts, strict=True))
        return f"{self.kind.__name__}({inside})"


LEAF = Structure(None)


def flatten(tree: Any) -> tuple[list[Any], Structure]:
    """The leaves of a tree in order, and its structure."""
    leaves: list[Any] = []
    return leaves, _walk(tree, leaves)


def _walk(tree: Any, leaves: list[Any]) -> Structure:
    kind = type(tree)
    if isinstance(tree, dict):
        return Structure(_dict_kind(kind), tuple(tree), tuple(_walk(value, leaves) for value in tree.values()))
    if isinstance(tree, (tuple, list)):
        return Structure(kind, (), tuple(_walk(value, leaves) for value in tree))
    if is_dataclass(tree) and not isinstance(tree, type):
        names = tuple(f.name for f in fields(tree) if f.init)
        return Structure(kind, names, tuple(_walk(getattr(tree, name), leaves) for name in names))
    leaves.append(tree)
    return LEAF


def _dict_kind(kind: type) -> type:
    """A dict type that can be made from pairs: a defaultdict becomes a dict."""
    return dict if issubclass(kind, defaultdict) else kind


def tree_map(function: Callable[[Any], Any], tree: Any) -> Any:
    """The tree with every leaf replaced by function(leaf)."""
    leaves, structure = flatten(tree)
    return structure.build([function(leaf) for leaf in leaves])


def flatten_like(tree: Any, structure: Structure, name: str, what: str) -> list[Any]:
    """The leaves of a tree that must have the given structure.

    Raises: ArgumentError that shows both structures.
    """
    leaves, found = flatten(tree)
    if found != structure:
        raise ArgumentError(f"{name}: {what} has structure {found}: expected {structure}")
    return leaves


def tensors_of(tree: Any) -> list[Tensor]:
    """The tensors among the leaves."""
    return [leaf for leaf in flatten(tree)[0] if isinstance(leaf, Tensor)]


def spread_prefix(prefix: Any, structure: Structure, name: str, what: str) -> list[Any]:
    """One entry per leaf of the structure, from a tree that may stop early: its leaf then holds for all below."""
    if structure.kind is None or prefix is None or isinstance(prefix, int):
        return [prefix] * structure.count
    parts = prefix.values() if isinstance(prefix, dict) else prefix
    fits = isinstance(prefix, (tuple, list, dict)) and len(prefix) == len(structure.parts)
    if not fits or (isinstance(prefix, dict) and set(prefix) != set(structure.keys)):
        raise ArgumentError(f"{name}: {what} {prefix} does not fit the structure {structure}")
    if isinstance(prefix, dict):
        parts = [prefix[key] for key in structure.keys]
    pairs = zip(parts, structure.parts, strict=True)
    return [entry for part, below in pairs for entry in spread_prefix(part, below, name, what)]
