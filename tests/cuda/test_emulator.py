"""The emulation of a GPU itself: it must run right kernels rightly, and show what is wrong with wrong ones."""

import ctypes
import os
import subprocess
import sys

import pytest

import pydl

LIBRARY = os.environ.get("PYDL_CUDA_LIBRARY", "")
pytestmark = pytest.mark.skipif("emulated" not in LIBRARY, reason="no emulated device")


LAUNCH_FAILURE = 3


def selftest(check: str) -> int:
    return ctypes.CDLL(os.path.abspath(LIBRARY)).emulator_selftest(check.encode())


def alone(check: str) -> subprocess.CompletedProcess[str]:
    """The check in a process of its own, which it may end."""
    code = f"import ctypes; ctypes.CDLL({os.path.abspath(LIBRARY)!r}).emulator_selftest({check.encode()!r})"
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)


def test_barriers() -> None:
    """Sums in shared memory are right; without barriers they are not."""
    assert selftest("with barriers") == 0
    assert selftest("without barriers") > 0


def test_races() -> None:
    """Threads that touch the same bytes between barriers end the launch with an error."""
    assert selftest("no race") == 0
    assert selftest("race") == LAUNCH_FAILURE


def test_asynchronous_copies() -> None:
    """Nothing is there before the wait; then what was copied, and zeros behind it."""
    assert selftest("copies") == 0


def test_warps() -> None:
    """Shuffles of all kinds, votes and atomics."""
    assert selftest("warp") == 0


def test_stuck_threads() -> None:
    """Lanes that wait for others in vain end the launch with an error; the next launch goes well."""
    assert selftest("stuck") == LAUNCH_FAILURE


def test_bytes_in_use() -> None:
    """One element behind an array cannot be read, although the pool's block is longer."""
    assert selftest("unused") == LAUNCH_FAILURE
    read = ctypes.CDLL(os.path.abspath(LIBRARY)).emulator_read
    x = pydl.ones(13, device="cuda")
    place = x.data_ptr()
    assert [read(ctypes.c_void_p(place), ctypes.c_int64(i)) for i in (0, 12, 13, -1)] == [0, 0, 3, 3]


def test_grids_that_wait() -> None:
    """Blocks of a cooperative launch run at the same time; waiting in vain, or too many of them, is an error."""
    launch_failure = 3
    assert all(selftest("grid") == 0 for _ in range(5))
    assert selftest("grid stuck") == launch_failure
    assert selftest("grid too large") == launch_failure
    assert selftest("grid") == 0


def test_memory() -> None:
    """Fresh memory is no number; writes behind a block and reads on the host end the process."""
    assert selftest("fresh memory") == -1
    outside = alone("outside")
    assert outside.returncode < 0 and "wrote outside a block of 32 bytes" in outside.stderr
    assert alone("host").returncode < 0
    assert alone("warp").returncode == 0
