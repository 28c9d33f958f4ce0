"""capture: flat memory over many replays, and plans in several threads."""

import gc
import threading
from typing import Any

import pytest
from recorded import bits, check_flat_memory, normal

import pydl
from pydl import nn, optim


def test_flat_memory() -> None:
    model = nn.Sequential(nn.Linear(4, 16), nn.Tanh(), nn.Dropout(0.3), nn.Linear(16, 3))
    opt = optim.Adam(model.parameters())

    @pydl.capture
    def step(x: pydl.Tensor) -> pydl.Tensor:
        opt.zero_grad()
        loss = model(x).square().mean()
        loss.backward()
        opt.step()
        return loss

    x = normal(8, 4)
    check_flat_memory(lambda: step(x), warm=5, calls=2000)
    (plan,) = step.plans
    assert plan.plan.bytes < plan.plan.asked


def test_memory_is_given_back() -> None:
    model = nn.Linear(64, 64)
    model(pydl.ones(64, 64))
    gc.collect()  # what other tests left
    before = pydl.memory_stats()["active"]
    run = pydl.capture(lambda x: model(x))
    for _ in range(3):
        run(pydl.ones(64, 64))
    assert pydl.memory_stats()["active"] > before
    del run
    assert pydl.memory_stats()["active"] == before


def test_threads_with_plans_of_their_own_and_one_plan_for_all() -> None:
    shared = pydl.capture(lambda x: (x * 2 + 1).tanh().sum())
    wrong: list[Any] = []

    def work(number: int) -> None:
        own = pydl.capture(lambda x: (x @ x.t()).sum() + number)
        for i in range(100):
            x = normal(6, 6, seed=i + number)
            if own(x).item() != ((x @ x.t()).sum() + number).item():
                wrong.append(("own", number, i))
            if shared(x).item() != (x * 2 + 1).tanh().sum().item():
                wrong.append(("shared", number, i))

    threads = [threading.Thread(target=work, args=(n,)) for n in range(4)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert not wrong


@pytest.mark.slow
def test_ten_thousand_replays() -> None:
    model = nn.Sequential(nn.Linear(4, 16), nn.Tanh(), nn.Dropout(0.1), nn.Linear(16, 2))
    opt = optim.Adam(model.parameters())

    @pydl.capture
    def step(x: pydl.Tensor) -> Any:
        opt.zero_grad()
        y = model(x)
        loss = y.square().mean()
        loss.backward()
        opt.step()
        return loss, {"y": y}

    x = normal(8, 4)
    check_flat_memory(lambda: step(x), warm=5, calls=10_000)
    assert opt.state[model[0].weight]["step"].item() == 10_005


def test_threads_with_training_steps_of_their_own() -> None:
    def train(captured: bool, made: dict[int, Any], number: int) -> None:
        w = pydl.full((8,), 1.0 + number, requires_grad=True)
        opt = optim.Adam([w], 0.1)

        def step(x: pydl.Tensor) -> None:
            opt.zero_grad()
            (w * x).square().sum().backward()
            opt.step()

        run = pydl.capture(step) if captured else step
        for i in range(60):
            run(normal(8, seed=i + number))
        made[number] = bits(w)

    together: dict[int, Any] = {}
    threads = [threading.Thread(target=train, args=(True, together, n)) for n in range(4)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    alone: dict[int, Any] = {}
    for n in range(4):
        train(False, alone, n)
    assert together == alone
