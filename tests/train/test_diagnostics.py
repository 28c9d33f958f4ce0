"""Overfitting one batch tells sound models from broken ones."""

import numpy as np
import pytest

import pydl
from pydl import nn, optim
from pydl.errors import ArgumentError
from pydl.nn import functional as F
from pydl.train.diagnostics import overfit_batch


def batch(n=40):
    rng = np.random.default_rng(0)
    return pydl.tensor(rng.standard_normal((n, 10)).astype(np.float32)), pydl.tensor(rng.integers(0, 4, n))


def net(middle=nn.ReLU):
    pydl.manual_seed(0)
    return nn.Sequential(nn.Linear(10, 32), middle(), nn.Linear(32, 4))


class Detached(nn.Module):
    """The bug: values go through NumPy-like detachment, so the first layer never learns."""

    def forward(self, x):
        return x.detach().relu()


def test_a_sound_model_passes():
    seen = []

    def loss(prediction, y):
        seen.append(len(y))
        return F.cross_entropy(prediction, y)

    found = overfit_batch(net(), batch(), loss)
    assert found.ok and found.loss < 1e-3 and found.losses[0] > 1 and set(seen) == {32}
    assert [text.split(":")[0] for text in found.advice] == [
        "smaller net", "weight decay", "dropout", "batch size", "early stopping", "learning rate",
    ]  # fmt: skip
    assert "the goal was reached" in str(found) and "1. smaller net" in str(found)


def test_a_layer_behind_detach_is_reported():
    found = overfit_batch(net(Detached), batch(), F.cross_entropy)
    assert found.without_gradient == ["0.weight", "0.bias"] and not found.ok
    assert found.advice[0].startswith("frozen layers: 0.weight, 0.bias get no gradient")
    assert "no gradient: 0.weight, 0.bias" in str(found)


def test_a_frozen_layer_is_reported():
    model = net()
    model[2].requires_grad_(False)
    found = overfit_batch(model, batch(), F.cross_entropy, max_steps=5)
    assert found.without_gradient == ["2.weight", "2.bias"]


def test_layers_that_do_not_move_are_reported():
    model = net()
    found = overfit_batch(model, batch(), F.cross_entropy, optimizer=optim.SGD(model[0].parameters()), max_steps=5)
    assert found.unchanged == ["2.weight", "2.bias"] and found.without_gradient == []
    assert (
        not found.reached and found.advice[0].startswith("idle layers") and found.advice[1].startswith("learning rate")
    )


def test_infinite_losses_end_it():
    model = net()
    found = overfit_batch(
        model, batch(), lambda p, y: (p**2).sum(), optimizer=optim.SGD(model.parameters(), lr=1e3), max_steps=500
    )
    assert len(found.losses) < 500 and "not finite" in found.advice[0]


def test_errors():
    x, y = batch()
    with pytest.raises(ArgumentError, match="expected examples and steps, got 0 and 2000"):
        overfit_batch(net(), (x[:0], y[:0]), F.cross_entropy)
    frozen = net()
    frozen.requires_grad_(False)
    with pytest.raises(ArgumentError, match="no parameters that require gradients"):
        overfit_batch(frozen, (x, y), F.cross_entropy)
