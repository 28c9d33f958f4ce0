"""All first and second derivatives as arrays: jacrev, jacfwd, jacobian, hessian."""

from collections.abc import Callable
from functools import wraps
from typing import Any

from pydl.errors import ArgumentError
from pydl.func.forward import Pushforward
from pydl.func.mapping import vmap
from pydl.func.reverse import Argnums, pick, placed
from pydl.func.tape import Tape, outputs_of, zeros
from pydl.ops.create import eye
from pydl.ops.shape import movedim, reshape
from pydl.tensor import Tensor

__all__ = ["hessian", "jacfwd", "jacobian", "jacrev"]


def _basis(like: Tensor) -> Tensor:
    """One unit tensor per element: (size, *shape)."""
    n = like.numel()
    return reshape(eye(n, dtype=like.dtype, device=like.device), (n, *like.shape))


def _each(function: Callable[[Tensor], list[Tensor]], basis: Tensor, chunk_size: int | None) -> list[Tensor]:
    """function at every unit tensor, results stacked in front."""
    if basis.shape[0] == 1:
        return [y.unsqueeze(0) for y in function(basis.select(0, 0))]
    return vmap(function, randomness="same", chunk_size=chunk_size)(basis)  # type: ignore[no-any-return]


def rows_of(tape: Tape, outputs: list[Tensor], chunk_size: int | None) -> list[list[Tensor]]:
    """Per output, per input: (*output, *input), by one walk per element of the output."""
    record = tape.attached(outputs)
    made = []
    for y in outputs:
        if y.numel() == 0 or not y.requires_grad:
            rows = [zeros(x).unsqueeze(0).expand(y.numel(), *x.shape) for x in tape.inputs]
        else:
            rows = _each(lambda seed, y=y: tape.pull([y], [seed], record, True), _basis(y), chunk_size)  # type: ignore[misc]
        made.append([reshape(r, (*y.shape, *x.shape)) for r, x in zip(rows, tape.inputs, strict=True)])
    return made


def columns_of(tape: Tape, outputs: list[Tensor], chunk_size: int | None) -> list[list[Tensor]]:
    """The same by one walk per element of the input, over the graph of the pullback."""
    pushforward = Pushforward(tape, outputs, None)
    made: list[list[Tensor]] = [[] for _ in outputs]
    for i, x in enumerate(tape.inputs):

        def push(tangent: Tensor, i: int = i) -> list[Tensor]:
            found = pushforward.push({i: tangent}, keep=True)
            return [zeros(y) if t is None else t for t, y in zip(found, outputs, strict=True)]

        if x.numel() == 0 or i not in pushforward.slopes:
            columns = [zeros(y).unsqueeze(0).expand(x.numel(), *y.shape) for y in outputs]
        else:
            columns = _each(push, _basis(x), chunk_size)
        for k, (y, c) in enumerate(zip(outputs, columns, strict=True)):
            made[k].append(reshape(movedim(c, 0, -1), (*y.shape, *x.shape)))
    return made


def _jacobian(
    func: Callable[..., Any], argnums: Argnums, has_aux: bool, way: str, chunk_size: int | None
) -> Callable[..., Any]:
    if chunk_size is not None and chunk_size < 1:
        raise ArgumentError(f"{way}: chunk_size must be positive, got {chunk_size}")

    @wraps(func)
    def run(*args: Any, **kwargs: Any) -> Any:
        places = pick(args, argnums, way)
        tape = Tape(way, [args[i] for i in places])
        made, aux = tape.run(func, placed(args, places, tape.copies()), kwargs, has_aux)
        outputs, structure = outputs_of(made, way)
        sizes = sum(y.numel() for y in outputs), sum(x.numel() for x in tape.inputs)
        forward = way == "jacfwd" or (way == "jacobian" and sizes[1] < sizes[0])
        parts = (columns_of if forward else rows_of)(tape, outputs, chunk_size)
        tape.close()
        blocks = [tape.structure.build(part) for part in parts]
        result = structure.build([b[0] if isinstance(argnums, int) else tuple(b) for b in blocks])
        result, aux = tape.leave((result, aux))
        return (result, aux) if has_aux else result

    return run


def jacrev(
    func: Callable[..., Any], argnums: Argnums = 0, *, has_aux: bool = False, chunk_size: int | None = None
) -> Callable[..., Any]:
    """A function that returns func's Jacobian by walking back once per element of the output.

    Args:
        func: returns a tree of tensors; with has_aux (outputs, aux).
        argnums: the arguments to differentiate by: each a tensor or a tree of tensors.
        chunk_size: walk for so many elements at a time; all by default.
    Returns: the tree of the outputs, of trees of the arguments, of (*output, *input); a tuple per output where argnums
        is one; with has_aux (jacobian, aux).
    """
    return _jacobian(func, argnums, has_aux, "jacrev", chunk_size)


def jacfwd(
    func: Callable[..., Any],
    argnums: Argnums = 0,
    has_aux: bool = False,
    *,
    randomness: str = "error",
    chunk_size: int | None = None,
) -> Callable[..., Any]:
    """As `jacrev`, which has the details, at the cost of one walk per element of the input.

    Args: randomness: accepted as PyTorch has it; func runs once, so its random numbers are the same for all columns.
    """
    return _jacobian(func, argnums, has_aux, "jacfwd", chunk_size)


def jacobian(
    func: Callable[..., Any], argnums: Argnums = 0, has_aux: bool = False, *, chunk_size: int | None = None
) -> Callable[..., Any]:
    """`jacfwd` where func has fewer inputs than outputs, else `jacrev`, which has the details."""
    return _jacobian(func, argnums, has_aux, "jacobian", chunk_size)


def hessian(func: Callable[..., Any], argnums: Argnums = 0) -> Callable[..., Any]:
    """A function that returns the matrix of func's second derivatives, (*output, *input, *input) per pair of inputs.

    Cost: one recorded walk back, then one walk per element of the gradient.
    """
    return jacrev(jacrev(func, argnums), argnums)
