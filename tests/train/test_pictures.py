"""Learning curves, and event files that TensorBoard reads."""

import math
import sys

import numpy as np
import pytest

import pydl
from pydl import nn, optim
from pydl.errors import ArgumentError, MissingExtraError
from pydl.nn import functional as F
from pydl.train import Accuracy, Callback, Checkpoint, LearningCurves, TensorBoard, Trainer, plot_history


def data():
    rng = np.random.default_rng(0)
    return rng.standard_normal((12, 4)).astype(np.float32), rng.integers(0, 3, 12)


def trainer():
    pydl.manual_seed(0)
    model = nn.Linear(4, 3)
    return Trainer(model, F.cross_entropy, optim.SGD(model.parameters(), lr=0.1), metrics=[Accuracy()])


class Matrix(Callback):
    def on_epoch_end(self, t):
        t.history.setdefault("confusion", []).append(np.eye(3))


def test_curves_hold_the_history(tmp_path):
    pytest.importorskip("matplotlib")
    t, path = trainer(), tmp_path / "new" / "curves.png"
    t.fit(data(), 3, validation=data(), callbacks=[Matrix(), LearningCurves(path, every=2)])
    assert path.read_bytes()[:4] == b"\x89PNG"
    axes = [a for a in plot_history(t.history).axes if a.axison]
    assert [a.get_title() for a in axes] == ["loss", "accuracy"]
    for axis in axes:
        lines = {line.get_label(): line.get_xydata() for line in axis.lines}
        assert set(lines) == {"training", "validation"}
        for label, name in (("training", axis.get_title()), ("validation", f"val_{axis.get_title()}")):
            np.testing.assert_array_equal(lines[label], np.stack([[1, 2, 3], t.history[name]], 1))
    three = plot_history({"a": [1.0], "b": [math.nan, 2.0], "val_c": [3.0]})
    assert [a.get_title() for a in three.axes if a.axison] == ["a", "b", "c"] and len(three.axes) == 4
    for empty in ({}, {"loss": []}, {"confusion": [np.eye(2)]}):
        with pytest.raises(ArgumentError, match="no numbers"):
            plot_history(empty)
    with pytest.raises(ArgumentError, match="every must be >= 1"):
        LearningCurves(path, every=0)


@pytest.mark.parametrize("make, module, extra", [
    (lambda: LearningCurves("x.png"), "matplotlib.figure", "plot"),
    (lambda: TensorBoard("x"), "tensorboard.summary.writer.event_file_writer", "tb"),
])  # fmt: skip
def test_what_to_install(monkeypatch, make, module, extra):
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(MissingExtraError, match=rf"pip install 'pydl\[{extra}\]'"):
        make()


def scalars(folder):
    """(name, step) -> value, as TensorBoard would show them: a restart hides later steps of the files before."""
    event_file_loader = pytest.importorskip("tensorboard.backend.event_processing.event_file_loader")
    found = {}
    for path in sorted(folder.iterdir()):
        for event in event_file_loader.LegacyEventFileLoader(str(path)).Load():
            if event.HasField("session_log"):
                found = {key: value for key, value in found.items() if key[1] < event.step}
            for value in event.summary.value:
                found[value.tag, event.step] = value.simple_value
    return found


@pytest.mark.filterwarnings("ignore")  # of protobuf and tensorboard themselves
def test_event_files(tmp_path):
    pytest.importorskip("tensorboard")
    t = trainer()
    t.fit(data(), 3, batch_size=4, validation=data(), callbacks=[Matrix(), TensorBoard(tmp_path, every_steps=2)])
    train, validation = scalars(tmp_path / "train"), scalars(tmp_path / "validation")
    for name in ("loss", "accuracy"):
        np.testing.assert_allclose([train[name, 3 * i] for i in (1, 2, 3)], t.history[name], rtol=1e-6)
        np.testing.assert_allclose([validation[name, 3 * i] for i in (1, 2, 3)], t.history[f"val_{name}"], rtol=1e-6)
    assert {step for name, step in train if name == "running_loss"} == {2, 4, 6, 8}
    assert {name for name, _ in train} == {"loss", "accuracy", "running_loss", "lr", "epoch"}
    assert train["lr", 9] == pytest.approx(0.1)
    with pytest.raises(ArgumentError, match="every_steps must be >= 0"):
        TensorBoard(tmp_path, every_steps=-1)


@pytest.mark.filterwarnings("ignore")
def test_event_files_of_a_resumed_run(tmp_path):
    pytest.importorskip("tensorboard")

    class Cut(Callback):
        def on_epoch_start(self, t):
            if t.epoch == 3:
                raise KeyboardInterrupt

    trainer().fit(data(), 4, callbacks=[TensorBoard(tmp_path / "whole")])
    saved = Checkpoint(tmp_path / "state", every_epochs=2)
    with pytest.raises(KeyboardInterrupt):
        trainer().fit(data(), 4, callbacks=[TensorBoard(tmp_path / "part"), saved, Cut()])
    rest = trainer()
    rest.resume(tmp_path / "state")
    rest.fit(data(), 4, callbacks=[TensorBoard(tmp_path / "part")])
    assert scalars(tmp_path / "part" / "train") == scalars(tmp_path / "whole" / "train")
