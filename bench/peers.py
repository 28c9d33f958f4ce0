"""The peers: the library that each drives, the makers it uses, and the environment it lives in."""

import importlib
import importlib.util
import os
from dataclasses import dataclass, field, replace

from bench.graphs import Graphed
from bench.workload import ChannelsLast, Library

_KEEP = "4000000000"  # malloc gives nothing back to the kernel: what a caching allocator would do for torch
_BOTH = ("cpu", "cuda")


@dataclass(frozen=True)
class Peer:
    """A library in a process of its own."""

    module: str
    kind: str  # which maker of a workload it uses
    environment: dict[str, str] = field(default_factory=dict)
    needs: str = ""  # a CPU feature without which this peer is the same as another
    devices: tuple[str, ...] = ("cpu",)


PEERS = {
    "pydl": Peer("pydl", "torch", devices=_BOTH),
    "replay": Peer("pydl", "replay", devices=_BOTH),
    "torch": Peer("torch", "torch", devices=_BOTH),
    "graph": Peer("torch", "graph", devices=("cuda",)),
    "torch_keep": Peer("torch", "torch", {"MALLOC_TRIM_THRESHOLD_": _KEEP, "MALLOC_MMAP_THRESHOLD_": _KEEP}),
    "torch_cl": Peer("torch", "channels_last", devices=_BOTH),
    "compile": Peer("torch", "compile", {"TORCHINDUCTOR_COMPILE_THREADS": "1"}, devices=_BOTH),
    "jax": Peer("jax", "jax", {"JAX_PLATFORMS": "cpu", "TF_CPP_MIN_LOG_LEVEL": "3"}),
    "numpy": Peer("numpy", "numpy"),
    "numpy_skx": Peer("numpy", "blas", {"OPENBLAS_CORETYPE": "SkylakeX"}, needs="avx512f"),
    "ort": Peer("onnxruntime", "onnx"),
}
OURS = ("pydl", "replay")


def cpu_flags() -> set[str]:
    """Feature names of the CPU, empty where the system does not tell."""
    try:
        with open("/proc/cpuinfo") as file:
            return next((set(line.split()) for line in file if line.startswith("flags")), set())
    except OSError:
        return set()


def available(device: str = "cpu") -> list[str]:
    """The peers of a device whose library is installed."""
    flags = cpu_flags()
    found = {p.module: importlib.util.find_spec(p.module) is not None for p in PEERS.values()}
    found["onnxruntime"] = found["onnxruntime"] and importlib.util.find_spec("onnx") is not None
    able = {name: p for name, p in PEERS.items() if device in p.devices and found[p.module]}
    return [name for name, p in able.items() if not p.needs or p.needs in flags]


def environment(name: str, threads: int) -> dict[str, str]:
    """The environment of the peer's process: its thread pools have `threads` threads."""
    pools = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
    return {**os.environ, **dict.fromkeys(pools, str(threads)), **PEERS[name].environment}


def load(name: str, threads: int, device: str = "cpu") -> Library:
    """Imports the peer's library; AttributeError if it lacks what this peer is about."""
    peer = PEERS[name]
    ns = importlib.import_module(peer.module)
    if hasattr(ns, "set_num_threads"):
        ns.set_num_threads(threads)
    plain = Library(ns, threads, device=device)
    if peer.kind == "replay":
        return replace(plain, capture=ns.capture)
    if peer.kind == "graph":
        if not ns.cuda.is_available():
            raise ImportError("torch has no CUDA device to record on")
        return replace(plain, capture=lambda f: Graphed(ns.cuda, f), capturable=True)
    if peer.kind == "channels_last":
        return ChannelsLast(ns, threads, channels_last=True, device=device)
    if peer.kind == "compile":
        return replace(plain, fuse=lambda f: ns.compile(f, dynamic=False))
    return plain
