"""What a step consists of: accumulated and clipped gradients, penalties, schedules, closures, averages."""

import numpy as np
import pytest
from small import assert_close, batches, net, trainer, weights

import pydl
from pydl import nn, optim
from pydl.errors import ArgumentError
from pydl.nn import functional as F
from pydl.optim import lr_scheduler
from pydl.optim.swa_utils import EMA
from pydl.train import Accuracy, Callback, Trainer, WeightAverage
from pydl.train.callbacks import Anneal, GradientNoise


class Watch(Callback):
    def __init__(self):
        self.batches = self.steps = 0
        self.losses = []

    def on_batch_end(self, t):
        self.batches += 1

    def on_step_end(self, t):
        self.steps += 1
        self.losses.append(t.running["loss"].compute())


@pytest.mark.parametrize("sizes, groups", [([6] * 6, [18, 18]), ([5, 2, 9, 1], [16, 1]), ([3, 7], [10]), ([4], [4])])
def test_accumulated_batches_are_one_large_batch(sizes, groups):
    parts = batches(sizes)
    x, y = (pydl.cat([part[i] for part in parts]) for i in (0, 1))
    cuts = np.cumsum([0, *groups])
    wholes = [(x[a:b], y[a:b]) for a, b in zip(cuts[:-1].tolist(), cuts[1:].tolist(), strict=True)]
    a, b, watch = trainer(accumulate=3), trainer(), Watch()
    a.fit(parts, 4, callbacks=[watch])
    b.fit(wholes, 4)
    assert (watch.batches, watch.steps, a.step) == (4 * len(sizes), 4 * len(groups), 4 * len(groups))
    assert_close(a.model, b.model)
    assert a.history["loss"][0] == pytest.approx(b.history["loss"][0], rel=1e-2)


def test_clipping_sees_the_whole_gradient():
    parts = batches([5, 5])
    a, b = trainer(accumulate=2, clip_norm=0.05, clip_value=0.01), trainer(clip_norm=0.05, clip_value=0.01)
    a.fit(parts, 3)
    b.fit([tuple(pydl.cat(pair) for pair in zip(*parts, strict=True))], 3)
    assert_close(a.model, b.model)
    before = weights(net())
    assert max(np.abs(p - q).max() for p, q in zip(weights(b.model), before, strict=True)) <= 3 * 0.5 * 0.01 * 1.001


@pytest.mark.parametrize("every", [1, 2])
def test_state_with_gradients_that_wait(every):
    """Saved between the batches of one step, the training goes on to the same bits."""
    parts = batches([5, 2, 9, 1, 4])
    whole = trainer(accumulate=3, scheduler=None)
    whole.fit(parts, 2)

    class Cut(Callback):
        def on_batch_end(self, t):
            if t.batch == every and t.epoch == 1:
                saved.append(pydl.train.state._copied(t.state_dict()))
                raise KeyboardInterrupt

    saved = []
    with pytest.raises(KeyboardInterrupt):
        trainer(accumulate=3).fit(parts, 2, callbacks=[Cut()])
    rest = trainer(net(9), accumulate=3)
    rest.load_state_dict(saved[0])
    rest.fit(parts, 2)
    assert rest.history == whole.history
    assert all((p == q).all() for p, q in zip(weights(rest.model), weights(whole.model), strict=True))


def test_penalty_is_differentiated_and_not_counted():
    parts = batches([8])
    a = trainer(penalty=lambda model: 0.05 * sum((p * p).sum() for p in model.parameters()))
    b_model = net()
    b = Trainer(b_model, F.cross_entropy, optim.SGD(b_model.parameters(), lr=0.5, weight_decay=0.1))
    assert a.fit(parts, 5)["loss"] == pytest.approx(b.fit(parts, 5)["loss"], rel=1e-5)
    assert_close(a.model, b.model)


