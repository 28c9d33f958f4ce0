"""Captured functions on a CUDA device (or the emulation of one): graphs give the bits of calls one by one."""

import threading
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import pydl
import pydl.nn.functional as F
from pydl import amp, nn, optim
from pydl.errors import BoundsError, CaptureError
from pydl.models import GPT, generate
from pydl.optim import lr_scheduler

pytestmark = pytest.mark.skipif(not pydl.cuda.is_available(), reason="no CUDA device")

Rule = Callable[[Any], optim.Optimizer]
RULES: dict[str, Rule] = {
    "sgd": lambda p: optim.SGD(p, 0.05, momentum=0.9, nesterov=True, weight_decay=1e-3),
    "asgd": lambda p: optim.ASGD(p, 0.05, t0=5),
    "rprop": lambda p: optim.Rprop(p, 0.01),
    "lion": lambda p: optim.Lion(p, 1e-3),
    "adagrad": lambda p: optim.Adagrad(p, 0.05, lr_decay=0.01),
    "adadelta": lambda p: optim.Adadelta(p),
    "rmsprop": lambda p: optim.RMSprop(p, 1e-3, momentum=0.5, centered=True),
    "adam": lambda p: optim.Adam(p, 1e-2),
    "adamw": lambda p: optim.AdamW(p, 1e-2, amsgrad=True),
    "adamax": lambda p: optim.Adamax(p, 1e-2),
    "nadam": lambda p: optim.NAdam(p, 1e-2),
    "radam": lambda p: optim.RAdam(p, 1e-2),
    "lamb": lambda p: optim.LAMB(p, 1e-2, weight_decay=0.1),
}


class Net(nn.Module):
    """Batch norm, dropout, linear layers."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.norm, self.last = nn.Linear(4, 8), nn.BatchNorm1d(8), nn.Linear(8, 3)

    def forward(self, x: pydl.Tensor) -> pydl.Tensor:
        return self.last(F.dropout(self.norm(self.first(x)).tanh(), 0.3, self.training))


def drawn(*shape: int, seed: int = 0) -> pydl.Tensor:
    """Normal numbers on the device."""
    return pydl.tensor(np.random.default_rng(seed).standard_normal(shape), dtype=pydl.float32, device="cuda")


def trained(rule: Rule, captured: bool, steps: int = 20, clip: bool = False, scaled: bool = False) -> list[bytes]:
    """The bits of all losses, of what the model holds at the end, and of the scale and the rate."""
    pydl.manual_seed(3)
    net = Net().to("cuda")
    step, scaler = rule(net.parameters()), amp.GradScaler(init_scale=8.0, growth_interval=7, enabled=scaled)
    schedule = lr_scheduler.ExponentialLR(step, 0.97)

    def run(x: pydl.Tensor, y: pydl.Tensor) -> pydl.Tensor:
        step.zero_grad()
        loss = (net(x) - y).square().mean()
        scaler.scale(loss).backward()
        if scaled:
            scaler.unscale_(step)
        if clip:
            nn.utils.clip_grad_norm_(net.parameters(), 0.05)
        scaler.step(step)
        scaler.update()
        schedule.step()
        return loss

    call = pydl.capture(run) if captured else run
    found = []
    for i in range(steps):
        x = drawn(6, 4, seed=i)
        if scaled and i == steps // 2:
            x = x * float("inf")  # a step that is left out
        found.append(call(x, drawn(6, 3, seed=-1 - i & 0xFFFF)).detach().numpy().tobytes())
    if captured:
        assert len(call.plans) == 1
    found += [t.detach().cpu().numpy().tobytes() for t in net.state_dict().values()]
    return [*found, repr((scaler.get_scale(), schedule.get_last_lr(), pydl.rand(3).tolist())).encode()]


@pytest.mark.parametrize("name", RULES)
def test_every_optimizer(name: str) -> None:
    """20 steps with a schedule, dropout and batch norm."""
    assert trained(RULES[name], True) == trained(RULES[name], False)


@pytest.mark.parametrize("clip", [False, True])
def test_loss_scaling(clip: bool) -> None:
    """The scale grows, shrinks after the step that is left out, and is the host's business."""
    eager, replayed = (trained(RULES["adam"], c, clip=clip, scaled=True) for c in (False, True))
    assert eager == replayed


def test_clipping() -> None:
    """The factor of the norm never leaves the device."""
    assert trained(RULES["sgd"], True, clip=True) == trained(RULES["sgd"], False, clip=True)


def test_one_graph() -> None:
    """A step without numbers that the host looks at is one launch; its report says so."""
    net = nn.Linear(4, 3).to("cuda")
    step = optim.Adam(net.parameters())

    @pydl.capture
    def run(x: pydl.Tensor) -> pydl.Tensor:
        step.zero_grad()
        loss = F.dropout(net(x), 0.5).square().sum()
        loss.backward()
        step.step()
        return loss

    for i in range(4):
        run(drawn(5, 4, seed=i))
    (plan,) = run.plans
    count = len(plan.plan.launches())
    assert plan.report().splitlines()[-1] == f"launches in graphs: {count} on cuda:0; one by one: none"


