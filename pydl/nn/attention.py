"""Attention as layers: multi-head, additive, multiplicative, and restricted to a neighbourhood."""

import math
from functools import partial

from pydl import _C, ops
from pydl.errors import ArgumentError, DtypeError, ShapeError
from pydl.nn import functional as F
from pydl.nn import init
from pydl.nn.linear import Linear
from pydl.nn.module import Module
from pydl.nn.parameter import Parameter
from pydl.ops.attention import FAR, attention, plain_weights, self_attention
from pydl.ops.create import DeviceLike
from pydl.tensor import Tensor

__all__ = ["AdditiveAttention", "LocalAttention", "MultiheadAttention", "MultiplicativeAttention"]


def _blocked(mask: Tensor | None, name: str) -> Tensor | None:
    """A mask whose True hides a key, as one whose True shows it; numbers stay."""
    if mask is None:
        return None
    if mask.dtype is _C.bool:
        return ~mask
    if not mask.array.is_floating:
        raise DtypeError(f"MultiheadAttention: {name} must be bool or floating, got {mask.dtype}")
    return mask


def _joined(a: Tensor | None, b: Tensor | None) -> Tensor | None:
    """One mask that says what both say."""
    if a is None or b is None:
        return b if a is None else a
    if a.dtype is _C.bool and b.dtype is _C.bool:
        return a & b
    numbers = [ops.where(m, 0.0, -math.inf) if m.dtype is _C.bool else m for m in (a, b)]
    total: Tensor = numbers[0] + numbers[1]
    return total


def _empty(*shape: int, device: DeviceLike, dtype: _C.dtype | None) -> Parameter:
    return Parameter(ops.empty(*shape, device=device, dtype=dtype))


