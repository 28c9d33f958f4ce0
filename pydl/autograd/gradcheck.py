"""gradcheck: compares gradients with central differences, along every element or along one random direction."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from pydl import _C
from pydl.autograd.engine import grad
from pydl.autograd.mode import enable_grad, no_grad
from pydl.errors import ArgumentError, PydlError
from pydl.tensor import Tensor

__all__ = ["GradcheckError", "gradcheck", "gradgradcheck"]


class GradcheckError(PydlError, RuntimeError):
    """A gradient does not agree with the differences of the function."""


def _outputs(function: Callable[..., Any], inputs: Sequence[Any]) -> list[Tensor]:
    made = function(*inputs)
    made = list(made) if isinstance(made, (tuple, list)) else [made]
    return [t for t in made if isinstance(t, Tensor) and t.array.is_floating]


def _moved(inputs: Sequence[Any], which: int, step: np.ndarray) -> list[Any]:
    values = np.asarray(inputs[which].detach().numpy() + step)
    return [Tensor(_C.from_numpy(values)) if i == which else x for i, x in enumerate(inputs)]


def _directions(x: Tensor, fast_mode: bool, rng: "np.random.Generator") -> list[np.ndarray]:
    """Unit steps along every element, or one random step."""
    if fast_mode:
        return [rng.standard_normal(x.shape)]
    basis = np.eye(x.numel()).reshape(x.numel(), *x.shape)
    return list(basis)


def gradcheck(
    func: Callable[..., Any],
    inputs: Tensor | Sequence[Any],
    *,
    eps: float = 1e-6,
    atol: float = 1e-5,
    rtol: float = 1e-3,
    raise_exception: bool = True,
    fast_mode: bool = False,
    seed: int = 0,
) -> bool:
    """Whether the gradients of func agree with central differences at inputs.

    Args:
        func: from inputs to a tensor or several.
        inputs: those that require gradients must be float64 and are checked.
        eps: step of the differences.
        fast_mode: one random direction per input in place of all elements.
    Returns: True, or raises GradcheckError (False without raise_exception).
    """
    arguments = [inputs] if isinstance(inputs, Tensor) else list(inputs)
    rng = np.random.default_rng(seed)
    checked = [i for i, x in enumerate(arguments) if isinstance(x, Tensor) and x.requires_grad]
    if not checked:
        raise ArgumentError("gradcheck: no input requires gradients")
    for i in checked:
        if arguments[i].dtype is not _C.float64:
            raise ArgumentError(f"gradcheck: input {i} must be float64 for differences to mean anything")
    outputs = _outputs(func, arguments)
    for n, out in enumerate(outputs):
        weights = rng.standard_normal(out.shape)
        for i in checked:
            problem = _compare(func, arguments, i, n, out, weights, (eps, atol, rtol), fast_mode, rng)
            if problem and raise_exception:
                raise GradcheckError(problem)
            if problem:
                return False
    return True


def _compare(
    func: Callable[..., Any],
    arguments: list[Any],
    i: int,
    n: int,
    out: Tensor,
    weights: np.ndarray,
    tolerances: tuple[float, float, float],
    fast_mode: bool,
    rng: "np.random.Generator",
) -> str | None:
    """What is wrong with the gradient of output n with respect to input i, weighted; None if nothing is."""
    eps, atol, rtol = tolerances
    x = arguments[i]
    if out.requires_grad:
        seed = Tensor(_C.from_numpy(weights.copy()))
        (g,) = grad(out, x, seed, retain_graph=True, allow_unused=True)
        ours = np.zeros(x.shape) if g is None else g.detach().numpy()
    else:
        ours = np.zeros(x.shape)
    if ours.shape != x.shape:
        return f"gradcheck: the gradient of input {i} has shape {ours.shape}: expected {x.shape}"
    for step in _directions(x, fast_mode, rng):
        with no_grad():
            up = _outputs(func, _moved(arguments, i, eps * step))[n].detach().numpy()
            down = _outputs(func, _moved(arguments, i, -eps * step))[n].detach().numpy()
        numeric = float(((up - down) * weights).sum() / (2 * eps))
        analytic = float((ours * step).sum())
        if not abs(numeric - analytic) <= atol + rtol * abs(numeric):
            return (
                f"gradcheck: output {n}, input {i} of shape {x.shape}: the gradient along a direction is "
                f"{analytic:.9g}, by differences {numeric:.9g}"
            )
    return None


def gradgradcheck(
    func: Callable[..., Any],
    inputs: Tensor | Sequence[Any],
    grad_outputs: Sequence[Tensor] | None = None,
    *,
    eps: float = 1e-6,
    atol: float = 1e-5,
    rtol: float = 1e-3,
    raise_exception: bool = True,
    fast_mode: bool = False,
    seed: int = 0,
) -> bool:
    """Whether the second derivatives of func agree with differences of its gradients; arguments as of `gradcheck`."""
    arguments = [inputs] if isinstance(inputs, Tensor) else list(inputs)
    checked = [i for i, x in enumerate(arguments) if isinstance(x, Tensor) and x.requires_grad]
    rng = np.random.default_rng(seed + 1)
    outputs = _outputs(func, arguments)
    if grad_outputs is None:
        grad_outputs = [Tensor(_C.from_numpy(rng.standard_normal(o.shape))).requires_grad_() for o in outputs]

    def gradients(*values: Any) -> tuple[Tensor, ...]:
        xs, seeds = values[: len(arguments)], values[len(arguments) :]
        with enable_grad():
            for i in checked:
                xs[i].requires_grad_()
            pairs = [(o, s) for o, s in zip(_outputs(func, xs), seeds, strict=True) if o.requires_grad]
            roots, weights = [o for o, _ in pairs], [s for _, s in pairs]
            found = grad(roots, [xs[i] for i in checked], weights, create_graph=True, allow_unused=True)
        return tuple(g for g in found if g is not None)

    if not any(g.requires_grad for g in gradients(*arguments, *grad_outputs)):
        return True
    return gradcheck(
        gradients,
        [*arguments, *grad_outputs],
        eps=eps,
        atol=atol,
        rtol=rtol,
        raise_exception=raise_exception,
        fast_mode=fast_mode,
        seed=seed,
    )
