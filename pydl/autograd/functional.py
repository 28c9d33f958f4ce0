"""Derivatives of functions of tensors, as PyTorch's autograd.functional has them; `pydl.func` has those that nest.

All take inputs as a tensor or a tuple of tensors and give results of that form, and share three arguments:
create_graph: the results can be differentiated again; strict: an output or result that does not depend on an input is
an AutogradError, not zeros.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from pydl.autograd.mode import mode, set_grad_enabled
from pydl.errors import ArgumentError, AutogradError, DtypeError
from pydl.func.forward import Pushforward
from pydl.func.matrices import columns_of, rows_of
from pydl.func.tape import Tape, check_like, zeros
from pydl.tensor import Tensor

__all__ = ["hessian", "hvp", "jacobian", "jvp", "vhp", "vjp"]

Tensors = Tensor | Sequence[Tensor]


@contextmanager
def _recording(create_graph: bool) -> Iterator[None]:
    """Without create_graph nothing outside of the function is recorded."""
    before = mode.enabled
    set_grad_enabled(before and create_graph)
    try:
        yield
    finally:
        set_grad_enabled(before)


class _Run:
    """func at variables of its own, and the forms of inputs and outputs."""

    def __init__(self, name: str, func: Callable[..., Any], inputs: Tensors, strict: bool) -> None:
        self.name, self.strict = name, strict
        self.one_input = isinstance(inputs, Tensor)
        self.tape = Tape(name, (inputs,) if isinstance(inputs, Tensor) else tuple(inputs))
        made, _ = self.tape.run(func, self.tape.inputs, {}, False)
        self.one_output = isinstance(made, Tensor)
        self.outputs: list[Tensor] = [made] if isinstance(made, Tensor) else self._listed(made)
        for i, y in enumerate(self.outputs):
            if strict and not y.requires_grad:
                raise AutogradError(f"{name}: output {i} does not depend on the inputs")

    def _listed(self, made: Any) -> list[Tensor]:
        if not isinstance(made, (tuple, list)) or not all(isinstance(y, Tensor) for y in made):
            raise DtypeError(f"{self.name}: the function must return a tensor or a tuple of tensors")
        return list(made)

    def number(self) -> Tensor:
        """The only output, which is one number."""
        if not self.one_output or self.outputs[0].numel() != 1:
            raise ArgumentError(f"{self.name}: the function must return one number")
        return self.outputs[0]

    def vector(self, v: Any, like: list[Tensor]) -> list[Tensor]:
        """v as a list of tensors of the shapes of `like`; it may be left out where that is one number."""
        if v is None:
            if len(like) != 1 or like[0].numel() != 1:
                raise ArgumentError(f"{self.name}: v can be left out only where it is one number")
            return [zeros(like[0]) + 1]
        given = [v] if isinstance(v, Tensor) else list(v)
        if len(given) != len(like):
            raise ArgumentError(f"{self.name}: v has {len(given)} tensors: expected {len(like)}")
        return check_like(given, like, self.name, "v")

    def filled(self, found: list[Tensor | None], like: list[Tensor], what: str) -> list[Tensor]:
        """Zeros for what does not depend, or an error where strict."""
        for i, g in enumerate(found):
            if g is None and self.strict:
                raise AutogradError(f"{self.name}: the {what} does not depend on input {i}")
        return [zeros(x) if g is None else g for x, g in zip(like, found, strict=True)]

    def finish(self, made: list[Any], inputs: bool) -> tuple[Any, Any]:
        """(outputs, result) in the forms of the arguments; the result has that of the inputs or outputs."""
        self.tape.close()
        value = self.outputs[0] if self.one_output else tuple(self.outputs)
        single = self.one_input if inputs else self.one_output
        return self.tape.leave((value, made[0] if single else tuple(made)))  # type: ignore[no-any-return]


def vjp(
    func: Callable[..., Any],
    inputs: Tensors,
    v: Tensors | None = None,
    create_graph: bool = False,
    strict: bool = False,
) -> tuple[Any, Any]:
    """(outputs, v^T J): the gradients of the outputs weighted by v, which has their shapes."""
    with _recording(create_graph):
        run = _Run("vjp", func, inputs, strict)
        seeds = run.vector(v, run.outputs)
        record = mode.enabled and run.tape.attached([*run.outputs, *seeds])
        found = run.tape.reach(run.outputs, seeds, record, record)
        return run.finish(run.filled(found, run.tape.inputs, "output"), inputs=True)


def jvp(
    func: Callable[..., Any],
    inputs: Tensors,
    v: Tensors | None = None,
    create_graph: bool = False,
    strict: bool = False,
) -> tuple[Any, Any]:
    """(outputs, J v): the derivative along v, which has the shapes of the inputs, by walking back twice."""
    with _recording(create_graph):
        run = _Run("jvp", func, inputs, strict)
        tangents = run.vector(v, run.tape.inputs)
        found = Pushforward(run.tape, run.outputs, None).push(dict(enumerate(tangents)), keep=False)
        return run.finish(run.filled(found, run.outputs, "derivative"), inputs=False)


def _hessian_product(
    name: str, func: Callable[..., Any], inputs: Tensors, v: Tensors | None, create_graph: bool, strict: bool
) -> tuple[Any, Any]:
    with _recording(create_graph):
        run = _Run(name, func, inputs, strict)
        value = run.number()
        weights = run.vector(v, run.tape.inputs)
        record = mode.enabled and run.tape.attached([value, *weights])
        slopes = run.tape.reach([value], [zeros(value) + 1], record=True, keep=True)
        run.filled(slopes, run.tape.inputs, "output")
        pairs = [(g, w) for g, w in zip(slopes, weights, strict=True) if g is not None and g.requires_grad]
        found = run.tape.reach([g for g, _ in pairs], [w for _, w in pairs], record, record)
        return run.finish(run.filled(found, run.tape.inputs, "gradient"), inputs=True)


def hvp(
    func: Callable[..., Any],
    inputs: Tensors,
    v: Tensors | None = None,
    create_graph: bool = False,
    strict: bool = False,
) -> tuple[Any, Any]:
    """(output, H v) for a function to one number; v has the shapes of the inputs. The same as `vhp`: H is symmetric."""
    return _hessian_product("hvp", func, inputs, v, create_graph, strict)


def vhp(
    func: Callable[..., Any],
    inputs: Tensors,
    v: Tensors | None = None,
    create_graph: bool = False,
    strict: bool = False,
) -> tuple[Any, Any]:
    """(output, v^T H) for a function to one number; v has the shapes of the inputs."""
    return _hessian_product("vhp", func, inputs, v, create_graph, strict)


def _check_strategy(name: str, strategy: str) -> bool:
    if strategy not in ("reverse-mode", "forward-mode"):
        raise ArgumentError(f"{name}: strategy must be 'reverse-mode' or 'forward-mode', got {strategy!r}")
    return strategy == "forward-mode"


def jacobian(
    func: Callable[..., Any],
    inputs: Tensors,
    create_graph: bool = False,
    strict: bool = False,
    vectorize: bool = False,
    strategy: str = "reverse-mode",
) -> Any:
    """All first derivatives: (*output, *input), a tuple over the inputs where they are one, over the outputs likewise.

    Args: vectorize: accepted; all rows or columns are walked for together in any case. strategy: 'reverse-mode' walks
        for each element of the output, 'forward-mode' for each of the input.
    """
    forward = _check_strategy("jacobian", strategy)
    with _recording(create_graph):
        run = _Run("jacobian", func, inputs, strict)
        if strict:
            ones = [zeros(y) + 1 for y in run.outputs]
            run.filled(run.tape.reach(run.outputs, ones, False, True), run.tape.inputs, "output")
        blocks = (columns_of if forward else rows_of)(run.tape, run.outputs, None)
        made = [row[0] if run.one_input else tuple(row) for row in blocks]
        return run.finish(made, inputs=False)[1]


def hessian(
    func: Callable[..., Any],
    inputs: Tensors,
    create_graph: bool = False,
    strict: bool = False,
    vectorize: bool = False,
    outer_jacobian_strategy: str = "reverse-mode",
) -> Any:
    """All second derivatives of a function to one number: (*input, *input), a tuple of tuples where there are several.

    Args: as of `jacobian`; outer_jacobian_strategy: how the Jacobian of the gradient is found.
    """

    def gradient(*xs: Tensor) -> Any:
        made = func(*xs)
        if not isinstance(made, Tensor) or made.numel() != 1:
            raise ArgumentError("hessian: the function must return one number")
        return made.reshape(())

    def slopes(*xs: Tensor) -> Any:
        return jacobian(gradient, xs[0] if isinstance(inputs, Tensor) else xs, create_graph=True, strict=strict)

    return jacobian(slopes, inputs, create_graph, strict, vectorize, outer_jacobian_strategy)
