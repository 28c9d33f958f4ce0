"""The two norms by which weights are divided, shared by both forms of weight and spectral normalisation."""

from pydl import ops
from pydl.autograd.mode import no_grad
from pydl.errors import ArgumentError, BoundsError
from pydl.nn.functional.distance import normalize
from pydl.tensor import Tensor

__all__ = ["as_matrix", "axis_of", "norm_except", "power_iterations", "spectral_scale"]


def axis_of(weight: Tensor, dim: int, name: str) -> int:
    """dim counted from the front. Raises: BoundsError."""
    if not -weight.ndim <= dim < weight.ndim:
        raise BoundsError(f"{name}: dim {dim} is out of range for a weight of shape {weight.shape}")
    return dim % weight.ndim


def norm_except(v: Tensor, dim: int | None) -> Tensor:
    """The length of each slice v[..., i, ...] along dim, other axes kept as 1; of all of v, (), where dim is None."""
    if dim is None:
        return ops.norm(v)
    axes = [i for i in range(v.ndim) if i != axis_of(v, dim, "weight_norm")]
    return ops.norm(v, 2.0, axes, True) if axes else v.abs()


def as_matrix(weight: Tensor, dim: int) -> Tensor:
    """(rows along dim, everything else)."""
    return ops.flatten(ops.movedim(weight, dim, 0), 1) if dim else ops.flatten(weight, 1)


@no_grad()
def power_iterations(matrix: Tensor, u: Tensor, v: Tensor, count: int, eps: float) -> None:
    """Turns u (h,), then v (w,) towards the first singular vectors of matrix (h, w), in place."""
    for _ in range(count):
        u.copy_(normalize(matrix @ v, dim=0, eps=eps))
        v.copy_(normalize(matrix.mT @ u, dim=0, eps=eps))


def spectral_scale(matrix: Tensor, u: Tensor, v: Tensor) -> Tensor:
    """u^T matrix v, (): the largest singular value where u and v are its vectors, which count as constants."""
    return u.detach().clone() @ (matrix @ v.detach().clone())


def first_vectors(matrix: Tensor, eps: float) -> tuple[Tensor, Tensor]:
    """Random unit vectors (h,) and (w,) to start from."""
    h, w = matrix.shape
    if not h or not w:
        raise ArgumentError(f"spectral_norm: a weight of shape {matrix.shape} has no elements")
    vectors = [ops.randn(n, dtype=matrix.dtype) for n in (h, w)]
    return normalize(vectors[0], dim=0, eps=eps), normalize(vectors[1], dim=0, eps=eps)
