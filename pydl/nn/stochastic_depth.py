"""Dropping whole residual branches."""

from collections.abc import Iterable
from typing import Any

from pydl import ops
from pydl.errors import ArgumentError
from pydl.nn.functional.dropout import check_mode, check_probability
from pydl.nn.module import Module
from pydl.tensor import RemovableHandle, Tensor

__all__ = ["DropPath", "StochasticDepth", "drop_branches", "stochastic_depth"]


def stochastic_depth(input: Tensor, p: float, mode: str, training: bool = True, *, scaling: str = "inverted") -> Tensor:
    """(n, ...) -> the same: zero with probability p in training, for each example alone or for the whole batch.

    Args:
        mode: 'row' draws for each example, 'batch' once.
        scaling: 'inverted' divides what is kept by 1 - p in training; 'original' multiplies by 1 - p outside training
            (the paper's way); 'none' does neither.
    Source: Huang et al. 2016, Deep networks with stochastic depth.
    """
    check_probability("stochastic_depth", p)
    if mode not in ("row", "batch"):
        raise ArgumentError(f"stochastic_depth: mode must be 'row' or 'batch', got {mode!r}")
    if scaling != "none":
        check_mode("stochastic_depth", scaling)
    if not training:
        return input * (1 - p) if scaling == "original" and p else input
    if p == 0.0:
        return input
    shape = (input.shape[0] if mode == "row" and input.ndim else 1, *(1,) * (input.ndim - 1))
    kept = (ops.rand(shape if input.ndim else (), device=input.device) >= p).to(input.dtype)
    factor: Tensor = kept / (1 - p) if scaling == "inverted" and p < 1.0 else kept
    return input * factor


class StochasticDepth(Module):
    """A residual branch's end: drops the branch with probability p in training.

    Args: p, mode, scaling: as in `stochastic_depth`.
    """

    def __init__(self, p: float, mode: str = "row", *, scaling: str = "inverted") -> None:
        super().__init__()
        check_probability("StochasticDepth", p)
        if mode not in ("row", "batch"):
            raise ArgumentError(f"StochasticDepth: mode must be 'row' or 'batch', got {mode!r}")
        check_mode("StochasticDepth", scaling)
        self.p, self.mode, self.scaling = p, mode, scaling

    def forward(self, input: Tensor) -> Tensor:
        """(n, ...) -> the same."""
        return stochastic_depth(input, self.p, self.mode, self.training, scaling=self.scaling)

    def extra_repr(self) -> str:
        """Settings."""
        return f"p={self.p}, mode={self.mode!r}"


class DropPath(Module):
    """Drops paths (branches) for each example alone, with probability drop_prob in training.

    Args: scale_by_keep: divide what is kept by 1 - drop_prob, so that the mean stays.
    Source: Larsson, Maire & Shakhnarovich 2016, FractalNet.
    """

    def __init__(self, drop_prob: float = 0.0, scale_by_keep: bool = True) -> None:
        super().__init__()
        check_probability("DropPath", drop_prob)
        self.drop_prob, self.scale_by_keep = drop_prob, scale_by_keep

    def forward(self, input: Tensor) -> Tensor:
        """(n, ...) -> the same."""
        scaling = "inverted" if self.scale_by_keep else "none"
        return stochastic_depth(input, self.drop_prob, "row", self.training, scaling=scaling)

    def extra_repr(self) -> str:
        """Settings."""
        return f"drop_prob={self.drop_prob}"


def drop_branches(
    branches: Iterable[Module], p: float, mode: str = "row", *, rule: str = "linear"
) -> list[RemovableHandle]:
    """Drops the outputs of residual branches in training, without a change of their model: hooks on the branches.

    Args:
        branches: the modules whose outputs are added to shortcuts, from the first block to the last.
        p: the probability of the last one, or of all.
        rule: 'linear': branch l of L is dropped with probability p l / L; 'uniform': all with p.
        mode: as in `stochastic_depth`.
    Returns: handles, whose remove() takes a hook away.
    Source: Huang et al. 2016, Deep networks with stochastic depth, equation 4.
    """
    check_probability("drop_branches", p)
    if rule not in ("linear", "uniform") or mode not in ("row", "batch"):
        raise ArgumentError(
            f"drop_branches: expected rule 'linear' or 'uniform' and mode 'row' or 'batch', got {rule!r} and {mode!r}"
        )
    listed = list(branches)

    def hook(rate: float) -> Any:
        return lambda module, args, output: stochastic_depth(output, rate, mode, module.training)

    rates = [p * i / len(listed) if rule == "linear" else p for i in range(1, len(listed) + 1)]
    return [branch.register_forward_hook(hook(rate)) for branch, rate in zip(listed, rates, strict=True)]
