"""The guard names the operation and the layer that made the first NaN or infinity."""

import numpy as np
import pytest

import pydl
from pydl import nn, optim
from pydl.errors import NonFiniteError, PydlError
from pydl.nn import functional as F
from pydl.train import Callback, NanGuard, Trainer


class Log(nn.Module):
    def forward(self, x):
        return pydl.log(x)


class Root(nn.Module):
    """Finite at 0, its gradient is not."""

    def forward(self, x):
        return pydl.sqrt(x * 0.0 + x.detach().relu())


class Block(nn.Module):
    def __init__(self, inner):
        super().__init__()
        self.first, self.inner = nn.Linear(3, 4), inner

    def forward(self, x):
        return self.inner(self.first(x))


def data(n=8):
    rng = np.random.default_rng(0)
    return [(pydl.tensor(rng.random((4, 3)).astype(np.float32)), pydl.zeros(4, 1)) for _ in range(n)]


def trainer(model, loss=F.mse_loss, **options):
    return Trainer(model, loss, optim.SGD(model.parameters(), lr=0.01), **options)


def network(inner):
    pydl.manual_seed(0)
    return nn.Sequential(nn.Linear(3, 3), nn.Dropout(0.2), Block(inner), nn.Linear(4, 1))


def weights(model):
    return [p.detach().numpy().copy() for p in model.parameters()]


def guarded(t, batches, text, epochs=1):
    before = weights(t.model)
    steps = t.step
    with pytest.raises(NonFiniteError) as error:
        t.fit(batches, epochs, callbacks=[NanGuard()])
    message = str(error.value)
    assert isinstance(error.value, PydlError) and isinstance(error.value, FloatingPointError)
    for part in text:
        assert part in message, message
    if t.step == steps:
        assert all((p == q).all() for p, q in zip(weights(t.model), before, strict=True))
    assert all(np.isfinite(p).all() for p in weights(t.model))
    return message


def test_forward_in_a_nested_layer():
    model = network(Log())
    with pydl.no_grad():
        model[2].first.bias.fill_(-5)
    guarded(trainer(model), data(), ["epoch 1, batch 1: the loss is not finite", "Log made a NaN from finite inputs",
                                     "in layer '2.inner' (Log)"])  # fmt: skip


def test_backward_in_a_nested_layer():
    model = network(Root())
    with pydl.no_grad():
        model[2].first.bias.fill_(-5)
    message = guarded(trainer(model), data(), ["batch 1: the gradient is not finite", "in layer '2.inner' (Root)"])
    assert "in the gradient of Sqrt" in message


def test_in_the_loss():
    def loss(prediction, y):
        return pydl.log(prediction - 100.0).mean()

    guarded(trainer(network(nn.ReLU()), loss), data(), ["Log made a NaN", "outside the model (the loss?)"])


def test_bad_data_in_a_later_batch():
    batches = data(5)
    batches[3][0][2, 1] = float("nan")
    t = trainer(network(nn.ReLU()))
    guarded(t, batches, ["epoch 1, batch 4: the loss is not finite", "was given a NaN", "in layer '0' (Linear)"])
    assert t.step == 3


def test_accumulated_batches_are_all_looked_at():
    batches = data(6)
    model = nn.Sequential(nn.Linear(3, 1, bias=False), Root())
    with pydl.no_grad():
        model[0].weight.fill_(1.0)
    batches[3] = (pydl.zeros(4, 3), batches[3][1])  # the root's gradient at 0
    t = trainer(model, accumulate=3)
    guarded(t, batches, ["batch 6: the gradient is not finite", "in layer '1' (Root)"])
    assert t.step == 1


def test_a_parameter_that_was_nan_before():
    model = network(nn.ReLU())
    with pydl.no_grad():
        model[3].weight[0, 2] = float("inf")
    with pytest.raises(NonFiniteError, match=r"parameter 3\.weight \(1, 4\) was not before either"):
        trainer(model).fit(data(), 1, callbacks=[NanGuard()])


def test_overflow_of_the_weights_is_found_in_time():
    """Too large a learning rate: parameters are finite when it ends."""
    t = Trainer(model := network(nn.ReLU()), F.mse_loss, optim.SGD(model.parameters(), lr=1e4))
    message = guarded(t, data(), ["NanGuard: epoch", "layer"], epochs=50)
    assert "infinity" in message or "NaN" in message


def test_nothing_changes_without_nan():
    a, b = trainer(network(nn.ReLU())), None
    a.fit(data(), 3, callbacks=[NanGuard()])
    b = trainer(network(nn.ReLU()))
    b.fit(data(), 3)
    assert a.history == b.history
    assert all((p == q).all() for p, q in zip(weights(a.model), weights(b.model), strict=True))


def test_randomness_of_its_own():
    calls = []

    def loss(prediction, y):
        calls.append(0)
        return F.mse_loss(prediction, y) * (float("nan") if len(calls) == 2 else 1.0)

    with pytest.raises(NonFiniteError, match="every operation is, computed once more"):
        trainer(network(nn.ReLU()), loss).fit(data(), 1, callbacks=[NanGuard()])


def test_losses_alone():
    class Infinite(Callback):
        def on_batch_end(self, t):
            for p in t.model.parameters():
                p.grad = p.grad * float("inf")

    with pytest.raises(NonFiniteError, match="the gradient is not finite"):
        trainer(network(nn.ReLU())).fit(data(1), 1, callbacks=[Infinite(), NanGuard()])
    trainer(network(nn.ReLU())).fit(data(1), 1, callbacks=[Infinite(), NanGuard(gradients=False)])
