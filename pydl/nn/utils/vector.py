"""Parameters as one vector, and back."""

from collections.abc import Iterable

from pydl.errors import ArgumentError, ShapeError
from pydl.ops import cat, narrow, reshape
from pydl.tensor import Tensor

__all__ = ["parameters_to_vector", "vector_to_parameters"]


def parameters_to_vector(parameters: Iterable[Tensor]) -> Tensor:
    """All elements in one vector (n,); gradients flow back to the parameters."""
    parts = [reshape(p, [-1]) for p in parameters]
    if not parts:
        raise ArgumentError("parameters_to_vector: expected at least one parameter")
    return cat(parts)


def vector_to_parameters(vec: Tensor, parameters: Iterable[Tensor]) -> None:
    """Makes each parameter its part of vec (n,): they share its memory, as in PyTorch.

    Raises: ShapeError unless vec has just as many elements as the parameters.
    """
    listed = list(parameters)
    total = sum(p.numel() for p in listed)
    if vec.shape != (total,):
        raise ShapeError(f"vector_to_parameters: vec {vec.shape} does not match: expected ({total},)")
    plain, at = vec.detach(), 0
    for p in listed:
        p.data = reshape(narrow(plain, 0, at, p.numel()), p.shape)
        at += p.numel()
