"""GPT-2: a decoder-only Transformer, top to bottom, with a cache for decoding and the weights of Hugging Face by name.

Axes: b sequences, t tokens, h heads, d features of a head, c = h d features of a token, v vocabulary.
Source: Radford et al. 2019, Language models are unsupervised multitask learners.
"""

import json
import math
import os
from dataclasses import dataclass
from typing import Any

from pydl import _C, nn, ops
from pydl.autograd.mode import no_grad
from pydl.errors import ArgumentError, BoundsError, CheckpointError, ShapeError
from pydl.nn import functional as F
from pydl.nn import init
from pydl.ops.attention import attention, cached_attention, self_attention
from pydl.serialize import load
from pydl.tensor import Tensor

__all__ = ["GPT", "GPTConfig", "GPTState"]


@dataclass(frozen=True)
class GPTConfig:
    """Sizes; the defaults are those of the small GPT-2, with 124 million parameters.

    Attributes:
        vocab_size, block_size: tokens in the vocabulary, and in the longest sequence.
        n_layer, n_head, n_embd: blocks, heads in each, features of a token.
        dropout: behind the embeddings, on the attention's weights and at the end of both halves of a block.
        bias: whether linear layers and norms have biases.
    """

    vocab_size: int = 50257
    block_size: int = 1024
    n_layer: int = 12
    n_head: int = 12
    n_embd: int = 768
    dropout: float = 0.0
    bias: bool = True


@dataclass(frozen=True)
class GPTState:
    """The tokens that decoding has seen: the first `length` keys and values of each block's memory.

    Attributes: length: in a `Step`, int64 (1,). mask: bool (b, length), False where there was padding; None: there was
        none.
    """

    length: int | Tensor
    memory: "Memory"
    mask: Tensor | None = None


class Memory:
    """Keys and values of each block, (b, h, room, d), of which `filled` are written."""

    def __init__(self, keys: list[Tensor], values: list[Tensor], filled: int = 0) -> None:
        self.keys, self.values, self.filled = keys, values, filled

    def with_room(self, length: int, more: int, most: int) -> "Memory":
        """Memory whose first `length` places are these and where `more` can be written: itself if nobody else has."""
        room = self.keys[0].shape[2]
        if self.filled == length and length + more <= room:
            return self
        wanted = min(most, max(2 * room, length + more)) if length + more > room else room
        grown = [[_moved(x, length, wanted) for x in side] for side in (self.keys, self.values)]
        return Memory(grown[0], grown[1], length)

    def attend(self, layer: int, length: int | Tensor, qkv: Tensor, seen: Tensor | None) -> Tensor:
        """(b, t, 3, h, d) -> (b, t, c) of tokens behind the first `length`; their keys and values are written there."""
        keys, values = self.keys[layer], self.values[layer]
        if isinstance(length, int):
            self.filled = length + qkv.shape[1]
            return cached_attention(qkv, keys, values, length, seen)
        b, _, _, h, d = qkv.shape
        q, k, v = qkv.reshape(b, 3, h, 1, d).unbind(1)
        keys.index_copy_(2, length, k)
        values.index_copy_(2, length, v)
        return attention(q, keys, values, lengths=(length + 1).expand(b)).reshape(b, 1, h * d)


class Step:
    """Decoding of one token after the other, as a function of the token alone: ids (b, 1) to logits (b, v).

    The place is an array that each call moves on, so that a recording of one call serves all places:

        step = pydl.capture(gpt.step(state, 64))

    Without gradients. Attributes: state: with the number of tokens so far as an array.
    Raises: BoundsError when the memory is full.
    """

    def __init__(self, model: "GPT", state: GPTState) -> None:
        self.model, self.state = model, state

    def __call__(self, ids: Tensor) -> Tensor:
        if ids.ndim != 2 or ids.shape[1] != 1:
            raise ShapeError(f"GPT.step: expected ids (b, 1), got {ids.shape}")
        with no_grad():
            logits: Tensor = self.model.lm_head(self.model._hidden(ids, self.state)[:, -1])
            self.state.length.add_(1)  # type: ignore[union-attr]
        return logits


