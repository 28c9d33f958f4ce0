"""Early stopping ends at the epoch it must and gives back the weights it must."""

import math

import numpy as np
import pytest

import pydl
from pydl import nn, optim
from pydl.errors import ArgumentError
from pydl.nn import functional as F
from pydl.train import Callback, EarlyStopping, Trainer, WeightAverage
from pydl.train.callbacks import Checkpoint

NAN = math.nan


class Scripted(Callback):
    """Gives each epoch a written value, and remembers the weights of every epoch."""

    def __init__(self, values):
        self.values, self.weights = values, []

    def on_epoch_end(self, t):
        t.history.setdefault("error", []).append(self.values[t.epoch - 1])
        self.weights.append(t.model.weight.detach().numpy().copy())


def data():
    rng = np.random.default_rng(0)
    return rng.standard_normal((12, 3)).astype(np.float32), rng.standard_normal((12, 1)).astype(np.float32)


def trainer():
    pydl.manual_seed(0)
    model = nn.Linear(3, 1)
    return Trainer(model, F.mse_loss, optim.SGD(model.parameters(), lr=0.01))


def by_hand(values, patience, min_delta, sign):
    """The epochs at which training ends and of the best value, by the definition."""
    best, best_epoch = math.inf, 0
    for epoch, value in enumerate(values, 1):
        if sign * value < best - min_delta:
            best, best_epoch = sign * value, epoch
        if epoch - best_epoch >= patience:
            return epoch, best_epoch
    return len(values), best_epoch


@pytest.mark.parametrize(
    "values, patience, min_delta, stop, best",
    [
        ([5, 4, 3, 4, 5, 6, 7, 1], 3, 0, 6, 3),
        ([5, 4, 3, 3, 3, 3, 3, 1], 3, 0, 6, 3),  # as good is no better
        ([5, 4, 3.5, 3.2, 3.1, 3.0, 1], 2, 0.5, 6, 4),  # min_delta itself is no better
        ([5, 4, 6, 3, 6, 2, 6, 1], 2, 0, 8, 8),  # each time just before it would end
        ([5, 6, 4], 1, 0, 2, 1),
        ([NAN, 5, NAN, 4, NAN, NAN, 1], 2, 0, 6, 4),
        ([3, 2, 1], 10, 0, 3, 3),
        ([1, 2, 3], 10, 0, 3, 1),  # the last epoch comes first: the best weights all the same
    ],
)
@pytest.mark.parametrize("mode", ["min", "max"])
def test_stops_at_the_exact_epoch_with_the_exact_weights(values, patience, min_delta, stop, best, mode):
    sign = 1 if mode == "min" else -1
    assert by_hand(values, patience, min_delta, 1) == (stop, best)
    script = Scripted([sign * v for v in values])
    stopping = EarlyStopping(patience, min_delta, monitor="error", mode=mode)
    t = trainer()
    t.fit(data(), len(values), callbacks=[script, stopping])
    assert (t.epoch, stopping.best_epoch, stopping.best) == (stop, best, sign * values[best - 1])
    assert stopping.stopped_epoch == (stop if stop == best + patience else None)
    assert (t.model.weight.detach().numpy() == script.weights[best - 1]).all()
    assert not (script.weights[0] == script.weights[1]).all()


@pytest.mark.parametrize("seed", range(20))
def test_random_sequences(seed):
    rng = np.random.default_rng(seed)
    values, patience = rng.integers(0, 9, 12).astype(float).tolist(), int(rng.integers(1, 5))
    delta = float(rng.choice([0, 1, 2.5]))
    script, stopping = Scripted(values), EarlyStopping(patience, delta, monitor="error")
    t = trainer()
    t.fit(data(), 12, callbacks=[script, stopping])
    stop, best = by_hand(values, patience, delta, 1)
    assert (t.epoch, stopping.best_epoch) == (stop, best)
    assert (t.model.weight.detach().numpy() == script.weights[best - 1]).all()


