"""The loop learns, counts, stops and reports."""

import sys

import numpy as np
import pytest

import pydl
from pydl import nn, optim
from pydl.data import DataLoader, TensorDataset
from pydl.errors import ArgumentError, MissingExtraError
from pydl.nn import functional as F
from pydl.train import MSE, Accuracy, Callback, Trainer


def blobs(n=120, seed=0):
    """Three classes of points in the plane, (n, 2) and (n,)."""
    rng = np.random.default_rng(seed)
    y = np.arange(n) % 3
    centres = np.array([[0, 2], [2, -1], [-2, -1]])
    return (centres[y] + 0.5 * rng.standard_normal((n, 2))).astype(np.float32), y


def trainer(lr=0.02, **options):
    pydl.manual_seed(1)
    model = nn.Sequential(nn.Linear(2, 16), nn.Tanh(), nn.Linear(16, 3))
    return Trainer(model, F.cross_entropy, optim.Adam(model.parameters(), lr=lr), **options)


class Log(Callback):
    def __init__(self):
        self.seen = []

    def on_fit_start(self, t):
        self.seen.append("fit start")

    def on_epoch_start(self, t):
        self.seen.append(f"epoch start {t.epoch}")

    def on_step_end(self, t):
        self.seen.append(f"step {t.step} batch {t.batch}/{t.batches}")

    def on_epoch_end(self, t):
        self.seen.append(f"epoch end {t.epoch} {len(t.history['loss'])} {t.model.training}")

    def on_fit_end(self, t):
        self.seen.append("fit end")


@pytest.mark.parametrize("form", ["numpy", "tensors", "loader", "dataset", "list"])
def test_learns(form):
    x, y = blobs()
    whole = TensorDataset(pydl.tensor(x), pydl.tensor(y))
    data = {
        "numpy": (x, y),
        "tensors": whole.tensors,
        "dataset": whole,
        "loader": DataLoader(whole, 32, shuffle=True, seed=0),
        "list": [(pydl.tensor(x[i::4]), pydl.tensor(y[i::4])) for i in range(4)],
    }[form]
    t = trainer(metrics=[Accuracy()])
    history = t.fit(data, 20, validation=blobs(seed=1))
    assert history is t.history and set(history) == {"loss", "accuracy", "val_loss", "val_accuracy"}
    assert all(len(values) == 20 for values in history.values())
    assert history["loss"][-1] < 0.1 < history["loss"][0]
    assert history["val_accuracy"][-1] > 0.97
    found = t.evaluate(blobs(seed=1), batch_size=7)
    assert found == pytest.approx({"loss": history["val_loss"][-1], "accuracy": history["val_accuracy"][-1]}, rel=1e-5)


def test_the_loop_is_the_algorithm():
    """Three epochs by hand give the same parameters."""
    x, y = (pydl.tensor(part) for part in blobs(20))
    a, b = trainer(), trainer()
    a.fit([(x[:15], y[:15]), (x[15:], y[15:])], 3)
    losses = []
    for _ in range(3):
        total = 0.0
        for i, j in ((0, 15), (15, 20)):
            b.optimizer.zero_grad()
            loss = F.cross_entropy(b.model(x[i:j]), y[i:j])
            loss.backward()
            b.optimizer.step()
            total += loss.item() * (j - i)
        losses.append(total / 20)
    for p, q in zip(a.model.parameters(), b.model.parameters(), strict=True):
        assert (p == q).all()
    assert a.history["loss"] == pytest.approx(losses, rel=1e-12)


def test_callbacks_are_called_in_order():
    log = Log()
    t = trainer()
    t.fit(blobs(10), 2, batch_size=6, validation=blobs(10), callbacks=[log])
    assert log.seen == [
        "fit start",
        "epoch start 0", "step 1 batch 1/2", "step 2 batch 2/2", "epoch end 1 1 True",
        "epoch start 1", "step 3 batch 1/2", "step 4 batch 2/2", "epoch end 2 2 True",
        "fit end",
    ]  # fmt: skip
    t.fit(blobs(10), 1, batch_size=6, callbacks=[log])
    assert log.seen[10:12] == ["fit start", "epoch start 2"] and t.epoch == 3


def test_fit_end_is_called_after_an_error():
    class Failing(Log):
        def on_step_end(self, t):
            raise RuntimeError("broken")

    log = Failing()
    with pytest.raises(RuntimeError, match="broken"):
        trainer().fit(blobs(10), 2, callbacks=[log])
    assert log.seen == ["fit start", "epoch start 0", "fit end"]


def test_stop():
    class Stop(Callback):
        def __init__(self, step=None, epoch=None):
            self.step, self.epoch = step, epoch

        def on_step_end(self, t):
            if t.step == self.step:
                t.stop()

        def on_epoch_end(self, t):
            if t.epoch == self.epoch:
                t.stop()

    t = trainer()
    t.fit(blobs(30), 9, batch_size=10, callbacks=[Stop(epoch=2)])
    assert (t.epoch, t.step) == (2, 6)
    t.fit(blobs(30), 9, batch_size=10, callbacks=[Stop(step=8)])
    assert (t.epoch, t.step, len(t.history["loss"])) == (2, 8, 2)
    t.fit(blobs(30), 1, batch_size=10)
    assert (t.epoch, t.step) == (3, 11)


