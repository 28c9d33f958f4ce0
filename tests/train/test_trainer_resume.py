"""A training that is broken off anywhere and resumed is the uninterrupted one, bit for bit."""

import numpy as np
import pytest
from small import stopped_and_resumed

import pydl
from pydl import nn, optim
from pydl.data import DataLoader, TensorDataset
from pydl.errors import ArgumentError, CheckpointError, FileFormatError
from pydl.nn import functional as F
from pydl.train import Accuracy, Callback, Checkpoint, Trainer

EPOCHS, BATCHES = 3, 4


def data():
    rng = np.random.default_rng(0)
    return rng.standard_normal((30, 4)).astype(np.float32), rng.integers(0, 3, 30)


def trainer(kind="Adam", scheduler=True, seed=1):
    pydl.manual_seed(seed)
    model = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Dropout(0.5), nn.Linear(8, 3))
    options = {"momentum": 0.9, "nesterov": True} if kind == "SGD" else {"amsgrad": True}
    optimizer = getattr(optim, kind)(model.parameters(), lr=0.05, **options)
    plan = optim.lr_scheduler.StepLR(optimizer, 1, 0.5) if scheduler else None
    return Trainer(model, F.cross_entropy, optimizer, scheduler=plan, metrics=[Accuracy()], clip_norm=1.0)


LOADERS = {
    "arrays": lambda: data(),
    "seeded": lambda: DataLoader(TensorDataset(*map(pydl.tensor, data())), 8, shuffle=True, seed=3),
    "workers": lambda: DataLoader(TensorDataset(*map(pydl.tensor, data())), 8, shuffle=True, num_workers=2),
    "list": lambda: [tuple(pydl.tensor(part[i : i + 8]) for part in data()) for i in range(0, 30, 8)],
}


class Break(Callback):
    """Leaves the loop as a crash would."""

    def __init__(self, path, step):
        self.path, self.step = path, step

    def on_step_end(self, t):
        if t.step == self.step:
            t.save(self.path)
            raise KeyboardInterrupt


def assert_equal(a, b):
    assert a.history == b.history and (a.epoch, a.step) == (b.epoch, b.step)
    for (name, p), (_, q) in zip(a.model.named_parameters(), b.model.named_parameters(), strict=True):
        assert (p.detach().numpy() == q.detach().numpy()).all(), name


@pytest.mark.parametrize("form", LOADERS)
@pytest.mark.parametrize("step", [1, 4, 5, 6, 11, 12])
def test_resume_is_bit_equal(tmp_path, form, step):
    options = {"batch_size": 8, "validation": data()}
    whole = trainer()
    whole.fit(LOADERS[form](), EPOCHS, **options)
    assert whole.step == EPOCHS * BATCHES
    path = tmp_path / "state"
    with pytest.raises(KeyboardInterrupt):
        trainer().fit(LOADERS[form](), EPOCHS, callbacks=[Break(path, step)], **options)
    rest = trainer(seed=99)
    pydl.rand(7)  # what the program draws in between does not matter
    rest.load(path)
    pydl.rand(3)
    rest.fit(LOADERS[form](), EPOCHS, **options)
    assert_equal(rest, whole)


@pytest.mark.parametrize("kind", ["SGD", "Adam", "AdamW"])
def test_resume_at_the_end_of_an_epoch(tmp_path, kind):
    whole = trainer(kind)
    whole.fit(data(), EPOCHS, callbacks=[Checkpoint(tmp_path / "{epoch}-{step}")])
    assert sorted(p.name for p in tmp_path.iterdir()) == ["1-1", "2-2", "3-3"]
    for name, left in (("1-1", 2), ("2-2", 1), ("3-3", 0)):
        rest = trainer(kind, seed=99)
        rest.load(tmp_path / name)
        before = rest.step
        rest.fit(data(), EPOCHS)
        assert rest.step - before == left
        assert_equal(rest, whole)


def test_resume_in_the_second_fit(tmp_path):
    whole = trainer()
    whole.fit(data(), 1, batch_size=8)
    whole.fit(data(), 2, batch_size=8, callbacks=[Checkpoint(tmp_path / "{step}", every_epochs=0, every_steps=6)])
    rest = trainer(seed=99)
    rest.load(tmp_path / "6")
    rest.fit(data(), 2, batch_size=8)
    assert_equal(rest, whole)


def test_stopped_epochs_are_finished_after_saving(tmp_path):
    whole, rest = stopped_and_resumed(
        lambda seed=1: trainer(seed=seed), tmp_path / "state", 6,
        lambda t, callbacks: t.fit(data(), 2, batch_size=8, callbacks=callbacks),
    )  # fmt: skip
    assert_equal(rest, whole)


def test_best_checkpoint(tmp_path):
    values = iter([3.0, 5.0, float("nan"), 2.0, 4.0, 1.0])

    class Fake(Callback):
        def on_epoch_end(self, t):
            t.history.setdefault("score", []).append(next(values))

    best = Checkpoint(tmp_path / "{epoch}", monitor="score")
    t = trainer()
    t.fit(data(), 4, callbacks=[Fake(), best])
    assert sorted(p.name for p in tmp_path.iterdir()) == ["1", "4"]
    again = Checkpoint(tmp_path / "{epoch}", monitor="score")
    rest = trainer()
    rest.load(tmp_path / "4")
    rest.fit(data(), 6, callbacks=[Fake(), again])  # goes on knowing the best
    assert sorted(p.name for p in tmp_path.iterdir()) == ["1", "4", "6"] and again.best == 1.0
    with pytest.raises(ArgumentError, match="no 'nothing' in the history"):
        t.fit(data(), 1, callbacks=[Checkpoint(tmp_path / "x", monitor="nothing")])
    top = Checkpoint(tmp_path / "top", monitor="accuracy", mode="max")
    t.fit(data(), 3, callbacks=[top])
    assert top.best == max(t.history["accuracy"][-3:])


@pytest.mark.parametrize(
    "options, text",
    [
        ({"every_epochs": 0}, "expected one > 0"),
        ({"every_steps": -1}, "expected one > 0"),
        ({"mode": "least"}, '"min" or "max"'),
        ({"monitor": "loss", "every_steps": 3}, "every_steps must be 0"),
    ],
)
def test_checkpoint_errors(options, text):
    with pytest.raises(ArgumentError, match=text):
        Checkpoint("x", **options)


def test_states_of_something_else(tmp_path):
    t = trainer()
    state = t.state_dict()
    for bad, text in [
        (None, "expected a state with the entries"),
        ({"model": {}}, "expected a state with the entries"),
        ({**state, "running": {"loss": {}}}, "the state has the metrics"),
        ({**state, "scheduler": None}, "has a scheduler"),
        ({**state, "model": {}}, "missing"),
        ({**state, "optimizer": {"state": {}, "param_groups": []}}, "has 0 groups"),
    ]:
        with pytest.raises(CheckpointError, match=text):
            t.load_state_dict(bad)
    (tmp_path / "broken").write_bytes(b"no checkpoint")
    with pytest.raises(FileFormatError):
        t.load(tmp_path / "broken")
