"""What a layer costs and how far it carries information: attention, recurrence, convolution, restricted attention.

Multiply-adds are counted while the layers run, for n tokens of width d: n^2 d, n d^2, k n d^2 and r n d, for a kernel
of k and a neighbourhood of r tokens. How many layers (or steps) it takes until the last token has seen the first is
found by a search through the graph of what depends on what: 1, n, log_k n and n / r.
"""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import count, repeat
from typing import Any

import numpy as np

from pydl import Tensor, cat, float64, manual_seed, nn, no_grad, ones, randn, tensor, tril, triu
from pydl.nn import functional as F
from pydl.recipes.recipe import Recipe, Report, setting
from pydl.theory import dependencies, path_length
from pydl.utils.counting import MultiplyAdds

RECIPE = Recipe(
    name="layer-complexity",
    ids=("N13",),
    title="Cost and path length of attention, recurrence, convolution, local attention",
    source="Vaswani et al. 2017 (arXiv:1706.03762), table 1",
    time="t0",
)
# Per layer: powers of n, d and of its own size (the kernel, or the neighbourhood).
TABLE = {"self-attention": (2, 1, 0), "recurrent": (1, 2, 0), "convolutional": (1, 2, 1), "restricted": (1, 1, 1)}


@dataclass
class Settings:
    """What can be set on the command line."""

    tokens: int = setting(512, "of the shortest sequence that is counted", least=64)
    width: int = setting(16, "of the narrowest", least=2)
    size: int = setting(3, "of kernels and neighbourhoods, at least", least=3)
    path: int = setting(81, "tokens whose path is searched", least=4)
    seed: int = setting(0, "of weights and inputs")


def run(settings: Settings, report: Report) -> None:
    """Checks the exponents of all four costs, the lengths of all four paths, and restricted attention itself."""
    s = settings
    manual_seed(s.seed)
    for name, expected in TABLE.items():
        found = _exponents(name, s)
        report.say(f"{name:16} multiply-adds ~ n^{found[0]:.3f} d^{found[1]:.3f} size^{found[2]:.3f}")
        worst = max(abs(a - b) for a, b in zip(found, expected, strict=True))
        report.check(f"{name}: exponents of n, d and size against {expected}", worst, at_most=0.05)
    n, k = s.path, s.size
    near = math.ceil((n - 1) / (k // 2))
    lengths = {"self-attention": 1, "recurrent": n - 1, "convolutional": _levels(n, k), "restricted": near}
    for name, length in lengths.items():
        report.check(f"{name}: steps from the first of {n} tokens to the last", _path(name, n, k), equals=length)
    _restricted(s, report)


def _levels(n: int, k: int) -> int:
    """log_k n, rounded up, without rounding errors."""
    return next(level for level in count() if k**level >= n)


def _layer(name: str, d: int, size: int, level: int = 0) -> Callable[[Tensor], Tensor]:
    """(n, d) -> (n, d), without the maps of queries, keys, values and inputs, which cost n d^2 everywhere."""
    if name == "self-attention":
        return lambda x: F.scaled_dot_product_attention(x, x, x)
    if name == "restricted":
        return lambda x: nn.LocalAttention(size // 2)(x, x, x)
    if name == "recurrent":
        rnn = nn.RNN(d, d, dtype=float64)
        return lambda x: rnn(x)[0]
    conv = nn.Conv1d(d, d, size, dilation=size**level, dtype=float64)
    past = (size - 1) * size**level
    return lambda x: conv(F.pad(x.t(), (past, 0))).t()


def _cost(name: str, n: int, d: int, size: int) -> int:
    layer, x = _layer(name, d, size), randn(n, d, dtype=float64)
    with no_grad(), MultiplyAdds() as counted:
        layer(x)
    return counted.total


def _exponents(name: str, s: Settings) -> tuple[float, float, float]:
    """The slopes of log cost by log n, log d and log size."""
    n, d, size = s.tokens, s.width, s.size
    lines = [[(n * f, d, size) for f in (1, 2, 4)], [(n, d * f, size) for f in (1, 2, 4)],
             [(n, d, size * f) for f in (1, 3, 5)]]  # fmt: skip
    slopes = []
    for axis, line in enumerate(lines):
        costs = [_cost(name, *at) for at in line]
        slopes.append(float(np.polyfit(np.log([at[axis] for at in line]), np.log(costs), 1)[0]))
    return slopes[0], slopes[1], slopes[2]


def _path(name: str, n: int, k: int) -> int:
    """How many layers, or steps of the recurrent one, until the last of n tokens depends on the first."""
    if name == "recurrent":  # the state after each token, from that after the token before
        cell, x = nn.RNNCell(2, 2, dtype=float64), randn(n, 2, dtype=float64)
        step = dependencies(lambda h: cat([x[:1] * 0, cell(x[1:], h[:-1])]), randn(n, 2, dtype=float64))
        return path_length(repeat(step), 0, n - 1)
    return path_length(_graphs(name, n, k), 0, n - 1)


def _graphs(name: str, n: int, k: int) -> Iterator[Any]:
    """What depends on what in layer after layer; convolutions are dilated by k at each."""
    for level in count():
        yield dependencies(_layer(name, 2, k, level), randn(n, 2, dtype=float64))


def _restricted(s: Settings, report: Report) -> None:
    """Against full attention under a mask."""
    x, r = randn(s.path, s.width, dtype=float64), s.size
    band = tril(ones(s.path, s.path), r) * triu(ones(s.path, s.path), -r)
    full = F.scaled_dot_product_attention(x, x, x, tensor(band.numpy() > 0))
    gap = float((nn.LocalAttention(r)(x, x, x) - full).abs().max())
    report.check("restricted attention against masked full attention", gap, at_most=1e-10)