def _length(state: GPTState) -> int:
    if not isinstance(state.length, int):
        raise ArgumentError("GPT: the state of a step: expected one that decode returned")
    return state.length


def _as_mask(mask: Tensor | None, ids: Tensor) -> Tensor | None:
    """bool (b, t)."""
    if mask is None:
        return None
    if mask.shape != ids.shape:
        raise ShapeError(f"GPT: attention_mask {mask.shape} does not match ids {ids.shape}")
    return mask if mask.dtype is _C.bool else mask != 0


def _joined(state: GPTState, mask: Tensor | None, ids: Tensor) -> Tensor | None:
    """The mask of the tokens of a state and of those behind them; None where there is no padding."""
    if mask is None and state.mask is None:
        return None
    parts = [(state.mask, (ids.shape[0], state.length)), (mask, ids.shape)]
    return ops.cat([ops.ones(*shape, dtype=_C.bool, device=ids.device) if m is None else m for m, shape in parts], 1)


def _moved(x: Tensor, length: int, room: int) -> Tensor:
    b, h, _, d = x.shape
    y = ops.zeros(b, h, room, d, dtype=x.dtype, device=x.device)
    y[:, :, :length] = x[:, :, :length]
    return y


class CausalSelfAttention(nn.Module):
    """Heads side by side; each token sees itself and what came before."""

    def __init__(self, config: GPTConfig) -> None:
        super().__init__()
        self.heads, self.dropout = config.n_head, config.dropout
        self.c_attn = nn.Linear(config.n_embd, 3 * config.n_embd, config.bias)
        self.c_proj = nn.Linear(config.n_embd, config.n_embd, config.bias)
        self.resid_dropout = nn.Dropout(config.dropout)

    def forward(self, x: Tensor, layer: int = 0, state: GPTState | None = None, seen: Tensor | None = None) -> Tensor:
        """(b, t, c) -> (b, t, c); seen: bool (b, 1, 1, s), the keys that are not padding."""
        b, t, c = x.shape
        qkv = self.c_attn(x).reshape(b, t, 3, self.heads, c // self.heads)
        if state is None:
            y = self_attention(qkv, seen, above=0, dropout=self.dropout if self.training else 0.0)
            y = y.transpose(1, 2).reshape(b, t, c)
        else:
            y = state.memory.attend(layer, state.length, qkv, seen)
        out: Tensor = self.resid_dropout(self.c_proj(y))
        return out


class MLP(nn.Module):
    """Four times as wide within, with gelu by tanh."""

    def __init__(self, config: GPTConfig) -> None:
        super().__init__()
        self.c_fc = nn.Linear(config.n_embd, 4 * config.n_embd, config.bias)
        self.c_proj = nn.Linear(4 * config.n_embd, config.n_embd, config.bias)
        self.dropout = nn.Dropout(config.dropout)

    def forward(self, x: Tensor) -> Tensor:
        """(b, t, c) -> (b, t, c)."""
        y: Tensor = self.dropout(self.c_proj(F.gelu(self.c_fc(x), "tanh")))
        return y


class Block(nn.Module):
    """Attention, then the two-layer network, each behind a norm and added to what came in."""

    def __init__(self, config: GPTConfig) -> None:
        super().__init__()
        self.ln_1 = nn.LayerNorm(config.n_embd, bias=config.bias)
        self.attn = CausalSelfAttention(config)
        self.ln_2 = nn.LayerNorm(config.n_embd, bias=config.bias)
        self.mlp = MLP(config)

    def forward(self, x: Tensor, layer: int = 0, state: GPTState | None = None, seen: Tensor | None = None) -> Tensor:
        """(b, t, c) -> (b, t, c)."""
        x = x + self.attn(self.ln_1(x), layer, state, seen)
        y: Tensor = x + self.mlp(self.ln_2(x))
        return y


class GPT(nn.Module):
    """Token and position embeddings, blocks, a norm, and logits by the token embedding itself.

    Args: config: the sizes; its fields may be given as keywords instead.
    Attributes: context: the longest sequence. Its parameters have the names of Hugging Face's GPT2LMHeadModel.
    """

    transformer: Any  # its parts are of many kinds

    def __init__(self, config: GPTConfig | None = None, **sizes: Any) -> None:
        super().__init__()
        self.config = config = config if config is not None else GPTConfig(**sizes)
        if config.n_embd % config.n_head:
            raise ArgumentError(f"GPT: {config.n_head} heads do not share {config.n_embd} features evenly")
        self.context = config.block_size
        self.transformer = nn.ModuleDict({
            "wte": nn.Embedding(config.vocab_size, config.n_embd),
            "wpe": nn.Embedding(config.block_size, config.n_embd),
            "drop": nn.Dropout(config.dropout),
            "h": nn.ModuleList([Block(config) for _ in range(config.n_layer)]),
            "ln_f": nn.LayerNorm(config.n_embd, bias=config.bias),
        })  # fmt: skip
        self.lm_head = nn.Linear(config.n_embd, config.vocab_size, bias=False)
        self.lm_head.weight = self.transformer["wte"].weight
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Weights N(0, 0.02^2), those that end in a sum over 2 n_layer branches smaller by its root; biases 0."""
        small = 0.02 / math.sqrt(2 * self.config.n_layer) if self.config.n_layer else 0.02
        for name, p in self.named_parameters():
            if p.ndim > 1:
                init.normal_(p, 0.0, small if name.endswith("c_proj.weight") else 0.02)
            elif name.endswith("bias"):
                init.zeros_(p)

    def forward(self, ids: Tensor, targets: Tensor | None = None, attention_mask: Tensor | None = None) -> Any:
        """ids (b, t) -> logits (b, t, v); with targets (b, t), of which -1 does not count, also their mean loss.

        attention_mask: (b, t), 0 or False for padding, which no token sees and no position counts; where it is on the
        left, as generation needs it, each sequence has the logits that it has alone.
        """
        logits = self.lm_head(self._hidden(ids, None, _as_mask(attention_mask, ids)))
        if targets is None:
            return logits
        v = logits.shape[-1]
        return logits, F.cross_entropy(logits.reshape(-1, v), targets.reshape(-1), ignore_index=-1)

    def _hidden(self, ids: Tensor, state: GPTState | None, mask: Tensor | None = None) -> Tensor:
        """(b, t) -> (b, t, c), the tokens behind those of the state; mask: of all tokens, those of the state too."""
        if ids.ndim != 2:
            raise ShapeError(f"GPT: expected ids (b, t), got {ids.shape}")
        start, parts = state.length if state else 0, self.transformer
        seen = None
        if isinstance(start, Tensor):
            places = parts["wpe"](start)
        elif start + ids.shape[1] > self.context:
            raise BoundsError(f"GPT: {start + ids.shape[1]} tokens: expected at most {self.context}")
        elif mask is None:
            places = parts["wpe"](ops.arange(start, start + ids.shape[1], device=ids.device))
        else:
            counted = (mask.to(_C.int64).cumsum(1) - 1).clamp(min=0)[:, start:]
            places, seen = parts["wpe"](counted), mask.unsqueeze(1).unsqueeze(1)
        x = parts["drop"](parts["wte"](ids) + places)
        for layer, block in enumerate(parts["h"]):
            x = block(x, layer, state, seen)
        y: Tensor = parts["ln_f"](x)
        return y

    # ---- decoding: see pydl.models.generation

    def decode(
        self, ids: Tensor, state: GPTState | None = None, attention_mask: Tensor | None = None
    ) -> tuple[Tensor, GPTState]:
        """The next token's logits (b, v) behind ids (b, t), and the state to go on with.

        Without gradients; a state stays as it was and may be gone on from more than once. attention_mask: of ids, as of
        `forward`; the last token of each sequence must not be padding.
        """
        if ids.ndim != 2 or ids.shape[1] == 0:
            raise ShapeError(f"GPT.decode: expected ids (b, t) with at least one token, got {ids.shape}")
        b, t = ids.shape
        with no_grad():
            state = state if state is not None else GPTState(0, self._memory(b, t))
            length, memory = self._room(state, t)
            mask = _joined(state, _as_mask(attention_mask, ids), ids)
            x = self._hidden(ids, GPTState(length, memory), mask)
            return self.lm_head(x[:, -1]), GPTState(length + t, memory, mask)

    def step(self, state: GPTState, count: int) -> Step:
        """Goes on from a state by `count` tokens, one in each call, as a function that `pydl.capture` takes.

        Raises: ArgumentError for a state with padding; BoundsError if the tokens are more than the context.
        """
        if state.mask is not None:
            raise ArgumentError("GPT.step: the state has padding: expected none")
        with no_grad():
            length, memory = self._room(state, count)
        memory.filled = length + count
        return Step(self, GPTState(ops.full((1,), length, dtype=_C.int64, device=memory.keys[0].device), memory))

    def _room(self, state: GPTState, more: int) -> tuple[int, Memory]:
        """The length of a state, and its memory with room for more."""
        length = _length(state)
        if length + more > self.context:
            raise BoundsError(f"GPT: {length + more} tokens: expected at most {self.context}")
        return length, state.memory.with_room(length, more, self.context)

    def select(self, state: GPTState, rows: Tensor) -> GPTState:
        """The state of the sequences `rows`, (b',), in that order."""
        keys, values = ([x.index_select(0, rows) for x in side] for side in (state.memory.keys, state.memory.values))
        mask = None if state.mask is None else state.mask.index_select(0, rows)
        return GPTState(state.length, Memory(keys, values, _length(state)), mask)

    def _memory(self, b: int, t: int) -> Memory:
        c = self.config
        shape = (b, c.n_head, min(self.context, max(2 * t, 64)), c.n_embd // c.n_head)
        w = self.lm_head.weight
        sides = [[ops.zeros(*shape, dtype=w.dtype, device=w.device) for _ in range(c.n_layer)] for _ in range(2)]
        return Memory(sides[0], sides[1])

    # ---- weights of Hugging Face

    def load_gpt2(self, path: str | os.PathLike[str]) -> "GPT":
        """Takes the weights of a GPT-2 that `transformers` saved, from its safetensors file; returns itself.

        Raises: CheckpointError if the sizes or names are not this model's; FileFormatError; MissingExtraError.
        """
        found = load(path)
        if not isinstance(found, dict):
            raise CheckpointError(f"load_gpt2: {os.fspath(path)} does not hold named tensors")
        entries = {}
        for key, value in found.items():
            name = key if key.startswith(("transformer.", "lm_head.")) else f"transformer.{key}"
            if name.endswith((".attn.bias", ".attn.masked_bias")):
                continue  # the causal mask, which older files hold
            turned = name.endswith(("c_attn.weight", "c_proj.weight", "c_fc.weight"))  # kept as (in, out)
            entries[name] = value.t() if turned else value
        entries.setdefault("lm_head.weight", entries.get("transformer.wte.weight"))
        self.load_state_dict(entries)
        return self

    @classmethod
    def from_gpt2(cls, folder: str | os.PathLike[str], dropout: float = 0.0) -> "GPT":
        """The GPT-2 in a folder that `transformers` saved: config.json and model.safetensors."""
        with open(os.path.join(folder, "config.json"), encoding="utf-8") as file:
            found = json.load(file)
        if found.get("model_type") != "gpt2" or found.get("activation_function", "gelu_new") != "gelu_new":
            raise CheckpointError(f"from_gpt2: {os.fspath(folder)} does not hold a GPT-2")
        names = {"vocab_size": "vocab_size", "block_size": "n_positions", "n_layer": "n_layer", "n_head": "n_head",
                 "n_embd": "n_embd"}  # fmt: skip
        try:
            config = GPTConfig(**{ours: found[theirs] for ours, theirs in names.items()}, dropout=dropout)
        except KeyError as error:
            raise CheckpointError(f"from_gpt2: config.json lacks {error}") from None
        return cls(config).load_gpt2(os.path.join(folder, "model.safetensors"))