def test_keeps_the_last_weights_if_asked_and_after_an_error():
    script = Scripted([1, 2, 3, 4])
    t = trainer()
    t.fit(data(), 4, callbacks=[script, EarlyStopping(2, restore_best=False, monitor="error")])
    assert t.epoch == 3 and (t.model.weight.detach().numpy() == script.weights[-1]).all()

    class Failing(Callback):
        def on_epoch_end(self, t):
            if t.epoch == 2:
                raise RuntimeError("broken")

    script, t = Scripted([1, 2, 3]), trainer()
    with pytest.raises(RuntimeError, match="broken"):
        t.fit(data(), 3, callbacks=[script, EarlyStopping(9, monitor="error"), Failing()])
    assert not t.finished and (t.model.weight.detach().numpy() == script.weights[1]).all()


def test_watches_the_validation_loss_by_default():
    t, stopping = trainer(), EarlyStopping(3)
    t.fit(data(), 5, validation=data(), callbacks=[stopping])
    assert stopping.best == min(t.history["val_loss"])
    t, stopping = trainer(), EarlyStopping(3)
    t.fit(data(), 5, callbacks=[stopping])
    assert stopping.best == min(t.history["loss"])


def test_a_new_fit_begins_anew():
    t, stopping = trainer(), EarlyStopping(1, monitor="error")
    t.fit(data(), 9, callbacks=[Scripted([1, 2]), stopping])
    assert t.epoch == 2 and stopping.stopped_epoch == 2
    t.fit(data(), 3, callbacks=[Scripted([9, 9, 5, 4, 3]), stopping])
    assert t.epoch == 5 and stopping.stopped_epoch is None and stopping.best == 3


def test_restores_the_average_too():
    t = trainer()
    average = optim.swa_utils.EMA(t.model, 0.5)
    kept = []

    class Keep(Callback):
        def on_epoch_end(self, t):
            kept.append(average.module.weight.detach().numpy().copy())

    script = Scripted([3, 1, 2, 4])
    t.fit(data(), 4, callbacks=[script, WeightAverage(average), EarlyStopping(2, monitor="error"), Keep()])
    assert (average.module.weight.detach().numpy() == kept[1]).all()
    assert (t.model.weight.detach().numpy() == script.weights[1]).all()


@pytest.mark.parametrize("cut", [1, 2, 3, 4, 5])
def test_resumed_it_ends_as_it_would_have(tmp_path, cut):
    values = [5, 3, 4, 4, 4, 1, 1]

    class Cut(Callback):
        def on_epoch_start(self, t):
            if t.epoch == cut:
                raise KeyboardInterrupt

    def callbacks():
        return [Checkpoint(tmp_path / "state"), script, EarlyStopping(3, monitor="error")]

    script = Scripted(values)
    whole = trainer()
    whole.fit(data(), 7, callbacks=callbacks()[1:])
    assert whole.epoch == 5
    script = Scripted(values)
    part = trainer()
    if cut == 5:
        part.fit(data(), 7, callbacks=callbacks())
    else:
        with pytest.raises(KeyboardInterrupt):
            part.fit(data(), 7, callbacks=[*callbacks(), Cut()])
    rest = trainer()
    assert rest.resume(tmp_path / "state")
    found = callbacks()
    rest.fit(data(), 7, callbacks=found)
    assert rest.epoch == 5 and found[2].best_epoch == 2 and found[2].stopped_epoch == 5
    assert (rest.model.weight.detach().numpy() == whole.model.weight.detach().numpy()).all()


@pytest.mark.parametrize(
    "options, text",
    [
        ({"patience": 0}, "patience must be >= 1, got 0"),
        ({"min_delta": -1}, "min_delta must be >= 0"),
        ({"min_delta": NAN}, "min_delta must be >= 0"),
        ({"mode": "least"}, '"min" or "max"'),
    ],
)
def test_errors(options, text):
    with pytest.raises(ArgumentError, match=text):
        EarlyStopping(**options)


def test_errors_of_the_monitor():
    with pytest.raises(ArgumentError, match=r"EarlyStopping: no 'nothing' in the history: there are \['loss'\]"):
        trainer().fit(data(), 1, callbacks=[EarlyStopping(monitor="nothing")])
    with pytest.raises(ArgumentError, match="'error' is not a single number"):
        trainer().fit(data(), 1, callbacks=[Scripted([[1, 2]]), EarlyStopping(monitor="error")])
