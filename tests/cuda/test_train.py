"""Training on a CUDA device (or the emulation of one) goes as on the CPU."""

import numpy as np
import pytest

import pydl
from pydl import nn, optim

pytestmark = pytest.mark.skipif(not pydl.cuda.is_available(), reason="no CUDA device")

RULES = {
    "sgd": lambda p: optim.SGD(p, lr=0.1, momentum=0.9, nesterov=True, weight_decay=1e-3),
    "adam": lambda p: optim.Adam(p, lr=0.01),
    "adamw": lambda p: optim.AdamW(p, lr=0.01, amsgrad=True),
    "lion": lambda p: optim.Lion(p, lr=0.003),
}


def losses(device: str, rule: str) -> list[float]:
    """Of ten steps of a small classifier."""
    pydl.manual_seed(0)
    rng = np.random.default_rng(0)
    x = pydl.tensor(rng.standard_normal((32, 10)), dtype=pydl.float64, device=device)
    t = pydl.tensor(rng.integers(0, 5, 32), device=device)
    net = nn.Sequential(nn.Linear(10, 33), nn.GELU(), nn.Linear(33, 17), nn.ReLU(), nn.Linear(17, 5))
    net.to(device, pydl.float64)
    step = RULES[rule](net.parameters())
    found = []
    for _ in range(10):
        loss = nn.functional.cross_entropy(net(x), t)
        step.zero_grad()
        loss.backward()
        step.step()
        found.append(loss.item())
    return found


@pytest.mark.parametrize("rule", list(RULES))
def test_classifier(rule: str) -> None:
    """Losses fall, and are those of the CPU."""
    there = losses("cuda", rule)
    np.testing.assert_allclose(there, losses("cpu", rule), rtol=1e-9)
    assert there[-1] < there[0]


def test_random_numbers() -> None:
    """The same seed gives the same bits."""
    made = {}
    for device in ("cpu", "cuda"):
        pydl.manual_seed(7)
        made[device] = [
            pydl.rand(1001, device=device), pydl.rand(77, dtype=pydl.float64, device=device),
            pydl.randn(1001, device=device), pydl.randn(77, dtype=pydl.float64, device=device),
            pydl.rand(99, dtype=pydl.bfloat16, device=device).float(), pydl.randint(-5, 1000, (501,), device=device),
            pydl.randint(0, 2**40, (77,), device=device), pydl.randperm(301, device=device),
            pydl.bernoulli(pydl.zeros(333, device=device), 0.3),
            nn.functional.dropout(pydl.ones(501, device=device), 0.4),
        ]  # fmt: skip
    for there, here in zip(made["cuda"], made["cpu"], strict=True):
        assert there.device.type == "cuda" and there.dtype is here.dtype
        assert there.numpy().tobytes() == here.numpy().tobytes()
