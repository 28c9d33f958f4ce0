"""Backpropagation equals the chain rule written out by hand."""

from dataclasses import dataclass

import numpy as np

from pydl import autograd, cat, float64, relu, sigmoid, softmax, tensor
from pydl.recipes.recipe import Recipe, Report, setting
from pydl.tensor import Tensor

RECIPE = Recipe(
    name="backprop-by-hand",
    ids=("C06",),
    title="Reverse-mode differentiation against the formulas of a 3-layer network",
    source="Rumelhart, Hinton & Williams 1986",
    time="t0",
)


@dataclass
class Settings:
    """What can be set on the command line."""

    batch: int = setting(9, "examples")
    seed: int = setting(0, "of the weights")


def run(settings: Settings, report: Report) -> None:
    """Compares all gradients of a sigmoid network, five composite graphs, the slope of relu, and shared inputs."""
    rng = np.random.default_rng(settings.seed)
    report.check("gradients against the formulas", _against_formulas(settings.batch, rng), at_most=1e-12)
    x = tensor(rng.uniform(0.3, 1.5, (3, 4))).requires_grad_()
    w = tensor(rng.standard_normal((4, 4))).requires_grad_()
    graphs = [
        lambda x, w: (x @ w).tanh().sum(0) * x.log().mean(),
        lambda x, w: (x / (1 + (w * w).sum(0))).exp().prod(1),
        lambda x, w: cat([x @ w, x], 1).softmax(1)[:, ::2] ** 2,
        lambda x, w: (x.T @ x @ w).norm(dim=0) + (x.amax(0) * w).sum(),
        lambda x, w: (sigmoid(x) @ w.t()).logsumexp(1) - (w[1:, :2] * x[:, 1:]).cumsum(0).sum(),
    ]
    first = sum(autograd.gradcheck(g, (x, w), rtol=1e-6, atol=1e-8, raise_exception=False) for g in graphs)
    second = sum(autograd.gradgradcheck(g, (x, w), raise_exception=False) for g in graphs)
    report.check("composite graphs with right gradients, of 5", first, equals=5)
    report.check("composite graphs with right second gradients, of 5", second, equals=5)

    v = tensor([-1.0, 0.0, 2.0]).requires_grad_()
    relu(v).sum().backward()
    assert v.grad is not None
    report.check("slopes of relu at -1, 0 and 2", v.grad.tolist(), equals=[0.0, 0.0, 1.0])
    u = tensor(3.0, dtype=float64).requires_grad_()
    (u * u + u * u * u + u).backward()
    assert u.grad is not None
    report.check("slope of u u + u u u + u at 3", u.grad.item(), equals=34.0)


def _against_formulas(batch: int, rng: np.random.Generator) -> float:
    """The largest difference from delta_L = p - y, delta_l = (delta_{l+1} W_{l+1}) s'(z_l), dW_l = delta_l^T a_{l-1}."""
    sizes = [4, 6, 5, 3]
    weights = [rng.standard_normal((o, i)) for i, o in zip(sizes[:-1], sizes[1:], strict=True)]
    biases = [rng.standard_normal(o) for o in sizes[1:]]
    x, y = rng.standard_normal((batch, 4)), np.eye(3)[rng.integers(0, 3, batch)]
    a = [x]
    for w, b in zip(weights[:-1], biases[:-1], strict=True):
        a.append(1 / (1 + np.exp(-(a[-1] @ w.T + b))))
    scores = a[-1] @ weights[-1].T + biases[-1]
    e = np.exp(scores - scores.max(1, keepdims=True))
    delta, by_hand = e / e.sum(1, keepdims=True) - y, []
    for i in (2, 1, 0):
        by_hand = [delta.T @ a[i], delta.sum(0), *by_hand]
        delta = (delta @ weights[i]) * a[i] * (1 - a[i])

    leaves: list[Tensor] = [tensor(v).requires_grad_() for pair in zip(weights, biases, strict=True) for v in pair]
    h = tensor(x)
    for i in (0, 2):
        h = sigmoid(h @ leaves[i].t() + leaves[i + 1])
    p = softmax(h @ leaves[4].t() + leaves[5], 1)
    (-(tensor(y) * p.log()).sum()).backward()
    return max(
        float(np.abs(t.grad.numpy() - g).max()) for t, g in zip(leaves, by_hand, strict=True) if t.grad is not None
    )
