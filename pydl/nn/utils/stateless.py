"""functional_call: a module's computation with other tensors in the place of its parameters and buffers."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from pydl.errors import ArgumentError, DtypeError, KeyMissingError
from pydl.nn.module import Module
from pydl.nn.state import BUFFER, PARAMETER, TRANSIENT
from pydl.tensor import Tensor

__all__ = ["functional_call"]

_TENSORS = (PARAMETER, BUFFER, TRANSIENT)


def functional_call(
    module: Module,
    parameters_and_buffers: Mapping[str, Tensor] | Sequence[Mapping[str, Tensor]],
    args: Any = None,
    kwargs: Mapping[str, Any] | None = None,
    *,
    tie_weights: bool = True,
    strict: bool = False,
) -> Any:
    """module(*args, **kwargs), computed with the given tensors in the place of those of these names.

    Args:
        parameters_and_buffers: dotted names to tensors, or several such dicts without common names. What is not named
            stays the module's own.
        args: a tuple of arguments, or the only argument.
        tie_weights: a tensor that the module has under several names is replaced under all when one is named.
        strict: every parameter and buffer must be named, and no other name.
    Returns: what the module returns. The module is as before afterwards; a buffer that forward changes in place is
        changed in the given tensor.
    Raises: KeyMissingError for names that do not fit; ArgumentError where two names of one tensor get different ones.
    """
    if not isinstance(module, Module):
        raise DtypeError(f"functional_call: expected a module, got {type(module).__name__}")
    values = _merged(parameters_and_buffers)
    given = args if isinstance(args, tuple) else () if args is None else (args,)
    with _swapped(module, _assignments(module, values, tie_weights, strict)):
        return module(*given, **(kwargs or {}))


def _merged(given: Any) -> dict[str, Tensor]:
    """Several dicts as one."""
    parts = [given] if isinstance(given, Mapping) else given
    if not isinstance(parts, Sequence) or not all(isinstance(part, Mapping) for part in parts):
        raise DtypeError(f"functional_call: expected a dict of tensors or several, got {type(given).__name__}")
    made: dict[str, Tensor] = {}
    for part in parts:
        twice = sorted(made.keys() & part.keys())
        if twice:
            raise ArgumentError(f"functional_call: {twice[0]!r} is in several of the given dicts")
        made.update(part)
    for name, value in made.items():
        if not isinstance(value, Tensor):
            raise DtypeError(f"functional_call: {name!r} is a {type(value).__name__}: expected a tensor")
    return made


def _assignments(
    module: Module, values: Mapping[str, Tensor], tie_weights: bool, strict: bool
) -> list[tuple[Module, str, Tensor]]:
    """Owner, name and tensor of everything to replace."""
    places = {
        f"{path}.{name}" if path else name: (owner, name)
        for path, owner in module.named_modules(remove_duplicate=False)
        for name, t in owner._parts(*_TENSORS).items()
        if t is not None
    }
    unexpected = [name for name in values if name not in places]
    if unexpected:
        raise KeyMissingError(f"functional_call: {type(module).__name__} has no tensor {unexpected[0]!r}")
    groups: dict[int, list[str]] = {}
    for name, (owner, own) in places.items():
        groups.setdefault(id(owner.__dict__[own]) if tie_weights else len(groups), []).append(name)
    made, missing = [], []
    for names in groups.values():
        given = {id(values[name]): values[name] for name in names if name in values}
        if len(given) > 1:
            raise ArgumentError(f"functional_call: {names} are one tensor and were given different ones")
        if given:
            made += [(*places[name], *given.values()) for name in names]
        else:
            missing += names[:1]
    if strict and missing:
        raise KeyMissingError(f"functional_call: no tensor was given for {missing[0]!r}")
    return made  # type: ignore[return-value]


@contextmanager
def _swapped(module: Module, assignments: list[tuple[Module, str, Tensor]]) -> Iterator[None]:
    """The tensors in their places; afterwards the module's own."""
    before = [(owner, name, owner.__dict__[name]) for owner, name, _ in assignments]
    try:
        for owner, name, value in assignments:
            owner.__dict__[name] = value
        yield
    finally:
        for owner, name, old in reversed(before):
            owner.__dict__[name] = old
