"""The ceilings: builds bench/ceilings.cpp at first use; without a compiler, numpy stands in (see `serve`).

Those of a GPU are bench/ceilings.cu, built by nvcc; where the device is the tests' emulation, upon that.
"""

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

from bench.device import displaced

_SOURCE = Path(__file__).with_name("ceilings.cpp")
_FLAGS = ("-O3", "-march=native", "-fopenmp")
_MIB = 1 << 20


def command(device: str = "cpu") -> list[str]:
    """The command that serves ceilings: the compiled program, or this module where it cannot be built."""
    if device == "cuda":
        compiler, sources = _gpu_compiler()
        program = _built(compiler, sources) if shutil.which(compiler[0]) else ""
        if not program:
            raise SystemExit(f"bench: the ceilings of a GPU are built by {compiler[0]}, which cannot")
        return [program, str(displaced() >> 10)]
    compiler = shutil.which(os.environ.get("CXX", "g++")) or shutil.which("c++")
    program = _built([compiler, *_FLAGS], [_SOURCE]) if compiler else ""
    return [program] if program else [sys.executable, "-m", "bench.ceilings"]


def _gpu_compiler() -> tuple[list[str], list[Path]]:
    """The compiler's command and the sources: for the GPU that is there, or for the emulation of one."""
    root = _SOURCE.parent.parent
    source, emulator = _SOURCE.with_suffix(".cu"), root / "tests" / "cuda_emulator"
    include = [f"-I{root / 'cuda'}", f"-I{root / 'csrc'}", "-std=c++17"]
    if "emulated" in os.environ.get("PYDL_CUDA_LIBRARY", ""):
        parts = [emulator / f"{name}.cpp" for name in ("emulator", "graphs", "races", "runtime")]
        return ["g++", "-O1", "-fno-strict-aliasing", "-xc++", f"-I{emulator}", *include], [source, *parts]
    return ["nvcc", "-O3", "-arch=native", "--expt-relaxed-constexpr", *include], [source]


def _built(compiler: list[str], sources: list[Path]) -> str:
    """The program, from the cache where it was built before; empty, and why is printed, where it cannot be built."""
    version = subprocess.run([*compiler, "-E", "-v", "-xc++", os.devnull], capture_output=True).stderr  # and the CPU
    text = b"".join(p.read_bytes() for p in sources)
    key = hashlib.sha256(text + version + " ".join(compiler).encode()).hexdigest()[:16]
    cache = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "pydl"
    program = cache / f"ceilings-{key}"
    if not program.exists():
        cache.mkdir(parents=True, exist_ok=True)
        fresh = program.with_suffix(f".{os.getpid()}")
        built = subprocess.run([*compiler, *map(str, sources), "-o", str(fresh)], capture_output=True, text=True)
        if built.returncode:
            print(f"bench: {compiler[0]} cannot build the ceilings\n{built.stderr}", file=sys.stderr)
            return ""
        fresh.rename(program)
    return str(program)


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
