"""The process of one peer: `python -m bench.child PEER THREADS [DEVICE]`. Obeys one command a line with a JSON line:

build NAME   makes the job, returns a probe of its answer, the time of the first call and how many calls are a sample
sample       times one sample: seconds a call, share of the time that a thread waited for a core, page faults a call
drop         frees the job
"""

import gc
import json
import os
import resource
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from bench import device, peers
from bench.registry import WORKLOADS
from bench.workload import Job, Library, seeded, to_numpy

SAMPLE = 4e-3  # seconds of calls
POINTS = 4096  # elements of an answer that are compared, besides its means


def waited() -> float:
    """Seconds that the threads of this process have been runnable but without a core."""
    total = 0
    for task in os.listdir("/proc/self/task") if os.path.exists("/proc/self/schedstat") else []:
        try:
            with open(f"/proc/self/task/{task}/schedstat") as file:
                total += int(file.read().split()[1])
        except OSError:
            continue
    return total * 1e-9


def faults() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt


def probe(answer: Any) -> list[float]:
    """A small print of an answer: its mean, its mean absolute value and elements at fixed random places."""
    parts = answer if isinstance(answer, (tuple, list)) else [answer]
    values: list[float] = []
    for part in parts:
        flat = to_numpy(part).reshape(-1)
        chosen = flat if flat.size <= POINTS else flat[seeded().integers(0, flat.size, POINTS)]
        means = [flat.mean(dtype=np.float64), np.abs(flat).mean(dtype=np.float64)]
        values += [float(v) for v in (*means, *chosen)]
    return values


class Server:
    """Holds the library and the current job; one method per command."""

    def __init__(self, name: str, threads: int, where: str = "cpu") -> None:
        self.lib: Library = peers.load(name, threads, where)
        self.stage = device.Stage(self.lib.ns) if where == "cuda" else None
        if self.stage:
            self.lib = replace(self.lib, device=self.stage.device)
        self.peer = peers.PEERS[name]
        self.clock = time.process_time if threads == 1 else time.perf_counter
        self.job: Job | None = None
        self.whole = False
        self.calls = 1

    def facts(self) -> dict[str, Any]:
        ns = self.lib.ns
        if self.stage:
            return {"version": ns.__version__, "isa": "", "device": self.stage.name}
        return {"version": ns.__version__, "isa": ns.runtime.isa() if self.peer.module == "pydl" else ""}

    def timed(self, f: Callable[[], Any], calls: int = 1) -> float:
        """Seconds of that many calls."""
        if self.stage:
            return calls * self.stage.seconds(f, calls, self.whole)
        start = self.clock()
        for _ in range(calls):
            f()
        return self.clock() - start

    def build(self, name: str) -> dict[str, Any]:
        self.whole = device.is_whole(WORKLOADS[name])
        if self.stage:
            self.stage.exact()
        self.job = WORKLOADS[name].makers[self.peer.kind](self.lib)
        values = probe(self.job.answer())
        first = self.timed(self.job.run)
        best, start = first, time.perf_counter()
        while time.perf_counter() - start < 0.05:
            best = min(best, self.timed(self.job.run))
        self.calls = max(1, int(SAMPLE / max(best, 1e-8)))
        if self.stage:
            self.calls = min(max(self.calls, 3), 100)  # a median of calls
        note = WORKLOADS[name].note if self.peer.module == "pydl" and not self.stage else None
        return {"probe": values, "first": first, "calls": self.calls, "note": note() if note else ""}

    def sample(self) -> dict[str, Any]:
        assert self.job, "sample before build"
        if self.calls > 1:
            self.job.run()  # the caches and the thread pool were another peer's
        lost, missed = waited(), faults()
        seconds = self.timed(self.job.run, self.calls)
        lost, missed = waited() - lost, faults() - missed
        share = lost / seconds if self.clock is time.perf_counter else 0.0  # CPU time does not count the waiting
        share = 0.0 if self.stage else share  # a device does not wait for a core
        return {"seconds": seconds / self.calls, "waited": share, "faults": missed / self.calls}

    def drop(self) -> dict[str, Any]:
        self.job = None
        gc.collect()
        if self.stage:
            self.stage.drop()
        return {}


def reply_to(server: Server, line: str) -> dict[str, Any]:
    command, *arguments = line.split()
    try:
        result: dict[str, Any] = getattr(server, command)(*arguments)
        return result
    except Exception as error:  # whatever one job raises belongs in the table; the next job must still run
        lacks = isinstance(error, AttributeError) and server.peer.module == "pydl"
        return {"error": f"{type(error).__name__}: {str(error)[:300]}", "lacks": lacks}


def main(name: str, threads: int, where: str = "cpu") -> None:
    replies = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what libraries print must not mix with the replies
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:threads])  # some pools follow nothing else
    server = None
    for line in sys.stdin:
        try:
            server = server or Server(name, threads, where)
        except (ImportError, AttributeError) as error:
            reply = {"error": str(error), "lacks": True}
        else:
            reply = reply_to(server, line)
        print(json.dumps(reply), file=replies, flush=True)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), *sys.argv[3:])
