"""Attention is a weighted mean whose weights are a softmax of scaled products; several heads are several of them.

The fused kernel agrees with loops, differentiates, does not care for the order of tokens, takes the mean where scores
are equal, and stores no weights. One head of multi-head attention is attention between linear maps; heads do not see
each other before the last map.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from pydl import Tensor, float64, manual_seed, nn, no_grad, randn, tensor, zeros
from pydl.autograd import grad
from pydl.autograd.gradcheck import gradcheck
from pydl.nn import functional as F
from pydl.recipes.recipe import Recipe, Report, setting

RECIPE = Recipe(
    name="self-attention",
    ids=("N10", "N11"),
    title="Scaled dot-product and multi-head attention, by their definition",
    source="Vaswani et al. 2017 (arXiv:1706.03762), equation 1 and section 3.2.2",
    time="t0",
)
attend = F.scaled_dot_product_attention


@dataclass
class Settings:
    """What can be set on the command line."""

    tokens: int = setting(9, "of the sequence", least=2)
    width: int = setting(12, "features of a token", least=4)
    heads: int = setting(3, "of multi-head attention, a divisor of the width", least=1)
    seed: int = setting(0, "of weights and inputs")


def run(settings: Settings, report: Report) -> None:
    """Checks attention, then multi-head attention."""
    manual_seed(settings.seed)
    _one(settings, report)
    _many(settings, report)


def _gap(a: Any, b: Any) -> float:
    return float(np.abs(np.asarray(a) - np.asarray(b)).max())


def _loops(q: np.ndarray, k: np.ndarray, v: np.ndarray) -> np.ndarray:
    out = np.zeros((len(q), v.shape[1]))
    for i, row in enumerate(q):
        scores = [sum(a * b for a, b in zip(row, key, strict=True)) / len(row) ** 0.5 for key in k]
        e = [np.exp(score - max(scores)) for score in scores]
        for w, value in zip(e, v, strict=True):
            out[i] += w / sum(e) * value
    return out


def _one(s: Settings, report: Report) -> None:
    q, k, v = (randn(s.tokens, s.width, dtype=float64) for _ in range(3))
    y = attend(q, k, v).numpy()
    report.check("against loops", _gap(y, _loops(q.numpy(), k.numpy(), v.numpy())), at_most=1e-12)
    xs = [x.detach().requires_grad_() for x in (q[:4, :3], k[:4, :3], v[:4, :3])]
    report.check("gradients are those of finite differences", gradcheck(attend, xs), equals=True)
    order = np.random.default_rng(s.seed).permutation(s.tokens)
    x = q.numpy()
    moved = tensor(x[order])
    report.check(
        "tokens in another order", _gap(attend(moved, moved, moved), attend(q, q, q).numpy()[order]), at_most=1e-12
    )
    same = attend(zeros(s.tokens, s.width, dtype=float64), k, v).numpy()
    report.check("equal scores: the mean of the values", _gap(same, v.numpy().mean(0)), at_most=1e-12)
    many = randn(2000, 64), randn(2000, 64)
    scores = (many[0] * many[1]).sum(-1).numpy() / 64**0.5
    report.check("variance of a score of unit Gaussian vectors", float(scores.var()), at_least=0.9, at_most=1.1)
    a, b, c = (randn(1, 2, 300, 32) for _ in range(3))
    plain = F.softmax(a @ b.transpose(-1, -2) / 32**0.5, -1) @ c
    report.check("fused kernel against its definition, float32", _gap(attend(a, b, c), plain), at_most=1e-5)


def _many(s: Settings, report: Report) -> None:
    d, x = s.width, randn(1, s.tokens, s.width, dtype=float64)
    one = nn.MultiheadAttention(d, 1, batch_first=True, dtype=float64)
    assert one.in_proj_weight is not None and one.in_proj_bias is not None
    with no_grad():
        q, k, v = F.linear(x, one.in_proj_weight, one.in_proj_bias).chunk(3, -1)
        gap = _gap(one(x, x, x)[0], one.out_proj(attend(q, k, v)))
    report.check("one head is attention between linear maps", gap, at_most=1e-12)
    net = nn.MultiheadAttention(d, s.heads, batch_first=True, dtype=float64)
    report.check("parameters", sum(p.numel() for p in net.parameters()), equals=4 * d * d + 4 * d)
    report.check("gradients across heads before the last map", _leak(net, x, s), equals=0.0)


def _leak(net: nn.MultiheadAttention, x: Tensor, s: Settings) -> float:
    """The largest derivative of one head's outputs by the projections of another: with the last map the identity,
    outputs are the heads side by side."""
    d, each = s.width, s.width // s.heads
    with no_grad():
        net.out_proj.weight[:] = tensor(np.eye(d))
        for p in (net.in_proj_bias, net.out_proj.bias):
            assert p is not None
            p[:] = 0.0
    assert net.in_proj_weight is not None
    y, _ = net(x, x, x)
    worst = 0.0
    for head in range(s.heads):
        (g,) = grad([y[..., head * each : (head + 1) * each].sum()], [net.in_proj_weight], retain_graph=True)
        assert g is not None
        rows = g.numpy().reshape(3, s.heads, each, d)
        worst = max(worst, float(np.abs(np.delete(rows, head, 1)).max(initial=0)))
    return worst
