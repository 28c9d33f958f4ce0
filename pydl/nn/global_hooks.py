"""Hooks of all modules at once: for tools that watch a whole program. They run before a module's own hooks."""

from collections.abc import Callable
from typing import Any

from pydl.nn.hooks import GLOBAL, Hooks
from pydl.nn.module import Module, registrations
from pydl.tensor import RemovableHandle

__all__ = [
    "register_module_buffer_registration_hook",
    "register_module_forward_hook",
    "register_module_forward_pre_hook",
    "register_module_full_backward_hook",
    "register_module_full_backward_pre_hook",
    "register_module_module_registration_hook",
    "register_module_parameter_registration_hook",
]


class _Handle(RemovableHandle):
    """Without global hooks, modules that have none of their own are called directly again."""

    def __init__(
        self, table: Any, hook: Callable[..., Any], with_kwargs: bool = False, always_call: bool = False
    ) -> None:
        super().__init__(table, (hook, with_kwargs, always_call))
        Module._hooks = _NO_HOOKS

    def remove(self) -> None:
        super().remove()
        if not GLOBAL:
            Module._hooks = None


_NO_HOOKS = Hooks()  # what a module without own hooks has while there are global ones


def register_module_forward_pre_hook(hook: Callable[..., Any]) -> RemovableHandle:
    """Calls hook(module, args) before every module's forward; what it returns replaces the arguments."""
    return _Handle(GLOBAL.pre, hook)


def register_module_forward_hook(
    hook: Callable[..., Any], *, with_kwargs: bool = False, always_call: bool = False
) -> RemovableHandle:
    """Calls hook(module, args, output) after every module's forward; what it returns replaces the output."""
    return _Handle(GLOBAL.forward, hook, with_kwargs, always_call)


def register_module_full_backward_pre_hook(hook: Callable[..., Any]) -> RemovableHandle:
    """Calls hook(module, grad_output) when the gradients of a module's outputs are known."""
    return _Handle(GLOBAL.backward_pre, hook)


def register_module_full_backward_hook(hook: Callable[..., Any]) -> RemovableHandle:
    """Calls hook(module, grad_input, grad_output) when the gradients of a module's inputs are complete."""
    return _Handle(GLOBAL.backward, hook)


def register_module_parameter_registration_hook(hook: Callable[..., Any]) -> RemovableHandle:
    """Calls hook(module, name, parameter) before a parameter is registered; what it returns is registered instead."""
    return RemovableHandle(registrations["parameter"], hook)


def register_module_buffer_registration_hook(hook: Callable[..., Any]) -> RemovableHandle:
    """Calls hook(module, name, buffer) before a buffer is registered; what it returns is registered instead."""
    return RemovableHandle(registrations["buffer"], hook)


def register_module_module_registration_hook(hook: Callable[..., Any]) -> RemovableHandle:
    """Calls hook(module, name, child) before a child is registered; what it returns is registered instead."""
    return RemovableHandle(registrations["module"], hook)
