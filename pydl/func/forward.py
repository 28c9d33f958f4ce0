"""Forward mode by walking back twice: jvp, linearize, hvp.

The pullback u -> u^T J is linear in u, and its own pullback is v -> J v. Every gradient rule is made of operations, so
this is exact for all of them, without a second set of rules; it costs one run and two walks where a tape of forward
rules would cost about two runs.
"""

from collections.abc import Callable
from typing import Any

from pydl.autograd.engine import walk
from pydl.autograd.mode import mode
from pydl.errors import ArgumentError, AutogradError
from pydl.func.reverse import _check_scalar
from pydl.func.tape import Tape, check_like, free, live, outputs_of, settle, zeros
from pydl.func.tree import flatten_like, tensors_of
from pydl.tensor import Tensor

__all__ = ["hvp", "jvp", "linearize"]


class Pushforward:
    """From tangents of a function's inputs to those of its outputs; may be called any number of times."""

    def __init__(self, tape: Tape, outputs: list[Tensor], structure: Any) -> None:
        self.tape, self.outputs, self.structure = tape, outputs, structure
        self.attached = tape.attached(outputs)
        # Zero weights will do: the walk back is linear in them, and only its derivative is asked for.
        self.weights = [free(zeros(y)) for y in outputs]
        found = tape.reach(outputs, self.weights, record=True, keep=True)
        self.slopes = {i: g for i, g in enumerate(found) if g is not None and g.requires_grad}
        settle(self.weights)

    def push(self, tangents: dict[int, Tensor], keep: bool) -> list[Tensor | None]:
        """The tangents of the outputs from those of some inputs, by number; None where there is no dependence."""
        record = mode.enabled and (self.attached or any(t.requires_grad for t in tangents.values()))
        used = [i for i in tangents if i in self.slopes]
        roots, seeds = [self.slopes[i] for i in used], [tangents[i] for i in used]
        with live(self.weights):
            return walk(roots, seeds, self.weights, record, keep or record)

    def __call__(self, *tangents: Any) -> Any:
        """One tangent per primal, of its structure and shapes, gives the tree of the outputs' tangents."""
        given = flatten_like(list(tangents), self.tape.structure, "jvp", "the tangent")
        found = self.push(dict(enumerate(check_like(given, self.tape.inputs, "jvp", "tangent"))), keep=True)
        return self.structure.build([zeros(y) if t is None else t for y, t in zip(self.outputs, found, strict=True)])


def linearize(func: Callable[..., Any], *primals: Any) -> tuple[Any, Callable[..., Any]]:
    """func at primals, and its derivative there as a function of tangents: v -> J v.

    Args: func: returns a tree of tensors; primals: trees of floating tensors.
    Returns: (outputs, jvp_fn); jvp_fn(*tangents) has the structure of the outputs.
    Cost: one run and one recorded walk back, then one walk for each call of jvp_fn.
    """
    if not primals:
        raise ArgumentError("linearize: expected at least one primal")
    tape = Tape("linearize", list(primals))
    made, _ = tape.run(func, tape.copies(), {}, False)
    pushforward = Pushforward(tape, *outputs_of(made, "linearize"))
    tape.close()
    return tape.leave(made), pushforward


def jvp(func: Callable[..., Any], primals: Any, tangents: Any, *, strict: bool = False, has_aux: bool = False) -> Any:
    """func at primals, and its derivative there along tangents: J v.

    Args:
        func: returns a tree of tensors; with has_aux (outputs, aux).
        primals: tuple of the arguments, each a tensor or a tree of tensors; tangents: the same.
        strict: an output that does not depend on the primals is an error, else its tangent is 0.
    Returns: (outputs, tangents of the outputs), then aux.
    Cost: one run and two walks back. Differentiates to any order; a user's Function whose backward is not made of
        operations on tensors is an error or counts as constant.
    """
    if not isinstance(primals, (tuple, list)) or not primals:
        raise ArgumentError("jvp: primals must be a tuple of at least one argument")
    tape = Tape("jvp", list(primals))
    made, aux = tape.run(func, tape.copies(), {}, has_aux)
    outputs, structure = outputs_of(made, "jvp")
    pushforward = Pushforward(tape, outputs, structure)
    listed = list(tangents) if isinstance(tangents, tuple) else tangents
    given = flatten_like(listed, tape.structure, "jvp", "tangents")
    found = pushforward.push(dict(enumerate(check_like(given, tape.inputs, "jvp", "tangent"))), keep=False)
    tape.close()
    if strict and any(t is None for t in found):
        raise AutogradError("jvp: an output does not depend on the primals")
    pushed = structure.build([zeros(y) if t is None else t for y, t in zip(outputs, found, strict=True)])
    made, pushed, aux = tape.leave((made, pushed, aux))
    return (made, pushed, aux) if has_aux else (made, pushed)


def hvp(func: Callable[..., Any], primals: Any, tangents: Any, *, has_aux: bool = False) -> Any:
    """func at primals, and its Hessian there times tangents: H v.

    Args:
        func: returns a number, (); with has_aux (number, aux).
        primals: tuple of the arguments, each a tensor or a tree of tensors; tangents: the same.
    Returns: (value, H v) or (value, H v, aux); H v has the structure and shapes of primals.
    Cost: one run, one recorded walk back and one more, O(size of primals) memory: the Hessian is never formed.
    Source: Pearlmutter 1994.
    """
    if not isinstance(primals, (tuple, list)) or not primals:
        raise ArgumentError("hvp: primals must be a tuple of at least one argument")
    tape = Tape("hvp", list(primals))
    value, aux = tape.run(func, tape.copies(), {}, has_aux)
    _check_scalar(value, "hvp")
    listed = list(tangents) if isinstance(tangents, tuple) else tangents
    given = flatten_like(listed, tape.structure, "hvp", "tangents")
    given = check_like(given, tape.inputs, "hvp", "tangent")
    record = mode.enabled and (tape.attached([value, *tensors_of(aux)]) or any(t.requires_grad for t in given))
    slopes = tape.reach([value], [zeros(value) + 1], record=True, keep=True)
    pairs = [(g, t) for g, t in zip(slopes, given, strict=True) if g is not None and g.requires_grad]
    found = tape.pull([g for g, _ in pairs], [t for _, t in pairs], record, record)
    tape.close()
    value, product, aux = tape.leave((value, type(primals)(tape.structure.build(found)), aux))
    return (value, product, aux) if has_aux else (value, product)
