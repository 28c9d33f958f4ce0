"""What recurrent layers share: parameters by layer and direction, initial states, packed and plain input.

Axes: t time, b batch, i features, h units, p what is fed back: h, or proj_size; d is 2 if bidirectional, else 1.
"""

import math
from collections.abc import Sequence
from typing import Any

from pydl import _C, ops
from pydl.errors import ArgumentError, DtypeError, ShapeError
from pydl.nn import init
from pydl.nn.module import Module
from pydl.nn.parameter import Parameter
from pydl.nn.utils.rnn import PackedSequence
from pydl.ops.create import DeviceLike
from pydl.ops.recurrence import GATES, Weights
from pydl.ops.rnn import layers
from pydl.tensor import Tensor

__all__ = ["RNNBase"]

PARTS = ("weight_ih", "weight_hh", "bias_ih", "bias_hh", "weight_hr")
CELLS = {"LSTM": "lstm", "GRU": "gru", "RNN_TANH": "tanh", "RNN_RELU": "relu"}


def _whole(name: str, **sizes: Any) -> None:
    """Raises unless all are positive integers."""
    for argument, n in sizes.items():
        if isinstance(n, bool) or not isinstance(n, int):
            raise DtypeError(f"{name}: {argument} must be an integer, got {n!r}")
        if n <= 0:
            raise ArgumentError(f"{name}: {argument} must be positive, got {n}")


