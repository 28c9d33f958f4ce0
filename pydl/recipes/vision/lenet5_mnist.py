"""LeNet-5 on MNIST, within 5 epochs.

Measured with seed 0: 99.20 %, without augmentation.
"""

from dataclasses import dataclass

from pydl.data import MNIST
from pydl.data.transforms import RandomShift
from pydl.models import LeNet5
from pydl.recipes.recipe import Recipe, Report, setting
from pydl.recipes.vision.training import draw_filters, train_and_test

RECIPE = Recipe(
    name="lenet5-mnist",
    ids=("V06",),
    title="LeNet-5 on MNIST, within 5 epochs",
    source="LeCun et al. 1998, Gradient-based learning applied to document recognition",
    time="t2",
)


@dataclass
class Settings:
    """What can be set on the command line."""

    epochs: int = setting(5, "passes over the training part", least=1)
    batch: int = setting(128, "images in a step", least=1)
    lr: float = setting(0.05, "largest step size")
    decay: float = setting(5e-4, "weight decay")
    activation: str = setting("relu", "'relu', 'tanh' or 'sigmoid'")
    pool: str = setting("max", "'max' or 'avg'")
    shift: int = setting(0, "the most pixels by which training images are moved")
    seed: int = setting(0, "of weights, order and shifts")


def run(settings: Settings, report: Report) -> None:
    """Trains, and checks the accuracy on the test part: at least 99 %."""
    s = settings
    train, test = (MNIST(train=part).tensors(normalize=True) for part in (True, False))
    augment = RandomShift(s.shift, fill=-MNIST.mean / MNIST.std) if s.shift else None
    model, score = train_and_test(
        lambda: LeNet5(image_size=28, activation=s.activation, pool=s.pool), train, test, s, report, augment
    )
    report.check("test accuracy", score, at_least=0.99)
    report.checkpoint("model", model.state_dict())
    first = model.get_submodule("features.0")
    report.figure("first-layer", lambda figure: draw_filters(figure, first, test[0][:1]))
