"""Asks the peers in turn for one sample each. Only the peer that is asked runs: all others are stopped (SIGSTOP)."""

import ctypes
import json
import os
import select
import signal
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from typing import Any

import numpy as np

from bench import ceilings, peers
from bench.registry import WORKLOADS
from bench.workload import Workload

HUNG = 300.0  # seconds until a silent child counts as hung
BUDGET = 10.0  # seconds of rounds per workload, once there are enough rounds
PATIENCE = 2.0  # seconds per workload to wait for quiet moments after disturbed samples
QUIET = 0.02  # a sample in which threads waited for a core for a larger share of the time is disturbed
ENOUGH = 5  # undisturbed samples that make a figure

Row = dict[str, Any]


def die_with_parent() -> None:
    """In the child: a stopped process would outlive a driver that is killed."""
    if sys.platform == "linux":
        pr_set_pdeathsig = 1
        ctypes.CDLL(None).prctl(pr_set_pdeathsig, signal.SIGKILL)


def wait_for_quiet(budget: float) -> float:
    """Sleeps until nothing else wants a core, at most `budget` seconds; the seconds left."""
    start = time.perf_counter()
    while (left := budget - (time.perf_counter() - start)) > 0:
        with open("/proc/loadavg") as file:
            if int(file.read().split()[3].split("/")[0]) <= 1:
                break
        time.sleep(0.002)
    return max(left, 0.0)


class Child:
    """A process that answers commands, and is stopped whenever it has none."""

    def __init__(self, command: list[str], environment: dict[str, str]) -> None:
        self.command, self.environment = command, environment
        self.start()

    def start(self) -> None:
        pipe = subprocess.PIPE
        self.process = subprocess.Popen(
            self.command, stdin=pipe, stdout=pipe, text=True, env=self.environment, preexec_fn=die_with_parent
        )

    def ask(self, command: str) -> Row:
        """The reply; a child that died or hangs is replaced and the reply is an error."""
        assert self.process.stdin and self.process.stdout
        self.process.send_signal(signal.SIGCONT)
        try:
            print(command, file=self.process.stdin, flush=True)
            ready = select.select([self.process.stdout], [], [], HUNG)[0]
            line = self.process.stdout.readline() if ready else ""
        except BrokenPipeError:
            line = ""
        if line:
            self.process.send_signal(signal.SIGSTOP)
            reply: Row = json.loads(line)
            return reply
        self.stop()
        status = self.process.returncode
        self.start()
        return {"error": f"process ended with status {status}", "lacks": False}

    def stop(self) -> None:
        self.process.kill()
        self.process.wait()


