"""Backpropagation equals the chain rule written out by hand."""

from dataclasses import dataclass

import numpy as np

from pydl import autograd, exp, log1p, relu, sigmoid, sin, softmax, sqrt, tanh, tensor
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

    batch: int = setting(9, "examples", least=1)
    graphs: int = setting(5, "random graphs", least=1)
    seed: int = setting(0, "of weights and graphs")


def run(settings: Settings, report: Report) -> None:
    """Compares all gradients of a sigmoid network, random graphs, the slope of relu, and an input used many times."""
    rng = np.random.default_rng(settings.seed)
    report.check("gradients against the formulas", _against_formulas(settings.batch, rng), at_most=1e-12)
    right = {autograd.gradcheck: 0, autograd.gradgradcheck: 0}
    for seed in range(settings.seed, settings.seed + settings.graphs):
        leaves = [tensor(rng.uniform(-1, 1, (3, 3)), requires_grad=True) for _ in range(2)]
        for check in right:
            right[check] += check(lambda a, b, s=seed: _random_graph(a, b, s), leaves, rtol=1e-6, atol=1e-8)
    report.check("random graphs with right gradients", right[autograd.gradcheck], equals=settings.graphs)
    report.check("random graphs with right second gradients", right[autograd.gradgradcheck], equals=settings.graphs)

    slopes = autograd.grad(relu(v := tensor([-1.0, 0.0, 2.0], requires_grad=True)).sum(), v)[0]
    assert slopes is not None
    report.check("slopes of relu at -1, 0 and 2", slopes.tolist(), equals=[0.0, 0.0, 1.0])
    u = tensor(3.0, requires_grad=True)
    (u * u + u * u * u + u).backward()
    (u * u).backward()  # adds to the gradient that is there
    assert u.grad is not None
    report.check("slope of u u + u u u + u, then of u u, at 3", u.grad.item(), equals=34.0 + 6.0)


def _random_graph(a: Tensor, b: Tensor, seed: int, size: int = 8) -> Tensor:
    """(3, 3), (3, 3) -> (3, 3): `size` nodes, each a random function of random earlier nodes.

    All are scaled to stay near [-1, 1], so that central differences keep their digits.
    """
    one = (tanh, sigmoid, sin, lambda x: exp(-x * x), lambda x: log1p(x * x), lambda x: sqrt(1 + x * x) / 2,
           lambda x: softmax(x, 1), lambda x: x.cumsum(0) / 3, lambda x: x.t() - x.mean(1, keepdim=True))  # fmt: skip
    two = (lambda x, y: x * y, lambda x, y: (x - y) / 2, lambda x, y: x @ y / 3, lambda x, y: x / (1 + y * y),
           lambda x, y: (x + y.sum(0)) / 4)  # fmt: skip
    rng, nodes = np.random.default_rng(seed), [a, b]
    for _ in range(size):
        x, y = (nodes[i] for i in rng.integers(len(nodes), size=2))
        nodes.append(one[rng.integers(len(one))](x) if rng.random() < 0.5 else two[rng.integers(len(two))](x, y))
    return sum(nodes[2:], start=a * b)


def _against_formulas(batch: int, rng: np.random.Generator) -> float:
    """The largest difference from delta_L = p - y, delta_l = (delta_{l+1} W_{l+1}) s'(z_l), dW_l = delta_l^T a_{l-1}.

    Examples are rows, (b, units); the last layer's output is softmax, the others' sigmoid, with s' = a (1 - a).
    """
    sizes = [4, 6, 5, 3]
    weights = [rng.standard_normal((out, size)) for size, out in zip(sizes[:-1], sizes[1:], strict=True)]
    biases = [rng.standard_normal(out) for out in sizes[1:]]
    x, y = rng.standard_normal((batch, 4)), np.eye(3)[rng.integers(0, 3, batch)]
    a = [x]
    for w, b in zip(weights[:-1], biases[:-1], strict=True):
        a.append(1 / (1 + np.exp(-(a[-1] @ w.T + b))))
    e = np.exp(a[-1] @ weights[-1].T + biases[-1])
    delta, by_hand = e / e.sum(1, keepdims=True) - y, list[np.ndarray]()
    for i in (2, 1, 0):
        by_hand = [delta.T @ a[i], delta.sum(0), *by_hand]
        delta = (delta @ weights[i]) * a[i] * (1 - a[i])

    leaves = [tensor(v, requires_grad=True) for pair in zip(weights, biases, strict=True) for v in pair]
    h = tensor(x)
    for i in (0, 2):
        h = sigmoid(h @ leaves[i].t() + leaves[i + 1])
    p = softmax(h @ leaves[4].t() + leaves[5], 1)
    gradients = autograd.grad(-(tensor(y) * p.log()).sum(), leaves)
    return max(float(np.abs(g.numpy() - v).max()) for g, v in zip(gradients, by_hand, strict=True) if g is not None)
