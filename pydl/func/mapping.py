"""vmap: a function of one example as a function of many.

The definition is the loop: one call per example, results stacked. Where it can, the function is called once instead, on
tensors that hold all examples and show the shape of one (pydl/func/batch.py); anything such tensors cannot do, also a
branch on a value, a number drawn for each example or a user's own Function, ends that attempt and the loop is taken.
"""

from collections.abc import Callable, Iterator
from functools import wraps
from typing import Any

from pydl.errors import ArgumentError, AutogradError, BoundsError, DtypeError, ShapeError
from pydl.func.batch import enter, leave, level_of
from pydl.func.tree import Structure, flatten, spread_prefix
from pydl.ops import cat, movedim, select, stack
from pydl.ops.random import default_generator
from pydl.tensor import Tensor

__all__ = ["vmap"]

Dims = int | None


class Examples:
    """The arguments of a call: which leaves hold one entry per example, all with the examples in front."""

    def __init__(self, args: tuple[Any, ...], in_dims: Any) -> None:
        leaves, self.structure = flatten(args)
        prefix = in_dims if isinstance(in_dims, (int, type(None))) else tuple(in_dims)
        dims = spread_prefix(prefix, self.structure, "vmap", "in_dims")
        self.mapped = [dim is not None for dim in dims]
        self.leaves = [leaf if dim is None else _in_front(leaf, dim) for leaf, dim in zip(leaves, dims, strict=True)]
        sizes = {leaf.shape[0] for leaf, mapped in zip(self.leaves, self.mapped, strict=True) if mapped}
        if not sizes:
            raise ArgumentError("vmap: expected at least one argument to map over: all of in_dims are None")
        if len(sizes) > 1:
            raise ShapeError(f"vmap: the mapped axes have sizes {sorted(sizes)}: expected one size")
        self.size: int = sizes.pop()

    def with_mapped(self, change: Callable[[Tensor], Any]) -> Any:
        """The arguments with every mapped leaf changed."""
        pairs = zip(self.leaves, self.mapped, strict=True)
        return self.structure.build([change(leaf) if mapped else leaf for leaf, mapped in pairs])

    def at(self, i: int) -> Any:
        """The arguments of example i."""
        return self.with_mapped(lambda leaf: select(leaf, 0, i))

    def parts(self, size: int) -> "Iterator[tuple[Any, ...]]":
        """The arguments of at most `size` examples after one another, mapped leaves with the examples in front."""
        for at in range(0, self.size, size):
            yield self.with_mapped(lambda leaf, at=at: leaf[at : at + size])  # type: ignore[misc]


def _in_front(leaf: Any, dim: int) -> Tensor:
    if not isinstance(leaf, Tensor):
        raise DtypeError(f"vmap: cannot map over a {type(leaf).__name__}: expected a tensor, or None in in_dims")
    if not -leaf.ndim <= dim < leaf.ndim:
        raise BoundsError(f"vmap: in_dims has {dim} for a tensor of shape {leaf.shape}")
    return leaf if dim % leaf.ndim == 0 else movedim(leaf, dim, 0)


def _checked(tree: Any) -> tuple[list[Tensor], Structure]:
    leaves, structure = flatten(tree)
    for leaf in leaves:
        if not isinstance(leaf, Tensor):
            raise DtypeError(f"vmap: the function must return tensors, got {type(leaf).__name__}")
    return leaves, structure


def _at_once(
    func: Callable[..., Any], given: Examples, kwargs: dict[str, Any], randomness: str = "error"
) -> tuple[list[Tensor], Structure]:
    """The results with the examples in front, from one call. Raises: AutogradError where numbers were drawn that are
    the same for all examples and should not be."""
    start = default_generator.offset
    with level_of(given.size, randomness) as level:
        leaves, structure = _checked(func(*given.with_mapped(lambda x: enter(x, level)), **kwargs))
        made = [leave(y, level) for y in leaves]
    shared = default_generator.offset - start - level.drawn
    if (shared and randomness != "same") or (level.drawn and randomness == "error"):
        raise AutogradError("vmap: random numbers were drawn for all examples together")
    return made, structure


