"""The one registry of workloads. A family is a file with a `WORKLOADS` list; its name is added here."""

import fnmatch
from dataclasses import replace
from itertools import chain

from bench import (
    attention,
    capture,
    conv,
    cuda,
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
_ON = {
    "cpu": {w.name: w for w in chain.from_iterable(f.WORKLOADS for f in FAMILIES)},
    "cuda": {w.name: w for w in cuda.WORKLOADS},
}
WORKLOADS: dict[str, Workload] = {**_ON["cuda"], **_ON["cpu"]}
for _name, _w in _ON["cuda"].items():  # which also knows how to record a step of the CPU's list
    WORKLOADS[_name] = replace(WORKLOADS[_name], makers={**_w.makers, **WORKLOADS[_name].makers})


def select(patterns: list[str], device: str = "cpu") -> list[str]:
    """Names that match any of the glob patterns or contain any of the plain words; all of a device without patterns."""
    names = _ON[device]
    globs = [p if p in names or any(c in p for c in "*?[") else f"*{p}*" for p in patterns] or ["*"]
    return [name for name in names if any(fnmatch.fnmatch(name, g) for g in globs)]