class MultiheadAttention(Module):
    """Heads of attention side by side on projections of the inputs, joined by another projection.

    Args:
        embed_dim, num_heads: features of the queries and the output, and the heads that share them.
        dropout: of the attention's weights, in training.
        bias: whether the projections have biases.
        add_bias_kv: a learned key and value behind those of each sequence.
        add_zero_attn: a key and value of zeros behind those.
        kdim, vdim: features of keys and values; embed_dim where left out.
        batch_first: (n, l, e) instead of (l, n, e).
    Attributes: in_proj_weight (3e, e), or q_proj_weight (e, e), k_proj_weight (e, kdim) and v_proj_weight (e, vdim)
        where kdim or vdim differ; in_proj_bias (3e,); bias_k and bias_v (1, 1, e); out_proj.
    Source: Vaswani et al. 2017 (arXiv:1706.03762), section 3.2.2.
    """

    in_proj_weight: Parameter | None
    q_proj_weight: Parameter | None
    k_proj_weight: Parameter | None
    v_proj_weight: Parameter | None
    in_proj_bias: Parameter | None
    bias_k: Parameter | None
    bias_v: Parameter | None

    def __init__(
        self,
        embed_dim: int,
        num_heads: int,
        dropout: float = 0.0,
        bias: bool = True,
        add_bias_kv: bool = False,
        add_zero_attn: bool = False,
        kdim: int | None = None,
        vdim: int | None = None,
        batch_first: bool = False,
        device: DeviceLike = None,
        dtype: _C.dtype | None = None,
    ) -> None:
        super().__init__()
        if embed_dim <= 0 or num_heads <= 0 or embed_dim % num_heads:
            raise ArgumentError(f"MultiheadAttention: {num_heads} heads do not share {embed_dim} features evenly")
        self.embed_dim, self.num_heads, self.dropout = embed_dim, num_heads, dropout
        self.head_dim, self.batch_first, self.add_zero_attn = embed_dim // num_heads, batch_first, add_zero_attn
        self.kdim, self.vdim = embed_dim if kdim is None else kdim, embed_dim if vdim is None else vdim
        made = partial(_empty, device=device, dtype=dtype)
        joint = self.kdim == embed_dim and self.vdim == embed_dim
        self.register_parameter("in_proj_weight", made(3 * embed_dim, embed_dim) if joint else None)
        for name, size in (("q", embed_dim), ("k", self.kdim), ("v", self.vdim)):
            self.register_parameter(f"{name}_proj_weight", None if joint else made(embed_dim, size))
        self.register_parameter("in_proj_bias", made(3 * embed_dim) if bias else None)
        self.out_proj = Linear(embed_dim, embed_dim, bias, device, dtype)
        for name in ("bias_k", "bias_v"):
            self.register_parameter(name, made(1, 1, embed_dim) if add_bias_kv else None)
        self._reset_parameters()

    def _reset_parameters(self) -> None:
        """Projections uniform by Glorot & Bengio's rule, biases 0."""
        for weight in (self.in_proj_weight, self.q_proj_weight, self.k_proj_weight, self.v_proj_weight):
            if weight is not None:
                init.xavier_uniform_(weight)
        for bias in (self.in_proj_bias, self.out_proj.bias):
            if bias is not None:
                init.zeros_(bias)
        for row in (self.bias_k, self.bias_v):
            if row is not None:
                init.xavier_normal_(row)

    def forward(
        self,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        key_padding_mask: Tensor | None = None,
        need_weights: bool = True,
        attn_mask: Tensor | None = None,
        average_attn_weights: bool = True,
        is_causal: bool = False,
    ) -> tuple[Tensor, Tensor | None]:
        """The output, and the weights if asked for: without them nothing of size (l, s) is stored.

        Args:
            query: (l, n, e).   key: (s, n, kdim).   value: (s, n, vdim); the first two axes the other way round with
                batch_first, or without the n.
            key_padding_mask: (n, s); bool, True: the key is hidden; or numbers that are added to its scores.
            need_weights: whether the weights are returned too.
            attn_mask: (l, s) or (n num_heads, l, s); bool, True: the key is hidden; or numbers that are added.
            average_attn_weights: the mean over the heads.
            is_causal: query i sees keys j <= i; attn_mask, if given, is taken to say the same and is not read.
        Returns: the output, shaped like query; None, or weights (n, l, s), or (n, num_heads, l, s) if not averaged. A
            query that sees no key has weights of 0.
        Raises: ShapeError, DtypeError.
        """
        query, key, value, batched = self._batch_in_front(query, key, value)
        if key_padding_mask is not None and not batched:
            key_padding_mask = key_padding_mask.unsqueeze(0)
        n, l, s = *query.shape[:2], key.shape[1]
        mask = self._mask(key_padding_mask, attn_mask, (n, self.num_heads, l, s), is_causal)
        p = self.dropout if self.training else 0.0
        weights = None
        if not need_weights and key is query and value is query and self._one_projection:
            y = self._packed(query, mask, 0 if is_causal else FAR, p)
        else:
            q, k, v = self._projected(query, key, value)
            k, v, mask, above = self._with_extra_keys(k, v, mask, l if is_causal else None)
            if need_weights:
                weights = plain_weights(q, k, mask, scale=self.head_dim**-0.5, above=above).to(q.dtype)
                weights = F.dropout(weights, p) if p else weights
                y = ops.matmul(weights, v)
                weights = weights.mean(1) if average_attn_weights else weights
            else:
                y = attention(q, k, v, mask, above=above, dropout=p)
        y = self.out_proj(y.transpose(1, 2).reshape(n, l, self.embed_dim))
        if not batched:
            return y.squeeze(0), weights if weights is None else weights.squeeze(0)
        return y if self.batch_first else y.transpose(0, 1), weights

    @property
    def _one_projection(self) -> bool:
        """Whether queries, keys and values of one input come from one product, with nothing added."""
        return self.in_proj_weight is not None and self.bias_k is None and not self.add_zero_attn

    def _packed(self, x: Tensor, mask: Tensor | None, above: int, p: float) -> Tensor:
        """Self-attention on (n, l, e) without taking the projection apart: (n, h, l, d)."""
        assert self.in_proj_weight is not None
        made = ops.linear(x, self.in_proj_weight, self.in_proj_bias)
        return self_attention(
            made.reshape(*x.shape[:2], 3, self.num_heads, self.head_dim), mask, above=above, dropout=p
        )

    def _batch_in_front(self, query: Tensor, key: Tensor, value: Tensor) -> tuple[Tensor, Tensor, Tensor, bool]:
        """The inputs as (n, l, e), and whether they had a batch."""
        rank, sizes = query.ndim, (self.embed_dim, self.kdim, self.vdim)
        same = key is query and value is query
        for name, x, size in zip(("query", "key", "value"), (query, key, value), sizes, strict=True):
            if x.ndim not in (2, 3) or x.ndim != rank or x.shape[-1] != size:
                raise ShapeError(
                    f"MultiheadAttention: {name} {x.shape}: expected (l, n, {size}) or (l, {size}), all three alike"
                )
        if rank == 2:
            made = [x.unsqueeze(0) for x in (query, key, value)]
        elif self.batch_first:
            made = [query, key, value]
        else:
            made = [x.transpose(0, 1) for x in (query, key, value)]
        if made[1].shape[:2] != made[2].shape[:2] or made[0].shape[0] != made[1].shape[0]:
            raise ShapeError(
                f"MultiheadAttention: query {query.shape}, key {key.shape} and value {value.shape} do not fit: "
                "expected one batch size, and as many values as keys"
            )
        return made[0], made[0] if same else made[1], made[0] if same else made[2], rank == 3

    def _projected(self, query: Tensor, key: Tensor, value: Tensor) -> list[Tensor]:
        """Queries, keys and values by heads: (n, h, l, d)."""
        e, b = self.embed_dim, self.in_proj_bias
        biases = [None] * 3 if b is None else b.split(e)
        if self.in_proj_weight is not None:
            weights = list(self.in_proj_weight.split(e))
        else:
            weights = [w for w in (self.q_proj_weight, self.k_proj_weight, self.v_proj_weight) if w is not None]
        made = [ops.linear(x, w, c) for x, w, c in zip((query, key, value), weights, biases, strict=True)]
        return [self._heads(x) for x in made]

    def _heads(self, x: Tensor) -> Tensor:
        """(n, l, e) to (n, h, l, d)."""
        made: Tensor = x.reshape(*x.shape[:2], self.num_heads, self.head_dim).transpose(1, 2)
        return made

    def _mask(
        self, padding: Tensor | None, mask: Tensor | None, shape: tuple[int, int, int, int], is_causal: bool
    ) -> Tensor | None:
        """Both masks as one that broadcasts to (n, h, l, s), True for what is seen."""
        n, h, l, s = shape
        padding, mask = _blocked(padding, "key_padding_mask"), _blocked(mask, "attn_mask")
        if padding is not None:
            if padding.shape != (n, s):
                raise ShapeError(f"MultiheadAttention: key_padding_mask {padding.shape}: expected {(n, s)}")
            padding = padding.reshape(n, 1, 1, s)
        if mask is not None:
            if mask.shape not in ((l, s), (n * h, l, s)):
                raise ShapeError(f"MultiheadAttention: attn_mask {mask.shape}: expected {(l, s)} or {(n * h, l, s)}")
            mask = None if is_causal else mask.reshape(n, h, l, s) if mask.ndim == 3 else mask
        return _joined(padding, mask)

    def _with_extra_keys(
        self, k: Tensor, v: Tensor, mask: Tensor | None, causal: int | None
    ) -> tuple[Tensor, Tensor, Tensor | None, int]:
        """k, v and the mask with the learned key and the one of zeros, and how far ahead a query sees by place.

        causal: the number of queries, if each is to see only what is not behind it.
        """
        n, h, s, d = k.shape
        extra_k = [] if self.bias_k is None else [self._heads(self.bias_k.expand(n, 1, h * d))]
        extra_v = [] if self.bias_v is None else [self._heads(self.bias_v.expand(n, 1, h * d))]
        if self.add_zero_attn:
            zeros = ops.zeros(n, h, 1, d, dtype=k.dtype)
            extra_k.append(zeros)
            extra_v.append(zeros)
        if not extra_k:
            return k, v, mask, FAR if causal is None else 0
        if causal is not None:  # by a mask, for everybody sees the extra keys
            mask = _joined(mask, ops.tril(ops.ones(causal, s, dtype=_C.bool)))
        if mask is not None:
            mask = F.pad(mask, (0, len(extra_k)), value=True if mask.dtype is _C.bool else 0.0)
        return ops.cat([k, *extra_k], 2), ops.cat([v, *extra_v], 2), mask, FAR


