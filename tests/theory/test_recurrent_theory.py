"""Gradient norms through depth and time: against differentiation, and their bounds."""

import numpy as np
import pytest

import pydl
from pydl import nn, theory
from pydl.autograd import grad
from pydl.errors import ArgumentError, DtypeError, ShapeError
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


def norm(net: nn.LSTM, h: np.ndarray, c: np.ndarray) -> np.ndarray:
    u, v = theory.stability_norm(net)
    return np.asarray(np.maximum(np.abs(c).max(-1) / u, np.abs(h).max(-1) / v))


@pytest.mark.parametrize("lam", [0.3, 0.9])
def test_projected_lstms_contract(lam: float) -> None:
    """In the norm that belongs to the bound, for states that the network can be in and inputs within theirs."""
    rng = np.random.default_rng(0)
    net = nn.LSTM(3, 8, dtype=pydl.float64)
    with pydl.no_grad():
        for p in net.parameters():
            p[:] = pydl.tensor(rng.standard_normal(tuple(p.shape)))
    assert theory.stability_constant(net, 2.0) > 1
    project_stable(net, lam, input_bound=2.0)
    assert abs(theory.stability_constant(net, 2.0) - lam) < 1e-9  # no more than needed
    x = pydl.tensor(rng.uniform(-2, 2, (1, 10_000, 3)))
    most = 1 / (1 - 0.64 * lam)
    a, b = ([rng.uniform(-r, r, (1, 10_000, 8)) for r in (1, most)] for _ in range(2))
    after = []
    for h, c in (a, b):
        _, (hn, cn) = net(x, (pydl.tensor(h), pydl.tensor(c)))
        after.append((hn.detach().numpy()[0], cn.detach().numpy()[0]))
        assert np.abs(after[-1][0]).max() <= 1 and np.abs(after[-1][1]).max() <= most
    far, near = norm(net, *(p - q for p, q in zip(*after, strict=True))), norm(net, (a[0] - b[0])[0], (a[1] - b[1])[0])
    assert (far <= lam * near).all() and (far > 0).all()
    kept = [p.detach().numpy().copy() for p in net.parameters()]
    project_stable(net, lam, input_bound=2.0)
    for p, before in zip(net.parameters(), kept, strict=True):
        np.testing.assert_allclose(p.detach().numpy(), before, atol=1e-12)


def test_rates_of_the_conditions_of_miller_and_hardt() -> None:
    """At |W_i| = |W_o| = 1 - f, |W_g| = (1 - f) / 4 and |W_f| = (1 - f)^2 the step contracts, whatever f is."""
    for f in (0.1, 0.5, 0.64, 0.95):
        net = nn.LSTM(1, 1, dtype=pydl.float64)
        with pydl.no_grad():
            net.weight_ih_l0[:] = 0.0
            net.bias_ih_l0[:] = 0.0
            net.bias_hh_l0[:] = 0.0
            net.weight_hh_l0[:] = pydl.tensor([[1 - f], [(1 - f) ** 2], [(1 - f) / 4], [1 - f]], dtype=pydl.float64)
            net.bias_ih_l0[1] = np.log(f / (1 - f)) - (1 - f) ** 2
        expected = (1 + np.sqrt(1 - f * (1 - f))) / 2
        assert abs(theory.stability_constant(net) - expected) < 1e-12 and expected < 1


def test_all_layers_are_projected() -> None:
    net = project_stable(nn.LSTM(3, 4, 2, bidirectional=True), 0.5)
    for i, own in enumerate(net.all_weights):
        alone = nn.LSTM(own[0].shape[1], 4, dtype=pydl.float64)
        with pydl.no_grad():
            for p, q in zip(alone.parameters(), own, strict=True):
                p[:] = q.double()
        assert theory.stability_constant(alone, 1.0) <= 0.5 + 1e-6, i


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
    with pytest.raises(ArgumentError, match="with forget gates and biases"):
        project_stable(nn.LSTM(2, 3, bias=False), 0.5)
    with pytest.raises(ArgumentError, match="input_bound"):
        project_stable(nn.LSTM(2, 3), 0.5, float("nan"))
    with pytest.raises(DtypeError, match=r"nn.RNN or nn.LSTM"):
        project_stable(nn.GRU(2, 3), 0.5)
    with pytest.raises(ArgumentError, match="one layer and one direction"):
        theory.stability_norm(nn.LSTM(2, 3, 2))
    open_gate = nn.LSTM(2, 3, forget_bias=1e4)
    assert theory.stability_constant(open_gate) == np.inf
    with pytest.raises(ArgumentError, match="there is no such norm"):
        theory.stability_norm(open_gate)
    with pytest.raises(ArgumentError, match="expected modules"):
        theory.gradient_profile([], pydl.ones(2))


def test_profile_of_outputs_that_overflow() -> None:
    """The gradient of the last output is ones, whatever the output."""
    profile = theory.gradient_profile([nn.Linear(2, 2), nn.Linear(2, 2)], pydl.full((1, 2), float("inf")))
    assert np.isfinite(profile).all() and profile[-1] == pytest.approx(2**0.5)


def test_errors_name_what_was_called() -> None:
    with pytest.raises(ArgumentError, match=r"stability_constant: expected an nn\.LSTM of one layer"):
        theory.stability_constant(nn.LSTM(2, 2, num_layers=2))
