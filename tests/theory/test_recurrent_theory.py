"""Gradient norms through depth and time: against differentiation, and their bounds."""

import numpy as np
import pytest

import pydl
from pydl import nn, theory
from pydl.autograd import grad
from pydl.errors import ArgumentError, ShapeError
from pydl.nn.utils import project_stable


@pytest.mark.parametrize("kind", sorted(theory.SLOPES))
def test_jacobian_norms_are_those_of_differentiation(kind: str) -> None:
    net = nn.RNN(2, 4, nonlinearity=kind, dtype=pydl.float64)
    x = pydl.tensor(np.random.default_rng(0).standard_normal((6, 2)))
    h0 = pydl.tensor(np.random.default_rng(1).standard_normal((1, 4))).requires_grad_()
    y, _ = net(x, h0)
    rows = [grad([y[-1, i]], [h0], retain_graph=True)[0].numpy()[0] for i in range(4)]
    norms = theory.rnn_jacobian_norms(net, x, h0.detach())
    assert len(norms) == 7 and norms[0] == 1
    np.testing.assert_allclose(norms[-1], np.linalg.norm(np.array(rows), 2), rtol=1e-10)
    assert (norms <= theory.jacobian_bounds(net, 6) * (1 + 1e-12)).all()


@pytest.mark.parametrize("kind", ["tanh", "sigmoid", "relu"])
def test_projected_networks_contract(kind: str) -> None:
    """States that differ come together by lam at every step; what is already stable stays."""
    net = nn.RNN(3, 8, nonlinearity=kind, dtype=pydl.float64)
    with pydl.no_grad():
        net.weight_hh_l0[:] = net.weight_hh_l0 * 20.0
    assert project_stable(net, 0.8) is net
    assert abs(theory.stability_constant(net) - 0.8) < 1e-12
    rng = np.random.default_rng(0)
    x = pydl.tensor(rng.standard_normal((1, 10_000, 3)))
    a, b = (pydl.tensor(rng.standard_normal((1, 10_000, 8))) for _ in range(2))
    before = np.linalg.norm((a - b).numpy()[0], axis=1)
    after = np.linalg.norm((net(x, a)[0] - net(x, b)[0]).detach().numpy()[0], axis=1)
    assert (after <= 0.8 * before + 1e-12).all()
    weight = net.weight_hh_l0.detach().numpy().copy()
    project_stable(net, 0.9)
    np.testing.assert_array_equal(net.weight_hh_l0.detach().numpy(), weight)


def test_truncation_error_decays() -> None:
    """The state after the last k steps alone is off by at most lam^k times the state it forgets."""
    net = project_stable(nn.RNN(2, 8, dtype=pydl.float64), 0.7)
    x = pydl.tensor(np.random.default_rng(0).standard_normal((60, 1, 2)))
    full = net(x)[0].detach().numpy()[:, 0]
    for k in (1, 5, 20):
        error = np.linalg.norm(net(x[-k:])[0].detach().numpy()[-1, 0] - full[-1])
        assert error <= 0.7**k * np.linalg.norm(full[-k - 1]) + 1e-15


def test_profile() -> None:
    layers = [nn.Linear(5, 5, dtype=pydl.float64) for _ in range(3)]
    x, seed = pydl.randn(2, 5, dtype=pydl.float64), pydl.randn(2, 5, dtype=pydl.float64)
    found = theory.gradient_profile(layers, x, seed)
    g = seed.numpy()
    norms = [np.linalg.norm(g)]
    for layer in layers[:0:-1]:
        g = g @ layer.weight.detach().numpy()
        norms.append(np.linalg.norm(g))
    np.testing.assert_allclose(found, norms[::-1], rtol=1e-12)


def test_errors() -> None:
    with pytest.raises(ArgumentError, match="one layer"):
        theory.stability_constant(nn.RNN(2, 3, 2))
    with pytest.raises(ArgumentError, match="one layer and one direction"):
        theory.rnn_jacobian_norms(nn.LSTM(2, 3), pydl.ones(2, 2))  # type: ignore[arg-type]
    with pytest.raises(ShapeError, match="time, features"):
        theory.rnn_jacobian_norms(nn.RNN(2, 3), pydl.ones(2, 2, 2))
    with pytest.raises(ArgumentError, match="lam must be"):
        project_stable(nn.RNN(2, 3), 1.5)
    with pytest.raises(ArgumentError, match="expected modules"):
        theory.gradient_profile([], pydl.ones(2))
