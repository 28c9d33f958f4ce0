"""Recurrent layers and cells as functions, against PyTorch. The layers: tests/nn/test_recurrent.py."""

from typing import Any

import numpy as np
import pytest
from checks import RowChecks
from registry import Row, row, tensor, via

import pydl
from pydl.errors import ArgumentError, DtypeError, ShapeError
from pydl.ops.recurrence import GATES, recurrent

SLACK = {"float32": 32.0, "float64": 16.0, "float16": 2.0, "bfloat16": 2.0}


def layer(name: str, way: Any, bidirectional: bool) -> Any:
    """name as a function of x, h0, [c0] and weights."""

    def call(x: Any, *rest: Any) -> Any:
        if name == "lstm":
            return way(x, rest[:2], list(rest[2:]), True, 1, 0.0, False, bidirectional, False)
        return way(x, rest[0], list(rest[1:]), True, 1, 0.0, False, bidirectional, False)

    return call


def layer_row(name: str) -> Row:
    """One layer, in one direction and in both."""
    gates, states = {"lstm": (4, 2), "gru": (3, 1)}.get(name, (1, 1))
    theirs = via(name)

    def shapes(t: int, b: int, i: int, h: int, d: int) -> Any:
        weights = ((gates * h, i), (gates * h, h), (gates * h,), (gates * h,))
        return ((t, b, i), *((d, b, h),) * states, *weights * d)

    def flat(x: Any, *rest: Any) -> Any:
        return layer(name, getattr(pydl, name), len(rest) - states > 4)(x, *rest)

    def reference(x: Any, *rest: Any) -> Any:
        import torch

        given = [torch.from_numpy(np.array(a)) for a in rest]
        hx = tuple(given[:2]) if name == "lstm" else given[0]
        return theirs(x, hx, given[states:], True, 1, 0.0, False, len(given) - states > 4, False)

    kinds = "f" * (1 + states + 4)
    return row(flat, reference, name=name, kinds=kinds, slack=SLACK, low=-1.0, high=1.0, sums=True,
               dtypes=("float64", "float32"), tails=lambda n: shapes(2, 2, 3, n, 1), layouts=name in ("lstm", "gru"),
               shapes=[shapes(3, 2, 2, 3, 1), shapes(1, 1, 1, 2, 1), shapes(2, 3, 4, 17, 1), shapes(4, 9, 3, 5, 1)],
               large=shapes(2, 96, 65, 130, 1))  # fmt: skip


def cell_row(name: str) -> Row:
    """One step."""
    gates, states = {"lstm_cell": (4, 2), "gru_cell": (3, 1)}.get(name, (1, 1))
    ours, theirs = getattr(pydl, name), via(name)

    def shapes(lead: tuple[int, ...], i: int, h: int) -> Any:
        weights = ((gates * h, i), (gates * h, h), (gates * h,), (gates * h,))
        return ((*lead, i), *((*lead, h),) * states, *weights)

    def call(x: Any, *rest: Any) -> Any:
        return ours(x, rest[:2], *rest[2:]) if states == 2 else ours(x, *rest)

    def reference(x: Any, *rest: Any) -> Any:
        import torch

        hx = tuple(torch.from_numpy(np.array(a)) for a in rest[:2])
        return theirs(x, hx, *rest[2:]) if states == 2 else theirs(x, *rest)

    return row(call, reference, name=name, kinds="f" * (5 + states), slack=SLACK, low=-1.0, high=1.0, sums=True,
               dtypes=("float64", "float32"), layouts=False,
               shapes=[shapes((3,), 2, 4), shapes((1,), 5, 7), shapes((6,), 3, 33)])  # fmt: skip


def sigmoid(x: np.ndarray) -> np.ndarray:
    return np.asarray(1 / (1 + np.exp(-x)))


def gru_before(x: Any, h: Any, *w: Any, reverse: bool) -> Any:
    """The notes' GRU: r scales the state before its product."""
    made = recurrent(x, h, None, w, "gru_before", reverse)
    return made[0], made[1]


