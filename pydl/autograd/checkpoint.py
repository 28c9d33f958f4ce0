"""checkpoint: forgets what a function computed and computes it again in backward: time for memory."""

from collections.abc import Callable
from typing import Any

from pydl.autograd.engine import _walk, leaves_of
from pydl.autograd.function import Function
from pydl.autograd.mode import enable_grad, mode
from pydl.ops.random import default_generator
from pydl.ops.shape import alias
from pydl.tensor import Tensor

__all__ = ["checkpoint"]


def _run(function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[Tensor, ...]:
    made = function(*args, **kwargs)
    return made if isinstance(made, tuple) else (made,)


class _Checkpoint(Function):
    """args of apply: the call, then its tensors, then the parameters that the function reaches by itself."""

    @staticmethod
    def forward(ctx: Any, call: Any, values: Any, *tensors: Tensor) -> Any:
        ctx.call = call
        ctx.save_for_backward(*tensors)
        return tuple(t.detach() for t in values)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Any:
        function, args, kwargs, places, state = ctx.call
        tensors = ctx.saved_tensors
        create_graph = mode.enabled
        now = default_generator.get_state()
        if state is not None:
            default_generator.set_state(state)
        copies = list(args)
        with enable_grad():
            for i, at in enumerate(places):
                copies[at] = alias(tensors[i]) if tensors[i].requires_grad else tensors[i]
            outputs = _run(function, tuple(copies), kwargs)
        default_generator.set_state(now)
        targets = [copies[at] for at in places] + list(tensors[len(places) :])
        wanted = [t for t in targets if t.requires_grad]
        roots = [(o, g) for o, g in zip(outputs, grads, strict=True) if o.requires_grad]
        found = iter(_walk([o for o, _ in roots], [g for _, g in roots], wanted, create_graph, create_graph))
        return (None, None, *[next(found) if t.requires_grad else None for t in targets])


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
        function: returns a tensor or a tuple of tensors; it may use parameters that are not among args.
        preserve_rng_state: draw the same random numbers in the second run (dropout).
        use_reentrant: accepted as PyTorch has it; the result is the same.
    Source: Chen et al. 2016 (arXiv:1604.06174).
    """
    if not mode.enabled:
        return function(*args, **kwargs)
    places = tuple(i for i, a in enumerate(args) if isinstance(a, Tensor))
    state = default_generator.get_state() if preserve_rng_state else None
    inputs = [args[i] for i in places]
    cut = list(args)
    for i in places:
        cut[i] = Tensor(args[i].array, None, args[i].requires_grad)
    values = _run(function, tuple(cut), kwargs)
    own = {id(cut[i]) for i in places}
    captured = [t for t in leaves_of(values) if id(t) not in own]
    plain = tuple(t.detach() for t in values)
    single = len(values) == 1
    made = _Checkpoint.apply((function, args_without_tensors(args), kwargs, places, state), plain, *inputs, *captured)
    return made[0] if single else made


def args_without_tensors(args: tuple[Any, ...]) -> tuple[Any, ...]:
    """args with tensors left out: backward puts the saved ones back."""
    return tuple(None if isinstance(a, Tensor) else a for a in args)
