"""Which files there are, and that they belong together."""

import json
import math

import numpy as np
import pytest

import pydl
from pydl import nn, optim
from pydl.errors import ArgumentError, CheckpointError, FileFormatError
from pydl.nn import functional as F
from pydl.train import Accuracy, Callback, Checkpoint, CSVLog, JSONLog, Trainer, WeightAverage
from pydl.train.callbacks import newest


def data():
    rng = np.random.default_rng(0)
    return rng.standard_normal((12, 4)).astype(np.float32), rng.integers(0, 3, 12)


def trainer(sizes=(4, 5, 3), kind="Adam", **options):
    pydl.manual_seed(0)
    model = nn.Sequential(nn.Linear(*sizes[:2]), nn.ReLU(), nn.Linear(*sizes[1:]))
    optimizer = getattr(optim, kind)(model.parameters(), lr=0.01)
    return Trainer(model, F.cross_entropy, optimizer, metrics=[Accuracy()], **options)


def names(folder):
    return sorted(p.name for p in folder.iterdir())


class Scripted(Callback):
    def __init__(self, values):
        self.values = values

    def on_epoch_end(self, t):
        t.history.setdefault("score", []).append(self.values[t.epoch - 1])


class Cut(Callback):
    """Ends everything at the start of an epoch, as a crash would."""

    def __init__(self, epoch):
        self.epoch = epoch

    def on_epoch_start(self, t):
        if t.epoch == self.epoch:
            raise KeyboardInterrupt


def test_keeps_the_newest(tmp_path):
    t = trainer()
    saved = Checkpoint(tmp_path / "new" / "{step}", every_epochs=0, every_steps=2, keep=3)
    t.fit(data(), 4, batch_size=3, callbacks=[saved])
    assert names(tmp_path / "new") == ["12", "14", "16"]
    assert newest(saved.path) == saved.files[-1] == str(tmp_path / "new" / "16")


def test_keeps_the_newest_over_a_restart(tmp_path):
    def saved():
        return Checkpoint(tmp_path / "e{epoch}-s{step:04d}.safetensors", keep=2)

    with pytest.raises(KeyboardInterrupt):
        trainer().fit(data(), 5, callbacks=[saved(), Cut(3)])
    assert names(tmp_path) == ["e2-s0002.safetensors", "e3-s0003.safetensors"]
    (tmp_path / "e3-s0003.safetensors.0123.tmp").write_bytes(b"half")  # a process was killed here
    rest = trainer()
    assert rest.resume(saved().path)
    assert rest.epoch == 3
    rest.fit(data(), 5, callbacks=[saved()])
    assert names(tmp_path) == ["e4-s0004.safetensors", "e5-s0005.safetensors"]


def test_newest_compares_numbers(tmp_path):
    assert newest(tmp_path / "{epoch}-{step}") is None and not trainer().resume(tmp_path / "x")
    for name in ("1-9", "1-10", "2-10", "3-x", "4-11.tmp"):
        (tmp_path / name).write_bytes(b"")
    (tmp_path / "9-99").mkdir()
    assert newest(tmp_path / "{epoch}-{step}") == str(tmp_path / "2-10")
    assert newest(str(tmp_path) + "/1-{epoch}") == str(tmp_path / "1-10")
    (tmp_path / "a[b]{").write_bytes(b"")
    assert newest(tmp_path / "a[b]{") == str(tmp_path / "a[b]{")


def test_best_and_last_know_of_each_other(tmp_path):
    """The last checkpoint is written first, and yet resumed from it, the best one is judged rightly."""
    values = [3.0, 1.0, 2.0, 4.0]

    def callbacks():
        last, best = Checkpoint(tmp_path / "last"), Checkpoint(tmp_path / "best{epoch}", monitor="score", keep=1)
        return [Scripted(values), last, best]

    with pytest.raises(KeyboardInterrupt):
        trainer().fit(data(), 4, callbacks=[*callbacks(), Cut(2)])
    assert names(tmp_path) == ["best2", "last"]
    rest, found = trainer(), callbacks()
    rest.resume(tmp_path / "last")
    rest.fit(data(), 4, callbacks=found)
    assert names(tmp_path) == ["best2", "last"] and found[2].best == 1.0


def test_average_is_resumed(tmp_path):
    def run(t, epochs, *more):
        average = optim.swa_utils.EMA(t.model, 0.7)
        t.fit(data(), epochs, batch_size=4, callbacks=[WeightAverage(average), Checkpoint(tmp_path / "last"), *more])
        return [p.detach().numpy() for p in average.parameters()]

    want = run(trainer(), 4)
    with pytest.raises(KeyboardInterrupt):
        run(trainer(), 4, Cut(2))
    rest = trainer()
    rest.resume(tmp_path / "last")
    assert all((p == q).all() for p, q in zip(run(rest, 4), want, strict=True))


def test_other_generators_are_resumed(tmp_path):
    import random

    class Draw(Callback):
        def on_step_end(self, t):
            drawn.append((random.random(), np.random.rand(), np.random.randn(), float(pydl.rand(()))))

    drawn = []
    trainer().fit(data(), 3, batch_size=4, callbacks=[Draw(), Checkpoint(tmp_path / "{epoch}")])
    want, drawn = drawn, []
    rest = trainer()
    rest.load(tmp_path / "1")
    rest.fit(data(), 3, batch_size=4, callbacks=[Draw()])
    assert drawn == want[3:] and len(drawn) == 6


