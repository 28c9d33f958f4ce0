"""Adaptive gradient clipping: the limit of a unit's gradient is a part of the size of its weights."""

from collections.abc import Iterable

from pydl.autograd import no_grad
from pydl.errors import ArgumentError
from pydl.tensor import Tensor

__all__ = ["adaptive_clip_grad_"]


def adaptive_clip_grad_(
    parameters: Tensor | Iterable[Tensor], clip_factor: float = 0.01, eps: float = 1e-3, norm_type: float = 2.0
) -> None:
    """Scales the gradient of each unit down to norm(gradient) <= clip_factor max(norm(weights), eps).

    A unit is one output: a row of a matrix, a filter of a convolution (all axes but the first); a vector, such as a
    bias, is one unit as a whole.
    Args: eps: so that weights that are 0 can leave it. norm_type: p of the p-norm.
    Raises: ArgumentError for negative numbers.
    Source: Brock et al. 2021 (arXiv:2102.06171), equation 3.
    """
    if not (clip_factor >= 0 and eps >= 0 and norm_type >= 0):
        raise ArgumentError(
            f"adaptive_clip_grad_: clip_factor, eps and norm_type must be >= 0, got {clip_factor}, {eps}, {norm_type}"
        )
    with no_grad():
        for p in [parameters] if isinstance(parameters, Tensor) else parameters:
            if p.grad is None or p.grad.numel() == 0:
                continue
            most = _unit_norm(p.detach(), norm_type).clamp(min=eps) * clip_factor
            found = _unit_norm(p.grad.detach(), norm_type)
            p.grad.detach().mul_((most / found.clamp(min=1e-6)).clamp(max=1.0))


def _unit_norm(x: Tensor, p: float) -> Tensor:
    """The norm of each unit, (n, 1, ...), or () of a vector."""
    return x.norm(p) if x.ndim <= 1 else x.norm(p, dim=tuple(range(1, x.ndim)), keepdim=True)
