"""Memory stays where it is, however often the operations of a family are called, forward and backward twice."""

import gc
import resource
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from checks import small, twice
from registry import Row
from test_complete import FAMILIES, _module

import pydl


def resident() -> int:
    """Bytes of this process in memory."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize()


def calls(rows: list[Row]) -> list[tuple[Row, list[np.ndarray], dict[str, Any]]]:
    """One small case of each row with gradients."""
    return [(row, *small(row)[-1]) for row in rows if row.grad and small(row)]


def grown(path: Path, count: int) -> tuple[int, int]:
    """Bytes by which the pool's and the process's memory grew over `count` calls, without the collector's help."""
    listed = calls(getattr(_module(path), "ROWS", []))
    if not listed:
        pytest.skip("no row with gradients")
    for row, arrays, kwargs in listed * 2:
        twice(row, arrays, kwargs)
    gc.collect()
    gc.disable()
    try:
        before, process = pydl.memory_stats()["active"], resident()
        for i in range(count):
            twice(*listed[i % len(listed)])
        return pydl.memory_stats()["active"] - before, resident() - process
    finally:
        gc.enable()


@pytest.mark.parametrize("path", FAMILIES, ids=[p.stem for p in FAMILIES])
def test_short(path: Path) -> None:
    assert grown(path, 200)[0] == 0


@pytest.mark.slow
@pytest.mark.parametrize("path", FAMILIES, ids=[p.stem for p in FAMILIES])
def test_ten_thousand(path: Path) -> None:
    tensors, process = grown(path, 10_000)
    assert tensors == 0
    assert process < 4 << 20, f"grew by {process} bytes"
