"""What the three image recipes share: an MLP trained by Adam on all pixels, measured on the test part."""

from pydl import manual_seed, nn, no_grad, optim
from pydl.data import DataLoader, TensorDataset
from pydl.models import MLP
from pydl.recipes.recipe import Report
from pydl.tensor import Tensor

__all__ = ["accuracy", "train_and_test"]

Pair = tuple[Tensor, Tensor]


def accuracy(model: nn.Module, x: Tensor, y: Tensor) -> float:
    """The share of rows of x whose largest score is that of their class in y."""
    model.eval()
    with no_grad():
        return (model(x).argmax(1) == y).float().mean().item()


def train_and_test(
    train: Pair, test: Pair, hidden: tuple[int, ...], epochs: int, batch: int, lr: float, dropout: float, seed: int,
    goal: float, report: Report,
) -> None:  # fmt: skip
    """Trains on one pair of (pixels, classes), the step size falling as a cosine; checks the accuracy on the other."""
    manual_seed(seed)
    classes = int(train[1].max()) + 1
    model = MLP([train[0].shape[1], *hidden, classes], dropout=dropout)
    optimizer = optim.AdamW(model.parameters(), lr=lr)
    schedule = optim.lr_scheduler.CosineAnnealingLR(optimizer, epochs)
    loader = DataLoader(TensorDataset(*train), batch_size=batch, shuffle=True, drop_last=True, seed=seed)
    losses, scores = [], []
    for epoch in range(epochs):
        model.train()
        total = 0.0
        for x, y in loader:
            loss = nn.functional.cross_entropy(model(x), y)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            total += loss.item()
        schedule.step()
        losses.append(total / len(loader))
        scores.append(accuracy(model, *test))
        report.say(f"epoch {epoch + 1:3d}  training loss {losses[-1]:.4f}  test accuracy {scores[-1]:.4f}")
    report.check("test accuracy", scores[-1], at_least=goal)
    report.checkpoint("model", model.state_dict())
    report.figure("learning-curve", lambda figure: _draw(figure, losses, scores))


def _draw(figure: object, losses: list[float], scores: list[float]) -> None:
    left, right = figure.subplots(1, 2)  # type: ignore[attr-defined]
    steps = range(1, len(losses) + 1)
    left.plot(steps, losses)
    left.set(xlabel="epoch", ylabel="training loss", yscale="log")
    right.plot(steps, scores)
    right.set(xlabel="epoch", ylabel="test accuracy")
