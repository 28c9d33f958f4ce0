"""Which public operations have no workload."""

import importlib

from bench.registry import WORKLOADS


def public_ops() -> list[str]:
    """The names in `pydl.ops.__all__`."""
    return sorted(importlib.import_module("pydl.ops").__all__)


def missing() -> list[str]:
    """Public operations that no workload belongs to."""
    timed = {w.op for w in WORKLOADS.values()}
    return [name for name in public_ops() if name not in timed]