class RNNBase(Module):
    """Layers of one kind of cell, each on the output of the one before.

    Args:
        mode: 'LSTM', 'GRU', 'RNN_TANH' or 'RNN_RELU'.
        input_size, hidden_size: i and h.
        num_layers: how many.
        bias: whether there are biases.
        batch_first: input and output are (b, t, ...) in place of (t, b, ...).
        dropout: of the outputs of all layers but the last, in training.
        bidirectional: a second set of weights reads from the end; outputs are side by side.
        proj_size: an LSTM's output is projected to so many; 0: it is not.
    Attributes: weight_ih_l0 (g h, i), weight_hh_l0 (g h, p), bias_ih_l0, bias_hh_l0 (g h,), weight_hr_l0 (p, h), and so
        on per layer, '_reverse' for the second direction; g is 4 for an LSTM, 3 for a GRU. Uniform in +-1 / sqrt(h).
    """

    def __init__(
        self,
        mode: str,
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
    ) -> None:
        super().__init__()
        name = type(self).__name__
        if mode not in CELLS:
            raise ArgumentError(f"{name}: mode must be one of {', '.join(CELLS)}, got {mode!r}")
        _whole(name, input_size=input_size, hidden_size=hidden_size, num_layers=num_layers)
        if isinstance(dropout, bool) or not isinstance(dropout, (int, float)) or not 0 <= dropout <= 1:
            raise ArgumentError(f"{name}: dropout must be a number between 0 and 1, got {dropout!r}")
        if not isinstance(proj_size, int) or not 0 <= proj_size < hidden_size or (proj_size and mode != "LSTM"):
            raise ArgumentError(f"{name}: proj_size must be 0, or of an LSTM less than hidden_size, got {proj_size!r}")
        self.mode, self.cell = mode, CELLS[mode]
        self.input_size, self.hidden_size, self.num_layers, self.bias = input_size, hidden_size, num_layers, bias
        self.batch_first, self.dropout, self.bidirectional = batch_first, float(dropout), bidirectional
        self.proj_size = proj_size
        self._make(device, dtype)
        self.reset_parameters()

    def _gates(self) -> int:
        """How many sets of h rows the weights have."""
        return GATES[self.cell]

    def _make(self, device: DeviceLike, dtype: _C.dtype | None) -> None:
        rows, fed = self._gates() * self.hidden_size, self.proj_size or self.hidden_size
        directions = 2 if self.bidirectional else 1
        self._names: list[list[str]] = []
        for at in range(self.num_layers * directions):
            layer, way = divmod(at, directions)
            features = self.input_size if layer == 0 else fed * directions
            shapes = [(rows, features), (rows, fed), (rows,), (rows,), (fed, self.hidden_size)]
            own = []
            for part, shape in zip(PARTS, shapes, strict=True):
                if (self.bias or not part.startswith("bias")) and (self.proj_size or part != "weight_hr"):
                    own.append(f"{part}_l{layer}{'_reverse' if way else ''}")
                    self.register_parameter(own[-1], Parameter(ops.empty(*shape, device=device, dtype=dtype)))
            self._names.append(own)

    def reset_parameters(self) -> None:
        """Draws all weights and biases anew."""
        bound = 1 / math.sqrt(self.hidden_size)
        for p in self.parameters():
            init.uniform_(p, -bound, bound)

    def flatten_parameters(self) -> None:
        """Does nothing: the weights need not lie side by side. PyTorch has it for cuDNN."""

    @property
    def all_weights(self) -> list[list[Parameter]]:
        """The parameters of each layer and direction."""
        return [[getattr(self, name) for name in own] for own in self._names]

    def _weights(self) -> list[Weights]:
        """What the operation takes, per layer and direction."""
        listed: list[Weights] = []
        for own in self._names:
            found: list[Tensor | None] = [getattr(self, name) for name in own]
            listed.append(found if self.bias else [*found[:2], None, None, *found[2:]])
        return listed

    # ---- the call

    def _states(self, hx: Any) -> list[tuple[str, Any, int]]:
        """Names, values and last sizes of the initial states."""
        return [("hx", hx, self.hidden_size)]

    def _check_input(self, input: Any, dims: tuple[int, ...]) -> None:
        name = type(self).__name__
        if not isinstance(input, Tensor):
            raise DtypeError(f"{name}: expected a tensor or a PackedSequence, got {type(input).__name__}")
        if input.ndim not in dims or input.shape[-1] != self.input_size:
            axes = " or ".join(f"{n} axes" for n in dims)
            raise ShapeError(f"{name}: input {input.shape}: expected {axes}, the last of size {self.input_size}")

    def _initial(self, hx: Any, b: int, batched: bool, order: Tensor | None) -> list[Tensor | None]:
        """The states as (layers d, b, ...), in the order of the packed rows; None for zeros."""
        count = len(self._names)
        found: list[Tensor | None] = []
        for name, state, size in self._states(hx):
            if state is not None:
                if not isinstance(state, Tensor):
                    raise DtypeError(f"{type(self).__name__}: {name} must be a tensor, got {type(state).__name__}")
                expected = (count, b, size) if batched else (count, size)
                if state.shape != expected:
                    raise ShapeError(f"{type(self).__name__}: {name} {state.shape}: expected {expected}")
                state = state if batched else ops.unsqueeze(state, 1)
                state = state if order is None else ops.index_select(state, 1, order)
            found.append(state)
        return found

    def _run(
        self, x: Tensor, states: list[Tensor | None], sizes: Sequence[int] | None
    ) -> tuple[Tensor, Tensor, Tensor | None]:
        h0, c0 = (*states, None)[:2]
        rate = self.dropout if self.training else 0.0
        return layers(x, h0, c0, self._weights(), self.cell, rate, self.bidirectional, sizes)

    def _packed(self, input: PackedSequence, hx: Any) -> tuple[PackedSequence, Any]:
        self._check_input(input.data, (2,))
        sizes = input.batch_sizes.tolist()
        states = self._initial(hx, sizes[0] if sizes else 0, True, input.sorted_indices)
        y, *last = self._run(input.data, states, sizes)
        if input.unsorted_indices is not None:
            last = [None if s is None else ops.index_select(s, 1, input.unsorted_indices) for s in last]
        packed = PackedSequence(y, input.batch_sizes, input.sorted_indices, input.unsorted_indices)
        return packed, last[0] if last[1] is None else tuple(last)

    def forward(self, input: Any, hx: Any = None) -> tuple[Any, Any]:
        """Outputs of all steps of the last layer, and the last states of all layers.

        Args:
            input: (t, b, i), (b, t, i) if batch_first, (t, i), or a PackedSequence.
            hx: initial states (layers d, b, h), or (layers d, h) for an input without batch; None: zeros. An LSTM
                takes a pair (h, c), the first with p in place of h.
        Returns: (t, b, d p) or as the input's form; and states as hx.
        Raises: ShapeError, DtypeError.
        """
        if isinstance(input, PackedSequence):
            return self._packed(input, hx)
        self._check_input(input, (2, 3))
        batched, turned = input.ndim == 3, self.batch_first and input.ndim == 3
        x = ops.transpose(input, 0, 1) if turned else input if batched else ops.unsqueeze(input, 1)
        if x.shape[0] == 0:
            raise ShapeError(f"{type(self).__name__}: input {input.shape} has no steps: expected at least one")
        y, *last = self._run(x, self._initial(hx, x.shape[1], batched, None), None)
        if not batched:
            y, last = ops.squeeze(y, 1), [None if s is None else ops.squeeze(s, 1) for s in last]
        elif turned:
            y = ops.transpose(y, 0, 1)
        return y, last[0] if last[1] is None else tuple(last)

    def extra_repr(self) -> str:
        """Sizes, and what differs from the default."""
        text = f"{self.input_size}, {self.hidden_size}"
        for name, usual in {"proj_size": 0, "num_layers": 1, "bias": True, "batch_first": False, "dropout": 0.0,
                            "bidirectional": False}.items():  # fmt: skip
            if getattr(self, name) != usual:
                text += f", {name}={getattr(self, name)}"
        return text
