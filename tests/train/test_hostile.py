"""Training on a hostile machine: killed at any moment, a full disk, a folder that cannot be written."""

import ast
import contextlib
import errno
import os
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pytest

import pydl
from pydl import nn, optim
from pydl.errors import PydlError, StorageError
from pydl.nn import functional as F
from pydl.train import Callback, Checkpoint, Trainer

HERE = Path(__file__).parent
EPOCHS, STEPS = 4, 20  # of killed_run.py: 9 batches of 7 examples, two per step


def start(folder):
    command = [sys.executable, str(HERE / "killed_run.py"), str(folder), str(EPOCHS)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def finish(folder):
    process = start(folder)
    output = process.communicate()[0]
    assert process.returncode == 0
    return [int(line) for line in output.split()]


def kill_after(folder, steps, pause):
    """Kills a run with SIGKILL when it has made that many steps and a pause has passed; its last step."""
    process = start(folder)
    lines = []
    for line in process.stdout:
        lines.append(int(line))
        if len(lines) == steps:
            time.sleep(pause)
            break
    process.kill()
    process.communicate()
    assert process.returncode == -9, "the run had ended before it was killed"
    return lines[-1]


def read_all(folder):
    """Every checkpoint in the folder, read with its checksum."""
    return {path.name: pydl.load(path) for path in folder.glob("*.safetensors")}


def same(a, b):
    if isinstance(a, pydl.Tensor):
        return a.dtype == b.dtype and a.numpy().tobytes() == b.numpy().tobytes()
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(same(a[k], b[k]) for k in a)
    return a == b


def killed_and_resumed(folder, kills, seed):
    rng = random.Random(seed)
    whole, part = folder / "whole", folder / "part"
    assert finish(whole)[-1] == STEPS
    last = 0
    for i in range(kills):  # at random moments of a random step of each share of the run
        goal = max(1, int(STEPS * (i + rng.random()) / kills) - last)
        last = kill_after(part, goal, rng.random() * 0.02)
        found = read_all(part)
        steps = [state["step"] for name, state in found.items() if name.startswith("step")]
        assert max(steps, default=0) >= last - 1 and len(steps) <= 4
        last = max(steps, default=0)
    finish(part)
    a, b = pydl.load(whole / "final"), pydl.load(part / "final")
    assert same(a["model"], b["model"]) and same(a["average"], b["average"]) and a["history"] == b["history"]
    log = [(folder / name / "log.jsonl").read_text().splitlines() for name in ("whole", "part")]
    assert len(log[0]) == len(log[1]) == STEPS + EPOCHS
    assert not list(part.glob("*.tmp"))


def test_killed_at_3_points(tmp_path):
    killed_and_resumed(tmp_path, 3, 0)


@pytest.mark.slow
def test_killed_at_20_points(tmp_path):
    killed_and_resumed(tmp_path, 20, 1)


# ---- no room, no permission


def trainer(width=50):
    pydl.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, width), nn.ReLU(), nn.Linear(width, 3))
    return Trainer(model, F.cross_entropy, optim.Adam(model.parameters(), lr=0.01))


def data():
    rng = np.random.default_rng(0)
    return rng.standard_normal((12, 4)).astype(np.float32), rng.integers(0, 3, 12)


@contextlib.contextmanager
def room_for(size):
    """No file may grow beyond size: to a program the same as a full disk, but for the number of the error."""
    resource = pytest.importorskip("resource")
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)


@contextlib.contextmanager
def read_only(folder):
    """Nothing can be written into the folder; the superuser, whom no permission stops, is nobody meanwhile."""
    os.chmod(folder, 0o555)
    superuser = os.geteuid() == 0
    try:
        if superuser:
            os.seteuid(65534)
        yield
    finally:
        if superuser:
            os.seteuid(0)
        os.chmod(folder, 0o755)


class Closed(Callback):
    """Closes a door from some epoch on."""

    def __init__(self, door, epoch):
        self.door, self.epoch = door, epoch

    def on_epoch_start(self, t):
        if t.epoch == self.epoch:
            self.door.__enter__()

    def on_fit_end(self, t):
        self.door.__exit__(None, None, None)