def _one_by_one(
    func: Callable[..., Any], given: Examples, kwargs: dict[str, Any], randomness: str
) -> tuple[list[Tensor], Structure]:
    """The same from one call per example."""
    if given.size == 0:
        raise ShapeError("vmap: there are no examples, so that the shape of a result is not known")
    state, rows, structure = default_generator.get_state(), [], None
    for i in range(given.size):
        if randomness == "same":
            default_generator.set_state(state)
        row, found = _checked(func(*given.at(i), **kwargs))
        if structure is not None and found != structure:
            raise ArgumentError(f"vmap: the function returned {structure} for one example and {found} for another")
        structure = found
        rows.append(row)
    assert structure is not None
    return [stack(column) for column in zip(*rows, strict=True)], structure


def _mapped(
    func: Callable[..., Any], given: Examples, kwargs: dict[str, Any], randomness: str
) -> tuple[list[Tensor], Structure]:
    before = default_generator.get_state()
    try:
        return _at_once(func, given, kwargs, randomness)
    except Exception:  # whatever it was: the loop raises it again, with the shapes of one example, or goes through
        pass
    default_generator.set_state(before)
    made = _one_by_one(func, given, kwargs, randomness)
    if randomness == "error" and default_generator.get_state().tolist() != before.tolist():
        raise AutogradError("vmap: the function draws random numbers: pass randomness='different' or 'same'")
    return made


def vmap(
    func: Callable[..., Any],
    in_dims: Any = 0,
    out_dims: Any = 0,
    randomness: str = "error",
    *,
    chunk_size: int | None = None,
) -> Callable[..., Any]:
    """A function that maps func over an axis of its arguments, equal to a loop of calls whose results are stacked.

    Args:
        func: from tensors, or trees of them, to a tree of tensors, for one example. It should have no side effects: it
            may be called once for all examples, or once for each, or both. Keyword arguments are the same for all.
        in_dims: the axis of the examples in every argument: one for all, or a tuple (a tree, down to any depth) with
            one per argument; None: the same for all examples.
        out_dims: where the results have the axis of the examples; one for all or a tree.
        randomness: what random numbers do: 'error', 'different' per example, or 'same', the first example's. Dropout
            draws for all examples in one call; under 'different' its numbers are not those of the loop.
        chunk_size: so many examples at a time; all by default.
    Raises: ArgumentError, ShapeError, BoundsError, DtypeError; AutogradError for random numbers under 'error'.
    Cost: one call on all examples where operations allow that, else one call per example.
    """
    if randomness not in ("error", "different", "same"):
        raise ArgumentError(f"vmap: randomness must be 'error', 'different' or 'same', got {randomness!r}")
    if chunk_size is not None and chunk_size < 1:
        raise ArgumentError(f"vmap: chunk_size must be positive, got {chunk_size}")

    @wraps(func)
    def run(*args: Any, **kwargs: Any) -> Any:
        given = Examples(args, in_dims)
        if chunk_size is None or given.size <= chunk_size:
            leaves, structure = _mapped(func, given, kwargs, randomness)
        else:
            leaves, structure = _in_parts(func, given, kwargs, randomness, chunk_size)
        dims = spread_prefix(out_dims, structure, "vmap", "out_dims")
        return structure.build([_put(y, dim) for y, dim in zip(leaves, dims, strict=True)])

    return run


def _in_parts(
    func: Callable[..., Any], given: Examples, kwargs: dict[str, Any], randomness: str, size: int
) -> tuple[list[Tensor], Structure]:
    dims = given.structure.build([0 if mapped else None for mapped in given.mapped])
    state, rows, structure = default_generator.get_state(), [], None
    for part in given.parts(size):
        if randomness == "same":
            default_generator.set_state(state)
        row, structure = _mapped(func, Examples(part, dims), kwargs, randomness)
        rows.append(row)
    assert structure is not None
    return [cat(column) for column in zip(*rows, strict=True)], structure


def _put(y: Tensor, dim: Dims) -> Tensor:
    if dim is None:
        raise ArgumentError("vmap: out_dims must be integers")
    if not -y.ndim <= dim < y.ndim:
        raise BoundsError(f"vmap: out_dims has {dim} for a result of shape {y.shape}")
    return y if dim % y.ndim == 0 else movedim(y, 0, dim)
