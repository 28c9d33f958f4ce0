"""Recurrent layers: RNN, LSTM and GRU, with PyTorch's arguments and names of parameters. Axes: see rnn_base.py."""

import copy
from typing import Any

from pydl import _C, ops
from pydl.autograd.mode import no_grad
from pydl.errors import ArgumentError, DtypeError
from pydl.nn import init
from pydl.nn.module import Module
from pydl.nn.rnn_base import RNNBase
from pydl.ops.create import DeviceLike
from pydl.ops.recurrence import Weights
from pydl.tensor import Tensor

__all__ = ["GRU", "LSTM", "RNN", "Bidirectional"]


class RNN(RNNBase):
    """h' = f(weight_ih x + bias_ih + weight_hh h + bias_hh).

    Args: nonlinearity: f: 'tanh', 'relu', 'sigmoid' or 'identity'; the others as of `RNNBase`, by position
        (input_size, hidden_size, num_layers, nonlinearity, bias, batch_first, dropout, bidirectional).
        form: 'pascanu': h' = weight_ih x + bias_ih + weight_hh f(h) + bias_hh, the state before the nonlinearity.
        identity: weight_hh is 1 at first, biases 0 and weight_ih normal with deviation 0.001.
    Sources: Elman 1990; Pascanu et al. 2013 (arXiv:1211.5063); identity: Le et al. 2015 (arXiv:1504.00941).
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        nonlinearity: str = "tanh",
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        device: DeviceLike = None,
        dtype: _C.dtype | None = None,
        *,
        form: str = "elman",
        identity: bool = False,
    ) -> None:
        if nonlinearity not in ("tanh", "relu", "sigmoid", "identity"):
            raise ArgumentError(f"RNN: nonlinearity must be tanh, relu, sigmoid or identity, got {nonlinearity!r}")
        if form not in ("elman", "pascanu"):
            raise ArgumentError(f"RNN: form must be 'elman' or 'pascanu', got {form!r}")
        self.__dict__["identity"] = identity
        mode = "RNN_RELU" if nonlinearity == "relu" else "RNN_TANH"
        super().__init__(
            mode, input_size, hidden_size, num_layers, bias, batch_first, dropout, bidirectional, 0, device, dtype
        )
        self.nonlinearity, self.form = nonlinearity, form
        self.cell = nonlinearity if form == "elman" else f"{nonlinearity}_before"

    def reset_parameters(self) -> None:
        """Draws all weights and biases anew."""
        super().reset_parameters()
        if not self.__dict__.get("identity"):
            return
        for name, p in self.named_parameters():
            if name.startswith("weight_ih"):
                init.normal_(p, 0.0, 0.001)
            else:
                init.eye_(p) if name.startswith("weight_hh") else init.zeros_(p)

    def extra_repr(self) -> str:
        """Sizes, and what differs from the default."""
        text = super().extra_repr()
        for name, usual in {"nonlinearity": "tanh", "form": "elman"}.items():
            if getattr(self, name) != usual:
                text += f", {name}={getattr(self, name)!r}"
        return text


class LSTM(RNNBase):
    """c' = f c + i g, h' = o tanh(c'): gates i, f, o are sigmoids and g a tanh of products as of `RNN`.

    Args: as of `RNNBase`, without mode.
        forget_gate: without it f is 1, as in 1997, and weights have rows for i, g and o alone.
        forget_bias: what bias_ih + bias_hh of the forget gate is at first. Default: as the other biases.
    Sources: Hochreiter & Schmidhuber 1997; Gers, Schmidhuber & Cummins 2000, with the bias: Jozefowicz et al. 2015;
        the projection: Sak et al. 2014 (arXiv:1402.1128).
    """

    forget_gate: bool
    forget_bias: float | None

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        proj_size: int = 0,
        device: DeviceLike = None,
        dtype: _C.dtype | None = None,
        *,
        forget_gate: bool = True,
        forget_bias: float | None = None,
    ) -> None:
        if forget_bias is not None and not (bias and forget_gate):
            raise ArgumentError("LSTM: forget_bias needs a forget gate and biases")
        self.__dict__.update(forget_gate=forget_gate, forget_bias=forget_bias)
        super().__init__("LSTM", input_size, hidden_size, num_layers, bias, batch_first, dropout, bidirectional,
                         proj_size, device, dtype)  # fmt: skip

    def _gates(self) -> int:
        return 4 if self.forget_gate else 3

    def reset_parameters(self) -> None:
        """Draws all weights and biases anew."""
        super().reset_parameters()
        if self.forget_bias is None:
            return
        h = self.hidden_size
        with no_grad():
            for own in self.all_weights:
                for p, value in ((own[2], self.forget_bias), (own[3], 0.0)):
                    p[h : 2 * h] = value

    def _weights(self) -> list[Weights]:
        listed = super()._weights()
        return listed if self.forget_gate else [_with_open_gate(own, self.hidden_size) for own in listed]

    def _states(self, hx: Any) -> list[tuple[str, Any, int]]:
        if hx is None:
            hx = (None, None)
        if not isinstance(hx, (tuple, list)) or len(hx) != 2:
            raise DtypeError(f"LSTM: hx must be a pair (h, c), got {type(hx).__name__}")
        return [("h_0", hx[0], self.proj_size or self.hidden_size), ("c_0", hx[1], self.hidden_size)]


# The sigmoid of this is 1 in float32 and float64, and its slope 0.
OPEN = 100.0


def _with_open_gate(own: Weights, h: int) -> Weights:
    """Weights of i, g and o with rows for f between them that keep it at 1."""
    w_ih, w_hh, b_ih, b_hh, *proj = own
    assert w_ih is not None
    assert w_hh is not None
    zeros = ops.zeros(3 * h, dtype=w_ih.dtype)

    def rows(w: Tensor, fill: float = 0.0) -> Tensor:
        return ops.cat([w[:h], ops.full((h, *w.shape[1:]), fill, dtype=w.dtype), w[h:]])

    b_ih, b_hh = (zeros if b is None else b for b in (b_ih, b_hh))
    return [rows(w_ih), rows(w_hh), rows(b_ih, OPEN), rows(b_hh), *proj]


class GRU(RNNBase):
    """h' = (1 - z) n + z h, n = tanh(weight_in x + bias_in + r (weight_hn h + bias_hn)), r and z sigmoids.

    Args: as of `RNNBase`, without mode.
        reset_after: without it r scales h before the product: weight_hn (r h) + bias_hn, as Cho et al. have it.
        update: what z multiplies: 'keep' the old state, or 'new' what is new: h' = z n + (1 - z) h.
    Source: Cho et al. 2014 (arXiv:1406.1078).
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        device: DeviceLike = None,
        dtype: _C.dtype | None = None,
        *,
        reset_after: bool = True,
        update: str = "keep",
    ) -> None:
        if update not in ("keep", "new"):
            raise ArgumentError(f"GRU: update must be 'keep' or 'new', got {update!r}")
        super().__init__(
            "GRU", input_size, hidden_size, num_layers, bias, batch_first, dropout, bidirectional, 0, device, dtype
        )
        self.reset_after, self.update = reset_after, update
        self.cell = "gru" if reset_after else "gru_before"

    def _weights(self) -> list[Weights]:
        listed = super()._weights()
        if self.update == "keep":
            return listed
        h = self.hidden_size  # 1 - sigmoid(a) = sigmoid(-a)
        return [[None if w is None else ops.cat([w[:h], -w[h : 2 * h], w[2 * h :]]) for w in own] for own in listed]


