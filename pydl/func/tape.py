"""Tape: one differentiation of a function, at copies of its inputs, inside whatever else is being recorded.

The copies belong to the tape alone, so nested transforms never confuse their variables: what an outer one recorded is
reached through the copies' own graph, and what an inner one made is constant to the outer as soon as the inner is done.
Nothing refers back, so no cycle holds memory.
"""

from collections.abc import Callable, Iterable, Sequence
from contextlib import contextmanager
from typing import Any

from pydl import _C
from pydl.autograd.engine import sources, walk
from pydl.autograd.mode import enable_grad, mode
from pydl.autograd.node import tick
from pydl.errors import ArgumentError, DtypeError, ShapeError
from pydl.func.batch import alias, inside_all
from pydl.func.tree import flatten, tree_map
from pydl.tensor import Tensor

__all__ = ["Tape", "free", "zeros"]


def zeros(like: Tensor) -> Tensor:
    """Zeros in the shape and dtype of a tensor."""
    return Tensor(_C.full(like.shape, 0, like.dtype, like.device))


def free(x: Tensor) -> Tensor:
    """A variable of its own with the values of x: a leaf, or where x is being recorded a node on top of x."""
    x = inside_all(x)
    if x.requires_grad and mode.enabled:
        return alias(x)
    return Tensor(x.array, None, True)


class Tape:
    """A function run once with its inputs as variables.

    Attributes:
        inputs: the variables, one per tensor of the arguments that are differentiated.
        structure: of those arguments.
        outer: whether recording was on outside.
    """

    def __init__(self, name: str, arguments: Any) -> None:
        self.name = name
        self.outer = mode.enabled
        self.start = tick()
        leaves, self.structure = flatten(arguments)
        for leaf in leaves:
            _check_input(leaf, name)
        self.inputs = [free(leaf) for leaf in leaves]

    def run(self, func: Callable[..., Any], args: Sequence[Any], kwargs: dict[str, Any], has_aux: bool) -> Any:
        """What func returns at the variables, and its auxiliary result, None where it has none."""
        with enable_grad():
            made = func(*args, **kwargs)
        if not has_aux:
            return made, None
        if not (isinstance(made, tuple) and len(made) == 2):
            raise ArgumentError(f"{self.name}: with has_aux the function must return (output, aux)")
        return made

    def copies(self) -> Any:
        """The arguments, made of the variables."""
        return self.structure.build(self.inputs)

    def attached(self, tensors: Iterable[Tensor]) -> bool:
        """Whether the graph of one of the tensors leads out of this tape, to what is recorded outside."""
        if not self.outer:
            return False
        own = {id(x) for x in self.inputs if x.node is None}
        return any(id(t) not in own for t in sources(tensors, self.start))

    def pull(self, roots: list[Tensor], seeds: list[Tensor], record: bool, keep: bool) -> list[Tensor]:
        """The gradients with respect to the variables of the roots weighted by the seeds, zeros where there is none."""
        return [zeros(x) if g is None else g for x, g in zip(self.inputs, self.reach(roots, seeds, record, keep))]  # noqa: B905

    def reach(self, roots: list[Tensor], seeds: list[Tensor], record: bool, keep: bool) -> list[Tensor | None]:
        """As pull, with None where there is no way from the roots to a variable."""
        with live(self.inputs):
            pairs = [(r, s) for r, s in zip(roots, seeds, strict=True) if r.requires_grad]
            return walk([r for r, _ in pairs], [s for _, s in pairs], self.inputs, record, keep)

    def close(self) -> None:
        """Makes the variables constants to all that was recorded: nobody asks for their gradients any more."""
        settle(self.inputs)

    def leave(self, tree: Any) -> Any:
        """A result as the caller may have it: in the graph only if that leads to something outside."""
        tensors = [t for t in flatten(tree)[0] if isinstance(t, Tensor) and t.requires_grad]
        if not tensors or self.attached(tensors):
            return tree
        return tree_map(lambda t: t.detach() if isinstance(t, Tensor) and t.requires_grad else t, tree)


def settle(variables: list[Tensor]) -> None:
    """Makes leaves constants."""
    for x in variables:
        if x.node is None:
            x.requires_grad = False


@contextmanager
def live(variables: list[Tensor]) -> Any:
    """The variables as what they are, for the time of a walk; afterwards as they were."""
    before = [x.requires_grad for x in variables]
    for x in variables:
        x.requires_grad = True
    try:
        yield
    finally:
        for x, was in zip(variables, before, strict=True):
            x.requires_grad = was


def _check_input(x: Any, name: str) -> None:
    if not isinstance(x, Tensor):
        raise DtypeError(f"{name}: expected tensors to differentiate at, got {type(x).__name__}")
    if not x.array.is_floating:
        raise DtypeError(f"{name}: only floating tensors can be differentiated at, got {x.dtype}")


def outputs_of(tree: Any, name: str) -> tuple[list[Tensor], Any]:
    """The tensors that a function returned, and how they were put together."""
    leaves, structure = flatten(tree)
    for leaf in leaves:
        if not isinstance(leaf, Tensor):
            raise DtypeError(f"{name}: the function must return tensors, got {type(leaf).__name__}")
    return leaves, structure


def check_like(given: list[Any], wanted: list[Tensor], name: str, what: str) -> list[Tensor]:
    """Tensors of the same shapes, put into the same dtypes."""
    for g, x in zip(given, wanted, strict=True):
        if not isinstance(g, Tensor):
            raise DtypeError(f"{name}: expected {what}s that are tensors, got {type(g).__name__}")
        if g.shape != x.shape:
            raise ShapeError(f"{name}: {what} {g.shape} does not match {x.shape}")
    return [g if g.dtype is x.dtype else g.to(x.dtype) for g, x in zip(given, wanted, strict=True)]