def test_host_between_graphs() -> None:
    """Indices are looked at on the host, in every replay, before they are used."""
    table = drawn(7, 3)

    @pydl.capture
    def run(x: pydl.Tensor, i: pydl.Tensor) -> pydl.Tensor:
        return (x * 2 + 1)[i] @ table.T.exp()

    for k in range(4):
        x, i = drawn(5, 3, seed=k), pydl.tensor([k, 0, 4], device="cuda")
        np.testing.assert_array_equal(run(x, i).numpy(), ((x * 2 + 1)[i] @ table.T.exp()).numpy())
    with pytest.raises(BoundsError, match="index 5 is out of range for size 5"):
        run(x, pydl.tensor([1, 5, 0], device="cuda"))
    np.testing.assert_array_equal(run(x, i).numpy(), ((x * 2 + 1)[i] @ table.T.exp()).numpy())
    last = run.report().splitlines()[-1]
    assert "one by one: " in last and "check_index (the host)" in last and " on cuda:0;" in last


def test_copies_between_devices() -> None:
    """Small numbers of the CPU go along with a graph, large ones between graphs, and results come back."""
    scale, large = pydl.tensor([2.0]), pydl.ones(1000)

    @pydl.capture
    def run(x: pydl.Tensor) -> pydl.Tensor:
        y = x * scale.to("cuda") + large.to("cuda")[: x.shape[0]]
        return (y * y).cpu() + 1

    for k in range(4):
        scale.copy_(pydl.tensor([float(k)]))
        large.copy_(pydl.full((1000,), k + 0.5))
        y = run(drawn(9, seed=k))
        assert y.device.type == "cpu"
        np.testing.assert_array_equal(y.numpy(), ((drawn(9, seed=k).cpu() * k + (k + 0.5)) ** 2 + 1).numpy())


def test_memory() -> None:
    """A plan keeps its blocks for as long as it lives; replays take no more."""

    @pydl.capture
    def run(x: pydl.Tensor) -> pydl.Tensor:
        return ((x + 1).exp() * x).sum(0)

    x = drawn(64, 33)
    for _ in range(3):
        run(x)
    before = pydl.cuda.memory_allocated()
    for _ in range(20):
        run(x)
    assert pydl.cuda.memory_allocated() == before
    run._plans.clear()
    run._call = None
    assert pydl.cuda.memory_allocated() < before


def test_streams_and_threads() -> None:
    """A replay on another stream comes after the last one; plans of several threads do not meet."""
    net, x = nn.Linear(4, 4).to("cuda"), drawn(3, 4)
    expected = net(x).tanh().detach().numpy()
    found: list[np.ndarray] = []

    def work() -> None:
        run = pydl.capture(lambda x: net(x).tanh())
        for stream in (None, pydl.cuda.Stream(), pydl.cuda.Stream(), None):
            with pydl.cuda.stream(stream or pydl.cuda.default_stream()):
                found.extend(run(x).detach().numpy() for _ in range(3))

    threads = [threading.Thread(target=work) for _ in range(3)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert len(found) == 36
    for y in found:
        np.testing.assert_array_equal(y, expected)


def test_reading_is_refused() -> None:
    """A value that Python reads would be frozen."""

    @pydl.capture
    def run(x: pydl.Tensor) -> pydl.Tensor:
        return x / x.sum().item()

    run(drawn(3))
    with pytest.raises(CaptureError, match="item reads values"):
        run(drawn(3))
    np.testing.assert_array_equal((drawn(3) * 2).numpy(), 2 * drawn(3).numpy())


def test_measured() -> None:
    """Times of single launches: replays are not graphs meanwhile."""

    @pydl.capture
    def run(x: pydl.Tensor) -> pydl.Tensor:
        return F.dropout(x, 0.5).exp().sum()

    eager = []
    for measured in (False, True):
        pydl.manual_seed(1)
        for i in range(3):
            run(drawn(50, seed=i))
        if measured:
            with run.measured():
                eager.append(run(drawn(50)).item())
            assert all(launch[3] > 0 for launch in run.plans[0].plan.launches())
        else:
            eager.append(run(drawn(50)).item())
    assert eager[0] == eager[1]


@pytest.mark.parametrize("options", [{"temperature": 0}, {"top_k": 5}])
def test_tokens_of_a_step(options: dict[str, Any]) -> None:
    """A recorded step of decoding, with the draw, makes the tokens of the CPU."""
    pydl.manual_seed(1)
    gpt = GPT(vocab_size=11, block_size=48, n_layer=1, n_head=2, n_embd=8)
    made = []
    for device in ("cpu", "cuda"):
        gpt.to(device)
        pydl.manual_seed(3)
        made.append(generate(gpt, pydl.tensor([[1, 2, 3]], device=device), 30, **options).cpu().tolist())
    assert made[0] == made[1]
