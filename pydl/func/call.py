"""Modules as functions of their parameters: functional_call, stack_module_state."""

from collections.abc import Sequence

from pydl.errors import ArgumentError
from pydl.nn.module import Module
from pydl.nn.utils.stateless import functional_call
from pydl.ops import stack
from pydl.tensor import Tensor

__all__ = ["functional_call", "stack_module_state"]


def stack_module_state(models: Sequence[Module]) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """The parameters and the buffers of n equal models, each stacked in front: (n, *shape).

    With `functional_call` and `vmap` that runs an ensemble. The stacked parameters are leaves of their own.
    Raises: ArgumentError unless all models are of one class, in the same mode, with the same names and shapes.
    """
    listed = list(models)
    if not listed:
        raise ArgumentError("stack_module_state: expected at least one model")
    if any(type(m) is not type(listed[0]) or m.training != listed[0].training for m in listed):
        raise ArgumentError("stack_module_state: expected models of one class, all training or none")
    params = _stacked([dict(m.named_parameters()) for m in listed])
    return params, _stacked([dict(m.named_buffers()) for m in listed])


def _stacked(states: list[dict[str, Tensor]]) -> dict[str, Tensor]:
    if any(s.keys() != states[0].keys() for s in states):
        raise ArgumentError("stack_module_state: the models have tensors of different names")
    made = {}
    for name, first in states[0].items():
        own = [s[name] for s in states]
        if any(t.shape != first.shape or t.dtype != first.dtype for t in own):
            raise ArgumentError(f"stack_module_state: {name!r} differs in shape or dtype")
        made[name] = stack([t.detach() for t in own])
        made[name].requires_grad_(first.requires_grad)
    return made
