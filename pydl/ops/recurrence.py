"""Recurrent layers, fused: one direction of one layer is one launch each way, over all steps.

Axes: t time, b batch, i features, h units, p what is fed back (h, or the size of the projection), g gates. Packed
rows are those of all steps, one step after the other; step t has sizes[t] rows, never more than the step before.
A gradient of a gradient is that of the plain definition, step by step.
"""

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from pydl import _C
from pydl.autograd.mode import mode
from pydl.autograd.op import REFUSALS, recovered
from pydl.autograd.several import Several, part_of
from pydl.errors import DtypeError
from pydl.ops.activation import relu, sigmoid
from pydl.ops.create import zeros
from pydl.ops.elementary import tanh
from pydl.ops.gemm import linear
from pydl.ops.index import index_select
from pydl.ops.parts import chunk, unbind
from pydl.ops.shape import cat, narrow, reshape, stack
from pydl.tensor import Tensor

__all__: list[str] = []

Weights = Sequence[Tensor | None]  # weight_ih (g h, i), weight_hh (g h, p), bias_ih, bias_hh (g h,), weight_hr (p, h)
KERNELS = {"identity": 1, "relu": 1, "tanh": 1, "sigmoid": 1, "lstm": 4, "gru": 3, "gru_before": 3}
GATES = KERNELS | {"identity_before": 1, "relu_before": 1, "tanh_before": 1, "sigmoid_before": 1}
HALF = (_C.float16, _C.bfloat16)


# ---------------------------------------------------------------- the plain definition


def _curve(f: Callable[[Tensor], Tensor]) -> Callable[..., tuple[Tensor, None]]:
    return lambda pre, h, c, w, bias, proj: (f(pre + linear(h, w, bias)), None)


def _curve_before(f: Callable[[Tensor], Tensor]) -> Callable[..., tuple[Tensor, None]]:
    return lambda pre, h, c, w, bias, proj: (pre + linear(f(h), w, bias), None)


def _lstm_step(pre, h, c, w, bias, proj):
    i, f, g, o = chunk(pre + linear(h, w, bias), 4, -1)
    c = sigmoid(f) * c + sigmoid(i) * tanh(g)
    h = sigmoid(o) * tanh(c)
    return (h if proj is None else linear(h, proj)), c


def _gru_step(pre, h, c, w, bias, proj):
    (r, z, n), (hr, hz, hn) = chunk(pre, 3, -1), chunk(linear(h, w, bias), 3, -1)
    n = tanh(n + sigmoid(r + hr) * hn)
    z = sigmoid(z + hz)
    return (1.0 - z) * n + z * h, None


def _gru_before_step(pre, h, c, w, bias, proj):
    """r scales the state, not its product."""
    units = h.shape[-1]
    b_gates, b_n = (None, None) if bias is None else (narrow(bias, 0, 0, 2 * units), narrow(bias, 0, 2 * units, units))
    r, z, n = chunk(pre, 3, -1)
    hr, hz = chunk(linear(h, narrow(w, 0, 0, 2 * units), b_gates), 2, -1)
    n = tanh(n + linear(sigmoid(r + hr) * h, narrow(w, 0, 2 * units, units), b_n))
    z = sigmoid(z + hz)
    return (1.0 - z) * n + z * h, None


CURVES: dict[str, Callable[[Tensor], Tensor]] = {
    "identity": lambda x: x,
    "relu": relu,
    "tanh": tanh,
    "sigmoid": sigmoid,
}
STEPS: dict[str, Callable[..., Any]] = {
    **{name: _curve(f) for name, f in CURVES.items()},
    **{f"{name}_before": _curve_before(f) for name, f in CURVES.items()},
    "lstm": _lstm_step,
    "gru": _gru_step,
    "gru_before": _gru_before_step,
}


def _each_step(x: Tensor, sizes: Sequence[int] | None) -> list[Tensor]:
    """The rows of each step."""
    if sizes is None:
        return list(unbind(x, 0))
    starts = np.cumsum([0, *sizes])
    return [narrow(x, 0, int(s), int(n)) for s, n in zip(starts[:-1], sizes, strict=True)]


def _with_rest(new: Tensor, old: Tensor) -> Tensor:
    """new for the first rows of old."""
    rows = new.shape[0]
    return new if rows == old.shape[0] else cat([new, narrow(old, 0, rows, old.shape[0] - rows)])


