"""What the image recipes share: the loop, and pictures of what a network has learnt."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from pydl import manual_seed, nn, no_grad, optim
from pydl.data import DataLoader, TensorDataset
from pydl.data.transforms import TransformedDataset
from pydl.nn import functional as F
from pydl.recipes.recipe import Report
from pydl.tensor import Tensor

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["TrainingSettings", "accuracy", "draw_filters", "train_and_test"]

Pair = tuple[Tensor, Tensor]


class TrainingSettings(Protocol):
    """The settings that the loop reads."""

    epochs: int
    batch: int
    lr: float
    decay: float
    seed: int


def accuracy(model: nn.Module, x: Tensor, y: Tensor, batch: int = 500) -> float:
    """The share of images x (n, c, h, w) whose largest score is that of their class in y (n,)."""
    model.eval()
    with no_grad():
        right = [(model(x[i : i + batch]).argmax(1) == y[i : i + batch]).numpy() for i in range(0, len(x), batch)]
    return float(np.concatenate(right).mean())


def train_and_test(
    make: Callable[[], nn.Module],
    train: Pair,
    test: Pair,
    settings: TrainingSettings,
    report: Report,
    augment: Callable[[Any], Any] | None = None,
) -> tuple[nn.Module, float]:
    """Trains a network by SGD with momentum, the step size rising over a fifth of the steps and falling after it.

    Args: train, test: images (n, c, h, w) and classes (n,). augment: changes of each training batch's images.
    Returns: the network and its accuracy on `test`.
    """
    s = settings
    manual_seed(s.seed)
    model = make()
    data: Any = TensorDataset(*train)
    loader = DataLoader(
        data if augment is None else TransformedDataset(data, augment),
        batch_size=s.batch, shuffle=True, drop_last=len(data) >= s.batch, seed=s.seed,
    )  # fmt: skip
    optimizer = optim.SGD(model.parameters(), s.lr, momentum=0.9, weight_decay=s.decay, nesterov=True)
    total, step, score = s.epochs * len(loader), 0, 0.0
    for epoch in range(s.epochs):
        model.train()
        losses = 0.0
        for x, y in loader:
            optimizer.param_groups[0]["lr"] = s.lr * _share(step / total)
            loss = F.cross_entropy(model(x), y)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses, step = losses + loss.item(), step + 1
        score = accuracy(model, *test)
        report.say(f"epoch {epoch + 1:3d}  training loss {losses / len(loader):.4f}  test accuracy {score:.4f}")
    return model, score


def _share(done: float) -> float:
    """The step size's share of its largest, when that part of the training is done (Smith & Topin 2017)."""
    return 0.05 + 0.95 * done / 0.2 if done < 0.2 else (1 - done) / 0.8


def draw_filters(figure: "Figure", first: nn.Module, image: Tensor) -> None:
    """The kernels of a first layer (above; white is positive, black negative), and beside an image (1, c, h, w) what
    they make of it (below)."""
    with no_grad():
        maps = first(image).numpy()[0]
    kernels: Any = first.get_parameter("weight").detach().numpy()[:, 0]
    shown = min(len(kernels), 8)
    axes = figure.subplots(2, shown + 1, squeeze=False)
    for axis in axes.flat:
        axis.set_axis_off()
    axes[1][0].imshow(image.numpy()[0, 0], cmap="gray")
    axes[1][0].set_title("image", fontsize=7)
    for k, (above, below) in enumerate(axes[:, 1:].T):
        most = abs(kernels[k]).max()
        above.imshow(kernels[k], cmap="gray", vmin=-most, vmax=most)
        above.set_title(f"kernel {k + 1}", fontsize=7)
        below.imshow(maps[k], cmap="gray")
        below.set_title(f"map {k + 1}", fontsize=7)
