"""Attention as a function of queries, keys and values."""

from pydl import _C
from pydl.autograd.mode import mode
from pydl.errors import ArgumentError, DtypeError, ShapeError
from pydl.ops import Generator, repeat_interleave, reshape
from pydl.ops.attention import FAR, attention, common_lead, heads_of
from pydl.ops.precision import lowered
from pydl.tensor import Tensor

__all__ = ["scaled_dot_product_attention"]

_NAME = "scaled_dot_product_attention"


def _check(query: Tensor, key: Tensor, value: Tensor, attn_mask: Tensor | None, dropout_p: float) -> None:
    for x in (query, key, value):
        if not isinstance(x, Tensor):
            raise DtypeError(f"{_NAME}: expected tensors, got {type(x).__name__}")
        if not x.array.is_floating or x.dtype is not query.dtype:
            kinds = f"{query.dtype}, {key.dtype}, {value.dtype}"
            raise DtypeError(f"{_NAME}: expected query, key and value of one floating dtype, got {kinds}")
    flat = min(x.ndim for x in (query, key, value)) < 2
    if not flat and (query.shape[-1] != key.shape[-1] or key.shape[-2] != value.shape[-2]):
        raise ShapeError(
            f"{_NAME}: query {query.shape}, key {key.shape} and value {value.shape} do not fit: expected (..., l, d), "
            "(..., s, d) and (..., s, e)"
        )
    if attn_mask is not None and not (
        isinstance(attn_mask, Tensor) and (attn_mask.dtype is _C.bool or attn_mask.array.is_floating)
    ):
        kind = attn_mask.dtype if isinstance(attn_mask, Tensor) else type(attn_mask).__name__
        raise DtypeError(f"{_NAME}: attn_mask must be a tensor of bools or floating numbers, got {kind}")
    if not 0.0 <= dropout_p <= 1.0:
        raise ArgumentError(f"{_NAME}: dropout_p must be in [0, 1], got {dropout_p}")


def _shared_heads(query: Tensor, key: Tensor, value: Tensor) -> tuple[Tensor, Tensor]:
    """key and value with one number of heads, a divisor of the queries'."""
    h, hk, hv = query.shape[-3], key.shape[-3], value.shape[-3]
    if not hk or not hv or h % hk or h % hv:
        raise ShapeError(f"{_NAME}: {hk} and {hv} heads of key and value do not divide the query's {h}")
    if hk == hv:
        return key, value
    return repeat_interleave(key, h // hk, -3), repeat_interleave(value, h // hv, -3)


def scaled_dot_product_attention(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attn_mask: Tensor | None = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    scale: float | None = None,
    enable_gqa: bool = False,
    *,
    key_lengths: Tensor | None = None,
    window: tuple[int | None, int | None] | None = None,
    generator: Generator | None = None,
) -> Tensor:
    """softmax(scale query key^T + mask) value, fused: the (l, s) weights are never stored.

    Args:
        query: (..., h, l, d).   key: (..., h, s, d).   value: (..., h, s, e); axes in front broadcast.
        attn_mask: broadcasts to (..., h, l, s); bool (True: seen) or numbers that are added to the scores.
        dropout_p: the probability that a weight becomes 0; apply it in training only.
        is_causal: query i sees keys j <= i; together with attn_mask both hold.
        scale: 1 / sqrt(d) where left out.
        enable_gqa: key and value may have fewer heads, each of which serves h / h' heads of queries in turn.
        key_lengths: (b,) integers, b the product of the axes before the heads: keys from there on do not count and
            are not read.
        window: (left, right): query i sees the keys i - left .. i + right; None: no bound on that side.
    Returns: (..., h, l, e); 0 where a query sees no key. Raises: ShapeError, DtypeError, BoundsError, ArgumentError.
    Cost: 2 l s (d + e) flop per head, half of it where causal; O(l + s) extra memory. A mask that requires gradients
        takes O(l s).
    Source: Vaswani et al. 2017 (arXiv:1706.03762), equation 1; Dao 2023 (arXiv:2307.08691).
    """
    if mode.cast is not None:
        query, key, value = lowered(query, key, value)
        (attn_mask,) = lowered(attn_mask)
    _check(query, key, value, attn_mask, dropout_p)
    lead, shared = common_lead(_NAME, query, key, value, enable_gqa)
    if enable_gqa:
        key, value = _shared_heads(query, key, value)
        shared = (*shared[:-1], key.shape[-3])
    q, k, v = heads_of(query, lead), heads_of(key, shared), heads_of(value, shared)
    l, s = q.shape[-2], k.shape[-2]
    mask = attn_mask
    if mask is not None:
        if mask.ndim > len(lead) + 2 or any(
            m not in (1, n) for m, n in zip(reversed(mask.shape), reversed((*lead, l, s)), strict=False)
        ):
            raise ShapeError(f"{_NAME}: attn_mask {mask.shape} does not broadcast to {(*lead, l, s)}")
        mask = heads_of(mask, lead) if mask.ndim > 1 else reshape(mask, [1] * 3 + [mask.shape[0] if mask.ndim else 1])
    below, above = (FAR if side is None else int(side) for side in window or (None, None))
    if is_causal:
        above = min(above, 0)
    lengths = None if key_lengths is None else key_lengths.to(_C.int64)
    y = attention(q, k, v, mask, lengths, scale=scale, below=below, above=above, dropout=dropout_p, generator=generator)
    return y if query.ndim == 4 and len(lead) == 2 else reshape(y, [*lead, l, v.shape[-1]])
