"""Forms of recurrent layers that PyTorch lacks, against their formulas in NumPy."""

from itertools import product
from typing import Any

import numpy as np
import pytest

import pydl
from pydl import nn
from pydl.errors import ArgumentError


def listed(made: Any) -> list[Any]:
    """All tensors of nested tuples."""
    return [t for m in made for t in listed(m)] if isinstance(made, tuple) else [made]


def steps_of(net: Any, x: np.ndarray, step: Any) -> np.ndarray:
    """A layer's outputs in NumPy, by a function of the products with the input and the state."""
    w = {k: v.numpy() for k, v in net.state_dict().items()}
    h = np.zeros((x.shape[1], net.hidden_size))
    made = []
    for row in x:
        h = step(row, h, w)
        made.append(h)
    return np.stack(made)


def sigmoid(x: np.ndarray) -> np.ndarray:
    return np.asarray(1 / (1 + np.exp(-x)))


def test_gru_forms() -> None:
    """Reset before the product, and the update gate the other way round."""
    x = np.random.default_rng(0).standard_normal((5, 3, 2))
    for after, update in product([True, False], ["keep", "new"]):
        net = nn.GRU(2, 4, reset_after=after, update=update, dtype=pydl.float64)

        def step(row: Any, h: Any, w: Any, after: bool = after, update: str = update) -> Any:
            pre = row @ w["weight_ih_l0"].T + w["bias_ih_l0"]
            wh, bh = w["weight_hh_l0"], w["bias_hh_l0"]
            r, z = (sigmoid(pre[:, s] + h @ wh[s].T + bh[s]) for s in (slice(0, 4), slice(4, 8)))
            s = slice(8, 12)
            n = np.tanh(pre[:, s] + (r * (h @ wh[s].T + bh[s]) if after else (r * h) @ wh[s].T + bh[s]))
            return z * n + (1 - z) * h if update == "new" else (1 - z) * n + z * h

        np.testing.assert_allclose(net(pydl.tensor(x))[0].detach().numpy(), steps_of(net, x, step), atol=1e-12)


def test_gru_gates_copy_and_overwrite() -> None:
    """An update gate of 0 copies the state, one of 1 replaces it."""
    net = nn.GRU(2, 4, update="new", dtype=pydl.float64)
    x, h0 = pydl.randn(6, 3, 2, dtype=pydl.float64), pydl.randn(1, 3, 4, dtype=pydl.float64)
    for bias, kept in ((-1e3, True), (1e3, False)):
        with pydl.no_grad():
            net.bias_ih_l0[4:8] = bias
        y, _ = net(x, h0)
        assert np.array_equal(y[-1].detach().numpy(), h0[0].numpy()) is kept


def test_lstm_without_forget_gate() -> None:
    net = nn.LSTM(2, 4, forget_gate=False, dtype=pydl.float64)
    assert net.weight_ih_l0.shape == (12, 2)
    x = np.random.default_rng(0).standard_normal((5, 3, 2))
    c = np.zeros((3, 4))

    def step(row: Any, h: Any, w: Any) -> Any:
        nonlocal c
        pre = row @ w["weight_ih_l0"].T + w["bias_ih_l0"] + h @ w["weight_hh_l0"].T + w["bias_hh_l0"]
        i, g, o = sigmoid(pre[:, :4]), np.tanh(pre[:, 4:8]), sigmoid(pre[:, 8:])
        c = c + i * g
        return o * np.tanh(c)

    np.testing.assert_allclose(net(pydl.tensor(x))[0].detach().numpy(), steps_of(net, x, step), atol=1e-12)
    # the constant error carousel: with closed gates, 200 steps leave the gradient of the cell alone
    with pydl.no_grad():
        for p in net.parameters():
            p[:] = 0.0
        net.bias_ih_l0[:4] = -1e3
    c0 = pydl.randn(1, 3, 4, dtype=pydl.float64).requires_grad_()
    _, (_, last) = net(pydl.randn(200, 3, 2, dtype=pydl.float64), (pydl.zeros(1, 3, 4, dtype=pydl.float64), c0))
    last.sum().backward()
    assert (c0.grad.numpy() == 1).all()


