"""Threads: the same bits for any number, nested use, the default number, a busy neighbour."""

import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest

import pydl
import pydl.nn.functional as F
from pydl.autograd import grad

linux = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="Linux's affinity")


def normal(*shape: int, seed: int = 0, dtype: Any = "float32") -> pydl.Tensor:
    return pydl.tensor(np.random.default_rng(seed).standard_normal(shape).astype(dtype))


X = normal(700, 513)
LONG = normal(3, 400_001)
INDEX = pydl.tensor(np.random.default_rng(1).integers(0, 700, 5000))


def gradients() -> list[pydl.Tensor]:
    x, w = X.detach().requires_grad_(), normal(513, 40, seed=2).requires_grad_()
    loss = F.cross_entropy(pydl.tanh(x @ w), pydl.arange(700) % 40)
    return list(grad(loss, [x, w]))


FAMILIES: dict[str, Callable[[], Any]] = {
    "elementwise": lambda: (X.exp(), X.sin() * X + 2, X.T + X.T, X.abs() ** 1.5, X.half() * 3, X > 0.1),
    "reduce": lambda: (LONG.sum(), LONG.sum(0), LONG.sum(1), X.T.sum(0), LONG.amax(), LONG.argmax(1), LONG.half().sum(),
                       LONG.prod(1), LONG.var(1), LONG.norm(), X.sum(1), X.cumsum(0), X.cumsum(1)),
    "index": lambda: (X[INDEX], X.index_add(0, INDEX, normal(5000, 513, seed=3)), (X > 0).nonzero(), X.flip(1),
                      pydl.cat([X, X], 1)),
    "gemm": lambda: (X @ X.T, X.T @ X, X.double() @ X.T.double(), X @ X[0], X[:1] @ X.T, X.half() @ X.half().T),
    "softmax": lambda: (X.softmax(-1), X.softmax(0), X.log_softmax(-1), LONG.softmax(-1), LONG.logsumexp(-1)),
    "random": lambda: (pydl.manual_seed(5), pydl.randn(300_001), pydl.rand(300_001), pydl.randperm(100_001),
                       pydl.dropout(X, 0.3))[1:],
    "copy": lambda: (X.T.contiguous(), X.to(pydl.int32), X.bfloat16(), X[::-1, ::2].clone()),
    "gradients": gradients,
}  # fmt: skip


@pytest.mark.parametrize("family", FAMILIES)
def test_same_bits_for_any_number_of_threads(family: str) -> None:
    made = []
    for threads in (1, 2, 3, 8):
        pydl.set_num_threads(threads)
        results = [r.float() if r.dtype is pydl.bfloat16 else r for r in FAMILIES[family]()]
        made.append([r.contiguous().numpy().tobytes() for r in results])
    for other in made[1:]:
        assert other == made[0]


def test_set_and_get() -> None:
    pydl.set_num_threads(3)
    assert pydl.get_num_threads() == 3
    seen: list[int] = []
    thread = threading.Thread(target=lambda: seen.append(pydl.get_num_threads()))
    thread.start()
    thread.join()
    assert seen == [3]


@pytest.mark.parametrize("threads", [1, 2])
def test_inference_from_eight_threads(threads: int) -> None:
    """A pool of workers, each calling into parallel kernels."""
    pydl.set_num_threads(threads)
    w1, w2 = normal(513, 256, seed=4), normal(256, 10, seed=5)

    @pydl.inference_mode()
    def predict(i: int) -> bytes:
        return (pydl.relu((X + float(i)) @ w1) @ w2).softmax(-1).numpy().tobytes()

    alone = [predict(i) for i in range(16)]
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(predict, range(16))) == alone


def run(code: str, timeout: float = 60, **environment: str) -> str:
    env = {k: v for k, v in os.environ.items() if k not in ("OMP_NUM_THREADS", "PYDL_NUM_THREADS")} | environment
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=timeout, env=env)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


# ---------------------------------------------------------------- the default number


@linux
def test_default_follows_affinity_and_environment() -> None:
    show = "import pydl; print(pydl.get_num_threads())"
    first = sorted(os.sched_getaffinity(0))[0]
    pinned = f"import os; os.sched_setaffinity(0, {{{first}}}); {show}"
    assert run(pinned) == "1"
    assert run(show, OMP_NUM_THREADS="3") == "3" and run(show, OMP_NUM_THREADS="3,2") == "3"
    assert run(show, OMP_NUM_THREADS="3", PYDL_NUM_THREADS="5") == "5"
    assert 1 <= int(run(show)) <= len(os.sched_getaffinity(0))
    for nonsense in ("", "0", "-2", "many"):
        assert 1 <= int(run(show, PYDL_NUM_THREADS=nonsense)) <= len(os.sched_getaffinity(0))


@linux
@pytest.mark.slow
def test_busy_neighbour() -> None:
    """A process spinning on each core slows a small parallel step by less than 10 times."""
    step = "import time, pydl\nx = pydl.ones(300, 300)\n"
    step += (
        "def once():\n t = time.perf_counter(); (pydl.tanh(x @ x) * x).sum().item(); return time.perf_counter() - t\n"
    )
    step += "for _ in range(20): once()\nprint(sorted(once() for _ in range(200))[100])"
    quiet = min(float(run(step)) for _ in range(3))
    spinners = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in os.sched_getaffinity(0)]
    try:
        time.sleep(0.5)
        busy = min(float(run(step)) for _ in range(3))
    finally:
        for p in spinners:
            p.kill()
            p.wait()
    assert busy < 10 * quiet, (busy, quiet)
