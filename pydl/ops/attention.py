"""Scaled dot-product attention, fused: neither way are the weights stored, so memory grows with the sequences alone.

The gradients of a gradient, and that of a mask, are those of the plain definition.
"""

import math
from typing import Any

from pydl import _C
from pydl.autograd.mode import mode
from pydl.autograd.op import Op
from pydl.errors import ShapeError
from pydl.ops.compare import where
from pydl.ops.elementary import exp
from pydl.ops.gemm import matmul
from pydl.ops.random import Generator, default_generator
from pydl.ops.reduce import amax
from pydl.ops.reduce import sum as sum_over
from pydl.ops.shape import broadcast_shape, expand, reshape, transpose, unsqueeze
from pydl.tensor import Tensor

__all__: list[str] = []

FAR = 1 << 40  # a distance that no sequence reaches


def _wide(x):
    """16-bit floats are computed in float32."""
    return x.to(_C.float32) if x.dtype in (_C.bfloat16, _C.float16) else x


def _for_each_query_head(x, heads):
    """(b, h', s, d) to (b, h, s, d): each head serves h / h' heads of queries."""
    b, shared, s, d = x.shape
    if shared == heads:
        return x
    return reshape(expand(unsqueeze(x, 2), [b, shared, heads // shared, s, d]), [b, heads, s, d])


def _seen(t, s, lengths, below, above, device):
    """(t, s) or (b, 1, t, s) bool: the keys that a query sees, by place."""
    i = reshape(Tensor(_C.arange(0, t, 1, _C.int64, device)), [t, 1])
    j = Tensor(_C.arange(0, s, 1, _C.int64, device))
    near = (j >= i - below) & (j <= i + above)
    return near if lengths is None else near & (j < reshape(lengths, [-1, 1, 1, 1]))


def plain_weights(
    q: Tensor,
    k: Tensor,
    mask: Tensor | None = None,
    lengths: Tensor | None = None,
    *,
    scale: float,
    below: int = FAR,
    above: int = FAR,
) -> Tensor:
    """(b, h, t, s): the softmax of the scores; a row of zeros where a query sees nothing."""
    scores = matmul(_wide(q) * scale, transpose(_for_each_query_head(_wide(k), q.shape[1]), -1, -2))
    if mask is not None:
        scores = where(mask, scores, -math.inf) if mask.dtype is _C.bool else scores + mask.to(scores.dtype)
    if lengths is not None or below < FAR or above < FAR:
        scores = where(_seen(q.shape[2], k.shape[2], lengths, below, above, q.device), scores, -math.inf)
    if k.shape[2] == 0:
        return scores
    top = amax(scores.detach(), -1, True)
    e = exp(scores - where(top == -math.inf, 0.0, top))
    total = sum_over(e, -1, True)
    return e / where(total == 0, 1.0, total)


def _attention_plain(q, k, v, mask, lengths, rng, scale, below, above, dropout):
    w = plain_weights(q, k, mask, lengths, scale=scale, below=below, above=above)
    if dropout:
        kept = Tensor(_C.attention_kept(dropout, rng.array, w.shape))
        w = w * (kept.to(w.dtype) * (1 / (1 - dropout) if dropout < 1 else 0.0))
    return matmul(w, _for_each_query_head(_wide(v), q.shape[1])).to(q.dtype)


def _gradients(g, inputs, y, lse, attrs):
    """Those of q, k and v, by one kernel; outside the graph."""
    arrays = [None if x is None else x.array for x in inputs]
    made = _C.attention_grad(g.array, *arrays, y.array, lse.array, **attrs)
    return (*map(Tensor, made), None, None, None)


def _beyond_kernels(g, mask):
    """Whether only the definition has the gradient: differentiable again, of the mask, of vmap's examples."""
    return mode.enabled or (mask is not None and mask.requires_grad) or not isinstance(g.array, _C.Array)


class Attention(Op):
    """q (b, h, t, d), k (b, h', s, d), v (b, h', s, e); see csrc/runtime/table/attention.h."""

    reference = _attention_plain
    saves_output = True

    def kernel(q, k, v, mask, lengths, rng, scale, below, above, dropout):
        return _C.attention(q, k, v, mask, lengths, rng, scale, below, above, dropout)

    def vjp(g, q, k, v, mask, lengths, rng, y, lse, **attrs):
        if _beyond_kernels(g, mask):
            return None
        return _gradients(g, (q, k, v, mask, lengths, rng), y, lse, attrs)


def _packed_plain(x, mask, lengths, rng, **attrs):
    return _attention_plain(*(transpose(x[:, :, i], 1, 2) for i in range(3)), mask, lengths, rng, **attrs)


def _packed_gradient(g, inputs, y, lse, attrs):
    """That of x, written where each part belongs; outside the graph."""
    arrays = [None if x is None else x.array for x in inputs]
    return Tensor(_C.attention_packed_grad(g.array, *arrays, y.array, lse.array, **attrs)), None, None, None


class PackedAttention(Op):
    """Queries, keys and values in one array x (b, t, 3, h, d), as one projection makes them, and so its gradient."""

    reference = _packed_plain
    saves_output = True

    def kernel(x, mask, lengths, rng, scale, below, above, dropout):
        return _C.attention_packed(x, mask, lengths, rng, scale, below, above, dropout)

    def vjp(g, x, mask, lengths, rng, y, lse, **attrs):
        if _beyond_kernels(g, mask):
            return None
        return _packed_gradient(g, (x, mask, lengths, rng), y, lse, attrs)


def attention(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    mask: Tensor | None = None,
    lengths: Tensor | None = None,
    *,
    scale: float | None = None,
    below: int = FAR,
    above: int = FAR,
    dropout: float = 0.0,
    generator: Generator | None = None,
) -> Tensor:
    """softmax(scale q k^T + mask) v, without storing the (t, s) weights.

    Args:
        q: (b, h, t, d).   k: (b, h', s, d).   v: (b, h', s, e), with h' a divisor of h.
        mask: broadcasts to (b, h, t, s); bool (True: seen) or numbers that are added to the scores.
        lengths: (b,) int64, the keys that each example has; all s where left out.
        scale: 1 / sqrt(d) where left out.
        below, above: query i sees the keys i - below .. i + above; above = s - t for causal decoding with a cache.
        dropout: the probability that a weight becomes 0; the others are divided by 1 - dropout.
    Returns: (b, h, t, e); 0 where a query sees nothing. Raises: ShapeError, DtypeError, BoundsError, ArgumentError.
    Cost: 2 t s (d + e) flop per head, of which tiles without a seen key are skipped; O(t + s) extra memory.
    Source: Dao 2023 (arXiv:2307.08691).
    """
    options = _options(q.shape[-1], scale, below, above, dropout)
    ticket = _ticket((*q.shape[:3], k.shape[-2]), dropout, generator, q)
    return Attention.apply(q, k, v, mask, lengths, ticket, **options)


def self_attention(
    x: Tensor,
    mask: Tensor | None = None,
    lengths: Tensor | None = None,
    *,
    scale: float | None = None,
    below: int = FAR,
    above: int = FAR,
    dropout: float = 0.0,
    generator: Generator | None = None,
) -> Tensor:
    """attention of the queries x[:, :, 0], keys x[:, :, 1] and values x[:, :, 2], without taking x apart.

    Args: x: (b, t, 3, h, d); the others as of `attention`. Returns: (b, h, t, d).
    """
    if x.ndim != 5:
        raise ShapeError(f"attention: expected (b, t, 3, h, d), got {x.shape}")
    b, t, _, h, d = x.shape
    options = _options(d, scale, below, above, dropout)
    return PackedAttention.apply(x, mask, lengths, _ticket((b, h, t, t), dropout, generator, x), **options)


def cached_attention(x: Tensor, keys: Tensor, values: Tensor, length: int, mask: Tensor | None = None) -> Tensor:
    """Self-attention of new tokens that also see those before, for decoding: causal, outside the graph.

    Args:
        x: (b, t, 3, h, d), queries, keys and values of the new tokens.
        keys, values: (b, h, room, d), of which the first `length` are there; those of x are written behind them.
        mask: broadcasts to (b, h, t, length + t).
    Returns: (b, t, h * d). Raises: ShapeError, DtypeError.
    """
    hidden = None if mask is None else mask.array
    scale = 1 / math.sqrt(x.shape[-1]) if x.shape[-1] else 1.0
    return Tensor(_C.attention_cached(x.array, keys.array, values.array, length, hidden, scale))


def _ticket(shape: tuple[int, ...], dropout: float, generator: Generator | None, x: Tensor) -> Tensor | None:
    """The random numbers of one call, if it needs any, where x is."""
    if not dropout > 0:
        return None
    made = Tensor(_C.attention_ticket((default_generator if generator is None else generator).array, shape))
    return made.to(x.device)


def _options(width: int, scale: float | None, below: int, above: int, dropout: float) -> dict[str, Any]:
    if scale is None:
        scale = 1 / math.sqrt(width) if width else 1.0
    return {"scale": float(scale), "below": below, "above": above, "dropout": float(dropout)}


def heads_of(x: Tensor, lead: tuple[int, ...]) -> Tensor:
    """x (..., n, d) expanded to (*lead, n, d) and seen with four axes."""
    n, d = x.shape[-2:]
    if x.shape[:-2] != lead:
        x = expand(x, [*lead, n, d])
    if x.ndim == 4:
        return x
    b = math.prod(lead[:-1]) if len(lead) > 1 else 1
    return reshape(x, [b, lead[-1] if lead else 1, n, d])


def common_lead(name: str, q: Tensor, k: Tensor, v: Tensor, grouped: bool) -> tuple[Any, Any]:
    """The axes in front of (n, d) that queries, and keys and values, broadcast to; grouped: but for the heads."""
    for x in (q, k, v):
        if x.ndim < (3 if grouped else 2):
            raise ShapeError(f"{name}: expected (..., {'h, ' * grouped}n, d), got {x.shape}")
    if not grouped:
        lead = broadcast_shape(name, q.shape[:-2], k.shape[:-2], v.shape[:-2])
        return lead, lead
    batch = broadcast_shape(name, q.shape[:-3], k.shape[:-3], v.shape[:-3])
    return (*batch, q.shape[-3]), (*batch, k.shape[-3])
