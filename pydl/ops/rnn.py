"""Recurrent layers as functions, with PyTorch's names. Axes: see pydl/ops/recurrence.py."""

from collections.abc import Callable, Sequence
from typing import Any

from pydl.errors import ArgumentError, DtypeError, ShapeError
from pydl.ops.random import dropout as drop
from pydl.ops.recurrence import Weights, recurrent
from pydl.ops.shape import cat, reshape, select, stack, transpose, unsqueeze
from pydl.tensor import Tensor

__all__ = [
    "gru",
    "gru_cell",
    "lstm",
    "lstm_cell",
    "rnn_relu",
    "rnn_relu_cell",
    "rnn_tanh",
    "rnn_tanh_cell",
]


def _own_state(s: Tensor, at: int) -> Tensor:
    """Entry `at` of the states of all layers; the only one is a single view."""
    return reshape(s, s.shape[1:]) if s.shape[0] == 1 else select(s, 0, at)


def layers(
    x: Tensor,
    h0: Tensor | None,
    c0: Tensor | None,
    weights: Sequence[Weights],
    cell: str,
    dropout: float = 0.0,
    bidirectional: bool = False,
    sizes: Sequence[int] | None = None,
) -> tuple[Tensor, Tensor, Tensor | None]:
    """All layers, each on the output of the one before: y (t, b, d p), h_n (layers d, b, p) and c_n (layers d, b, h),
    where d is 2 if bidirectional. weights: one entry per layer and direction. dropout: between layers."""
    directions = 2 if bidirectional else 1
    last: list[Tensor] = []
    cells: list[Tensor] = []
    for at in range(0, len(weights), directions):
        if at and dropout:
            x = drop(x, dropout, True)
        outputs = []
        for way in range(directions):
            h, c = (None if s is None else _own_state(s, at + way) for s in (h0, c0))
            y, h_n, c_n = recurrent(x, h, c, weights[at + way], cell, way == 1, sizes)
            outputs.append(y)
            last.append(h_n)
            if c_n is not None:
                cells.append(c_n)
        x = outputs[0] if directions == 1 else cat(outputs, -1)
    join = lambda states: unsqueeze(states[0], 0) if len(states) == 1 else stack(states)  # noqa: E731
    return x, join(last), join(cells) if cells else None


# ---------------------------------------------------------------- PyTorch's functions


def _grouped(op: str, params: Sequence[Tensor], has_biases: bool, num_layers: int, directions: int) -> list[Weights]:
    """The flat list of parameters, by layer and direction; a projection has one more of each."""
    count = num_layers * directions
    if count < 1 or not params or len(params) % count or not all(isinstance(p, Tensor) for p in params):
        raise ArgumentError(f"{op}: {len(params)} parameters: expected a multiple of layers times directions, {count}")
    each = len(params) // count
    if each not in ((4, 5) if has_biases else (2, 3)) or (op != "lstm" and each in (3, 5)):
        raise ArgumentError(f"{op}: {each} parameters per layer and direction: expected {4 if has_biases else 2}")
    listed: list[Weights] = []
    for i in range(0, len(params), each):
        own = list(params[i : i + each])
        listed.append(own if has_biases else [*own[:2], None, None, *own[2:]])
    return listed


def _check_state(op: str, name: str, state: Any, layers: int, input: Tensor) -> None:
    if not isinstance(state, Tensor):
        raise DtypeError(f"{op}: {name} must be a tensor, got {type(state).__name__}")
    if state.ndim != 3 or state.shape[0] != layers:
        raise ShapeError(f"{op}: {name} {state.shape}: expected ({layers}, batch, units)")


def _run(
    op: str, cell: str, input: Tensor, hx: Any, params: Any, has_biases: bool, num_layers: int, dropout: float,
    train: bool, bidirectional: bool, batch_first: bool, batch_sizes: Any,
) -> tuple[Tensor, ...]:  # fmt: skip
    if not isinstance(input, Tensor) or not isinstance(params, (list, tuple)) or not isinstance(num_layers, int):
        raise DtypeError(f"{op}: expected a tensor, its states, a list of parameters and a number of layers")
    if not isinstance(dropout, (int, float)) or not 0 <= dropout <= 1:
        raise ArgumentError(f"{op}: dropout must be between 0 and 1, got {dropout!r}")
    weights = _grouped(op, params, has_biases, num_layers, 2 if bidirectional else 1)
    states = hx if cell == "lstm" else (hx,)
    if not isinstance(states, (list, tuple)) or len(states) != (2 if cell == "lstm" else 1):
        raise DtypeError(f"{op}: expected the states (h, c), got {type(hx).__name__}")
    for name, state in zip(("hx", "cx"), states, strict=False):
        _check_state(op, name, state, len(weights), input)
    sizes = batch_sizes.tolist() if isinstance(batch_sizes, Tensor) else batch_sizes
    if sizes is not None and not (isinstance(sizes, (list, tuple)) and all(isinstance(n, int) for n in sizes)):
        raise DtypeError(f"{op}: batch_sizes must be integers with one axis")
    turned = batch_first and sizes is None
    if turned and input.ndim != 3:
        raise ShapeError(f"{op}: input {input.shape}: expected (batch, time, features)")
    x = transpose(input, 0, 1) if turned else input
    rate = float(dropout) if train else 0.0
    y, h, c = layers(x, states[0], states[1] if len(states) == 2 else None, weights, cell, rate, bidirectional, sizes)
    y = transpose(y, 0, 1) if turned else y
    return (y, h) if c is None else (y, h, c)


