"""Programs that fork, run by test_fork.py each in a process of its own: `python forking.py NAME`."""

import os
import signal
import sys
import threading
import warnings

import numpy as np

import pydl

X = pydl.tensor(np.random.default_rng(0).standard_normal((700, 513)).astype("float32"))
LONG = pydl.tensor(np.random.default_rng(1).standard_normal(1_200_003).astype("float32"))


def answer() -> float:
    """The result of several parallel regions."""
    return (X @ X.T).sum().item() + LONG.exp().sum().item()


EXPECTED = answer()


CHAIN = pydl.capture(lambda x: ((x * 2 + 1).tanh(), (x * 2).sum()))


def replayed() -> bool:
    """Whether a plan still gives what eager code gives."""
    y, total = CHAIN(LONG)
    return bool((y == (LONG * 2 + 1).tanh()).all()) and total.item() == (LONG * 2).sum().item()


def captured() -> list[int]:
    """Parent and children replay one plan, with arguments and results that are not copied."""
    assert all(replayed() for _ in range(3))
    codes = [fork(), fork()]
    assert replayed()
    return codes


def fork(depth: int = 1) -> int:
    """A child that computes with threads, and forks again if asked; its exit code, -14 where it hangs."""
    pid = os.fork()
    if pid == 0:
        signal.alarm(20)
        right = answer() == EXPECTED and replayed() and (depth == 1 or fork(depth - 1) == 0)
        os._exit(0 if right else 3)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def after_use() -> list[int]:
    """Parent and child go on after a fork, and after the parent computed once more."""
    codes = [fork(), fork()]
    assert answer() == EXPECTED
    return [*codes, fork()]


def from_another_thread() -> list[int]:
    """A thread without a team forks; then the main thread, which has one, forks without computing in between."""
    codes: list[int] = []
    thread = threading.Thread(target=lambda: codes.append(fork()))
    thread.start()
    thread.join()
    codes.append(fork())
    assert answer() == EXPECTED
    return codes


def while_computing() -> list[int]:
    """Another thread computes all the time."""
    done = threading.Event()

    def busy() -> None:
        while not done.is_set():
            answer()

    thread = threading.Thread(target=busy)
    thread.start()
    try:
        return [fork() for _ in range(5)]
    finally:
        done.set()
        thread.join()


def child_of_a_child() -> list[int]:
    return [fork(3)]


def pool() -> list[int]:
    """A pool of forked workers whose results are tensors."""
    import multiprocessing

    with multiprocessing.get_context("fork").Pool(2) as workers:
        rows = workers.map(part, range(4))
    return [int(not np.allclose(r.numpy(), (X * float(i)).sum(0).numpy(), atol=1e-3)) for i, r in enumerate(rows)]


def part(i: int) -> pydl.Tensor:
    return (X * float(i)).sum(0)


if __name__ == "__main__":
    warnings.simplefilter("ignore", DeprecationWarning)  # Python warns of fork with threads
    pydl.set_num_threads(2)
    EXPECTED = answer()
    print(globals()[sys.argv[1]]())
