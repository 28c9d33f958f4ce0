"""What the three image recipes share: an MLP trained by AdamW on all pixels, measured on the test part."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from pydl import manual_seed, nn, no_grad, optim, randn
from pydl.data import DataLoader, TensorDataset
from pydl.models import MLP
from pydl.nn import functional as F
from pydl.recipes.recipe import Report, setting
from pydl.tensor import Tensor

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["ImageSettings", "accuracy", "train_and_test"]

Pair = tuple[Tensor, Tensor]


@dataclass
class ImageSettings:
    """What can be set on the command line; as it is for the two data sets of 28x28 images."""

    hidden: tuple[int, ...] = setting((512, 512), "sizes of the hidden layers", least=1)
    epochs: int = setting(5, "passes over the training part", least=1)
    batch: int = setting(128, "examples in a step", least=1)
    lr: float = setting(1e-3, "first step size of AdamW")
    dropout: float = setting(0.2, "probability of dropping a hidden unit", most=1)
    smoothing: float = setting(0.1, "share of the target that is spread over all classes", most=1)
    noise: float = setting(0.0, "deviation of the noise added to the normalised pixels in training")
    seed: int = setting(0, "of weights, order, dropout and noise")


def accuracy(model: nn.Module, x: Tensor, y: Tensor) -> float:
    """The share of rows of x (n, d) whose largest score is that of their class in y (n,)."""
    model.eval()
    with no_grad():
        return float((model(x).argmax(1) == y).float().mean())


def train_and_test(train: Pair, test: Pair, settings: ImageSettings, goal: float, report: Report) -> None:
    """Trains on one pair of pixels (n, d) and classes (n,), the step size falling as a cosine; checks the accuracy on
    the other: at least `goal`."""
    s = settings
    manual_seed(s.seed)
    model = MLP([train[0].shape[1], *s.hidden, 10], dropout=s.dropout)
    optimizer = optim.AdamW(model.parameters(), lr=s.lr)
    schedule = optim.lr_scheduler.CosineAnnealingLR(optimizer, s.epochs)
    loader = DataLoader(TensorDataset(*train), batch_size=s.batch, shuffle=True, drop_last=True, seed=s.seed)
    losses, scores = [], []
    for epoch in range(s.epochs):
        model.train()
        total = 0.0
        for x, y in loader:
            if s.noise:
                x = x + s.noise * randn(x.shape)
            loss = F.cross_entropy(model(x), y, label_smoothing=s.smoothing)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            total += loss.item()
        schedule.step()
        losses.append(total / max(1, len(loader)))
        scores.append(accuracy(model, *test))
        report.say(f"epoch {epoch + 1:3d}  training loss {losses[-1]:.4f}  test accuracy {scores[-1]:.4f}")
    report.check("test accuracy", scores[-1], at_least=goal)
    report.checkpoint("model", model.state_dict())
    report.figure("learning-curve", lambda figure: _draw(figure, losses, scores))


def _draw(figure: "Figure", losses: list[float], scores: list[float]) -> None:
    left, right = figure.subplots(1, 2)
    epochs = range(1, len(losses) + 1)
    left.plot(epochs, losses)
    left.set(xlabel="epoch", ylabel="training loss")
    right.plot(epochs, scores)
    right.set(xlabel="epoch", ylabel="test accuracy")
