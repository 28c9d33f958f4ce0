"""Parametrizations of weights: orthogonal, of given length, of spectral norm 1."""

from pydl import ops
from pydl.autograd.mode import no_grad
from pydl.errors import ArgumentError, ShapeError
from pydl.nn.functional.distance import normalize
from pydl.nn.module import Module
from pydl.nn.utils import norms
from pydl.nn.utils.parametrize import register_parametrization
from pydl.tensor import Tensor

__all__ = ["drop_connect", "orthogonal", "spectral_norm", "weight_norm"]


def _tensor(module: Module, name: str, op: str) -> Tensor:
    found = getattr(module, name, None)
    if not isinstance(found, Tensor):
        raise ArgumentError(f"{op}: {type(module).__name__} has no parameter or buffer {name!r}")
    return found


class _WeightNorm(Module):
    """g v / |v|; stored are the lengths g and the directions v."""

    def __init__(self, dim: int | None = 0) -> None:
        super().__init__()
        self.dim = None if dim in (None, -1) else dim

    def forward(self, weight_g: Tensor, weight_v: Tensor) -> Tensor:
        return weight_v * (weight_g / norms.norm_except(weight_v, self.dim))

    def right_inverse(self, weight: Tensor) -> tuple[Tensor, Tensor]:
        return norms.norm_except(weight, self.dim), weight


def weight_norm(module: Module, name: str = "weight", dim: int | None = 0) -> Module:
    """Splits a weight into its lengths g along dim and its directions v: w = g v / |v|. Returns the module.

    Args: dim: the axis along which every slice has a length of its own; None (or -1): one length for all.
    state_dict: 'parametrizations.<name>.original0' is g, (1, ..., n, ..., 1) or (); '...original1' is v.
    Source: Salimans & Kingma 2016 (arXiv:1602.07868).
    """
    weight = _tensor(module, name, "weight_norm")
    if dim not in (None, -1):
        norms.axis_of(weight, dim, "weight_norm")  # type: ignore[arg-type]
    return register_parametrization(module, name, _WeightNorm(dim), unsafe=True)


class _DropConnect(Module):
    """The weight with single entries dropped in training, the others divided by 1 - p."""

    def __init__(self, p: float) -> None:
        super().__init__()
        self.p = p

    def forward(self, weight: Tensor) -> Tensor:
        return ops.dropout(weight, self.p, self.training)

    def right_inverse(self, weight: Tensor) -> Tensor:
        return weight


def drop_connect(module: Module, name: str = "weight", p: float = 0.5) -> Module:
    """Drops single entries of a weight with probability p in training, a new mask in each pass. Returns the module.

    Raises: ArgumentError unless 0 <= p < 1.
    Source: Wan et al. 2013, Regularization of neural networks using DropConnect; Merity et al. 2018 (arXiv:1708.02182)
        for recurrent weights.
    """
    _tensor(module, name, "drop_connect")
    if not 0 <= p < 1:
        raise ArgumentError(f"drop_connect: p must be in [0, 1), got {p}")
    return register_parametrization(module, name, _DropConnect(float(p)))


class _SpectralNorm(Module):
    """weight / sigma, sigma its largest singular value by power iteration; a vector over its length."""

    def __init__(self, weight: Tensor, n_power_iterations: int, dim: int, eps: float) -> None:
        super().__init__()
        if n_power_iterations <= 0:
            raise ArgumentError(f"spectral_norm: n_power_iterations must be positive, got {n_power_iterations}")
        self.dim = norms.axis_of(weight, dim, "spectral_norm")
        self.eps, self.n_power_iterations = eps, n_power_iterations
        if weight.ndim > 1:
            matrix = norms.as_matrix(weight.detach(), self.dim)
            u, v = norms.first_vectors(matrix, eps)
            norms.power_iterations(matrix, u, v, 15, eps)
            self.register_buffer("_u", u)
            self.register_buffer("_v", v)

    def forward(self, weight: Tensor) -> Tensor:
        if weight.ndim == 1:
            return normalize(weight, dim=0, eps=self.eps)
        matrix, u, v = norms.as_matrix(weight, self.dim), self.__dict__["_u"], self.__dict__["_v"]
        if self.training:
            norms.power_iterations(matrix.detach(), u, v, self.n_power_iterations, self.eps)
        return weight / norms.spectral_scale(matrix, u, v)

    def right_inverse(self, value: Tensor) -> Tensor:
        return value