def test_schedule_per_step():
    t = trainer(lr=1.0)
    t.scheduler, t.schedule = lr_scheduler.ExponentialLR(t.optimizer, 0.5), "step"
    t.fit(batches([3, 3, 3]), 2)
    assert t.optimizer.param_groups[0]["lr"] == 0.5**6
    t = trainer(lr=1.0, accumulate=2)
    t.scheduler, t.schedule = lr_scheduler.ExponentialLR(t.optimizer, 0.5), "step"
    t.fit(batches([3, 3, 3]), 2)
    assert t.optimizer.param_groups[0]["lr"] == 0.5**4


@pytest.mark.parametrize("monitor, validated", [(None, True), (None, False), ("accuracy", True)])
def test_plateau_is_given_its_number(monitor, validated):
    model = net()
    sgd = optim.SGD(model.parameters(), lr=0.1)
    mode = "max" if monitor else "min"
    plan = lr_scheduler.ReduceLROnPlateau(sgd, mode, factor=0.5, patience=1, threshold=0.9)  # nothing is so much better
    t = Trainer(model, F.cross_entropy, sgd, scheduler=plan, monitor=monitor, metrics=[Accuracy()])
    t.fit(batches([6]), 5, validation=batches([9], 1) if validated else None)
    assert plan.best == t.history[monitor or ("val_loss" if validated else "loss")][0]
    assert sgd.param_groups[0]["lr"] == 0.1 * 0.5**2  # after epochs 3 and 5


class Twice(optim.SGD):
    """Two evaluations per step, as of a method with a look ahead; the second gradient is used."""

    def step(self, closure=None):
        closure()
        loss = closure()
        super().step()
        return loss


def test_closure():
    parts, calls = batches([6, 6]), []

    def loss(prediction, y):
        calls.append(prediction.requires_grad)
        return F.cross_entropy(prediction, y)

    model, watch = net(), Watch()
    t = Trainer(model, loss, Twice(model.parameters(), lr=0.5), closure=True, clip_norm=0.1, metrics=[Accuracy()])
    other = trainer(clip_norm=0.1, metrics=[Accuracy()])
    assert t.fit(parts, 3, callbacks=[watch]) == other.fit(parts, 3)
    assert all((p == q).all() for p, q in zip(weights(model), weights(other.model), strict=True))
    assert calls == [True] * 12 and watch.batches == watch.steps == t.step == 6


def test_gradients_may_be_looked_at_and_changed():
    class Halve(Callback):
        def on_gradients(self, t):
            for p in t.model.parameters():
                p.grad = p.grad * 0.5

    a, b = trainer(lr=0.5), trainer(lr=0.25)
    a.fit(batches([6, 6]), 3, callbacks=[Halve()])
    b.fit(batches([6, 6]), 3)
    assert all((p == q).all() for p, q in zip(weights(a.model), weights(b.model), strict=True))


def test_average_is_kept_and_evaluated():
    parts, held_out = batches([6, 6, 6]), batches([20], 5)
    t = trainer()
    average = EMA(t.model, 0.8, bias_correction=False)
    t.fit(parts, 3, validation=held_out, callbacks=[WeightAverage(average)])
    model = net()
    sgd, want = optim.SGD(model.parameters(), lr=0.5), weights(model)
    for _ in range(3):
        for x, y in parts:
            sgd.zero_grad()
            F.cross_entropy(model(x), y).backward()
            sgd.step()
            want = [0.8 * w + 0.2 * p for w, p in zip(want, weights(model), strict=True)]
    for p, q in zip(average.module.parameters(), want, strict=True):
        np.testing.assert_allclose(p.detach().numpy(), q, rtol=1e-5, atol=1e-7)
    x, y = held_out[0]
    assert t.history["val_loss"][-1] == pytest.approx(float(F.cross_entropy(average(x), y)), rel=1e-6)
    assert t.evaluate(held_out)["loss"] == t.history["val_loss"][-1]
    assert (t.predict(x) == average(x)).all() and not (t.predict(x) == t.model(x)).all()
    assert t.model.training


def test_average_from_a_step_on():
    t = trainer()
    average = optim.swa_utils.AveragedModel(t.model)
    seen = []

    class Keep(Callback):
        def on_step_end(self, t):
            seen.append(weights(t.model)[0])

    t.fit(batches([6] * 4), 2, callbacks=[Keep(), WeightAverage(average, start=4, every=2, evaluate=False)])
    assert int(average.n_averaged) == 3
    want = (seen[3] + seen[5] + seen[7]) / 3
    np.testing.assert_allclose(weights(average.module)[0], want, rtol=1e-5, atol=1e-7)
    assert t.evaluated is t.model


