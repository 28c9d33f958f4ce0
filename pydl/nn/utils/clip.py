"""Gradient clipping, in place on `.grad`."""

import math
from collections.abc import Iterable

import pydl.ops as ops
from pydl import _C
from pydl.errors import ArgumentError, AutogradError
from pydl.ops.convert import by_device
from pydl.sparse import numbers_of
from pydl.tensor import Tensor

__all__ = ["clip_grad_norm_", "clip_grad_value_", "clip_grads_with_norm_", "get_total_norm"]


def _gradients(parameters: Tensor | Iterable[Tensor]) -> list[Tensor]:
    """The gradients there are, each without gaps in memory; of a sparse one its rows, each of them once."""
    listed = [parameters] if isinstance(parameters, Tensor) else list(parameters)
    grads = []
    for p in listed:
        if p.grad is None:
            continue
        if p.grad.is_sparse:
            p.grad = p.grad.coalesce()
        elif not p.grad.array.is_dense:
            p.grad = Tensor(_C.contiguous(p.grad.array))
        grads.append(Tensor(numbers_of(p.grad)))
    return grads


def _norm(arrays: list[_C.Array], p: float) -> Tensor:
    """The common norm, () float64."""
    if p == 2.0:
        return Tensor(_C.sqrt(_C.sum(_C.sum_squares(arrays))))
    sizes = [Tensor(_C.abs(a)).to(_C.float64) for a in arrays if a.size]
    if not sizes:
        return Tensor(_C.scalar(0.0, _C.float64, _C.device("cpu")))
    if math.isinf(p):
        return ops.stack([s.amax() for s in sizes]).amax()
    if p == 0:
        return ops.stack([(s != 0).to(_C.float64).sum() for s in sizes]).sum()
    return ops.stack([(s**p).sum() for s in sizes]).sum() ** (1 / p)


def _common_norm(arrays: list[_C.Array], p: float) -> Tensor:
    """As `_norm`, of arrays on several devices: on the first one's."""
    norms = [_norm(group, p) for group in by_device(arrays)]
    if len(norms) == 1:
        return norms[0]
    together = [n.to(arrays[0].device) for n in norms]
    return ops.stack(together).sum() if p == 0 else _norm([n.array for n in together], p)


def get_total_norm(
    tensors: Tensor | Iterable[Tensor],
    norm_type: float = 2.0,
    error_if_nonfinite: bool = False,
    foreach: bool | None = None,
) -> Tensor:
    """The norm of all tensors taken as one vector, (); summed in float64, in the dtype and on the device of the first.

    Nothing waits for a GPU unless error_if_nonfinite.
    Args: norm_type: p of the p-norm, or inf. foreach: accepted; it is always one launch for each device.
    Raises: AutogradError where it is not finite and error_if_nonfinite.
    """
    listed = [tensors] if isinstance(tensors, Tensor) else list(tensors)
    if not listed:
        return Tensor(_C.scalar(0.0, _C.float32, _C.device("cpu")))
    p = float(norm_type)
    if not p >= 0:
        raise ArgumentError(f"get_total_norm: norm_type must not be negative, got {norm_type}")
    plain = [t.coalesce().values() if t.is_sparse else t for t in listed]
    total = _common_norm([_C.contiguous(t.array) for t in plain], p)
    if error_if_nonfinite and not math.isfinite(float(total)):
        raise AutogradError(
            f"clip_grad_norm_: the total norm of order {p} is {float(total)}: "
            "pass error_if_nonfinite=False to scale anyway"
        )
    return total.to(listed[0].dtype)


def clip_grads_with_norm_(
    parameters: Tensor | Iterable[Tensor], max_norm: float, total_norm: Tensor, foreach: bool | None = None
) -> None:
    """Scales the gradients by max_norm / (total_norm + 1e-6) where that is below 1."""
    factor = float(max_norm) / (total_norm.detach().to(_C.float64) + 1e-6)
    least = factor.clamp(max=1.0)  # a norm that is nan stays nan: then the gradients become nan, as in PyTorch
    for arrays in by_device([g.array for g in _gradients(parameters)]):
        _C.scale_by(arrays, least.array)


def clip_grad_norm_(
    parameters: Tensor | Iterable[Tensor],
    max_norm: float,
    norm_type: float = 2.0,
    error_if_nonfinite: bool = False,
    foreach: bool | None = None,
) -> Tensor:
    """Scales all gradients by one factor so that their common norm is at most max_norm; their direction stays.

    Args: as of `get_total_norm`.
    Returns: the norm before, ().
    Cost: two passes over the gradients, one launch each.
    Source: Pascanu et al. 2013 (arXiv:1211.5063), algorithm 1.
    """
    listed = [parameters] if isinstance(parameters, Tensor) else list(parameters)
    total = get_total_norm(_gradients(listed), norm_type, error_if_nonfinite)
    clip_grads_with_norm_(listed, max_norm, total)
    return total


def clip_grad_value_(parameters: Tensor | Iterable[Tensor], clip_value: float, foreach: bool | None = None) -> None:
    """Limits each element of the gradients to [-clip_value, clip_value]; their direction may change."""
    limit = float(clip_value)
    if limit < 0:
        raise ArgumentError(f"clip_grad_value_: clip_value must not be negative, got {clip_value}")
    for g in _gradients(parameters):
        _C.copy_into(Tensor(g.array).clamp(-limit, limit).array, g.array, "clip_grad_value_")
