"""Residual blocks, stochastic depth, auxiliary heads."""

import numpy as np
import pytest

import pydl
from pydl import nn
from pydl.errors import ArgumentError


def test_a_zero_branch_leaves_the_activation_of_the_input():
    branch = nn.Sequential(nn.Linear(5, 5), nn.ReLU(), nn.Linear(5, 5))
    for p in branch.parameters():
        nn.init.zeros_(p)
    x = pydl.randn(3, 5)
    for activation, function in (("relu", lambda v: np.maximum(v, 0)), ("tanh", np.tanh), (None, lambda v: v)):
        y = nn.ResidualBlock(branch, activation=activation)(x)
        np.testing.assert_allclose(y.detach().numpy(), function(x.numpy()), rtol=1e-6)
    assert (nn.ResidualBlock(branch)(x).detach().numpy() == np.maximum(x.numpy(), 0)).all()
    wide = nn.ResidualBlock(nn.Linear(5, 7), nn.Linear(5, 7), activation=None)
    wanted = wide.branch(x).detach().numpy() + wide.shortcut(x).detach().numpy()
    np.testing.assert_allclose(wide(x).detach().numpy(), wanted, rtol=1e-6)
    with pytest.raises(ArgumentError, match="activation must be None or one of"):
        nn.ResidualBlock(branch, activation="gelu")


@pytest.mark.parametrize("mode", ["row", "batch"])
def test_stochastic_depth_keeps_the_mean(mode):
    pydl.manual_seed(0)
    layer, x = nn.StochasticDepth(0.3, mode), pydl.ones(5, 2, 3)
    drawn = np.stack([layer(x).numpy() for _ in range(3000)])
    assert set(np.round(np.unique(drawn), 5)) == {0, np.round(np.float32(1 / 0.7), 5)}
    rows = drawn[:, :, 0, 0]
    assert (drawn == rows[:, :, None, None]).all()  # a whole example at once
    assert (rows == rows[:, :1]).all() == (mode == "batch")
    error = 4 * np.sqrt(0.3 / 0.7 / (3000 * (5 if mode == "row" else 1)))
    assert abs(drawn.mean() - 1) < error
    assert np.array_equal(layer.eval()(x).numpy(), x.numpy())


def test_the_papers_scaling():
    pydl.manual_seed(0)
    layer, x = nn.StochasticDepth(0.25, "row", scaling="original"), pydl.ones(4000, 1)
    trained = layer(x).numpy()
    assert set(np.unique(trained)) == {0, 1} and abs(trained.mean() - 0.75) < 4 * np.sqrt(0.1875 / 4000)
    np.testing.assert_allclose(layer.eval()(x).numpy(), 0.75)
    unscaled = nn.DropPath(0.25, scale_by_keep=False)
    assert set(np.unique(unscaled(x).numpy())) == {0, 1} and unscaled.eval()(x) is x
    scaled = nn.DropPath(0.25)(x).numpy()
    assert abs(scaled.mean() - 1) < 4 * np.sqrt(1 / 3 / 4000)


def test_expected_depth_of_linearly_falling_survival():
    """Survival 1 - l / (2 L) of branch l of L: (3 L - 1) / 4 branches on average (Huang et al. 2016, section 3)."""
    pydl.manual_seed(0)
    count, n = 54, 4000
    x, alive = pydl.ones(n, 1), 0.0
    for k in range(1, count + 1):
        alive += float((nn.StochasticDepth(0.5 * k / count)(x) > 0).float().mean())
    assert abs(alive / ((3 * count - 1) / 4) - 1) < 0.01


def test_gradients_follow_the_draw_and_edges():
    pydl.manual_seed(0)
    x = pydl.ones(50, 2, requires_grad=True)
    y = nn.StochasticDepth(0.5)(x)
    y.sum().backward()
    assert x.grad is not None and np.array_equal(x.grad.numpy(), y.detach().numpy())
    assert not nn.StochasticDepth(1.0)(x).detach().numpy().any()
    assert nn.StochasticDepth(0.0)(x) is x
    assert nn.StochasticDepth(0.5)(pydl.zeros(0, 3)).shape == (0, 3)
    assert nn.StochasticDepth(0.5, "batch")(pydl.ones(())).shape == ()
    for act, text in (
        (lambda: nn.StochasticDepth(1.5), "p must be in"),
        (lambda: nn.StochasticDepth(0.5, "column"), "mode must be 'row' or 'batch'"),
        (lambda: nn.StochasticDepth(0.5, scaling="none"), "mode must be 'inverted' or 'original'"),
        (lambda: nn.DropPath(-1), "p must be in"),
    ):
        with pytest.raises(ArgumentError, match=text):
            act()


def test_auxiliary_head():
    head = nn.AuxHead(6, 4, channels=3, hidden=5)
    assert head(pydl.rand(2, 6, 9, 7)).shape == (2, 4)
    plain = nn.AuxHead(6, 4, 0.0, channels=3, hidden=5, batch_norm=False)
    x = pydl.rand(2, 6, 4, 4)
    w, b = (t.detach().numpy() for t in (plain.conv.conv.weight, plain.conv.conv.bias))
    y = np.maximum(np.einsum("oi,nihw->nohw", w[:, :, 0, 0], x.numpy()) + b[:, None, None], 0).reshape(2, -1)
    w, b = (t.detach().numpy() for t in (plain.fc1.weight, plain.fc1.bias))
    y = np.maximum(y @ w.T + b, 0)
    w, b = (t.detach().numpy() for t in (plain.fc2.weight, plain.fc2.bias))
    np.testing.assert_allclose(plain(x).detach().numpy(), y @ w.T + b, atol=1e-6)
    unit = nn.BasicConv2d(3, 5, 3, padding=1)
    assert unit.conv.bias is None and unit.bn.eps == 1e-3
    y = unit(pydl.randn(4, 3, 6, 6)).detach().numpy()
    assert y.shape == (4, 5, 6, 6) and y.min() == 0
