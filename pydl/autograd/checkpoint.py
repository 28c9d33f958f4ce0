"""checkpoint: forgets what a function computed and computes it again in backward: time for memory."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from pydl.autograd.engine import sources, walk
from pydl.autograd.function import Function
from pydl.autograd.mode import enable_grad, mode
from pydl.autograd.node import tick
from pydl.ops.random import default_generator
from pydl.ops.shape import alias
from pydl.tensor import Tensor

__all__ = ["checkpoint"]


def _run(function: Callable[..., Any], args: Sequence[Any], kwargs: dict[str, Any]) -> tuple[tuple[Any, ...], bool]:
    """What the function gives as a tuple, and whether it was one."""
    made = function(*args, **kwargs)
    return (made, True) if isinstance(made, tuple) else ((made,), False)


class _Checkpoint(Function):
    """args of apply: the call, what it made, its tensors, then the tensors that the function reaches by itself."""

    @staticmethod
    def forward(ctx: Any, call: Any, values: tuple[Any, ...], *tensors: Tensor) -> Any:
        ctx.call = call
        ctx.save_for_backward(*tensors)
        return tuple(t.detach() if isinstance(t, Tensor) else t for t in values)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Any:
        function, args, kwargs, places, state = ctx.call
        tensors = ctx.saved_tensors
        create_graph = mode.enabled
        copies = list(args)
        with enable_grad(), _generator_at(state):
            for i, at in enumerate(places):
                copies[at] = alias(tensors[i]) if tensors[i].requires_grad else tensors[i]
            outputs, _ = _run(function, copies, kwargs)
        targets = [copies[at] for at in places] + list(tensors[len(places) :])
        wanted = [t for t in targets if t.requires_grad]
        roots = [(o, g) for o, g in zip(outputs, grads, strict=True) if isinstance(o, Tensor) and o.requires_grad]
        outs, seeds = [o for o, _ in roots], [g for _, g in roots]
        found = iter(walk(outs, seeds, wanted, create_graph, create_graph, stop=True))
        return (None, None, *[next(found) if t.requires_grad else None for t in targets])


@contextmanager
def _generator_at(state: Any) -> Iterator[None]:
    """The default generator at an earlier state, if one is given; afterwards where it was."""
    if state is None:
        yield
        return
    now = default_generator.get_state()
    default_generator.set_state(state)
    try:
        yield
    finally:
        default_generator.set_state(now)


def checkpoint(
    function: Callable[..., Any],
    *args: Any,
    preserve_rng_state: bool = True,
    use_reentrant: bool = False,
    **kwargs: Any,
) -> Any:
    """function(*args, **kwargs), without keeping its intermediate results for backward.

    They are computed once more when the gradients are asked for. Differentiable to any order.

    Args:
        function: returns a tensor or a tuple of tensors; it may use tensors that are not among args.
        preserve_rng_state: draw the same random numbers in the second run (dropout).
        use_reentrant: accepted as PyTorch has it; the result is the same.
    Source: Chen et al. 2016 (arXiv:1604.06174).
    """
    if not mode.enabled:
        return function(*args, **kwargs)
    places = tuple(i for i, a in enumerate(args) if isinstance(a, Tensor))
    state = default_generator.get_state() if preserve_rng_state else None
    start = tick()
    cut = [Tensor(a.array, None, a.requires_grad) if isinstance(a, Tensor) else a for a in args]
    values, several = _run(function, cut, kwargs)
    own = {id(t) for t in cut if isinstance(t, Tensor)}
    captured = [t for t in sources([v for v in values if isinstance(v, Tensor)], start) if id(t) not in own]
    plain = tuple(v.detach() if isinstance(v, Tensor) else v for v in values)
    kept = tuple(None if isinstance(a, Tensor) else a for a in args)  # backward puts the saved tensors back
    made = _Checkpoint.apply((function, kept, kwargs, places, state), plain, *[args[i] for i in places], *captured)
    return made if several else made[0]
