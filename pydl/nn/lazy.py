"""Modules whose sizes are found when they first see an input."""

from typing import Any

from pydl.nn.module import Module
from pydl.nn.parameter import is_uninitialized

__all__ = ["LazyModuleMixin"]


class LazyModuleMixin(Module):
    """Base of lazy layers, before the layer itself: `class LazyLinear(LazyModuleMixin, Linear)`.

    A subclass makes its parameters of unknown shape UninitializedParameters and defines `initialize_parameters`, which
    is called with the arguments of the first forward. The module then becomes one of `cls_to_become`.
    """

    cls_to_become: type[Module] | None = None

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._first = self.register_forward_pre_hook(self._infer, with_kwargs=True)

    def initialize_parameters(self, *args: Any, **kwargs: Any) -> None:
        """Gives the parameters their shapes and values; every subclass defines it."""
        raise TypeError(f"{type(self).__name__} does not define initialize_parameters")

    def has_uninitialized_params(self) -> bool:
        """Whether a parameter or buffer of its own has no shape yet."""
        return any(is_uninitialized(t) for t in [*self.parameters(recurse=False), *self.buffers(recurse=False)])

    @staticmethod
    def _infer(module: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        """What happens before the first forward."""
        module.initialize_parameters(*args, **kwargs)
        module._first.remove()
        del module._first
        if not module._hooks:
            module._hooks = None
        if module.cls_to_become is not None:
            module.__class__ = module.cls_to_become