def spectral_norm(
    module: Module, name: str = "weight", n_power_iterations: int = 1, eps: float = 1e-12, dim: int | None = None
) -> Module:
    """Divides a weight by its largest singular value, followed by power iteration. Returns the module.

    Args:
        n_power_iterations: steps at each reading of the weight in training; none in evaluation.
        eps: lengths count as at least this.
        dim: the axis of the rows when the weight is seen as a matrix; 0, or 1 for transposed convolutions.
    Source: Miyato et al. 2018 (arXiv:1802.05957).
    """
    weight = _tensor(module, name, "spectral_norm")
    rows = (1 if "ConvTranspose" in type(module).__name__ else 0) if dim is None else dim
    return register_parametrization(module, name, _SpectralNorm(weight, n_power_iterations, rows, eps))


def _orthonormal(x: Tensor) -> Tensor:
    """The orthogonal factor of x (..., n, k), n >= k, whose triangular factor has a positive diagonal."""
    from pydl import linalg  # imported when it is first needed

    q, r = linalg.qr(x)
    signs = ops.where(ops.diagonal(r, 0, -2, -1) < 0, -1.0, 1.0)
    made: Tensor = q * signs.to(q.dtype).unsqueeze(-2)
    return made


class _Orthogonal(Module):
    """A matrix with orthonormal columns (rows, if it is wide) from a lower triangle.

    The triangle becomes a skew-symmetric A whose exponential or Cayley transform is orthogonal, or the vectors of
    Householder reflections. With a base, the present matrix belongs to the triangle that is stored at first.
    """

    base: Tensor | None

    def __init__(self, weight: Tensor, orthogonal_map: str, use_trivialization: bool) -> None:
        super().__init__()
        self.shape, self.orthogonal_map, self.use_trivialization = weight.shape, orthogonal_map, use_trivialization
        self.register_buffer("base", None)

    def forward(self, x: Tensor) -> Tensor:
        wide = x.shape[-2] < x.shape[-1]
        x = x.mT if wide else x
        q = self._reflected(x) if self.orthogonal_map == "householder" else self._rotated(x)
        q = q if self.base is None else self.base @ q
        return q.mT if wide else q

    def _rotated(self, x: Tensor) -> Tensor:
        """exp(A), or (1 - A/2)^-1 (1 + A/2); its first k columns."""
        from pydl import linalg

        n, k = x.shape[-2:]
        low = ops.tril(x)
        if n != k:
            low = ops.cat([low, ops.zeros(*x.shape[:-2], n, n - k, dtype=x.dtype)], -1)
        skew = low - low.mT
        if self.orthogonal_map == "matrix_exp":
            q = linalg.matrix_exp(skew)
        else:
            one = ops.eye(n, dtype=x.dtype)
            q = linalg.solve(one - skew * 0.5, one + skew * 0.5)
        made: Tensor = q[..., :k]
        return made

    def _reflected(self, x: Tensor) -> Tensor:
        """The product of reflections by the columns below the diagonal; the signs on the diagonal turn its columns."""
        from pydl import linalg

        below = ops.tril(x, -1)
        q = linalg.householder_product(below, 2.0 / (1.0 + (below * below).sum(-2)))
        signs = ops.diagonal(x, 0, -2, -1).detach()
        turned: Tensor = q * ops.where(signs < 0, -1.0, ops.where(signs > 0, 1.0, 0.0)).to(x.dtype).unsqueeze(-2)
        return turned

    @no_grad()
    def right_inverse(self, value: Tensor) -> Tensor:
        """What to store for a matrix, made orthogonal first where it is not."""
        if value.shape != self.shape:
            raise ShapeError(f"orthogonal: value {value.shape} does not fit: expected {self.shape}")
        wide = value.shape[-2] < value.shape[-1]
        q = value.mT if wide else value
        if not self.use_trivialization:
            made = _householder(q)
            return made.mT if wide else made
        n, k = q.shape[-2:]
        filled = q if n == k else ops.cat([q, ops.randn(*q.shape[:-2], n, n - k, dtype=q.dtype)], -1)
        self.base = _orthonormal(filled) if n != k or not _is_orthogonal(q) else q.clone()
        return -ops.eye(*value.shape[-2:], dtype=value.dtype).expand(value.shape).clone()


