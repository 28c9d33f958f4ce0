"""The part of Module that takes hooks."""

from collections.abc import Callable
from typing import Any

from pydl.nn.hooks import Hooks, add
from pydl.tensor import RemovableHandle

__all__ = ["Hookable"]


class Hookable:
    """Methods that register hooks; each returns a handle whose `remove` takes the hook out again."""

    _hooks: Hooks | None = None

    def _hook_table(self) -> Hooks:
        own: Hooks | None = self.__dict__.get("_hooks")
        if own is None:
            own = self.__dict__["_hooks"] = Hooks()
        return own

    def register_forward_pre_hook(
        self, hook: Callable[..., Any], *, prepend: bool = False, with_kwargs: bool = False
    ) -> RemovableHandle:
        """Calls hook(module, args) before forward; what it returns replaces the arguments.

        Args: prepend: run before the others; with_kwargs: hook(module, args, kwargs) gives (args, kwargs) or None.
        """
        return add(self._hook_table().pre, hook, prepend, with_kwargs)

    def register_forward_hook(
        self,
        hook: Callable[..., Any],
        *,
        prepend: bool = False,
        with_kwargs: bool = False,
        always_call: bool = False,
    ) -> RemovableHandle:
        """Calls hook(module, args, output) after forward; what it returns replaces the output.

        Args: with_kwargs: hook(module, args, kwargs, output); always_call: also when forward raised, with output None.
        """
        return add(self._hook_table().forward, hook, prepend, with_kwargs, always_call)

    def register_full_backward_pre_hook(self, hook: Callable[..., Any], prepend: bool = False) -> RemovableHandle:
        """Calls hook(module, grad_output) when the outputs' gradients are known; what it returns replaces them."""
        return add(self._hook_table().backward_pre, hook, prepend)

    def register_full_backward_hook(self, hook: Callable[..., Any], prepend: bool = False) -> RemovableHandle:
        """Calls hook(module, grad_input, grad_output) when the gradients of the positional inputs are complete; what it
        returns replaces grad_input."""
        return add(self._hook_table().backward, hook, prepend)

    def register_state_dict_pre_hook(self, hook: Callable[..., Any]) -> RemovableHandle:
        """Calls hook(module, prefix, keep_vars) before the module's state is collected."""
        return add(self._hook_table().save_pre, hook, False)

    def register_state_dict_post_hook(self, hook: Callable[..., Any]) -> RemovableHandle:
        """Calls hook(module, state_dict, prefix, local_metadata) when the state of the module and its children is
        collected; it may change the dict in place. local_metadata is empty."""
        return add(self._hook_table().save, hook, False)

    def register_load_state_dict_pre_hook(self, hook: Callable[..., Any]) -> RemovableHandle:
        """Calls hook(module, state_dict, prefix, local_metadata, strict, missing_keys, unexpected_keys, error_msgs)
        before a state is loaded; it may change the dict (a copy) and add to the lists."""
        return add(self._hook_table().load_pre, hook, False)

    def register_load_state_dict_post_hook(self, hook: Callable[..., Any]) -> RemovableHandle:
        """Calls hook(module, incompatible_keys) after a state was loaded, for the children first; it may clear the
        lists of missing and unexpected keys, and with them the error."""
        return add(self._hook_table().load, hook, False)
