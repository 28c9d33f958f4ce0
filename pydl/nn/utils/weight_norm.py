"""Weight normalisation by a hook, the older form: module.weight_g and module.weight_v are what is trained."""

from typing import Any, TypeVar

from pydl.errors import ArgumentError
from pydl.nn.module import Module
from pydl.nn.parameter import Parameter
from pydl.nn.state import PARAMETER
from pydl.nn.utils import norms
from pydl.tensor import Tensor

__all__ = ["remove_weight_norm", "weight_norm"]

M = TypeVar("M", bound=Module)


class WeightNorm:
    """Puts the weight together before each call of the module."""

    def __init__(self, name: str, dim: int | None) -> None:
        self.name, self.dim = name, dim

    def compute(self, module: Module) -> Tensor:
        """g v / |v|."""
        g, v = module.__dict__[f"{self.name}_g"], module.__dict__[f"{self.name}_v"]
        return v * (g / norms.norm_except(v, self.dim))  # type: ignore[no-any-return]

    def __call__(self, module: Module, args: Any) -> None:
        setattr(module, self.name, self.compute(module))


def hook_of(module: Module, kind: Any, name: str) -> tuple[int, Any] | None:
    """Number and object of the hook of this kind for this name."""
    for key, entry in module._hooks.pre.items() if module._hooks is not None else ():
        hook: Any = entry[0]
        if isinstance(hook, kind) and hook.name == name:
            return key, hook
    return None


def weight_norm(module: M, name: str = "weight", dim: int | None = 0) -> M:
    """Splits a weight into lengths <name>_g along dim and directions <name>_v: w = g v / |v|. Returns the module.

    Args: dim: the axis along which every slice has a length of its own; None: one length for all.
    `nn.utils.parametrizations.weight_norm` does the same without a hook.
    Source: Salimans & Kingma 2016 (arXiv:1602.07868).
    """
    if hook_of(module, WeightNorm, name):
        raise ArgumentError(f"weight_norm: {name!r} has it already")
    if module._kinds.get(name) != PARAMETER or module.__dict__[name] is None:
        raise ArgumentError(f"weight_norm: {type(module).__name__} has no parameter {name!r}")
    hook = WeightNorm(name, None if dim in (None, -1) else dim)
    weight = module.__dict__[name]
    lengths = norms.norm_except(weight.detach(), hook.dim)
    delattr(module, name)
    module.register_parameter(f"{name}_g", Parameter(lengths, weight.requires_grad))
    module.register_parameter(f"{name}_v", Parameter(weight.detach(), weight.requires_grad))
    hook(module, ())
    module.register_forward_pre_hook(hook)
    return module


def remove_weight_norm(module: M, name: str = "weight") -> M:
    """Makes the weight an ordinary parameter with its present value. Raises: ArgumentError without such a hook."""
    found = hook_of(module, WeightNorm, name)
    if found is None:
        raise ArgumentError(f"remove_weight_norm: {type(module).__name__} has no weight_norm of {name!r}")
    key, hook = found
    weight, trained = hook.compute(module).detach(), module.__dict__[f"{name}_v"].requires_grad
    for part in (name, f"{name}_g", f"{name}_v"):
        delattr(module, part)
    module.register_parameter(name, Parameter(weight, trained))
    del module._hook_table().pre[key]
    return module