def lstm(
    input: Tensor,
    hx: Sequence[Tensor],
    params: Sequence[Tensor],
    has_biases: bool,
    num_layers: int,
    dropout: float,
    train: bool,
    bidirectional: bool,
    batch_first: bool = False,
    *,
    batch_sizes: Sequence[int] | Tensor | None = None,
) -> tuple[Tensor, ...]:
    """Layers of LSTM: y, h_n, c_n; `nn.LSTM` as a function.

    Args:
        input: (t, b, i), (b, t, i) if batch_first, or packed rows (n, i) with batch_sizes.
        hx: h (layers d, b, p) and c (layers d, b, h), where d is 2 if bidirectional, else 1.
        params: per layer and direction weight_ih (4 h, i), weight_hh (4 h, p), with has_biases bias_ih and bias_hh
            (4 h,), and for a projection weight_hr (p, h). Gates are in the order i f g o.
        dropout: between layers, if train.
    Raises: ShapeError, DtypeError, ArgumentError.
    Source: Hochreiter & Schmidhuber 1997; Gers et al. 2000; the projection: Sak et al. 2014 (arXiv:1402.1128).
    """
    return _run("lstm", "lstm", input, hx, params, has_biases, num_layers, dropout, train, bidirectional, batch_first,
                batch_sizes)  # fmt: skip


def _function(name: str, cell: str, doc: str) -> Callable[..., tuple[Tensor, ...]]:
    def run(
        input: Tensor,
        hx: Tensor,
        params: Sequence[Tensor],
        has_biases: bool,
        num_layers: int,
        dropout: float,
        train: bool,
        bidirectional: bool,
        batch_first: bool = False,
        *,
        batch_sizes: Sequence[int] | Tensor | None = None,
    ) -> tuple[Tensor, ...]:
        return _run(name, cell, input, hx, params, has_biases, num_layers, dropout, train, bidirectional, batch_first,
                    batch_sizes)  # fmt: skip

    run.__name__ = run.__qualname__ = name
    run.__doc__ = doc
    return run


gru = _function(
    "gru", "gru", "Layers of GRU: y and h_n; `nn.GRU` as a function. Arguments: as of `lstm`; hx is h; gates r z n."
)
rnn_tanh = _function(
    "rnn_tanh", "tanh", "Layers of tanh RNN: y and h_n; `nn.RNN` as a function. Arguments: as of `gru`."
)
rnn_relu = _function(
    "rnn_relu", "relu", "Layers of ReLU RNN: y and h_n; `nn.RNN` as a function. Arguments: as of `gru`."
)


def one_step(
    op: str, cell: str, input: Tensor, h: Tensor, c: Tensor | None, weights: Weights
) -> tuple[Tensor, Tensor | None]:
    """One step on (b, i) or (i,)."""
    for i, t in enumerate((input, h, *weights, c)):
        if not isinstance(t, Tensor) and (i < 4 or t is not None):
            raise DtypeError(f"{op}: expected tensors, got {type(t).__name__}")
    if input.ndim not in (1, 2) or any(s is not None and s.ndim != input.ndim for s in (h, c)):
        shapes = [s.shape for s in (h, c) if s is not None]
        raise ShapeError(
            f"{op}: input {input.shape} and states {shapes}: expected (batch, features) or (features,) for all"
        )
    if input.ndim == 1:
        h, c = (None if s is None else unsqueeze(s, 0) for s in (h, c))  # type: ignore[assignment]
        y, state = one_step(op, cell, unsqueeze(input, 0), h, c, weights)
        return select(y, 0, 0), None if state is None else select(state, 0, 0)
    _, h_n, c_n = recurrent(unsqueeze(input, 0), h, c, weights, cell)
    return h_n, c_n


def lstm_cell(
    input: Tensor,
    hx: Sequence[Tensor],
    w_ih: Tensor,
    w_hh: Tensor,
    b_ih: Tensor | None = None,
    b_hh: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """One step of an LSTM: h and c. input: (b, i) or (i,); hx: h and c, (b, h) or (h,); weights: as of `lstm`."""
    if not isinstance(hx, (list, tuple)) or len(hx) != 2:
        raise DtypeError(f"lstm_cell: expected the states (h, c), got {type(hx).__name__}")
    h, c = one_step("lstm_cell", "lstm", input, hx[0], hx[1], (w_ih, w_hh, b_ih, b_hh))
    assert c is not None
    return h, c


def gru_cell(
    input: Tensor, hx: Tensor, w_ih: Tensor, w_hh: Tensor, b_ih: Tensor | None = None, b_hh: Tensor | None = None
) -> Tensor:
    """One step of a GRU. input: (b, i) or (i,); hx: (b, h) or (h,); weights: as of `gru`."""
    return one_step("gru_cell", "gru", input, hx, None, (w_ih, w_hh, b_ih, b_hh))[0]


def rnn_tanh_cell(
    input: Tensor, hx: Tensor, w_ih: Tensor, w_hh: Tensor, b_ih: Tensor | None = None, b_hh: Tensor | None = None
) -> Tensor:
    """tanh(w_ih input + b_ih + w_hh hx + b_hh). input: (b, i) or (i,); hx: (b, h) or (h,)."""
    return one_step("rnn_tanh_cell", "tanh", input, hx, None, (w_ih, w_hh, b_ih, b_hh))[0]


def rnn_relu_cell(
    input: Tensor, hx: Tensor, w_ih: Tensor, w_hh: Tensor, b_ih: Tensor | None = None, b_hh: Tensor | None = None
) -> Tensor:
    """max(0, w_ih input + b_ih + w_hh hx + b_hh). input: (b, i) or (i,); hx: (b, h) or (h,)."""
    return one_step("rnn_relu_cell", "relu", input, hx, None, (w_ih, w_hh, b_ih, b_hh))[0]
