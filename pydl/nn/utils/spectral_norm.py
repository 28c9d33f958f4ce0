"""Spectral normalisation by a hook, the older form: module.weight_orig is what is trained."""

from typing import Any, TypeVar

from pydl.autograd.mode import no_grad
from pydl.errors import ArgumentError
from pydl.nn.module import Module
from pydl.nn.parameter import Parameter
from pydl.nn.state import PARAMETER
from pydl.nn.utils import norms
from pydl.nn.utils.weight_norm import hook_of
from pydl.tensor import Tensor

__all__ = ["remove_spectral_norm", "spectral_norm"]

M = TypeVar("M", bound=Module)


class SpectralNorm:
    """Divides the weight by its largest singular value before each call of the module."""

    def __init__(self, name: str, n_power_iterations: int, dim: int, eps: float) -> None:
        self.name, self.n_power_iterations, self.dim, self.eps = name, n_power_iterations, dim, eps

    def compute(self, module: Module, count: int) -> Tensor:
        """The weight after so many power iterations."""
        weight = module.__dict__[f"{self.name}_orig"]
        u, v = module.__dict__[f"{self.name}_u"], module.__dict__[f"{self.name}_v"]
        matrix = norms.as_matrix(weight, self.dim)
        norms.power_iterations(matrix.detach().mT, v, u, count, self.eps)  # v first, as PyTorch's older form
        return weight / norms.spectral_scale(matrix, u, v)  # type: ignore[no-any-return]

    def __call__(self, module: Module, args: Any) -> None:
        setattr(module, self.name, self.compute(module, self.n_power_iterations if module.training else 0))


def spectral_norm(
    module: M, name: str = "weight", n_power_iterations: int = 1, eps: float = 1e-12, dim: int | None = None
) -> M:
    """Divides a weight by its largest singular value, which power iteration follows. Returns the module.

    Args: as of `nn.utils.parametrizations.spectral_norm`, which does the same without a hook.
    state_dict: <name>_orig is the weight as trained, <name>_u and <name>_v the singular vectors.
    Source: Miyato et al. 2018 (arXiv:1802.05957).
    """
    if hook_of(module, SpectralNorm, name):
        raise ArgumentError(f"spectral_norm: {name!r} has it already")
    if module._kinds.get(name) != PARAMETER or module.__dict__[name] is None:
        raise ArgumentError(f"spectral_norm: {type(module).__name__} has no parameter {name!r}")
    if n_power_iterations <= 0:
        raise ArgumentError(f"spectral_norm: n_power_iterations must be positive, got {n_power_iterations}")
    weight = module.__dict__[name]
    rows = (1 if "ConvTranspose" in type(module).__name__ else 0) if dim is None else dim
    hook = SpectralNorm(name, n_power_iterations, norms.axis_of(weight, rows, "spectral_norm"), eps)
    u, v = norms.first_vectors(norms.as_matrix(weight.detach(), hook.dim), eps)
    delattr(module, name)
    module.register_parameter(f"{name}_orig", weight)
    setattr(module, name, weight.detach())
    module.register_buffer(f"{name}_u", u)
    module.register_buffer(f"{name}_v", v)
    module.register_forward_pre_hook(hook)
    return module


def remove_spectral_norm(module: M, name: str = "weight") -> M:
    """Makes the weight an ordinary parameter with its present value. Raises: ArgumentError without such a hook."""
    found = hook_of(module, SpectralNorm, name)
    if found is None:
        raise ArgumentError(f"remove_spectral_norm: {type(module).__name__} has no spectral_norm of {name!r}")
    key, hook = found
    with no_grad():
        weight = hook.compute(module, 0).detach()
    trained = module.__dict__[f"{name}_orig"].requires_grad
    for part in (name, f"{name}_orig", f"{name}_u", f"{name}_v"):
        delattr(module, part)
    module.register_parameter(name, Parameter(weight, trained))
    del module._hook_table().pre[key]
    return module
