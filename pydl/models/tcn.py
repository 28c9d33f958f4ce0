"""The networks of the TCN paper: a temporal convolutional network with a readout, and one that models language.

Axes: b sequences, t steps, i features, v vocabulary.
Source: Bai, Kolter & Koltun 2018 (arXiv:1803.01271).
"""

from collections.abc import Sequence
from typing import Any

from pydl import nn, ops
from pydl.errors import ArgumentError, ShapeError
from pydl.nn import functional as F
from pydl.nn.utils.parametrize import is_parametrized
from pydl.tensor import Tensor

__all__ = ["TCNLanguageModel", "TCNSequenceModel"]


def _small(module: nn.Module) -> None:
    """Weights N(0, 0.01^2), as in the paper's experiments; biases stay."""
    for part in module.modules():
        if not isinstance(part, (nn.Conv1d, nn.Linear)):
            continue
        if is_parametrized(part, "weight"):  # its length and direction follow
            part.weight = 0.01 * ops.randn(*part.weight.shape)  # type: ignore[assignment]
        else:
            nn.init.normal_(part.weight, 0.0, 0.01)


class TCNSequenceModel(nn.Module):
    """Temporal blocks and a linear readout at every step, or at the last: the paper's model of its synthetic tasks,
    sequential MNIST and music.

    Args:
        input_size, output_size: features of a step.
        channels: widths of the blocks, whose dilations double.
        kernel_size, dropout, convs, weight_norm: of each block.
        last: whether only the last step is read out.
        small_init: weights N(0, 0.01^2) as in the paper's experiments; else as the layers draw them.
    Shapes: (b, t, input_size) -> (b, t, output_size), or (b, output_size) for the last.
    Attributes: receptive_field: how many steps an output reads.
    """

    def __init__(
        self,
        input_size: int,
        output_size: int,
        channels: Sequence[int],
        kernel_size: int = 7,
        dropout: float = 0.0,
        *,
        convs: int = 2,
        weight_norm: bool = True,
        last: bool = False,
        small_init: bool = False,
    ) -> None:
        super().__init__()
        self.tcn = nn.TCN(input_size, channels, kernel_size, dropout, convs, weight_norm)
        self.output = nn.Linear(channels[-1], output_size)
        self.last, self.receptive_field = last, self.tcn.receptive_field
        if small_init:
            _small(self)

    def forward(self, x: Tensor) -> Tensor:
        """(b, t, i) -> (b, t, o) or (b, o)."""
        if x.ndim != 3:
            raise ShapeError(f"TCNSequenceModel: expected (b, t, features), got {x.shape}")
        h = self.tcn(x.transpose(1, 2)).transpose(1, 2)
        y: Tensor = self.output(h[:, -1] if self.last else h)
        return y


class TCNLanguageModel(nn.Module):
    """p(token | the tokens before it) by temporal convolutions: embedding, dropout, blocks, a linear layer.

    Args:
        vocab_size, embedding_dim: v, and the size of the tokens' vectors.
        channels: widths of the blocks, whose dilations double.
        kernel_size, dropout: of each block.
        embedding_dropout: of the tokens' vectors.
        tie_weights: the output layer's weight is the embedding's; needs embedding_dim == channels[-1].
    Attributes: context: None, for a sequence may be of any length; receptive_field: how many tokens a prediction reads.
    Shapes: ids int64 (b, t) -> logits (b, t, v). It is a `LanguageModel`: decoding reads the last receptive_field
        tokens alone, whose logits are those of the whole sequence.
    """

    context = None

    def __init__(
        self,
        vocab_size: int,
        embedding_dim: int,
        channels: Sequence[int],
        kernel_size: int = 3,
        dropout: float = 0.1,
        embedding_dropout: float = 0.1,
        tie_weights: bool = False,
    ) -> None:
        super().__init__()
        if tie_weights and embedding_dim != channels[-1]:
            raise ArgumentError(
                f"TCNLanguageModel: tie_weights needs embedding_dim {embedding_dim} == channels[-1], {channels[-1]}"
            )
        self.embedding = nn.Embedding(vocab_size, embedding_dim)
        self.tcn = nn.TCN(embedding_dim, channels, kernel_size, dropout)
        self.output = nn.Linear(channels[-1], vocab_size)
        self.embedding_dropout, self.receptive_field = embedding_dropout, self.tcn.receptive_field
        nn.init.normal_(self.embedding.weight, 0.0, 0.01)
        nn.init.normal_(self.output.weight, 0.0, 0.01)
        assert self.output.bias is not None
        nn.init.zeros_(self.output.bias)
        if tie_weights:
            self.output.weight = self.embedding.weight

    def forward(self, ids: Tensor) -> Tensor:
        """(b, t) -> (b, t, v)."""
        logits: Tensor = self.output(self._hidden(ids))
        return logits

    def _hidden(self, ids: Tensor) -> Tensor:
        if ids.ndim != 2 or ids.shape[1] == 0:
            raise ShapeError(f"TCNLanguageModel: expected ids (b, t) with at least one token, got {ids.shape}")
        x = F.dropout(self.embedding(ids), self.embedding_dropout, self.training)
        h: Tensor = self.tcn(x.transpose(1, 2)).transpose(1, 2)
        return h

    def decode(self, ids: Tensor, state: Any = None) -> tuple[Tensor, Any]:
        """(b, t) -> logits (b, v) behind the last token, and the tokens that the next ones may read."""
        seen = ids if state is None else ops.cat([state, ids], 1)
        seen = seen[:, -self.receptive_field :]
        logits: Tensor = self.output(self._hidden(seen)[:, -1])
        return logits, seen

    def select(self, state: Any, rows: Tensor) -> Any:
        """The state of these of the sequences."""
        return state.index_select(0, rows)
