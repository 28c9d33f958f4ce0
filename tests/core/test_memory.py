"""The pool of memory: alignment, reuse, counts."""

import os
import threading
from typing import Any

import numpy as np
import pytest

import pydl


def stats() -> dict[str, int]:
    return pydl.memory_stats()


@pytest.mark.parametrize("n", [0, 1, 15, 16, 17, 31, 33, 1000, 4097, 65_537, 300_001, 1_048_577])
def test_alignment_and_counts(n: int) -> None:
    """Blocks start at multiples of 64 and waste at most an eighth (or 64 bytes)."""
    before = stats()["active"]
    x = pydl.empty(n)
    assert x.data_ptr() % 64 == 0
    taken = stats()["active"] - before
    assert 4 * n <= taken <= max(4 * n * 9 / 8, 4 * n + 64)
    del x
    assert stats()["active"] == before


def test_blocks_are_used_again() -> None:
    x = pydl.empty(12_345)
    where = x.data_ptr()
    del x
    assert pydl.empty(12_345).data_ptr() == where
    big = pydl.empty(1 << 20)
    where = big.data_ptr()
    assert where % (2 << 20) == 0  # on 2 MiB pages
    del big
    assert pydl.empty((1 << 20) - 5).data_ptr() == where


def test_peak_and_cache() -> None:
    pydl.empty_cache()
    assert stats()["cached"] == 0
    pydl.reset_peak_memory_stats()
    start = stats()
    assert start["peak"] == start["active"]
    x, y = pydl.empty(1 << 18), pydl.empty(1 << 18)
    del x
    now = stats()
    assert now["peak"] - start["active"] == 2 << 20 and now["cached"] == 1 << 20
    pydl.reset_peak_memory_stats()
    assert stats()["peak"] == stats()["active"]
    del y
    pydl.empty_cache()
    assert stats()["cached"] == 0 and stats()["active"] == start["active"]


def test_views_hold_the_block() -> None:
    start = stats()["active"]
    x = pydl.empty(1 << 16)
    v = x[5:6]
    del x
    assert stats()["active"] - start == 1 << 18
    w = v.clone()
    del v
    assert stats()["active"] - start == 64 and w.numel() == 1


def test_no_two_tensors_share_a_block() -> None:
    """Random sizes, made and dropped in random order, each filled with its own number."""
    rng = np.random.default_rng(0)
    held: dict[int, Any] = {}
    for i in range(3000):
        if len(held) > 60 or (held and rng.random() < 0.4):
            key = list(held)[rng.integers(len(held))]
            assert (held.pop(key).numpy() == key).all()
        else:
            held[i] = pydl.full((int(rng.integers(0, 3000)),), i, dtype=pydl.int32)
    for key, x in held.items():
        assert (x.numpy() == key).all()


def test_from_many_threads() -> None:
    start = stats()["active"]
    failed: list[int] = []

    def work(seed: int) -> None:
        rng = np.random.default_rng(seed)
        for i in range(300):
            x = pydl.full((int(rng.integers(1, 5000)),), seed * 1000 + i, dtype=pydl.int64)
            if i % 50 == 0:
                pydl.empty_cache()
            if not bool((x == seed * 1000 + i).all()):
                failed.append(i)

    threads = [threading.Thread(target=work, args=(s,)) for s in range(8)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert not failed
    assert stats()["active"] - start <= 64 * 8 * 300  # constants that are kept


def resident() -> int:
    """Bytes of the process that lie in memory."""
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


@pytest.mark.skipif(not os.path.exists("/proc/self/statm"), reason="tells what lies in memory by Linux's /proc")
def test_middling_blocks_go_back_to_the_system() -> None:
    """Blocks cut from slabs keep their numbers while others go, and the slabs go with the last of them."""
    pydl.empty_cache()
    rng, start = np.random.default_rng(0), resident()
    held = {i: pydl.full((int(n),), i, dtype=pydl.int32) for i, n in enumerate(rng.integers(16_000, 270_000, 150))}
    assert all(x.data_ptr() % 64 == 0 for x in held.values())
    taken = resident() - start
    for i in range(0, 150, 2):
        del held[i]
    pydl.empty_cache()
    held |= {i: pydl.full((20_000 + i,), i, dtype=pydl.int32) for i in range(0, 150, 2)}
    for i, x in held.items():
        assert bool((x == i).all())
    del x
    held.clear()
    pydl.empty_cache()
    assert taken > 60 << 20 and resident() - start < taken / 4
