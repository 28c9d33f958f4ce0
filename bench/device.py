"""A GPU under the benchmark: its clock is its own events, and what is timed alone finds the caches empty.

Where a library has no GPU (torch on a CPU, beside an emulated device) the host's clock stands in, so that every line
here can be tried without one.
"""

import os
import statistics
import time
from collections.abc import Callable, Iterator
from typing import Any

from bench.workload import Workload

SMALL = "PYDL_BENCH_SMALL"  # set: tiny sizes, for a device that is emulated
WHOLE = ("overhead", "e2e", "capture")  # families of whole steps: timed one after the other, as a program runs them


def small() -> bool:
    return bool(os.environ.get(SMALL))


def sized(full: Any, tiny: Any) -> Any:
    """A size of a workload: the one to measure, or the one to try it with."""
    return tiny if small() else full


def displaced() -> int:
    """Bytes that are read to empty the caches: several times the L2 of any GPU."""
    return int(sized(256 << 20, 64 << 10))


class HostEvent:
    """The event of a device whose work is done when a call returns."""

    def record(self) -> None:
        self.at = time.perf_counter()

    def synchronize(self) -> None:
        """Nothing is under way."""

    def elapsed_time(self, end: "HostEvent") -> float:
        """Milliseconds."""
        return (end.at - self.at) * 1e3


def allow_tf32(ns: Any, on: bool) -> None:
    """Whether products of float32 may round their factors to TF32. AttributeError where the library cannot."""
    ns.backends.cuda.matmul.allow_tf32 = on
    if ns.__name__ == "torch":  # which has two switches, the second for convolutions and recurrent layers
        ns.backends.cudnn.allow_tf32 = on


class Stage:
    """Where a library's tensors lie, and how long its calls take there.

    Args: ns: torch or pydl. `device` is cuda where the library has one.
    """

    def __init__(self, ns: Any) -> None:
        self.ns = ns
        self.device = "cuda" if ns.cuda.is_available() else "cpu"
        self.name = ns.cuda.get_device_name() if self.device == "cuda" else "cpu"
        if ns.__name__ == "torch":
            ns.backends.cudnn.benchmark = True  # its fastest convolutions
        self.other = ns.ones(displaced() // 4, device=self.device)

    def event(self) -> Any:
        return self.ns.cuda.Event(enable_timing=True) if self.device == "cuda" else HostEvent()

    def exact(self) -> None:
        """Products of float32 are those of float32 unless a workload says otherwise."""
        if hasattr(self.ns, "backends"):
            allow_tf32(self.ns, False)

    def seconds(self, run: Callable[[], Any], calls: int, whole: bool) -> float:
        """Of a call: the mean of calls in a row, or the median of calls that each find the caches empty.

        Reading takes the device longer than the host needs to ask for the call, so that single kernels are timed
        without the gap before them.
        """
        if whole:
            return self._between(lambda: [run() for _ in range(calls)]) / calls
        pairs = [(self.event(), self.event()) for _ in range(calls)]
        for start, end in pairs:
            self.other.sum()
            start.record()
            run()
            end.record()
        pairs[-1][1].synchronize()
        return statistics.median(start.elapsed_time(end) for start, end in pairs) * 1e-3

    def _between(self, run: Callable[[], Any]) -> float:
        start, end = self.event(), self.event()
        start.record()
        run()
        end.record()
        end.synchronize()
        return float(start.elapsed_time(end)) * 1e-3

    def drop(self) -> None:
        """Gives back the memory that the library keeps for reuse."""
        if self.device == "cuda":
            self.ns.cuda.empty_cache()


def machine(ask: Callable[[str], dict[str, Any]]) -> Iterator[tuple[str, list[float]]]:
    """The table of a device's ceilings: label and value, the best of three."""

    def best(command: str) -> float:
        values = [float(ask(command)["value"]) for _ in range(3)]
        return min(values) if command.startswith("launch") else max(values)

    for unit in ("f32", "f64", "tf32", "f16", "bf16"):
        yield f"fma {unit} GFLOP/s", [best(f"fma {unit} 1")]
    for kind in ("read", "copy", "triad", "update"):
        yield f"{kind} GB/s", [best(f"{kind} {sized(3 << 29, 1 << 16)} 1")]
    yield "launch us", [best("launch 1")]


def is_whole(w: Workload) -> bool:
    return w.family in WHOLE
