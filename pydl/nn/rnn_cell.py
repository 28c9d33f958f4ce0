"""Recurrent cells: one step of RNN, LSTM and GRU, with PyTorch's names. Axes: b batch, i features, h units."""

import math
from typing import Any

from pydl import _C, ops
from pydl.errors import ArgumentError, DtypeError, ShapeError
from pydl.nn import init
from pydl.nn.module import Module
from pydl.nn.parameter import Parameter
from pydl.ops.create import DeviceLike
from pydl.tensor import Tensor

__all__ = ["GRUCell", "LSTMCell", "RNNCell", "RNNCellBase"]


class RNNCellBase(Module):
    """One step. Args: input_size, hidden_size: i and h; bias: whether there are biases; num_chunks: how many gates.

    Attributes: weight_ih (g h, i), weight_hh (g h, h), bias_ih, bias_hh (g h,): uniform in +-1 / sqrt(h) at first.
    """

    bias_ih: Parameter | None
    bias_hh: Parameter | None

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        bias: bool,
        num_chunks: int,
        device: DeviceLike = None,
        dtype: _C.dtype | None = None,
    ) -> None:
        super().__init__()
        if not isinstance(input_size, int) or not isinstance(hidden_size, int) or input_size < 1 or hidden_size < 1:
            name = type(self).__name__
            raise ArgumentError(f"{name}: sizes must be positive integers, got {input_size!r} and {hidden_size!r}")
        self.input_size, self.hidden_size, self.bias = input_size, hidden_size, bias
        rows = num_chunks * hidden_size
        self.weight_ih = Parameter(ops.empty(rows, input_size, device=device, dtype=dtype))
        self.weight_hh = Parameter(ops.empty(rows, hidden_size, device=device, dtype=dtype))
        for name in ("bias_ih", "bias_hh"):
            offset = Parameter(ops.empty(rows, device=device, dtype=dtype)) if bias else None
            self.register_parameter(name, offset)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draws all weights and biases anew."""
        bound = 1 / math.sqrt(self.hidden_size)
        for p in self.parameters():
            init.uniform_(p, -bound, bound)

    def _checked(self, input: Any, *states: Any) -> list[Tensor]:
        """The states, zeros where they are None."""
        name, i = type(self).__name__, self.input_size
        if not isinstance(input, Tensor) or any(s is not None and not isinstance(s, Tensor) for s in states):
            raise DtypeError(f"{name}: expected tensors")
        if input.ndim not in (1, 2) or input.shape[-1] != i:
            raise ShapeError(f"{name}: input {input.shape}: expected (batch, {i}) or ({i},)")
        shape = (*input.shape[:-1], self.hidden_size)
        for s in states:
            if s is not None and s.shape != shape:
                raise ShapeError(f"{name}: state {s.shape}: expected {shape}")
        return [ops.zeros(*shape, dtype=input.dtype) if s is None else s for s in states]

    def extra_repr(self) -> str:
        """Sizes, and what differs from the default."""
        text = f"{self.input_size}, {self.hidden_size}"
        return text if self.bias else f"{text}, bias=False"


class RNNCell(RNNCellBase):
    """f(weight_ih x + bias_ih + weight_hh h + bias_hh). Args: nonlinearity: f: 'tanh' or 'relu'."""

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        bias: bool = True,
        nonlinearity: str = "tanh",
        device: DeviceLike = None,
        dtype: _C.dtype | None = None,
    ) -> None:
        if nonlinearity not in ("tanh", "relu"):
            raise ArgumentError(f"RNNCell: nonlinearity must be 'tanh' or 'relu', got {nonlinearity!r}")
        super().__init__(input_size, hidden_size, bias, 1, device, dtype)
        self.nonlinearity = nonlinearity

    def forward(self, input: Tensor, hx: Tensor | None = None) -> Tensor:
        """(b, i) and (b, h), or (i,) and (h,): the new state. hx: None: zeros."""
        (h,) = self._checked(input, hx)
        step = ops.rnn_tanh_cell if self.nonlinearity == "tanh" else ops.rnn_relu_cell
        return step(input, h, self.weight_ih, self.weight_hh, self.bias_ih, self.bias_hh)

    def extra_repr(self) -> str:
        """Sizes, and what differs from the default."""
        text = super().extra_repr()
        return text if self.nonlinearity == "tanh" else f"{text}, nonlinearity={self.nonlinearity}"


class LSTMCell(RNNCellBase):
    """One step of an LSTM; the gates are in the order i f g o."""

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        bias: bool = True,
        device: DeviceLike = None,
        dtype: _C.dtype | None = None,
    ) -> None:
        super().__init__(input_size, hidden_size, bias, 4, device, dtype)

    def forward(self, input: Tensor, hx: Any = None) -> tuple[Tensor, Tensor]:
        """(b, i) or (i,): the new h and c. hx: the pair before, (b, h) or (h,) each; None: zeros."""
        if hx is not None and (not isinstance(hx, (tuple, list)) or len(hx) != 2):
            raise DtypeError(f"LSTMCell: hx must be a pair (h, c), got {type(hx).__name__}")
        states = self._checked(input, *((None, None) if hx is None else hx))
        return ops.lstm_cell(input, states, self.weight_ih, self.weight_hh, self.bias_ih, self.bias_hh)


class GRUCell(RNNCellBase):
    """One step of a GRU; the gates are in the order r z n."""

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        bias: bool = True,
        device: DeviceLike = None,
        dtype: _C.dtype | None = None,
    ) -> None:
        super().__init__(input_size, hidden_size, bias, 3, device, dtype)

    def forward(self, input: Tensor, hx: Tensor | None = None) -> Tensor:
        """(b, i) and (b, h), or (i,) and (h,): the new state. hx: None: zeros."""
        (h,) = self._checked(input, hx)
        return ops.gru_cell(input, h, self.weight_ih, self.weight_hh, self.bias_ih, self.bias_hh)
