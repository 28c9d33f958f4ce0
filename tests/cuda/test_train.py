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


class Block(nn.Module):
    """A residual block of two convolutions, the first with a stride."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Sequential(nn.Conv2d(4, 6, 3, 2, 1, bias=False), nn.BatchNorm2d(6), nn.ReLU())
        self.second = nn.Sequential(nn.Conv2d(6, 6, 3, 1, 1, bias=False), nn.BatchNorm2d(6))
        self.short = nn.Conv2d(4, 6, 1, 2)

    def forward(self, x: pydl.Tensor) -> pydl.Tensor:
        return nn.functional.relu(self.second(self.first(x)) + self.short(x))


NETS = {
    "lenet": lambda: nn.Sequential(
        nn.Conv2d(1, 6, 5, padding=2), nn.Tanh(), nn.AvgPool2d(2), nn.Conv2d(6, 16, 5), nn.Tanh(), nn.MaxPool2d(2),
        nn.Flatten(), nn.Linear(16, 12), nn.Tanh(), nn.Linear(12, 3),
    ),
    "resnet": lambda: nn.Sequential(
        nn.Conv2d(1, 4, 3, padding=1), nn.MaxPool2d(3, 2, 1), Block(), nn.AdaptiveAvgPool2d(1), nn.Flatten(),
        nn.Linear(6, 3),
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", list(NETS))
def test_images(name: str) -> None:
    """Convolutional nets learn as on the CPU, running statistics included."""
    found = {}
    for device in ("cpu", "cuda"):
        pydl.manual_seed(1)
        rng = np.random.default_rng(1)
        x = pydl.tensor(rng.standard_normal((3, 1, 12, 12)), dtype=pydl.float64, device=device)
        t = pydl.tensor(rng.integers(0, 3, 3), device=device)
        net = NETS[name]().to(device, pydl.float64)
        step = optim.SGD(net.parameters(), lr=0.05, momentum=0.9)
        losses = []
        for _ in range(4):
            loss = nn.functional.cross_entropy(net(x), t)
            step.zero_grad()
            loss.backward()
            step.step()
            losses.append(loss.item())
        found[device] = losses, [v.cpu().numpy() for v in net.state_dict().values()]
    np.testing.assert_allclose(found["cuda"][0], found["cpu"][0], rtol=1e-9)
    for there, here in zip(found["cuda"][1], found["cpu"][1], strict=True):
        np.testing.assert_allclose(there, here, rtol=1e-8, atol=1e-10)
    assert found["cuda"][0][-1] < found["cuda"][0][0]


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


class Tagger(nn.Module):
    """A recurrent net over sequences, with a weight for each class at each step."""

    def __init__(self, kind: str) -> None:
        super().__init__()
        self.layer = getattr(nn, kind)(5, 3, batch_first=True, bidirectional=True)
        self.head = nn.Linear(6, 3)

    def forward(self, x: pydl.Tensor) -> pydl.Tensor:
        return self.head(self.layer(x)[0]).flatten(0, 1)


@pytest.mark.parametrize("kind", ["RNN", "LSTM", "GRU"])
def test_sequences(kind: str) -> None:
    """Recurrent layers, packed sequences too."""
    found = {}
    for device in ("cpu", "cuda"):
        pydl.manual_seed(0)
        rng = np.random.default_rng(0)
        net = Tagger(kind).to(pydl.float64).to(device)
        x = pydl.tensor(rng.standard_normal((4, 4, 5)), dtype=pydl.float64, device=device)
        t = pydl.tensor(rng.integers(0, 3, 16), device=device)
        step = optim.Adam(net.parameters(), lr=0.02)
        found[device] = []
        for _ in range(4):
            loss = nn.functional.cross_entropy(net(x), t)
            step.zero_grad()
            loss.backward()
            step.step()
            found[device].append(loss.item())
        packed = nn.utils.rnn.pack_padded_sequence(x, [4, 2, 3, 1], batch_first=True, enforce_sorted=False)
        padded, lengths = nn.utils.rnn.pad_packed_sequence(net.layer(packed)[0].to(device), batch_first=True)
        assert padded.device.type == device and lengths.tolist() == [4, 2, 3, 1]
        found[device].append(padded.sum().item())
    np.testing.assert_allclose(found["cuda"], found["cpu"], rtol=1e-9)
    assert found["cpu"][3] < found["cpu"][0]
