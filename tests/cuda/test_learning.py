"""Networks learn on a CUDA device as on the CPU: perceptron, LeNet, LSTM and GPT, from the first step to a bar.

Both start from the same numbers in float32. Rounding differs, so the curves agree to one part in a thousand at first
and to a tenth at their ends. An emulated device runs a few steps of smaller networks, which need not learn much.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pytest

import pydl
from pydl import nn, optim
from pydl.data.synthetic import make_spirals
from pydl.models import GPT, GPTConfig, LeNet, RNNLanguageModel
from pydl.nn import functional as F

EMULATED = pydl.cuda.is_available() and "emulated" in pydl.cuda.get_device_name()
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not pydl.cuda.is_available(), reason="no CUDA device"),
]
EARLY, EARLY_WITHIN, LATE_WITHIN = 10, 1e-3, 0.1

Batch = tuple[pydl.Tensor, pydl.Tensor]


@dataclass(frozen=True)
class Task:
    """What is learnt: batches that a generator draws, a network for them, and how low the loss must get."""

    net: Callable[[], nn.Module]
    batch: Callable[[np.random.Generator], Batch]
    steps: int
    rate: float
    bar: float


def _spirals(rng: np.random.Generator) -> Batch:
    return make_spirals(64 if EMULATED else 512, 2, turns=0.5 if EMULATED else 1.0, noise=0.01, random_state=rng)


def _perceptron() -> nn.Module:
    width = 16 if EMULATED else 64
    return nn.Sequential(nn.Linear(2, width), nn.GELU(), nn.Linear(width, width), nn.GELU(), nn.Linear(width, 2))


def _images(rng: np.random.Generator) -> Batch:
    """Ten fixed patterns of 32 x 32, shifted by up to two pixels, in noise."""
    coarse = np.random.default_rng(7).standard_normal((10, 1, 8, 8))
    labels = rng.integers(0, 10, 4 if EMULATED else 64)
    shifts = rng.integers(-2, 3, (len(labels), 2))
    clean = coarse.repeat(4, 2).repeat(4, 3)[labels]
    moved = np.stack([np.roll(x, tuple(s), (1, 2)) for x, s in zip(clean, shifts, strict=True)])
    return pydl.tensor((moved + 0.5 * rng.standard_normal(moved.shape)).astype(np.float32)), pydl.tensor(labels)


def _sequences(rng: np.random.Generator) -> Batch:
    """Each number is the one before the last plus 1, modulo 5: only the first two are drawn."""
    b, t = (3, 8) if EMULATED else (32, 16)
    x = rng.integers(0, 5, (b, t + 1))
    for i in range(2, t + 1):
        x[:, i] = (x[:, i - 2] + 1) % 5
    return pydl.tensor(x[:, :-1]), pydl.tensor(x[:, 1:])


def _gpt() -> nn.Module:
    layers, heads, width = (1, 2, 16) if EMULATED else (2, 2, 64)
    return GPT(GPTConfig(5, 32, layers, heads, width))


TASKS = {
    "mlp": Task(_perceptron, _spirals, 60 if EMULATED else 400, 1e-2, 0.6 if EMULATED else 0.05),
    "lenet": Task(lambda: LeNet("lenet5"), _images, 12 if EMULATED else 150, 2e-3, 2.2 if EMULATED else 0.1),
    "lstm": Task(
        lambda: RNNLanguageModel(5, 16, 12 if EMULATED else 64, 1), _sequences,
        20 if EMULATED else 150, 1e-2, 1.7 if EMULATED else 0.4,
    ),
    "gpt": Task(_gpt, _sequences, 15 if EMULATED else 200, 3e-3, 1.7 if EMULATED else 0.4),
}  # fmt: skip


def curve(task: Task, device: str) -> np.ndarray:
    """The losses of all steps."""
    pydl.manual_seed(1)
    net = task.net().to(device)
    rng, step = np.random.default_rng(3), optim.AdamW(net.parameters(), lr=task.rate)
    losses = []
    for _ in range(task.steps):
        x, y = (t.to(device) for t in task.batch(rng))
        made = net(x)
        scores = made[0] if isinstance(made, tuple) else made
        loss = F.cross_entropy(scores.flatten(0, -2), y.flatten())
        step.zero_grad()
        loss.backward()
        step.step()
        losses.append(loss.detach())
    return np.array([loss.item() for loss in losses])


@pytest.mark.parametrize("name", list(TASKS))
def test_learns(name: str) -> None:
    """The curve of the device is that of the CPU, and reaches the bar."""
    task = TASKS[name]
    there, here = curve(task, "cuda"), curve(task, "cpu")
    late = slice(-max(3, task.steps // 10), None)
    ends = f"from {there[0]:.4f} to {there[late].mean():.4f}, on the CPU {here[late].mean():.4f}"
    print(f"\n{name}: {ends}, bar {task.bar}")
    np.testing.assert_allclose(there[:EARLY], here[:EARLY], rtol=EARLY_WITHIN)
    assert abs(there[late].mean() - here[late].mean()) <= LATE_WITHIN * max(task.bar, here[late].mean())
    assert there[late].mean() < task.bar


def test_a_gpt_decodes() -> None:
    """With a cache on the device: the logits are those of the CPU, also behind a memory that has grown."""
    model = GPT(GPTConfig(vocab_size=61, block_size=80, n_layer=2, n_head=3, n_embd=24)).eval()
    ids = np.random.default_rng(0).integers(0, 61, (2, 70))
    found = []
    for device in ("cpu", "cuda"):
        model.to(device)
        mask = pydl.tensor(np.arange(70) > np.array([[2], [0]])).to(device)
        given = pydl.tensor(ids).to(device)
        _, state = model.decode(given[:, :60], attention_mask=mask[:, :60])
        _, state = model.decode(given[:, 60:69], state)
        found.append(model.decode(given[:, 69:], state)[0].to("cpu").numpy())
    np.testing.assert_allclose(*found, atol=1e-5)
