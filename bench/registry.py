"""The one registry of workloads. A family is a file with a `WORKLOADS` list; its name is added here."""

import fnmatch
from itertools import chain

from bench import (
    attention,
    capture,
    conv,
    e2e,
    gemm,
    images,
    language,
    linalg,
    losses,
    movement,
    norm,
    optim,
    overhead,
    pointwise,
    pool,
    resample,
    rnn,
    sort,
    transforms,
)
from bench.workload import Workload

FAMILIES = (
    overhead,
    gemm,
    conv,
    attention,
    rnn,
    pointwise,
    pool,
    norm,
    losses,
    resample,
    movement,
    sort,
    linalg,
    optim,
    e2e,
    capture,
    images,
    language,
    transforms,
)
WORKLOADS: dict[str, Workload] = {w.name: w for w in chain.from_iterable(f.WORKLOADS for f in FAMILIES)}


def select(patterns: list[str]) -> list[str]:
    """Names that match any of the glob patterns or contain any of the plain words; all names without patterns."""
    globs = [p if p in WORKLOADS or any(c in p for c in "*?[") else f"*{p}*" for p in patterns] or ["*"]
    return [name for name in WORKLOADS if any(fnmatch.fnmatch(name, g) for g in globs)]
