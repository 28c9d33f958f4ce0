"""What the Trainer costs on top of the loop written by hand: CPU time of one thread, interleaved, the least of many."""

import time

import numpy as np
import pytest

import pydl
from pydl import nn, optim
from pydl.nn import functional as F
from pydl.train import Trainer

STEPS, REPEATS, LIMIT = 300, 15, 20e-6


def problem():
    pydl.manual_seed(0)
    rng = np.random.default_rng(0)
    x, y = pydl.tensor(rng.standard_normal((8, 4)).astype(np.float32)), pydl.tensor(rng.integers(0, 3, 8))
    model = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 3))
    return model, optim.SGD(model.parameters(), lr=1e-3), [(x, y)] * STEPS


def bare(model, optimizer, batches):
    model.train()
    for x, y in batches:
        optimizer.zero_grad()
        loss = F.cross_entropy(model(x), y)
        loss.backward()
        optimizer.step()


def seconds(run):
    start = time.process_time()
    run()
    return time.process_time() - start


@pytest.fixture
def one_thread():
    threads = pydl.get_num_threads()
    pydl.set_num_threads(1)
    yield
    pydl.set_num_threads(threads)


def test_under_20_microseconds_per_step(one_thread):
    by_hand, trained = problem(), problem()
    trainer = Trainer(trained[0], F.cross_entropy, trained[1])
    trainer.fit(trained[2], 1)
    found = [(seconds(lambda: bare(*by_hand)), seconds(lambda: trainer.fit(trained[2], 1))) for _ in range(REPEATS)]
    loop, whole = (min(times) / STEPS for times in zip(*found, strict=True))
    print(f"\nbare loop {loop * 1e6:.1f} us per step, Trainer {whole * 1e6:.1f} us: {(whole - loop) * 1e6:.1f} us more")
    assert whole - loop < LIMIT