def _recurrent_plain(x, h0, c0, w_ih, w_hh, b_ih, b_hh, w_hr, cell, reverse, sizes):
    pre = _each_step(linear(x, w_ih, b_ih), sizes)
    b, units = pre[0].shape[0], w_hh.shape[0] // GATES[cell]
    h = zeros(b, units if w_hr is None else w_hr.shape[0], dtype=x.dtype, device=x.device) if h0 is None else h0
    c = zeros(b, units, dtype=x.dtype, device=x.device) if c0 is None and cell == "lstm" else c0
    outputs = [h] * len(pre)
    for t in range(len(pre))[:: -1 if reverse else 1]:
        n = pre[t].shape[0]
        before = None if c is None else narrow(c, 0, 0, n)
        outputs[t], state = STEPS[cell](pre[t], narrow(h, 0, 0, n), before, w_hh, b_hh, w_hr)
        h = _with_rest(outputs[t], h)
        c = c if state is None else _with_rest(state, c)
    y = stack(outputs) if sizes is None else cat(outputs)
    return (y, h, c) if cell == "lstm" else (y, h)


# ---------------------------------------------------------------- the fused operation


def _array(t: Tensor | None) -> Any:
    return None if t is None else t.array


def _rows(a: _C.Array) -> _C.Array:
    return a if a.ndim == 2 else _C.reshape(a, (a.shape[0] * a.shape[1], a.shape[2]))


def _of(a: _C.Array, rows: Any) -> _C.Array:
    """The rows of a range, as a view, or at an index."""
    if isinstance(rows, range):
        return _C.slice(a, (rows.start, 0), (len(rows), a.shape[1]), (1, 1))
    return index_select(Tensor(a), 0, _index(rows, a.device)).array


def _index(rows: Any, device: Any) -> Tensor:
    return Tensor(_C.from_numpy(np.ascontiguousarray(rows, np.int64))).to(device)


def _sum_of_products(a: _C.Array, b: _C.Array) -> _C.Array:
    """a^T b: a sum over all rows."""
    return _C.matmul(_C.permute(a, (1, 0)), b)


def _neighbours(n: int, b: int, reverse: bool, sizes: Sequence[int] | None) -> tuple[Any, Any, Any]:
    """Rows whose state before is a row of the output, those rows, and for each of the batch its first row."""
    if sizes is None:
        early, late = range(n - b), range(b, n)
        return (early, late, range(n - b, n)) if reverse else (late, early, range(b))
    late = range(b, n)
    rows = np.asarray(sizes, dtype=np.int64)
    early = np.arange(b, n) - np.repeat(rows[:-1], rows[1:])
    if not reverse:
        return late, early, range(b)
    starts = np.cumsum(rows) - rows
    lengths = np.searchsorted(-rows, -np.arange(b), side="left")  # steps with more rows than r
    return early, late, starts[lengths - 1] + np.arange(b)


def _state_weight_gradient(gates: _C.Array, y: _C.Array, h0: Tensor | None, *walk: Any) -> _C.Array:
    """The sum over all rows of gates^T (the state before), as one product, and one more for the first states."""
    to, of, first = walk
    total = _sum_of_products(_of(gates, to), _of(y, of))
    return total if h0 is None else _C.addmm(total, _C.permute(_of(gates, first), (1, 0)), h0.array, 1, 1, "addmm")


