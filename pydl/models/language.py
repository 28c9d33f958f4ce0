"""Recurrent language models. Axes: b sequences, t tokens, v vocabulary, l layers."""

import math
from typing import Any

from pydl import _C, nn, ops
from pydl.errors import ArgumentError, ShapeError
from pydl.nn import functional as F
from pydl.nn.utils.rnn import pack_padded_sequence
from pydl.ops.random import Generator
from pydl.tensor import Tensor

__all__ = ["RNNLanguageModel", "detach_state", "unroll"]

_LAYERS = {"lstm": nn.LSTM, "gru": nn.GRU, "rnn_tanh": nn.RNN, "rnn_relu": nn.RNN}


class RNNLanguageModel(nn.Module):
    """p(token | the tokens before it) from a recurrent network, of characters or words alike.

    Embedding -> dropout -> recurrent layers with dropout between them -> dropout -> linear. In training each step gets
    the true tokens before it (teacher forcing); the returned state carries on from one stretch of text to the next.

    Args:
        vocab_size: v.
        embedding_dim: of the tokens' vectors.
        hidden_size: units of each layer.
        num_layers: l.
        rnn: 'lstm', 'gru', 'rnn_tanh' or 'rnn_relu'.
        dropout: probability, at the places above.
        tie_weights: the output layer's weight is the embedding's; needs embedding_dim == hidden_size.
    Shapes: ids int64 (b, t) and a state or None -> logits (b, t, v) and the state behind the last token.
    Raises: ArgumentError.
    Source: Mikolov et al. 2010; dropout: Zaremba, Sutskever & Vinyals 2014 (arXiv:1409.2329); tying: Press & Wolf 2017
        (arXiv:1608.05859), Inan, Khosravi & Socher 2017 (arXiv:1611.01462).
    """

    def __init__(
        self,
        vocab_size: int,
        embedding_dim: int = 64,
        hidden_size: int = 256,
        num_layers: int = 2,
        rnn: str = "lstm",
        dropout: float = 0.0,
        tie_weights: bool = False,
    ) -> None:
        super().__init__()
        if rnn not in _LAYERS:
            raise ArgumentError(f"RNNLanguageModel: rnn must be one of {tuple(_LAYERS)}, got {rnn!r}")
        if tie_weights and embedding_dim != hidden_size:
            raise ArgumentError(
                f"RNNLanguageModel: tie_weights needs embedding_dim == hidden_size, got {embedding_dim}, {hidden_size}"
            )
        self.vocab_size, self.dropout = vocab_size, dropout
        self.embedding = nn.Embedding(vocab_size, embedding_dim)
        options: dict[str, Any] = {"dropout": dropout if num_layers > 1 else 0.0}
        if rnn.startswith("rnn"):
            options["nonlinearity"] = rnn[4:]
        self.rnn = _LAYERS[rnn](embedding_dim, hidden_size, num_layers, batch_first=True, **options)
        self.output = nn.Linear(hidden_size, vocab_size)
        if tie_weights:
            bound = 1 / math.sqrt(hidden_size)  # of a linear layer; an embedding's usual N(0, 1) gives huge logits
            nn.init.uniform_(self.embedding.weight, -bound, bound)
            self.output.weight = self.embedding.weight

    def forward(self, ids: Tensor, state: Any = None) -> tuple[Tensor, Any]:
        """(b, t) -> logits (b, t, v), state."""
        h, state = self._hidden(ids, state)
        logits: Tensor = self.output(h)
        return logits, state

    def decode(self, ids: Tensor, state: Any = None, attention_mask: Tensor | None = None) -> tuple[Tensor, Any]:
        """(b, t) -> logits (b, v) behind the last token, state; see `LanguageModel`.

        attention_mask: bool (b, t), False for padding on the left, which is not read.
        """
        if attention_mask is not None:
            return self._decode_padded(ids, state, attention_mask)
        h, state = self._hidden(ids, state)
        logits: Tensor = self.output(h[:, -1])
        return logits, state

    def _decode_padded(self, ids: Tensor, state: Any, mask: Tensor) -> tuple[Tensor, Any]:
        """Packed: each sequence ends with its own last token, so that its padding is left out."""
        t, lengths = ids.shape[1], mask.to(_C.int64).sum(1)
        rolled = (ops.arange(t) + (t - lengths).unsqueeze(1)) % t  # padding behind the tokens
        moved = ids.gather(1, rolled)
        x = F.dropout(self.embedding(moved), self.dropout, self.training)
        packed = pack_padded_sequence(x, lengths, batch_first=True, enforce_sorted=False)
        _, state = self.rnn(packed) if state is None else self.rnn(packed, state)
        top = (state[0] if isinstance(state, tuple) else state)[-1]
        logits: Tensor = self.output(F.dropout(top, self.dropout, self.training))
        return logits, state

    def select(self, state: Any, rows: Tensor) -> Any:
        """The state of these of the sequences, whose axis is the second."""
        if isinstance(state, tuple):
            return tuple(part.index_select(1, rows) for part in state)
        return state.index_select(1, rows)

    def _hidden(self, ids: Tensor, state: Any) -> tuple[Tensor, Any]:
        x = F.dropout(self.embedding(ids), self.dropout, self.training)
        h, state = self.rnn(x) if state is None else self.rnn(x, state)
        return F.dropout(h, self.dropout, self.training), state


def detach_state(state: Any) -> Any:
    """The same state without its graph: where truncated backpropagation through time stops.

    state: tensors, or tuples (named ones too), lists and dicts of such; anything else stays as it is.
    """
    if isinstance(state, Tensor):
        return state.detach()
    if isinstance(state, tuple) and hasattr(state, "_fields"):
        return type(state)(*map(detach_state, state))
    if isinstance(state, (tuple, list)):
        return type(state)(map(detach_state, state))
    if isinstance(state, dict):
        return {name: detach_state(part) for name, part in state.items()}
    return state


def unroll(model: nn.Module, ids: Tensor, teacher_forcing: float = 1.0, generator: Generator | None = None) -> Tensor:
    """Logits (b, t, v) of what follows each of the tokens ids (b, t), for training against the true followers.

    Args:
        model: (ids, state) -> (logits, state), as RNNLanguageModel.
        teacher_forcing: the probability that the model reads the true token at a step; else it reads one drawn from
            its own prediction, through which no gradient passes. The first token is always true. 1: all at once;
            0: it runs free.
        generator: of the draws.
    Raises: ArgumentError, ShapeError.
    Source: Williams & Zipser 1989; values between 0 and 1: Bengio et al. 2015 (arXiv:1506.03099).
    """
    if not 0 <= teacher_forcing <= 1:
        raise ArgumentError(f"unroll: teacher_forcing must be between 0 and 1, got {teacher_forcing}")
    if ids.ndim != 2 or ids.shape[1] == 0:
        raise ShapeError(f"unroll: ids {ids.shape}: expected (b, t) with at least one token each")
    if teacher_forcing == 1:
        logits: Tensor = model(ids)[0]
        return logits
    b, steps = ids.shape
    out, read, state = [], ids[:, :1], None
    for t in range(1, steps + 1):
        now, state = model(read, state)
        out.append(now)
        if t < steps:
            own = ops.multinomial(F.softmax(now[:, 0].detach(), -1), 1, replacement=True, generator=generator)
            true = ops.rand(b, 1, generator=generator) < teacher_forcing
            read = ops.where(true, ids[:, t : t + 1], own)
    return ops.cat(out, 1)