def gru_before_in_numpy(x: Any, h: Any, w_ih: Any, w_hh: Any, b_ih: Any, b_hh: Any, reverse: bool) -> Any:
    outputs = [h] * len(x)
    r, z, n = np.split(np.arange(len(b_hh)), 3)
    for t in range(len(x))[:: -1 if reverse else 1]:
        pre, of = x[t] @ w_ih.T + b_ih + b_hh, lambda state, rows: state @ w_hh[rows].T
        keep = sigmoid(pre[:, z] + of(h, z))
        scaled = sigmoid(pre[:, r] + of(h, r)) * h
        h = outputs[t] = (1 - keep) * np.tanh(pre[:, n] + of(scaled, n)) + keep * h
    return np.stack(outputs), h


def gru_before_row() -> Row:
    def shapes(t: int, b: int, i: int, h: int) -> Any:
        return (t, b, i), (b, h), (3 * h, i), (3 * h, h), (3 * h,), (3 * h,)

    slack = SLACK | {"float64": 32.0}  # a step has one product of another
    return row(gru_before, gru_before_in_numpy, kinds="ffffff", slack=slack, low=-1.0, high=1.0, sums=True,
               dtypes=("float64", "float32"), tails=lambda n: shapes(2, 2, 3, n),
               shapes=[shapes(3, 2, 2, 3), shapes(1, 1, 1, 2), shapes(2, 3, 4, 17), shapes(4, 9, 3, 5)],
               kwargs=[{"reverse": False}, {"reverse": True}], large=shapes(2, 96, 65, 130))  # fmt: skip


pytest.importorskip("torch")
ROWS = [
    *map(layer_row, ("lstm", "gru", "rnn_tanh", "rnn_relu")),
    gru_before_row(),
    *map(cell_row, ("lstm_cell", "gru_cell", "rnn_tanh_cell", "rnn_relu_cell")),
]


class TestRows(RowChecks):
    """Every row's tests."""


@pytest.mark.parametrize("cell", sorted(GATES))
@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("sizes", [None, [3, 3, 1], [4, 2, 2, 1], [2], [37, 37, 20, 18, 1]])
def test_kernel_is_the_plain_definition(cell: str, reverse: bool, sizes: list[int] | None) -> None:
    """Values and gradients, packed rows too, of each cell with and without what may be left out."""
    from pydl.ops.recurrence import _recurrent_plain

    rng = np.random.default_rng(0)
    g, i, h, p = GATES[cell], 3, 5, 2 if cell == "lstm" else 5
    b, x = (sizes[0], rng.standard_normal((sum(sizes), i))) if sizes else (4, rng.standard_normal((3, 4, i)))
    shapes = [(b, p), (b, h), (g * h, i), (g * h, p), (g * h,), (g * h,), (p, h)]
    for left_out in ((), (1,), (2,), (5, 6), (1, 2, 5, 6)):
        given = [x, *(rng.standard_normal(s) for s in shapes)]
        wanted: list[Any] = [None if k in left_out else tensor(a).requires_grad_() for k, a in enumerate(given)]
        if cell != "lstm":
            wanted[2] = wanted[7] = None
        options = {"cell": cell, "reverse": reverse, "sizes": sizes}
        made = [t for t in recurrent(*wanted[:3], wanted[3:], **options) if t is not None]
        plain = _recurrent_plain(*wanted, **options)
        inputs = [t for t in wanted if t is not None]
        seeds = [pydl.tensor(rng.standard_normal(t.shape)) for t in made]
        for a, e in zip(made, plain, strict=True):
            np.testing.assert_allclose(a.detach().numpy(), e.detach().numpy(), atol=1e-12)
        for some in (slice(None), slice(0, 1), slice(1, None)):  # the gradients of some outputs may be missing
            found = pydl.autograd.grad(made[some], inputs, seeds[some], retain_graph=True, allow_unused=True)
            exact = pydl.autograd.grad(list(plain)[some], inputs, seeds[some], retain_graph=True, allow_unused=True)
            for a, e in zip(found, exact, strict=True):
                zero = np.zeros(()) if e is None else e.numpy()
                np.testing.assert_allclose(zero if a is None else a.numpy(), zero, atol=1e-11)


def test_input_changed_in_place() -> None:
    w = pydl.ones(2, 2, requires_grad=True)
    x = pydl.ones(3, 1, 2)
    y, _, _ = recurrent(x, None, None, (w, w, None, None), "tanh")
    x[0] = 5.0
    with pytest.raises(pydl.errors.AutogradError, match="changed in place"):
        y.sum().backward()


