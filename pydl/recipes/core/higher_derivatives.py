"""Gradients are nodes of the graph themselves, so they can be differentiated again, to any order."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

import pydl
from pydl import autograd, func, nn, tensor
from pydl.autograd import functional
from pydl.recipes.recipe import Recipe, Report, setting
from pydl.tensor import Tensor

RECIPE = Recipe(
    name="higher-derivatives",
    ids=("C07",),
    title="Hessians, Hessian-vector products and nested derivatives against formulas",
    source="Pearlmutter 1994",
    time="t0",
)


@dataclass
class Settings:
    """What can be set on the command line."""

    examples: int = setting(50, "rows of the logistic regression", least=1)
    features: int = setting(6, "its columns", least=1)
    seed: int = setting(0, "of the data")


def run(settings: Settings, report: Report) -> None:
    """Compares second derivatives with formulas, with differences, and with each other."""
    rng = np.random.default_rng(settings.seed)
    x, y = rng.standard_normal((settings.examples, settings.features)), rng.integers(0, 2, settings.examples)
    theta = rng.standard_normal(settings.features)
    report.check("Hessian of the logistic loss against X^T diag(h(1-h)) X", _logistic(x, y, theta), at_most=1e-10)
    report.check("second derivative of sin, nested, against -sin", _sine(rng.uniform(-3, 3, 20)), at_most=1e-12)
    report.check("H v of a network against differences of gradients", _network(rng), at_most=1e-6)
    report.check("v^T (J u) against (v^T J) u", _adjoint(rng), at_most=1e-12)
    report.check("operations whose second derivative fails", _failing(rng), equals=[])


def _logistic(x: np.ndarray, y: np.ndarray, theta: np.ndarray) -> float:
    """The largest difference over func.hessian and autograd.functional.hessian."""
    inputs, targets = tensor(x), tensor(y).double()

    def loss(t: Tensor) -> Tensor:
        z = inputs @ t
        return (nn.functional.softplus(z) - targets * z).sum()

    h = 1 / (1 + np.exp(-x @ theta))
    expected = x.T @ np.diag(h * (1 - h)) @ x
    found = (func.hessian(loss)(tensor(theta)), functional.hessian(loss, tensor(theta)))
    return max(float(np.abs(f.numpy() - expected).max()) for f in found)


def _sine(points: np.ndarray) -> float:
    twice = func.vmap(func.grad(func.grad(lambda x: x.sin())))(tensor(points))
    return float(np.abs(twice.numpy() + np.sin(points)).max())


def _network(rng: np.random.Generator, step: float = 1e-4) -> float:
    """Relative to the largest entry of H v."""
    net = nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 3)).double()
    x, y = tensor(rng.standard_normal((10, 4))), tensor(rng.integers(0, 3, 10))
    params = {name: p.detach() for name, p in net.named_parameters()}
    v = {name: tensor(rng.standard_normal(p.shape)) for name, p in params.items()}

    def loss(p: dict[str, Tensor]) -> Tensor:
        return nn.functional.cross_entropy(func.functional_call(net, p, (x,)), y)

    _, (product,) = func.hvp(loss, (params,), (v,))
    up, down = (func.grad(loss)({k: p + sign * step * v[k] for k, p in params.items()}) for sign in (1, -1))
    gaps = [((up[k] - down[k]) / (2 * step) - product[k]).abs().max().item() for k in params]
    return float(max(gaps) / max(h.abs().max().item() for h in product.values()))


def _adjoint(rng: np.random.Generator) -> float:
    w = tensor(rng.standard_normal((3, 5)))
    x, u, v = (tensor(rng.standard_normal(n)) for n in (5, 5, 3))
    f: Callable[[Tensor], Tensor] = lambda x: (w @ x.sin()).exp() * x[:3]  # noqa: E731
    _, pushed = func.jvp(f, (x,), (u,))
    (pulled,) = func.vjp(f, x)[1](v)
    left, right = (v * pushed).sum().item(), (pulled * u).sum().item()
    return float(abs(left - right) / max(1.0, abs(left)))


def _failing(rng: np.random.Generator) -> list[str]:
    """Names of elementary functions whose gradients of gradients differ from differences by more than 1e-5."""
    names = "exp log sqrt sin cos tan tanh sinh cosh atan erf sigmoid log1p expm1 reciprocal square rsqrt softplus"
    x, right = tensor(rng.uniform(0.2, 0.9, (3, 2)), requires_grad=True), {}
    for name in names.split():
        right[name] = autograd.gradgradcheck(getattr(pydl, name), x, atol=1e-5, rtol=1e-5, raise_exception=False)
    return [name for name, passed in right.items() if not passed]
