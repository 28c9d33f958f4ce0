"""What the Shakespeare recipes share: the characters, the loss on the validation part, a sample, the curve."""

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import numpy as np

from pydl import Generator, from_numpy, nn, no_grad
from pydl.data import TinyShakespeare
from pydl.data.text import CharTokenizer
from pydl.models import LanguageModel, stream_text
from pydl.nn.utils import clip_grad_norm_
from pydl.optim import Optimizer, lr_scheduler
from pydl.recipes.recipe import Report
from pydl.tensor import Tensor
from pydl.train import LogLoss

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["characters", "draw_curve", "log_loss", "show_sample", "update"]


def characters() -> tuple[CharTokenizer, Tensor, Tensor]:
    """The tokenizer of all 65 characters, and the training and validation parts as int64 (n,)."""
    train, valid = (TinyShakespeare(split=split).text for split in ("train", "valid"))
    tokenizer = CharTokenizer.train([train, valid])
    first, second = (from_numpy(np.array(tokenizer.encode(text), np.int64)) for text in (train, valid))
    return tokenizer, first, second


def update(
    loss: Tensor, model: nn.Module, optimizer: Optimizer, schedule: lr_scheduler.LRScheduler, clip: float
) -> float:
    """One step down the loss with gradients of norm `clip` at most; returns the loss."""
    optimizer.zero_grad()
    loss.backward()
    clip_grad_norm_(model.parameters(), clip)
    optimizer.step()
    schedule.step()
    return float(loss.item())


def log_loss(model: nn.Module, batches: Iterable[Any], *, carry_state: bool = False) -> float:
    """The mean of -log p(character | those before it) in nats over batches of x and y, int64 (b, t).

    carry_state: the model returns its state too, and batches go on from one another.
    """
    metric, state = LogLoss(), None
    model.eval()
    with no_grad():
        for x, y in batches:
            if carry_state:
                logits, state = model(x, state)
            else:
                logits = model(x)
            metric.update(logits.flatten(0, 1), y.flatten())
    model.train()
    return metric.compute()


def show_sample(model: LanguageModel, tokenizer: CharTokenizer, report: Report, seed: int, length: int = 400) -> None:
    """Prints what the model writes behind an empty line, at temperature 0.8."""
    source = Generator().manual_seed(seed)
    pieces = stream_text(model, tokenizer, "\n", length, temperature=0.8, generator=source)
    report.say("a sample:\n" + "".join(pieces) + "\n")


def draw_curve(figure: "Figure", curve: list[tuple[int, float, float]]) -> None:
    """Training and validation losses by step."""
    axes = figure.subplots()
    steps, train, valid = zip(*curve, strict=True)
    axes.plot(steps, train, label="training")
    axes.plot(steps, valid, label="validation")
    axes.set(xlabel="steps", ylabel="nats per character")
    axes.legend()