class Bench:
    """The children of one run: the peers and the ceilings. Use as a context manager."""

    def __init__(self, names: list[str], threads: int, repeats: int, device: str = "cpu") -> None:
        self.threads, self.repeats = threads, repeats
        self.children: dict[str, Child] = {}
        self.missing: dict[str, str] = {}
        self.facts: dict[str, Row] = {}
        # threads stay apart, and spin about 0.1 ms: long enough to time a region, harmless on busy cores
        steady = {"OMP_PROC_BIND": "true", "GOMP_SPINCOUNT": "2000"}
        self.ceilings = Child(ceilings.command(device), {**os.environ, **steady})
        for name in names:
            command = [sys.executable, "-m", "bench.child", name, str(threads), device]
            child = Child(command, peers.environment(name, threads))
            self.facts[name] = child.ask("facts")
            if "error" in self.facts[name]:
                self.missing[name] = self.facts.pop(name)["error"]
                child.stop()
            else:
                self.children[name] = child

    def __enter__(self) -> "Bench":
        return self

    def __exit__(self, *_: object) -> None:
        for child in (*self.children.values(), self.ceilings):
            child.stop()

    def floor(self, w: Workload) -> float:
        """Seconds below which this machine cannot do the work, as of now: the slower of arithmetic and memory."""
        seconds = 0.0
        if w.flop:
            rate = self.ceilings.ask(f"fma {w.unit} {self.threads}")["value"]
            seconds = w.flop / rate * 1e-9 if rate else 0.0
        if w.moved:
            rate = self.ceilings.ask(f"{w.traffic} {int(w.held or w.moved)} {self.threads}")["value"]
            seconds = max(seconds, w.moved / rate * 1e-9)
        return seconds

    def measure(self, name: str) -> Row:
        """Checks the answers of one workload, then times it in rounds over all peers."""
        w = WORKLOADS[name]
        able = [p for p in self.children if peers.PEERS[p].kind in w.makers]
        rows = {p: self.children[p].ask(f"build {name}") for p in able}
        compare(rows, w.rtol)
        samples: dict[str, list[Row]] = {p: [] for p, row in rows.items() if "error" not in row}
        floors, patience, start = [], PATIENCE, time.perf_counter()
        for r in range(3 * self.repeats if samples else 0):
            floors.append(self.floor(w))
            for p in list(samples)[:: -1 if r % 2 else 1]:
                if samples[p] and samples[p][-1]["waited"] >= QUIET:
                    patience = wait_for_quiet(patience)
                sample = self.children[p].ask("sample")
                if "error" in sample:
                    rows[p].update(sample)
                    del samples[p]
                else:
                    samples[p].append(sample)
            settled = r + 1 >= self.repeats and all(clean(taken) >= ENOUGH for taken in samples.values())
            if settled or (r + 1 >= ENOUGH and time.perf_counter() - start > BUDGET):
                break
        for p in able:
            self.children[p].ask("drop")
        for p, taken in samples.items():
            rows[p].update(summary(taken))
        return {"floor": min(floors, default=0.0), "peers": rows}


def compare(rows: dict[str, Row], rtol: float) -> None:
    """Marks the rows whose answer is not that of the first row (pydl where it takes part)."""
    probes = {p: np.array(row.pop("probe")) for p, row in rows.items() if "probe" in row}
    if not probes:
        return
    judge, expected = next(iter(probes.items()))
    for p, got in probes.items():
        if got.shape != expected.shape:
            rows[p] |= {"error": f"answer of {got.size} numbers, {judge} has {expected.size}", "lacks": False}
            continue
        scale = float(np.abs(expected).max())
        worst = float(np.abs(got - expected).max()) / (scale or 1.0)
        rows[p]["difference"] = worst
        if not worst <= rtol:
            rows[p] |= {"error": f"answer differs from {judge}'s by {worst:.1e}, allowed {rtol:.0e}", "lacks": False}


def clean(samples: list[Row]) -> int:
    return sum(s["waited"] < QUIET for s in samples)


def summary(samples: list[Row]) -> Row:
    """Median, minimum and 90th percentile of the undisturbed samples; if they are too few, of the calmest third."""
    calm = sorted(samples, key=lambda s: s["waited"])
    quiet = clean(samples)
    used = calm[: quiet if quiet >= ENOUGH else max(3, len(calm) // 3)]
    times = sorted(s["seconds"] for s in used)
    return {
        "median": statistics.median(times),
        "min": times[0],
        "p90": times[int(0.9 * (len(times) - 1))],
        "clean": quiet,
        "samples": len(samples),
        "faults": round(statistics.median(s["faults"] for s in samples), 1),
    }


def machine(child: Child, threads: int) -> Iterator[tuple[str, list[float]]]:
    """The table of ceilings: a label and the best values on 1, 2, 4 ... `threads` threads."""
    teams = ceilings.teams(threads)

    def best(command: str) -> float:
        values = [child.ask(command)["value"] for _ in range(3)]
        return float(min(values) if command.startswith("region") else max(values))

    for dtype in ("f32", "f64"):
        yield f"fma {dtype} GFLOP/s", [best(f"fma {dtype} {t}") for t in teams]
    sizes = [int(child.ask(f"cache {level}")["value"]) for level in (1, 2, 3)]
    for level, per_thread in ceilings.levels(sizes).items():
        for kind in ("read", "copy", "triad", "update"):
            yield f"{level} {kind} GB/s", [best(f"{kind} {per_thread * t} {t}") for t in teams]
    yield "empty region us", [best(f"region {t}") for t in teams]
