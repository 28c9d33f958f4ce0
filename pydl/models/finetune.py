"""Reusing a trained network: freeze a part, put a new head on, train the two at different speeds."""

from typing import Any, TypeVar

from pydl import nn
from pydl.errors import ArgumentError
from pydl.tensor import Tensor

__all__ = ["freeze", "head_name", "param_groups", "replace_head", "transfer", "unfreeze"]

M = TypeVar("M", bound=nn.Module)


def _matching(model: nn.Module, prefixes: tuple[str, ...], op: str) -> list[tuple[str, Any]]:
    """The named parameters at or below one of the prefixes; all without one."""
    named = list(model.named_parameters())
    for prefix in prefixes:
        if not any(_below(name, prefix) for name, _ in named):
            children = ", ".join(name for name, _ in model.named_children())
            raise ArgumentError(f"{op}: no parameter is below {prefix!r}: the parts are {children or 'none'}")
    return [(name, p) for name, p in named if not prefixes or any(_below(name, prefix) for prefix in prefixes)]


def _below(name: str, prefix: str) -> bool:
    return not prefix or name == prefix or name.startswith(prefix.rstrip(".") + ".")


def freeze(model: nn.Module, *prefixes: str) -> list[str]:
    """Takes parameters out of training: no gradients, so that no optimizer changes them.

    Args: prefixes: dotted names of parts ('features', 'layer1.0'); none: the whole model.
    Returns: the names of the frozen parameters. Raises: ArgumentError for a prefix that fits nothing.
    Running statistics of norms are no parameters: they stay where the part is in evaluation mode only.
    """
    found = _matching(model, prefixes, "freeze")
    for _, p in found:
        p.requires_grad_(False)
        p.grad = None
    return [name for name, _ in found]


def unfreeze(model: nn.Module, *prefixes: str) -> list[str]:
    """Undoes `freeze`; arguments and result as there."""
    found = _matching(model, prefixes, "unfreeze")
    for _, p in found:
        p.requires_grad_(True)
    return [name for name, _ in found]


def head_name(model: nn.Module) -> str:
    """The dotted name of the last linear layer. Raises: ArgumentError if there is none."""
    names = [name for name, module in model.named_modules() if isinstance(module, nn.Linear) and name]
    if not names:
        raise ArgumentError(f"head_name: {type(model).__name__} has no linear layer within it")
    return names[-1]


def replace_head(model: nn.Module, head: int | nn.Module, name: str | None = None) -> nn.Module:
    """Puts a new head in place of the old one, with first weights of its own; returns the head.

    Args:
        head: the module, or the number of classes of a Linear that takes what the old one took.
        name: dotted name of the layer that is replaced; None: the last linear one.
    """
    name = head_name(model) if name is None else name
    parent, _, last = name.rpartition(".")
    old = model.get_submodule(name)
    if not isinstance(head, nn.Module):
        if not isinstance(old, nn.Linear):
            raise ArgumentError(f"replace_head: {name!r} is a {type(old).__name__}: give a module in its place")
        if isinstance(head, bool) or not isinstance(head, int) or head < 1:
            raise ArgumentError(f"replace_head: expected a module or a positive number of classes, got {head!r}")
        weight: Tensor = old.weight
        head = nn.Linear(old.in_features, head, old.bias is not None, device=weight.device, dtype=weight.dtype)
    head.train(old.training)
    setattr(model.get_submodule(parent), last, head)
    return head


def transfer(backbone: M, head: int | nn.Module, *, frozen: bool = True) -> M:
    """The backbone with a new head, all else frozen unless `frozen` is false; returns the backbone.

    Source: Razavian et al. 2014, CNN features off-the-shelf.
    """
    if frozen:
        freeze(backbone)
    replace_head(backbone, head)
    return backbone


def param_groups(model: nn.Module, lr: float, head_lr: float, head: str | None = None) -> list[dict[str, Any]]:
    """Groups for an optimizer: the head's parameters with head_lr, the others with lr; frozen ones are left out.

    Args: head: dotted name of the head; None: the last linear layer.
    """
    head = head_name(model) if head is None else head
    named = [(name, p) for name, p in model.named_parameters() if p.requires_grad]
    groups = [
        {"params": [p for name, p in named if not _below(name, head)], "lr": lr},
        {"params": [p for name, p in named if _below(name, head)], "lr": head_lr},
    ]
    return [group for group in groups if group["params"]]
