"""Arguments and results as trees of tuples, lists and dicts: the tensors in them, and all the rest."""

import math
from collections.abc import Callable, Iterator
from typing import Any

from pydl.errors import CaptureError
from pydl.tensor import Tensor


class Slot:
    """The place of a tensor in a tree."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "<tensor>"


SLOT = Slot()


def split(tree: Any, tensors: list[Tensor]) -> Any:
    """The tree as something that can be compared and hashed, its tensors appended to the list.

    Raises: CaptureError for what cannot be hashed.
    """
    if isinstance(tree, Tensor):
        tensors.append(tree)
        return SLOT
    kind = type(tree)
    if isinstance(tree, (tuple, list)):
        return (kind, *[split(x, tensors) for x in tree])
    if isinstance(tree, dict):
        return (kind, *[(k, split(v, tensors)) for k, v in tree.items()])
    try:
        hash(tree)
    except TypeError:
        raise CaptureError(
            f"capture: an argument or result of type {kind.__name__} is neither a tensor nor hashable"
        ) from None
    return (kind, tree, math.copysign(1.0, tree)) if kind is float else (kind, tree)


def replaced(tree: Any, change: Callable[[Tensor], Any]) -> Any:
    """The tree with every tensor changed."""
    if isinstance(tree, Tensor):
        return change(tree)
    if isinstance(tree, tuple) and hasattr(tree, "_fields"):
        return type(tree)(*[replaced(x, change) for x in tree])
    if isinstance(tree, (tuple, list)):
        return type(tree)(replaced(x, change) for x in tree)
    if isinstance(tree, dict):
        return {k: replaced(v, change) for k, v in tree.items()}
    return tree


def filled(tree: Any, tensors: Iterator[Any]) -> Any:
    """The tree with its tensors, in order, replaced by those given."""
    return replaced(tree, lambda _: next(tensors))
