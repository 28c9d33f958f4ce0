"""Several parameters that are one: equal, negated, transposed, or any other function of it."""

from collections.abc import Callable, Sequence
from typing import Any

from pydl import ops
from pydl.autograd.mode import no_grad
from pydl.errors import ArgumentError, DtypeError, ShapeError
from pydl.nn.module import Module
from pydl.nn.parameter import Parameter
from pydl.nn.state import PARAMETER
from pydl.nn.utils.computed import compute, source_of, uncompute
from pydl.tensor import Tensor

__all__ = ["tie", "untie"]

Transform = str | Callable[[Tensor], Tensor]


def _equal(theta: Tensor) -> Tensor:
    return theta


def _transposed(theta: Tensor) -> Tensor:
    """The first two axes exchanged."""
    return ops.transpose(theta, 0, 1)


_NAMED: dict[str, Callable[[Tensor], Tensor]] = {"equal": _equal, "negated": ops.neg, "transposed": _transposed}


class Tied:
    """A parameter as a function of another module's. The functions with a name are their own inverses."""

    def __init__(self, owner: Module, name: str, transform: Callable[[Tensor], Tensor], inverse: Any) -> None:
        self.owner, self.name, self.transform, self.inverse = owner, name, transform, inverse

    def read(self) -> Tensor:
        """The transform of what is stored now."""
        return self.transform(getattr(self.owner, self.name))

    def write(self, value: Any) -> None:
        """Stores what gives value; all that is tied changes with it."""
        if self.inverse is None:
            raise ArgumentError(
                f"tie: the transform has no right_inverse: expected {self.name!r} to be assigned instead"
            )
        if not isinstance(value, Tensor):
            raise DtypeError(f"cannot assign a {type(value).__name__} to a tied parameter: expected a tensor")
        theta = getattr(self.owner, self.name)
        with no_grad():
            stored = self.inverse(value)
        if stored.shape != theta.shape or stored.dtype is not theta.dtype:
            raise ShapeError(
                f"tie: {value.shape}, {value.dtype} was assigned: expected {self.read().shape}, {theta.dtype}"
            )
        theta.data = stored.detach().clone()


def tie(params: Sequence[tuple[Module, str]], transforms: Sequence[Transform] | None = None) -> Parameter:
    """Makes parameters of modules functions of the first of them, theta; returns theta.

    Args:
        params: pairs (module, name). The first keeps its parameter; the others are computed from it when they are read.
        transforms: one per pair: 'equal' (the default), 'negated', 'transposed' (the first two axes), or a function of
            a tensor, made of operations, whose attribute right_inverse, if there is one, serves assignment. The first
            must be 'equal'.
    theta's gradient is the sum over all uses, each through its transform. Only theta is in parameters() and in
    state_dict(), so the tie holds exactly after any number of steps.
    Raises: ArgumentError, ShapeError where a transform does not give the shape of its parameter, DtypeError.
    """
    pairs = list(params)
    kinds: list[Transform] = ["equal"] * len(pairs) if transforms is None else list(transforms)
    _check_pairs(pairs, kinds)
    owner, name = pairs[0]
    theta = getattr(owner, name)
    made = [_tied(owner, name, kind) for kind in kinds[1:]]
    for (module, own), source in zip(pairs[1:], made, strict=True):
        old, new = getattr(module, own), source.read()
        if new.shape != old.shape or new.dtype is not old.dtype:
            raise ShapeError(f"tie: {own!r} is {old.shape}, {old.dtype}; its transform gives {new.shape}, {new.dtype}")
    for (module, own), source in zip(pairs[1:], made, strict=True):
        compute(module, own, source)
    return theta  # type: ignore[no-any-return]


def _check_pairs(pairs: list[tuple[Module, str]], kinds: list[Transform]) -> None:
    if len(pairs) < 2 or len(kinds) != len(pairs):
        raise ArgumentError(f"tie: got {len(pairs)} parameters, {len(kinds)} transforms: expected at least two of each")
    if kinds[0] != "equal":
        raise ArgumentError(f"tie: the first transform must be 'equal', got {kinds[0]!r}")
    for module, name in pairs:
        if not isinstance(module, Module) or module._kinds.get(name) != PARAMETER or getattr(module, name) is None:
            raise ArgumentError(f"tie: {type(module).__name__} has no parameter {name!r}")
    if len({(id(module), name) for module, name in pairs}) != len(pairs):
        raise ArgumentError("tie: a parameter is named twice")


def _tied(owner: Module, name: str, kind: Transform) -> Tied:
    if isinstance(kind, str):
        if kind not in _NAMED:
            raise ArgumentError(f"tie: a transform must be {', '.join(map(repr, _NAMED))} or a function, got {kind!r}")
        return Tied(owner, name, _NAMED[kind], _NAMED[kind])
    if not callable(kind):
        raise DtypeError(f"tie: a transform must be a name or a function, got {type(kind).__name__}")
    return Tied(owner, name, kind, getattr(kind, "right_inverse", None))


def untie(module: Module, name: str) -> Parameter:
    """Makes a tied parameter one of its own again, with its present value; returns it."""
    source = source_of(module, name)
    if not isinstance(source, Tied):
        raise ArgumentError(f"untie: {type(module).__name__} has no tied parameter {name!r}")
    made = Parameter(source.read().detach().clone())
    uncompute(module, name)
    module.register_parameter(name, made)
    return made
