"""Reverse mode: grad, value_and_grad, vjp. One run of the function and one walk back."""

from collections.abc import Callable
from functools import wraps
from typing import Any

from pydl import _C
from pydl.autograd.mode import mode
from pydl.errors import ArgumentError, ShapeError
from pydl.func.tape import Tape, check_like, outputs_of
from pydl.func.tree import flatten_like, tensors_of
from pydl.tensor import Tensor

__all__ = ["grad", "grad_and_value", "value_and_grad", "vjp"]

Argnums = int | tuple[int, ...]


def pick(args: tuple[Any, ...], argnums: Argnums, name: str) -> list[int]:
    """The positions of the arguments to differentiate, counted from the front.

    Raises: ArgumentError.
    """
    listed = [argnums] if isinstance(argnums, int) else list(argnums)
    if not listed or not all(isinstance(n, int) and not isinstance(n, bool) for n in listed):
        raise ArgumentError(f"{name}: argnums must be an integer or a tuple of integers, got {argnums!r}")
    if not all(-len(args) <= n < len(args) for n in listed):
        raise ArgumentError(f"{name}: argnums {argnums} do not fit {len(args)} positional arguments")
    places = [n % len(args) for n in listed]
    if len(set(places)) != len(places):
        raise ArgumentError(f"{name}: argnums {argnums} name an argument twice")
    return places


def placed(args: tuple[Any, ...], places: list[int], values: Any) -> list[Any]:
    """args with those at `places` replaced."""
    made = list(args)
    for i, value in zip(places, values, strict=True):
        made[i] = value
    return made


def _check_scalar(value: Any, name: str) -> Tensor:
    if not isinstance(value, Tensor):
        raise ArgumentError(f"{name}: the function must return a tensor, got {type(value).__name__}")
    if value.ndim != 0 or not value.array.is_floating:
        raise ShapeError(f"{name}: the function returned {value.dtype} of shape {value.shape}: expected one float, ()")
    return value


def grad_and_value(func: Callable[..., Any], argnums: Argnums = 0, has_aux: bool = False) -> Callable[..., Any]:
    """A function that returns func's gradient and its value.

    Args:
        func: returns a number, (); with has_aux (number, aux), aux any tree.
        argnums: the arguments to differentiate by: each a tensor or a tree of tensors. A tuple gives a tuple.
    Returns: (gradient, value), or (gradient, (value, aux)); the gradient has the structure and shapes of the argument.
    Raises: ShapeError unless func returns one number; DtypeError for what is not a floating tensor; ArgumentError.
    """

    @wraps(func)
    def run(*args: Any, **kwargs: Any) -> Any:
        name = "grad"
        places = pick(args, argnums, name)
        tape = Tape(name, [args[i] for i in places])
        value, aux = tape.run(func, placed(args, places, tape.copies()), kwargs, has_aux)
        _check_scalar(value, name)
        record = tape.attached([value, *tensors_of(aux)])
        one = Tensor(_C.full((), 1, value.dtype, value.device))
        found = tape.pull([value], [one], record, record)
        tape.close()
        made = tape.structure.build(found)
        gradient, value, aux = tape.leave((made[0] if isinstance(argnums, int) else tuple(made), value, aux))
        return gradient, (value, aux) if has_aux else value

    return run


def value_and_grad(func: Callable[..., Any], argnums: Argnums = 0, has_aux: bool = False) -> Callable[..., Any]:
    """As `grad_and_value`, with the value first: (value, gradient); or ((value, aux), gradient)."""
    both = grad_and_value(func, argnums, has_aux)

    @wraps(func)
    def run(*args: Any, **kwargs: Any) -> Any:
        gradient, value = both(*args, **kwargs)
        return value, gradient

    return run


def grad(func: Callable[..., Any], argnums: Argnums = 0, has_aux: bool = False) -> Callable[..., Any]:
    """A function that returns func's gradient; with has_aux (gradient, aux). Arguments as of `grad_and_value`.

    It nests with all other transforms: grad(grad(f)) is the second derivative. Under no_grad outside of it the gradient
    is still computed; under no_grad inside of func what is computed there counts as constant.
    """
    both = grad_and_value(func, argnums, has_aux)

    @wraps(func)
    def run(*args: Any, **kwargs: Any) -> Any:
        gradient, value = both(*args, **kwargs)
        return (gradient, value[1]) if has_aux else gradient

    return run


class Pullback:
    """From gradients of a function's outputs to those of its inputs; may be called any number of times."""

    def __init__(self, tape: Tape, outputs: list[Tensor], structure: Any) -> None:
        self.tape, self.outputs, self.structure = tape, outputs, structure
        self.attached = tape.attached(outputs)

    def __call__(self, *cotangents: Any, retain_graph: bool = True, create_graph: bool | None = None) -> Any:
        """One tree of cotangents, built and shaped like the outputs, gives a tuple with one gradient per primal.

        Several cotangents stand for a tuple of them. retain_graph=False: this is the last call. create_graph: record
        the walk; by default that is done where something outside is being recorded.
        """
        tree = cotangents[0] if len(cotangents) == 1 else cotangents
        given = check_like(flatten_like(tree, self.structure, "vjp", "the cotangent"), self.outputs, "vjp", "cotangent")
        record = mode.enabled and (self.attached or any(g.requires_grad for g in given))
        record = record if create_graph is None else create_graph
        found = self.tape.pull(self.outputs, given, record, retain_graph or record)
        return tuple(self.tape.structure.build(found))


def vjp(func: Callable[..., Any], *primals: Any, has_aux: bool = False) -> Any:
    """func at primals, and the function that maps gradients of its outputs to gradients of primals: v -> v^T J.

    Args:
        func: returns a tree of tensors; with has_aux (outputs, aux).
        primals: trees of floating tensors.
    Returns: (outputs, pullback) or (outputs, pullback, aux). pullback(cotangents) is a tuple, one entry per primal.
    Cost: one run of func, then one walk back for each call of the pullback. The pullback keeps the graph alive.
    """
    if not primals:
        raise ArgumentError("vjp: expected at least one primal")
    tape = Tape("vjp", list(primals))
    made, aux = tape.run(func, tape.copies(), {}, has_aux)
    outputs, structure = outputs_of(made, "vjp")
    pullback = Pullback(tape, outputs, structure)
    tape.close()
    made, aux = tape.leave((made, aux))
    return (made, pullback, aux) if has_aux else (made, pullback)