def _gradients(g, x, h0, c0, w_ih, w_hh, b_ih, b_hh, w_hr, saved, cell, reverse, sizes):
    """Those of all inputs, by one kernel and a product per weight; outside the graph, so without its tensors."""
    parts = [_array(g.get(i)) for i in range(3 if cell == "lstm" else 2)]
    gcn = parts[2] if cell == "lstm" else None
    first = h0 is not None and h0.requires_grad
    arrays = [t.array for t in saved]
    made = _C.recurrent_grad(
        *parts[:2], gcn, x.array, _array(h0), _array(c0), w_ih.array, w_hh.array, _array(w_hr), arrays, cell, reverse,
        sizes, first,
    )  # fmt: skip
    to, scaled, out, gh, gc = made
    gates, state_gates, y = _rows(to), _rows(scaled), _rows(arrays[0])

    def weight(gates: _C.Array) -> _C.Array:
        walk = _neighbours(y.shape[0], arrays[1].shape[0], reverse, sizes)
        if cell != "gru_before":
            return _state_weight_gradient(gates, y, h0, *walk)
        two = 2 * w_hh.shape[1]  # the third gate's product is of what r has scaled
        of_state = _state_weight_gradient(_C.slice(gates, (0, 0), (gates.shape[0], two), (1, 1)), y, h0, *walk)
        third = _C.slice(gates, (0, two), (gates.shape[0], two // 2), (1, 1))
        return _C.cat([of_state, _sum_of_products(third, _rows(arrays[3]))], 0)

    return (
        lambda: Tensor(_C.matmul(to, w_ih.array)),
        Tensor(gh) if first else None,
        None if c0 is None else Tensor(gc),
        lambda: Tensor(_sum_of_products(gates, _rows(x.array))),
        lambda: Tensor(weight(state_gates)),
        None if b_ih is None else lambda: Tensor(_C.sum(gates, (0,))),
        None if b_hh is None else lambda: Tensor(_C.sum(state_gates, (0,))),
        None if w_hr is None else lambda: Tensor(_sum_of_products(_rows(out), _rows(arrays[5]))),
    )


class Recurrent(Several):
    """One direction of one layer; see csrc/runtime/table/rnn.h. y, h_n and, of the lstm, c_n; what follows is saved."""

    reference = _recurrent_plain  # type: ignore[assignment]
    uses = (0, 1, 2, 3, 4, 7)

    def kernel(x, h0, c0, w_ih, w_hh, b_ih, b_hh, w_hr, cell, reverse, sizes):
        return _C.recurrent(x, h0, c0, w_ih, w_hh, b_ih, b_hh, w_hr, cell, reverse, sizes)

    @classmethod
    def apply(cls, *inputs: Tensor | None, **attrs: Any) -> tuple[Tensor, ...]:  # type: ignore[override]
        """Some inputs may be None; what the rule alone needs is not returned."""
        try:
            made = cls.kernel(*[None if t is None else t.array for t in inputs], **attrs)  # type: ignore[misc]
        except REFUSALS as error:
            return recovered(error, cls, inputs, attrs)  # type: ignore[return-value]
        kept = made[: 3 if attrs["cell"] == "lstm" else 2]
        if not mode.enabled or not any(t is not None and t.requires_grad for t in inputs):
            return tuple([Tensor(a) for a in kept])
        node = cls.record(made[0], inputs, made[1:], attrs).node
        assert node is not None
        return tuple([part_of(node, Tensor(a), i, True) for i, a in enumerate(kept)])

    def vjp(g, x, h0, c0, w_ih, w_hh, b_ih, b_hh, w_hr, *saved, cell, reverse, sizes):
        if mode.enabled:
            return None
        return _gradients(g, x, h0, c0, w_ih, w_hh, b_ih, b_hh, w_hr, saved, cell, reverse, sizes)


def _recurrent_before(x, h0, c0, w_ih, w_hh, b_ih, b_hh, w_hr, cell, reverse, sizes):
    """A plain cell whose curve f comes before the product: u = f(h) is the state of the cell with f behind it, and once
    all u are known, all h = pre + W u are one product."""
    plain, pre = cell.removesuffix("_before"), linear(x, w_ih, b_ih)
    b, units = x.shape[1] if sizes is None else sizes[0], w_hh.shape[0]
    first = CURVES[plain](zeros(b, units, dtype=x.dtype, device=x.device) if h0 is None else h0)
    u = recurrent(x, first, None, (w_ih, w_hh, b_ih, b_hh), plain, reverse, sizes)[0]
    n = math.prod(u.shape[:-1])
    to, of, fresh = (np.asarray(rows, np.int64) for rows in _neighbours(n, b, reverse, sizes))
    before = np.empty(n, np.int64)
    before[to], before[fresh] = of, np.arange(n, n + b)
    states = index_select(cat([reshape(u, (n, units)), first]), 0, _index(before, x.device))
    h = linear(states, w_hh, b_hh, residual=reshape(pre, (n, units)))
    last = _neighbours(n, b, not reverse, sizes)[2]  # where the walk from the other end begins
    return reshape(h, u.shape), index_select(h, 0, _index(last, x.device))


def recurrent(
    x: Tensor,
    h0: Tensor | None,
    c0: Tensor | None,
    weights: Weights,
    cell: str,
    reverse: bool = False,
    sizes: Sequence[int] | None = None,
) -> tuple[Tensor, Tensor, Tensor | None]:
    """One direction of one layer: y, h_n and c_n.

    x: (t, b, i), or packed rows (n, i) with sizes.   h0: (b, p).   c0: (b, h).   weights: as of `Weights`, or the first
    four.   cell: one of `GATES`. With '_before' a function of the state comes before its product: the curve of a
    plain cell, or the reset gate of a GRU.
    """
    w = [*weights, None][:5]
    sizes = None if sizes is None else list(sizes)
    inputs = [x, h0, c0, *w]
    if x.dtype in HALF:
        if mode.cast is None and w[0] is not None and w[0].dtype is not x.dtype:  # under autocast weights stay wide
            raise DtypeError(f"{cell}: input of {x.dtype} does not match weight_ih of {w[0].dtype}")
        inputs = [t if t is None or t.dtype is not x.dtype else t.to(_C.float32) for t in inputs]
    run = Recurrent.apply if cell in KERNELS else _recurrent_before
    made = run(*inputs, cell=cell, reverse=reverse, sizes=sizes)
    if x.dtype in HALF:
        made = [t.to(x.dtype) for t in made]
    return made[0], made[1], made[2] if cell == "lstm" else None
