"""Threads and memory of the running process."""

from pydl import _C

__all__ = ["empty_cache", "get_num_threads", "isa", "memory_stats", "reset_peak_memory_stats", "set_num_threads"]


def set_num_threads(num: int) -> None:
    """The number of threads that kernels may use. Results do not depend on it."""
    _C.set_num_threads(num)


def get_num_threads() -> int:
    """The number of threads that kernels may use: by default the CPUs of this process's affinity and cgroup quota."""
    return _C.get_num_threads()


def isa() -> str:
    """The instruction set of the kernels in use: 'base', 'avx2', 'avx512', 'avx512_bf16' or 'amx'."""
    return _C.isa()


def memory_stats() -> dict[str, int]:
    """Bytes of tensors: 'active' now, 'peak' at most, 'cached' for reuse."""
    return _C.memory_stats()


def reset_peak_memory_stats() -> None:
    """Starts the peak anew from what is active now."""
    _C.reset_peak_memory_stats()


def empty_cache() -> None:
    """Gives the memory that is kept for reuse back to the system."""
    _C.empty_cache()
