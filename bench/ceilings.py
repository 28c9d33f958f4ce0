"""The ceilings: builds bench/ceilings.cpp at first use; without a compiler, numpy stands in (see `serve`)."""

import hashlib
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

_SOURCE = Path(__file__).with_name("ceilings.cpp")
_FLAGS = ("-O3", "-march=native", "-fopenmp")
_MIB = 1 << 20


def command() -> list[str]:
    """The command that serves ceilings: the compiled program, or this module where it cannot be built."""
    compiler = shutil.which(os.environ.get("CXX", "g++")) or shutil.which("c++")
    fallback = [sys.executable, "-m", "bench.ceilings"]
    if not compiler:
        return fallback
    version = subprocess.run([compiler, *_FLAGS, "-v", "-E", "-xc++", os.devnull], capture_output=True).stderr
    key = hashlib.sha256(_SOURCE.read_bytes() + version).hexdigest()[:16]  # the -v output names the CPU's features
    cache = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "pydl"
    program = cache / f"ceilings-{key}"
    if not program.exists():
        cache.mkdir(parents=True, exist_ok=True)
        fresh = program.with_suffix(f".{os.getpid()}")
        built = subprocess.run([compiler, *_FLAGS, str(_SOURCE), "-o", str(fresh)], capture_output=True, text=True)
        if built.returncode:
            print(f"bench: {compiler} cannot build the ceilings, numpy stands in\n{built.stderr}", file=sys.stderr)
            return fallback
        fresh.rename(program)
    return [str(program)]


def teams(threads: int) -> list[int]:
    """1, 2, 4 ... threads."""
    return sorted({threads, *(1 << i for i in range(threads.bit_length()) if 1 << i < threads)})


def levels(caches: list[int]) -> dict[str, int]:
    """Bytes per thread that sit in each level, given the sizes of L1, L2 and L3 (0: unknown)."""
    first, second, third = caches
    first, second = first or 32 << 10, second or _MIB
    return {"L1": first // 2, "L2": second // 2, "L3": min(4 * second, (third or 8 * _MIB) // 2), "DRAM": 512 * _MIB}


def _best(call: Callable[[], object]) -> float:
    """Seconds of the best of three calls, after one to warm up."""
    times = []
    for _ in range(4):
        start = time.perf_counter()
        call()
        times.append(time.perf_counter() - start)
    return max(min(times[1:]), 1e-9)


def _value(what: str, *rest: str) -> float:
    if what == "cache":
        return 0.0
    if what == "region":
        return 0.0
    if what == "fma":
        a = np.ones((512, 512), np.float64 if rest[0] == "f64" else np.float32)
        return 2 * 512**3 / _best(lambda: a @ a) * 1e-9
    arrays, moves = {"read": (1, 1), "copy": (2, 2), "triad": (3, 3), "update": (1, 2)}[what]
    x, y, z = (np.ones(max(1, int(rest[0]) // arrays // 4), np.float32) for _ in range(3))
    calls: dict[str, Callable[[], object]] = {
        "read": x.sum,
        "copy": lambda: np.copyto(y, x),
        "triad": lambda: np.add(x, y, out=z),
        "update": lambda: np.multiply(x, 1.0, out=x),
    }
    return moves * x.nbytes / _best(calls[what]) * 1e-9


def serve() -> None:
    """Speaks the protocol of ceilings.cpp. Lower figures: numpy's matmul for the peak, one thread for the memory."""
    for line in sys.stdin:
        print(json.dumps({"value": _value(*line.split())}), flush=True)


if __name__ == "__main__":
    serve()
