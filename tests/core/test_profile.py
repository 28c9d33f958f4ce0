"""Profiles: what every launch costs, and which module it is of."""

import json
import threading
from typing import Any

from recorded import integers, normal

import pydl
from pydl import nn
from pydl.nn import functional as F
from pydl.nn import module


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(2, 4, 3), nn.Tanh(), nn.Flatten())
        self.head = nn.Linear(64, 5)

    def forward(self, x: pydl.Tensor) -> pydl.Tensor:
        return self.head(self.body(x))


def flops(events: Any, module: str) -> int:
    return sum(e.flops for e in events if e.module == module and e.kernel.startswith(("conv", "gemm")))


CONV, LINEAR = 2 * 7 * 4 * 16 * 2 * 9, 2 * 7 * 64 * 5


def test_modules_forward_and_backward() -> None:
    net, x, y = Net(), normal(7, 2, 6, 6), integers(5, 7)
    with pydl.profile() as p:
        loss = F.cross_entropy(net(x), y)
        loss.backward()
    modules = {e.module for e in p.events()}
    assert {"", "Net.body.0", "Net.body.1", "Net.head"} <= modules
    assert flops(p.events(), "Net.body.0") == 2 * CONV  # x has no gradient
    assert flops(p.events(), "Net.head") == 3 * LINEAR
    text = p.report()
    assert "Net.head" in text
    assert "Mflop" in text
    (line,) = [line for line in text.splitlines() if line.startswith("Net.head ")]
    assert int(line.split()[1]) == sum(e.module == "Net.head" for e in p.events())


def test_modules_of_a_captured_step(tmp_path: Any) -> None:
    net, x, y = Net(), normal(7, 2, 6, 6), integers(5, 7)

    @pydl.capture
    def step(x: pydl.Tensor, y: pydl.Tensor) -> pydl.Tensor:
        net.zero_grad()
        loss = F.cross_entropy(net(x), y)
        loss.backward()
        return loss

    for _ in range(3):
        step(x, y)
    assert "Net.body.0" in step.report()
    with pydl.profile() as p:
        step(x, y)
    assert flops(p.events(), "Net.body.0") == 2 * CONV + 7 * 4 * 4 * 4  # it applies the tanh behind it
    p.export_chrome_trace(tmp_path / "trace.json")
    events = json.loads((tmp_path / "trace.json").read_text())["traceEvents"]
    assert {e["args"]["module"] for e in events} == {e.module for e in p.events()}
    assert sum(e["args"]["flops"] for e in events) == sum(e.flops for e in p.events())


def test_times_on_demand() -> None:
    run = pydl.capture(lambda x: (x @ x).tanh())
    x = normal(200, 200)
    for _ in range(3):
        run(x)
    before = run.plans[0].plan.launches()
    run(x)
    assert run.plans[0].plan.launches() == before
    with run.measured():
        run(x)
    measured = run.plans[0].plan.launches()
    assert [launch[3] for launch in measured] != [launch[3] for launch in before]
    assert all(launch[3] > 0 for launch in measured)


def test_attention_and_recurrent_layers_count_their_flops() -> None:
    q, k, v = normal(2, 3, 10, 8), normal(2, 3, 20, 8), normal(2, 3, 20, 4)
    lstm = nn.LSTM(6, 5)
    with pydl.profile() as p:
        F.scaled_dot_product_attention(q, k, v)
        lstm(normal(4, 3, 6))
    counted = {e.kernel: e.flops for e in p.events()}
    assert counted["attention"] == 2 * 6 * 10 * 20 * (8 + 4)
    assert counted["recurrent"] == 2 * 4 * 3 * 20 * 5


def test_other_threads_and_errors_leave_calls_of_modules_alone() -> None:
    net, x = nn.Sequential(nn.Tanh()), normal(3)
    with pydl.profile() as p:
        thread = threading.Thread(target=lambda: net(x))
        thread.start()
        thread.join()
        assert p.events() == []
        try:
            net(None)
        except Exception as error:
            assert error is not None
        net(x)
    assert [e.module for e in p.events()] == ["Sequential.0"]
    assert module.watch is None