def test_inside_vmap() -> None:
    """Each example has a sequence of its own: the plain definition runs on all of them."""
    weights = [pydl.tensor(np.random.default_rng(0).standard_normal(s)) for s in ((8, 3), (8, 2), (8,), (8,))]
    x = pydl.tensor(np.random.default_rng(1).standard_normal((5, 4, 1, 3)))
    h = pydl.zeros(1, 1, 2, dtype=pydl.float64)
    run = lambda x: pydl.lstm(x, (h, h), weights, True, 1, 0.0, False, False)[0]  # noqa: E731
    together = pydl.func.vmap(run)(x)
    for i in range(5):
        np.testing.assert_allclose(together[i].numpy(), run(x[i]).numpy(), atol=1e-13)


@pytest.mark.parametrize(
    ("call", "error", "text"),
    [
        (lambda x, h, w: pydl.gru(x, h, w[:3], True, 1, 0.0, False, False), ArgumentError, "3 parameters"),
        (lambda x, h, w: pydl.gru(x, h, [], True, 1, 0.0, False, False), ArgumentError, "0 parameters"),
        (lambda x, h, w: pydl.gru(x, h, w, True, 1, 2.0, True, False), ArgumentError, "dropout must be"),
        (lambda x, h, w: pydl.gru(x, None, w, True, 1, 0.0, False, False), DtypeError, "must be a tensor"),
        (lambda x, h, w: pydl.lstm(x, h, w, True, 1, 0.0, False, False), DtypeError, "expected the states"),
        (lambda x, h, w: pydl.gru(x[0], h, w, True, 1, 0.0, False, False), ShapeError, "time, batch, features"),
        (lambda x, h, w: pydl.gru(x, h[0], w, True, 1, 0.0, False, False), ShapeError, "expected (1, batch, units)"),
        (lambda x, h, w: pydl.gru(x, h, [w[1], *w[1:]], True, 1, 0.0, False, False), ShapeError, "weight_ih (12, 4)"),
        (lambda x, h, w: pydl.gru(x, h, [w[0], w[0], *w[2:]], True, 1, 0.0, False, False), ShapeError, "weight_hh"),
        (lambda x, h, w: pydl.gru(x, h, [*w[:3], w[3][:2]], True, 1, 0.0, False, False), ShapeError, "bias_hh (2,)"),
        (lambda x, h, w: pydl.gru(x, h[:, :1], w, True, 1, 0.0, False, False), ShapeError, "hx (1, 4)"),
        (lambda x, h, w: pydl.gru(x.double(), h, w, True, 1, 0.0, False, False), DtypeError, "does not match input"),
        (lambda x, h, w: pydl.gru(x[0], h, w, True, 1, 0.0, False, False, batch_sizes=[1, 2]), ArgumentError, "grow"),
        (
            lambda x, h, w: pydl.gru(x[0], h, w, True, 1, 0.0, False, False, batch_sizes=[1, 1]),
            ShapeError,
            "sum of batch sizes, 2",
        ),
        (lambda x, h, w: pydl.gru(x[0], h, w, True, 1, 0.0, False, False, batch_sizes=[]), ShapeError, "no steps"),
        (lambda x, h, w: pydl.gru(x[0], h, w, True, 1, 0.0, False, False, batch_sizes="ab"), DtypeError, "batch_sizes"),
        (lambda x, h, w: pydl.gru_cell(x, h, *w), ShapeError, "expected (batch, features)"),
        (lambda x, h, w: pydl.gru_cell(x[0], h[0], w[0], None), DtypeError, "gru_cell"),
        (lambda x, h, w: pydl.lstm_cell(x[0], h[0], *w), DtypeError, "expected the states"),
    ],
)
def test_errors(call: Any, error: type[Exception], text: str) -> None:
    x, h = pydl.zeros(2, 3, 2), pydl.zeros(1, 3, 4)
    weights = [pydl.zeros(12, 2), pydl.zeros(12, 4), pydl.zeros(12), pydl.zeros(12)]
    with pytest.raises(error) as caught:
        call(x, h, weights)
    assert text in str(caught.value)