@pytest.mark.parametrize(
    "options, text",
    [
        ({"accumulate": 0}, "accumulate must be >= 1, got 0"),
        ({"accumulate": 1.5}, "accumulate must be >= 1, got 1.5"),
        ({"clip_value": 0.0}, "clip_value must be > 0"),
        ({"schedule": "batch"}, '"epoch" or "step"'),
        ({"closure": True, "accumulate": 2}, "closure excludes accumulate and scaler"),
    ],
)
def test_errors(options, text):
    with pytest.raises(ArgumentError, match=text):
        trainer(**options)


def test_more_errors():
    t = trainer()
    with pytest.raises(ArgumentError, match="looks at epochs"):
        trainer(scheduler=lr_scheduler.ReduceLROnPlateau(t.optimizer), schedule="step")
    with pytest.raises(ArgumentError, match="expected callbacks, got function"):
        t.fit(batches([3]), 1, callbacks=[lambda t: None])
    for options in ({"every": 0}, {"start": 0}):
        with pytest.raises(ArgumentError, match="every and start >= 1"):
            WeightAverage(EMA(t.model), **options)


def test_annealed_dropout_is_stepped_and_saved():
    def run(t, epochs, per="epoch"):
        rate = nn.DropSchedule(0.5, steps=6)
        t.model[1] = nn.Dropout(rate)
        t.fit(batches([4, 4]), epochs, callbacks=[Anneal(rate, per=per)])
        return rate

    whole = trainer()
    assert run(whole, 4).count == 4 and run(trainer(), 4, "step").count == 8
    part = trainer()
    run(part, 2)
    state = part.state_dict()
    rest = trainer(net(9))
    rest.load_state_dict({**state, "began": 0})
    assert run(rest, 4).count == 4
    assert all((p == q).all() for p, q in zip(weights(rest.model), weights(whole.model), strict=True))
    with pytest.raises(ArgumentError, match="expected schedules, got int"):
        Anneal(3)
    with pytest.raises(ArgumentError, match='"epoch" or "step"'):
        Anneal(per="batch")


def test_gradient_noise_has_its_variance():
    model = nn.Linear(100, 200)
    seen = []

    class Look(Callback):
        def on_gradients(self, t):
            seen.append(t.model.weight.grad.numpy().copy())

    x, y = pydl.zeros(4, 100), pydl.zeros(4, 200)
    t = Trainer(model, lambda p, y: (p * 0).sum(), optim.SGD(model.parameters(), lr=0.0))
    t.fit([(x, y)] * 3, 1, callbacks=[GradientNoise(0.3, 0.55), Look()])
    for step, noise in enumerate(seen):
        want = 0.3 / (1 + step) ** 0.55
        assert noise.var() == pytest.approx(want, rel=4 * (2 / 20_000) ** 0.5)
        assert abs(noise.mean()) < 4 * (want / 20_000) ** 0.5
    with pytest.raises(ArgumentError, match="eta and gamma must be >= 0"):
        GradientNoise(-1.0)


def test_adaptive_clipping_in_the_loop():
    parts, model = batches([6]), net()
    a = Trainer(model, F.cross_entropy, optim.SGD(model.parameters(), lr=1.0), clip_adaptive=0.01)
    before = weights(model)
    a.fit(parts, 1)
    for p, q in zip(before, weights(model), strict=True):
        size = np.sqrt((p**2).sum(tuple(range(1, p.ndim)) if p.ndim > 1 else None))
        moved = np.sqrt(((p - q) ** 2).sum(tuple(range(1, p.ndim)) if p.ndim > 1 else None))
        assert (moved <= 0.01 * np.maximum(size, 1e-3) * (1 + 1e-3)).all()
    with pytest.raises(ArgumentError, match="clip_adaptive must be > 0"):
        trainer(clip_adaptive=0.0)
