"""Programs that end, are killed or are interrupted in the middle of an epoch leave nothing behind."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
LOOP = """
import os, signal, sys
from pydl.data import DataLoader
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs are born deaf to it
loader = DataLoader(range(100000), 2, num_workers=2, worker_kind={kind!r}, persistent_workers={persistent})
batches = iter(loader)
next(batches)
if {kind!r} == "process":
    print(*[p.pid for p in batches._pool._processes], flush=True)
{end}
"""


def start(kind, end, persistent=False):
    code = LOOP.format(kind=kind, end=end, persistent=persistent)
    env = dict(os.environ, PYTHONPATH=os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")]))
    return subprocess.Popen(
        [sys.executable, "-W", "error", "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=env
    )


def gone(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    status = Path(f"/proc/{pid}/stat")
    return status.exists() and status.read_text().rsplit(")", 1)[1].split()[0] == "Z"


def wait_until_gone(pids, seconds=10.0):
    end = time.monotonic() + seconds
    while not all(gone(p) for p in pids) and time.monotonic() < end:
        time.sleep(0.02)
    assert all(gone(p) for p in pids)


@pytest.mark.parametrize("kind", ["thread", "process"])
@pytest.mark.parametrize("persistent", [False, True])
def test_a_program_may_end_at_any_time(kind, persistent):
    with start(kind, "print('end', flush=True)", persistent) as program:
        out, err = program.communicate(timeout=30)
    assert program.returncode == 0 and out.endswith("end\n") and err == ""
    wait_until_gone([int(p) for p in out.split()[:-1]])


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM])
def test_workers_do_not_outlive_a_killed_program(how):
    with start("process", "while True: next(batches)") as program:
        pids = [int(p) for p in program.stdout.readline().split()]
        assert len(pids) == 2
        program.send_signal(how)
        program.communicate(timeout=30)
    wait_until_gone(pids)


def test_interrupt_reaches_the_caller_only():
    body = "    print('started', flush=True)\n    while True: next(batches)\n"
    loop = f"try:\n{body}except KeyboardInterrupt:\n    print('stopped')"
    with start("process", loop) as program:
        pids = [int(p) for p in program.stdout.readline().split()]
        assert program.stdout.readline() == "started\n"  # from here on an interrupt is caught
        for pid in [*pids, program.pid]:  # as the terminal does it: the whole group
            os.kill(pid, signal.SIGINT)
        out, err = program.communicate(timeout=30)
    assert (out, err, program.returncode) == ("stopped\n", "", 0)
    wait_until_gone(pids)