def test_another_model_is_listed(tmp_path):
    trainer().save(tmp_path / "small")
    t = trainer((4, 7, 3))
    before = [p.detach().numpy().copy() for p in t.model.parameters()]
    with pytest.raises(CheckpointError) as error:
        t.load(tmp_path / "small")
    for text in (r"0.weight: shape (5, 4)", "(7, 4)", "0.bias: shape (5,)", "2.weight: shape (3, 5)"):
        assert text in str(error.value)
    pydl.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 5), nn.BatchNorm1d(5), nn.Linear(5, 3))
    with pytest.raises(CheckpointError) as error:
        Trainer(model, F.cross_entropy, optim.Adam(model.parameters()), metrics=[Accuracy()]).load(tmp_path / "small")
    for name in ("1.weight", "1.bias", "1.running_mean", "1.running_var", "1.num_batches_tracked"):
        assert f"missing: {name}" in str(error.value)
    for p, q in zip(t.model.parameters(), before, strict=True):
        assert (p.detach().numpy() == q).all()


def test_another_optimizer_changes_nothing():
    """The model fits and is loaded first; when the optimizer does not fit, it is as it was."""
    a, b = trainer(), trainer()
    a.fit(data(), 2)
    model = b.model
    b = Trainer(model, F.cross_entropy, optim.Adam([{"params": [p]} for p in model.parameters()]), metrics=[Accuracy()])
    b.fit(data(), 1)
    before, history = [p.detach().numpy().copy() for p in model.parameters()], dict(b.history)
    with pytest.raises(CheckpointError, match="the state has 1 groups, expected 4"):
        b.load_state_dict(a.state_dict())
    assert all((p.detach().numpy() == q).all() for p, q in zip(model.parameters(), before, strict=True))
    assert (b.epoch, b.step, b.history, b.resuming) == (1, 1, history, False)
    state = a.state_dict()
    for bad, text in (
        ({"gradients": {}}, "not what state_dict gives"),
        ({"running": {"loss": {}, "accuracy": {}}}, "MeanLoss: the state has the entries"),
        ({"history": 3}, "not what state_dict gives"),
        ({"version": 99}, "of version 99: expected 1"),
    ):
        with pytest.raises(CheckpointError, match=text):
            trainer().load_state_dict({**state, **bad})


def test_options():
    with pytest.raises(ArgumentError, match="keep must be >= 1 or None, got 0"):
        Checkpoint("x", keep=0)


def test_csv_log(tmp_path):
    t, path = trainer(), tmp_path / "logs" / "run.csv"
    t.fit(data(), 3, validation=data(), callbacks=[CSVLog(path)])
    rows = [line.split(",") for line in path.read_text().splitlines()]
    assert rows[0] == ["epoch", "step", "seconds", "lr", "loss", "accuracy", "val_loss", "val_accuracy"]
    assert [row[:2] for row in rows[1:]] == [["1", "1"], ["2", "2"], ["3", "3"]]
    for i, name in enumerate(rows[0][4:], 4):
        assert [float(row[i]) for row in rows[1:]] == t.history[name]
    t.fit(data(), 1, validation=data(), callbacks=[CSVLog(path)])  # goes on
    assert len(path.read_text().splitlines()) == 5
    trainer().fit(data(), 1, callbacks=[CSVLog(path)])  # begins anew
    assert len(path.read_text().splitlines()) == 2
    with pytest.raises(ArgumentError, match="has no columns for val_accuracy, val_loss"):
        again = trainer()
        again.fit(data(), 1)
        again.fit(data(), 1, validation=data(), callbacks=[CSVLog(path)])


def test_json_log(tmp_path):
    t, path = trainer(), tmp_path / "run.jsonl"
    t.fit(data(), 2, batch_size=4, callbacks=[Scripted([math.nan, 2.0]), JSONLog(path, every_steps=2)])
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    assert [(r["epoch"], r["step"], r.get("batch")) for r in lines] == [
        (0, 2, 2), (1, 3, None), (1, 4, 1), (1, 6, 3), (2, 6, None),
    ]  # fmt: skip
    assert lines[1]["loss"] == t.history["loss"][0] and lines[1]["lr"] == 0.01
    assert lines[1]["score"] is None and lines[4]["score"] == 2.0


@pytest.mark.parametrize("kind", [CSVLog, JSONLog])
def test_logs_of_a_resumed_run_are_those_of_the_whole(tmp_path, kind):
    def without_seconds(path):
        if kind is JSONLog:
            return [{**json.loads(line), "seconds": 0} for line in path.read_text().splitlines()]
        return [[*row.split(",")[:2], *row.split(",")[3:]] for row in path.read_text().splitlines()]

    trainer().fit(data(), 4, callbacks=[kind(tmp_path / "whole")])
    log, saved = tmp_path / "part", Checkpoint(tmp_path / "state", every_epochs=2)
    with pytest.raises(KeyboardInterrupt):
        trainer().fit(data(), 4, callbacks=[kind(log), saved, Cut(3)])  # logged the third epoch, saved the second
    with open(log, "a") as file:
        file.write('{"epoch": 9, "st' if kind is JSONLog else "4,4,0.1")  # and was killed in the middle of a line
    rest = trainer()
    rest.resume(tmp_path / "state")
    rest.fit(data(), 4, callbacks=[kind(log)])
    assert without_seconds(log) == without_seconds(tmp_path / "whole")


@pytest.mark.parametrize("kind, text", [(CSVLog, "a,b\n1,2\n"), (JSONLog, "hello\n"), (JSONLog, "{}\n")])
def test_logs_do_not_overwrite_what_is_no_log(tmp_path, kind, text):
    t = trainer()
    t.fit(data(), 1)
    (tmp_path / "file").write_text(text)
    with pytest.raises(FileFormatError, match="is no log of this kind"):
        t.fit(data(), 1, callbacks=[kind(tmp_path / "file")])
    assert (tmp_path / "file").read_text() == text
    with pytest.raises(ArgumentError, match="every_steps must be >= 0"):
        JSONLog("x", every_steps=-1)