def _is_orthogonal(q: Tensor) -> bool:
    gap = (q.mT @ q - ops.eye(q.shape[-1], dtype=q.dtype)).abs()
    eps = 2.0**-52 if q.dtype.itemsize == 8 else 2.0**-23
    return not q.numel() or float(gap.max()) <= 10 * q.shape[-2] * eps


def _householder(q: Tensor) -> Tensor:
    """The reflections that make the orthogonal factor of q (..., n, k), and on the diagonal the signs of its columns.

    Column i of what is left is mirrored onto the i-th axis by v, scaled to 1 on the diagonal.
    """
    n, k = q.shape[-2:]
    left, columns = q, []
    at = ops.arange(n)
    for i in range(k):
        x = ops.where(at < i, 0.0, left[..., i])
        pivot = x[..., i : i + 1]
        length = ops.norm(x, 2.0, -1, True)
        alpha = ops.where(pivot < 0, length, -length)  # the mirror image: away from the pivot, so that nothing cancels
        scale = ops.where(length == 0, 1.0, pivot - alpha)
        v = ops.where(at == i, 1.0, x / scale)
        rest = (v * v).sum(-1, True).unsqueeze(-1)
        left = left - 2.0 / rest * v.unsqueeze(-1) @ (v.unsqueeze(-2) @ left)
        # The factor's column is the mirrored axis; with a positive triangular diagonal it has the sign of alpha.
        sign = ops.where(alpha < 0, -1.0, 1.0)
        columns.append(ops.where(at < i, 0.0, ops.where(at == i, sign, v)))
    return ops.stack(columns, -1).to(q.dtype)


def orthogonal(
    module: Module, name: str = "weight", orthogonal_map: str | None = None, *, use_trivialization: bool = True
) -> Module:
    """Keeps a weight (..., n, k) orthogonal: Q^T Q = 1 where n >= k, else Q Q^T = 1. Returns the module.

    Args:
        orthogonal_map: 'matrix_exp' (the default for square matrices), 'cayley' or 'householder' (the default else).
        use_trivialization: keep the present matrix as a base and train what it is multiplied by; else the stored
            triangle alone gives the matrix.
    The weight is made orthogonal first. Source: Lezcano-Casado 2019 (arXiv:1909.09501).
    """
    weight = _tensor(module, name, "orthogonal")
    if weight.ndim < 2:
        raise ShapeError(f"orthogonal: expected a matrix or a batch of them, got shape {weight.shape}")
    if orthogonal_map is None:
        orthogonal_map = "matrix_exp" if weight.shape[-2] == weight.shape[-1] else "householder"
    if orthogonal_map not in ("matrix_exp", "cayley", "householder"):
        raise ArgumentError(
            f"orthogonal: orthogonal_map must be 'matrix_exp', 'cayley' or 'householder', got {orthogonal_map!r}"
        )
    made = _Orthogonal(weight, orthogonal_map, use_trivialization)
    if not use_trivialization and orthogonal_map != "householder":
        made.right_inverse = None  # type: ignore[method-assign, assignment]  # many triangles give one matrix
    return register_parametrization(module, name, made, unsafe=True)