def test_cell_gradient_is_the_forget_gate() -> None:
    net = nn.LSTM(2, 4, dtype=pydl.float64)
    with pydl.no_grad():
        net.weight_hh_l0[:] = 0.0
    x = pydl.randn(1, 1, 2, dtype=pydl.float64)
    c0 = pydl.randn(1, 1, 4, dtype=pydl.float64).requires_grad_()
    _, (_, c) = net(x, (pydl.zeros(1, 1, 4, dtype=pydl.float64), c0))
    c.sum().backward()
    w, b = net.weight_ih_l0.detach().numpy(), (net.bias_ih_l0 + net.bias_hh_l0).detach().numpy()
    np.testing.assert_allclose(c0.grad.numpy()[0, 0], sigmoid(x.numpy()[0, 0] @ w[4:8].T + b[4:8]), atol=1e-15)


def test_forget_bias() -> None:
    net = nn.LSTM(3, 5, 2, bidirectional=True, forget_bias=1.0)
    for own in net.all_weights:
        np.testing.assert_array_equal((own[2] + own[3]).detach().numpy()[5:10], 1.0)
    with pytest.raises(ArgumentError, match="forget_bias needs"):
        nn.LSTM(3, 5, bias=False, forget_bias=1.0)


def test_two_forms_of_a_simple_rnn() -> None:
    """Pascanu's state is what goes into the nonlinearity: of the same weights, f(state) is Elman's."""
    x = pydl.randn(6, 2, 3, dtype=pydl.float64)
    for f, curve in (("tanh", np.tanh), ("sigmoid", sigmoid), ("relu", lambda v: np.maximum(v, 0))):
        elman = nn.RNN(3, 4, nonlinearity=f, dtype=pydl.float64)
        other = nn.RNN(3, 4, nonlinearity=f, form="pascanu", dtype=pydl.float64)
        other.load_state_dict(elman.state_dict())
        start = pydl.tensor(np.random.default_rng(0).standard_normal((1, 2, 4)))
        y, _ = elman(x, pydl.tensor(curve(start.numpy())))
        z, _ = other(x, start)
        np.testing.assert_allclose(y.detach().numpy(), curve(z.detach().numpy()), atol=1e-10)


def test_identity_start() -> None:
    net = nn.RNN(3, 4, nonlinearity="relu", identity=True)
    np.testing.assert_array_equal(net.weight_hh_l0.detach().numpy(), np.eye(4))
    assert not net.bias_ih_l0.detach().numpy().any()


@pytest.mark.parametrize("kind", ["RNN", "LSTM", "GRU"])
def test_bidirectional_wrapper(kind: str) -> None:
    """It is the layer's own bidirectional=True; reversing the input reverses and swaps the halves."""
    one = getattr(nn, kind)(3, 4, dtype=pydl.float64)
    wrapped = nn.Bidirectional(one)
    whole = getattr(nn, kind)(3, 4, bidirectional=True, dtype=pydl.float64)
    state = dict(wrapped.forward_cell.state_dict().items())
    state |= {f"{k}_reverse": v for k, v in wrapped.backward_cell.state_dict().items()}
    whole.load_state_dict(state)
    x = pydl.randn(5, 2, 3, dtype=pydl.float64)
    hx = pydl.randn(2, 2, 4, dtype=pydl.float64)
    given = (hx, hx * 2) if kind == "LSTM" else hx
    for a, b in zip(listed(wrapped(x, given)), listed(whole(x, given)), strict=True):
        np.testing.assert_allclose(a.detach().numpy(), b.detach().numpy(), atol=1e-12)
    wrapped.backward_cell.load_state_dict(wrapped.forward_cell.state_dict())
    y = wrapped(x)[0].detach().numpy()
    z = wrapped(pydl.flip(x, 0))[0].detach().numpy()[::-1]
    np.testing.assert_allclose(np.concatenate([z[..., 4:], z[..., :4]], -1), y, atol=1e-12)