@pytest.fixture
def folder():
    with tempfile.TemporaryDirectory() as name:  # one that another user may enter
        os.chmod(name, 0o755)
        yield Path(name)


@pytest.mark.skipif(sys.platform == "win32", reason="the permissions and limits of Unix")
@pytest.mark.parametrize("door, reason", [(lambda f: room_for(5000), errno.EFBIG), (read_only, errno.EACCES)])
def test_a_clear_error_and_the_previous_checkpoint(folder, door, reason):
    path = folder / "last"
    t = trainer()
    t.fit(data(), 2, callbacks=[Checkpoint(path)])
    before = path.read_bytes()
    assert len(before) > 5000
    with pytest.raises(StorageError, match="was not written, and what was there before is unchanged") as error:
        t.fit(data(), 3, callbacks=[Checkpoint(path), Closed(door(folder), 3)])
    assert isinstance(error.value, OSError) and isinstance(error.value, PydlError)
    assert error.value.errno == reason and error.value.filename == str(path)
    assert [p.name for p in folder.iterdir()] == ["last"]
    rest = trainer()
    rest.load(path)
    assert rest.epoch == 3 and path.read_bytes() != before
    rest.fit(data(), 3, callbacks=[Checkpoint(path)])  # there is room again: it goes on to the end
    whole = trainer()
    whole.fit(data(), 5)
    assert same(rest.model.state_dict(), whole.model.state_dict())


@pytest.mark.skipif(sys.platform == "win32", reason="a device of Unix")
def test_a_path_that_is_no_file(tmp_path):
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").write_text("x")
    for path, kind in ((tmp_path / "folder", StorageError), (tmp_path / "file" / "x", StorageError)):
        with pytest.raises(kind):
            trainer().save(path)
    assert sorted(p.name for p in tmp_path.rglob("*")) == ["file", "folder"]


# ---- no pickle

TRACE = """
import builtins, pickle, sys
used = []
def spy(name):
    real = getattr(pickle, name)
    def call(*args, **kwargs):
        used.append(name)
        return real(*args, **kwargs)
    setattr(pickle, name, call)
for name in ("dump", "dumps", "load", "loads", "Pickler", "Unpickler"):
    spy(name)
sys.addaudithook(lambda event, args: used.append(event) if event == "pickle.find_class" else None)
real_import = builtins.__import__
def watched(name, globals=None, *args, **kwargs):
    who = (globals or {}).get("__name__") or ""
    if who.split(".")[0] == "pydl" and name.split(".")[0] in BAD:
        used.append(f"{who} imports {name}")
    return real_import(name, globals, *args, **kwargs)
builtins.__import__ = watched
sys.path.insert(0, HERE)
import killed_run
killed_run.run(FOLDER, 1)
killed_run.run(FOLDER, 2)
import pydl.train, pydl.data, pydl.nn, pydl.optim, pydl.recipes.registry
pydl.recipes.registry.recipes()
pydl.load(FOLDER + "/final")
print(used)
"""
BAD = ("pickle", "_pickle", "cPickle", "cloudpickle", "dill", "joblib", "shelve", "marshal")
PIPES = {"data/processes.py", "data/worker.py"}  # what goes through a pipe to a process of our own; nothing is stored


def test_no_pickle_is_used(tmp_path):
    """Saving, loading and resuming call none of it, and nothing of pydl imports it."""
    code = TRACE.replace("BAD", repr(BAD)).replace("HERE", repr(str(HERE))).replace("FOLDER", repr(str(tmp_path)))
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"


def test_no_source_imports_pickle():
    root = Path(pydl.__file__).parent
    found = set()
    for path in root.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names = [a.name for a in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            if any(name.split(".")[0] in BAD for name in names):
                found.add(path.relative_to(root).as_posix())
            if isinstance(node, ast.keyword) and node.arg == "allow_pickle":
                assert isinstance(node.value, ast.Constant) and node.value.value is False, path
    assert found <= PIPES