def test_gradients_are_clipped():
    x, y = blobs(30)
    model = nn.Linear(2, 3)
    before = [p.detach().clone() for p in model.parameters()]
    Trainer(model, F.cross_entropy, optim.SGD(model.parameters(), lr=1.0), clip_norm=0.01).fit((x, y), 1, batch_size=30)
    moved = sum(float(((p - q) ** 2).sum()) for p, q in zip(model.parameters(), before, strict=True))
    assert moved == pytest.approx(0.01**2, rel=1e-3)


def test_scheduler_steps_per_epoch():
    t = trainer(lr=0.5)
    t.scheduler = optim.lr_scheduler.ExponentialLR(t.optimizer, gamma=0.5)
    t.fit(blobs(20), 3, batch_size=5)
    assert t.optimizer.param_groups[0]["lr"] == 0.5**4


def test_evaluation_mode():
    seen = []

    class Watch(nn.Module):
        def __init__(self):
            super().__init__()
            self.inner = nn.Linear(2, 3)
            self.frozen = nn.Dropout()

        def forward(self, x):
            seen.append((self.training, pydl.is_grad_enabled()))
            return self.inner(x)

    model = Watch()
    t = Trainer(model, F.cross_entropy, optim.SGD(model.parameters()))
    t.fit(blobs(4), 1, validation=blobs(4))
    assert seen == [(True, True), (False, False)]
    model.frozen.eval()
    t.predict(blobs(4)[0])
    assert seen[-1] == (False, False) and model.training and not model.frozen.training


def test_predict():
    x, y = blobs(50)
    t = trainer()
    want = t.model(pydl.tensor(x))
    loader = DataLoader(TensorDataset(pydl.tensor(x), pydl.tensor(y)), 7)
    for given in (x, pydl.tensor(x), loader, [pydl.tensor(x[:20]), pydl.tensor(x[20:])]):
        got = t.predict(given, batch_size=8)
        assert got.shape == (50, 3) and not got.requires_grad
        np.testing.assert_allclose(got.numpy(), want.detach().numpy(), rtol=1e-5, atol=1e-6)
    assert t.predict(x[:0]).shape == (0, 3)


def test_regression_and_named_metrics():
    x = np.linspace(-1, 1, 64, dtype=np.float32)[:, None]
    model = nn.Linear(1, 1)
    t = Trainer(model, F.mse_loss, optim.SGD(model.parameters(), lr=0.5), metrics={"error": MSE()})
    history = t.fit((x, 3 * x + 1), 10)
    assert history["error"][-1] == pytest.approx(history["loss"][-1], rel=1e-4, abs=1e-8) and history["loss"][-1] < 1e-6
    assert float(model.weight) == pytest.approx(3, abs=1e-2) and float(model.bias) == pytest.approx(1, abs=1e-2)


def test_batches_of_another_form():
    class Pairs(Trainer):
        def compute(self, batch):
            prediction = self.model(batch["points"])
            return self.loss(prediction, batch["class"]), prediction, batch["class"]

    x, y = blobs(20)
    t = trainer()
    t = Pairs(t.model, t.loss, t.optimizer, metrics=[Accuracy()])
    t.fit([{"points": pydl.tensor(x), "class": pydl.tensor(y)}], 1)
    assert t.running["accuracy"].count == t.running["loss"].count == 20


def test_progress_bar(capsys):
    pytest.importorskip("tqdm")
    trainer().fit(blobs(20), 2, batch_size=5, progress=True)
    text = capsys.readouterr().err
    assert "epoch 2" in text and "4/4" in text and "loss=" in text
    trainer().fit(blobs(20), 1)
    assert capsys.readouterr().err == ""


def test_progress_bar_without_tqdm(monkeypatch):
    monkeypatch.setitem(sys.modules, "tqdm", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'pydl\[progress\]'"):
        trainer().fit(blobs(20), 1, progress=True)


@pytest.mark.parametrize(
    "call, text",
    [
        (lambda t: t.fit(blobs(4), -1), "epochs must be >= 0, got -1"),
        (lambda t: t.fit(3, 1), r"fit: expected \(x, y\), a dataset or batches, got int"),
        (lambda t: t.fit(blobs(4)[0], 1), "got ndarray"),
        (lambda t: t.fit([], 1), "no batches to train on"),
        (lambda t: t.fit(iter([tuple(map(pydl.tensor, blobs(4)))]), 2), "an iterator can be used for one epoch only"),
        (lambda t: t.evaluate([]), "evaluate: there is no data"),
        (lambda t: t.predict([]), "predict: there is no data"),
        (lambda t: trainer(clip_norm=0), "clip_norm must be > 0"),
        (lambda t: trainer(metrics=[MSE(), MSE()]), "metrics need different names"),
        (lambda t: trainer(metrics={"loss": MSE()}), "none of them 'loss'"),
    ],
)
def test_errors(call, text):
    with pytest.raises(ArgumentError, match=text):
        call(trainer())