class Bidirectional(Module):
    """A recurrent layer and a copy of it, with weights of its own, that reads from the end; outputs side by side.

    Args: cell: an RNN, LSTM or GRU of one layer and one direction. Attributes: forward_cell, backward_cell.
    Source: Schuster & Paliwal 1997.
    """

    def __init__(self, cell: RNNBase) -> None:
        super().__init__()
        if not isinstance(cell, RNNBase) or cell.bidirectional or cell.num_layers != 1:
            raise ArgumentError("Bidirectional: expected an RNN, LSTM or GRU of one layer and one direction")
        self.forward_cell = cell
        self.backward_cell = copy.deepcopy(cell)
        self.backward_cell.reset_parameters()

    def forward(self, input: Tensor, hx: Any = None) -> tuple[Tensor, Any]:
        """As the layer's own, with states of both: (2, b, h)."""
        time = 1 if self.forward_cell.batch_first and input.ndim == 3 else 0
        halves = (None, None)
        if hx is not None:
            pairs = [ops.chunk(s, 2, 0) for s in (hx if isinstance(hx, (tuple, list)) else [hx])]
            halves = tuple(zip(*pairs, strict=True)) if len(pairs) > 1 else pairs[0]  # type: ignore[assignment]
        ahead, last = self.forward_cell(input, halves[0])
        back, first = self.backward_cell(ops.flip(input, time), halves[1])
        y = ops.cat([ahead, ops.flip(back, time)], -1)
        if isinstance(last, tuple):
            return y, tuple(ops.cat(pair, 0) for pair in zip(last, first, strict=True))
        return y, ops.cat([last, first], 0)