class AdditiveAttention(Module):
    """Scores by a small network: score(q, k) = v . tanh(W q + U k), as in attention over an encoder's states.

    Args: query_dim, key_dim: features of queries and keys; hidden_dim: of the network; bias: whether it has one.
    Attributes: query_proj, key_proj: Linear; score (hidden_dim,).
    Source: Bahdanau, Cho & Bengio 2015 (arXiv:1409.0473), section A.1.2.
    """

    def __init__(
        self,
        query_dim: int,
        key_dim: int,
        hidden_dim: int,
        bias: bool = False,
        device: DeviceLike = None,
        dtype: _C.dtype | None = None,
    ) -> None:
        super().__init__()
        self.query_proj = Linear(query_dim, hidden_dim, bias, device, dtype)
        self.key_proj = Linear(key_dim, hidden_dim, False, device, dtype)
        self.score = Parameter(ops.empty(hidden_dim, device=device, dtype=dtype))
        bound = 1 / math.sqrt(hidden_dim) if hidden_dim else 0.0
        init.uniform_(self.score, -bound, bound)

    def forward(
        self, query: Tensor, key: Tensor, value: Tensor | None = None, mask: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Contexts and weights.

        Args:
            query: (n, l, query_dim), or (n, query_dim) for one query each.   key: (n, s, key_dim).
            value: (n, s, e); the keys where left out.
            mask: broadcasts to (n, l, s), bool, True: the key is seen; of (n, s) too.
        Returns: (n, l, e) and weights (n, l, s), without the l where query had none.
        Cost: O(n l s hidden_dim) memory.
        """
        one = query.ndim == 2
        q = self.query_proj(query.unsqueeze(1) if one else query)
        hidden = ops.tanh(q.unsqueeze(2) + self.key_proj(key).unsqueeze(1))  # (n, l, s, hidden)
        return _attend(ops.matmul(hidden, self.score), key if value is None else value, mask, one)


class MultiplicativeAttention(Module):
    """Scores by a bilinear form: score(q, k) = q . W k ("general"), or q . k without weights ("dot").

    Args: query_dim, key_dim: features of queries and keys; form: 'general' or 'dot'.
    Attributes: weight (query_dim, key_dim), for 'general': uniform in +-1 / sqrt(key_dim) at first.
    Source: Luong, Pham & Manning 2015 (arXiv:1508.04025), equation 8.
    """

    weight: Parameter | None

    def __init__(
        self,
        query_dim: int,
        key_dim: int,
        form: str = "general",
        device: DeviceLike = None,
        dtype: _C.dtype | None = None,
    ) -> None:
        super().__init__()
        if form not in ("general", "dot") or (form == "dot" and query_dim != key_dim):
            raise ArgumentError(
                f"MultiplicativeAttention: form must be 'general', or 'dot' for keys as wide as queries, got {form!r} "
                f"for {query_dim} and {key_dim}"
            )
        self.form = form
        weight = Parameter(ops.empty(query_dim, key_dim, device=device, dtype=dtype)) if form == "general" else None
        self.register_parameter("weight", weight)
        if weight is not None:
            bound = 1 / math.sqrt(key_dim) if key_dim else 0.0
            init.uniform_(weight, -bound, bound)

    def forward(
        self, query: Tensor, key: Tensor, value: Tensor | None = None, mask: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Contexts and weights: arguments and results as of AdditiveAttention."""
        one = query.ndim == 2
        q = query.unsqueeze(1) if one else query
        q = q if self.weight is None else ops.matmul(q, self.weight)
        return _attend(ops.matmul(q, key.transpose(-1, -2)), key if value is None else value, mask, one)


def _attend(scores: Tensor, value: Tensor, mask: Tensor | None, one: bool) -> tuple[Tensor, Tensor]:
    """Softmax of scores (n, l, s) over what the mask shows, and the sums of the values."""
    if mask is not None:
        if mask.dtype is not _C.bool:
            raise DtypeError(f"attention: the mask must be bool, got {mask.dtype}")
        mask = mask.unsqueeze(1) if mask.ndim == 2 else mask
        scores = ops.where(mask, scores, -math.inf)
        seen = mask.any(-1, keepdim=True)
        weights = ops.where(seen, ops.softmax(ops.where(seen, scores, 0.0), -1), 0.0)
    else:
        weights = ops.softmax(scores, -1)
    context: Tensor = ops.matmul(weights, value)
    return (context.squeeze(1), weights.squeeze(1)) if one else (context, weights)


class LocalAttention(Module):
    """Self-attention restricted to a neighbourhood: token i sees tokens i - r .. i + r, or i - r .. i where causal.

    Args:
        r: how far a token sees to each side.
        causal: whether it sees only what is not behind it.
    Cost: O(l r d) per head: tiles outside the neighbourhood are skipped.
    Source: Vaswani et al. 2017 (arXiv:1706.03762), section 4: restricted self-attention.
    """

    def __init__(self, r: int, causal: bool = False) -> None:
        super().__init__()
        if r < 0:
            raise ArgumentError(f"LocalAttention: r must not be negative, got {r}")
        self.r, self.causal = r, causal

    def forward(self, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        """(..., l, d), (..., l, d) and (..., l, e) -> (..., l, e)."""
        return F.scaled_dot_product_attention(query, key, value, window=(self.r, 0 if self.causal else self.r))

    def extra_repr(self) -> str:
        """Settings."""
        return f"r={self.r}, causal={self.causal}"
