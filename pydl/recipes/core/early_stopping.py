"""Early stopping: when it stops, what it gives back, and that it regularises as L2 does.

Linear regression with more noise than examples can carry: the error over the path of gradient descent falls, then
rises. A validation set finds the lowest point nearly, and that point is nearly as good as the best ridge: descent for a
time t shrinks the direction of eigenvalue s by 1 - exp(-s t), the ridge by s / (s + 1 / t). Measured over seeds 0-9:
stopped error 0 to 0.4 % above the lowest on its path, 0.6 % below to 1.3 % above that of the ridge chosen likewise, and
2.5 to 4.1 times lower than at the end of the path.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from pydl import manual_seed, nn, no_grad, optim, tensor
from pydl.nn import functional as F
from pydl.recipes.recipe import Recipe, Report, setting
from pydl.train import Callback, EarlyStopping, Trainer

RECIPE = Recipe(
    name="early-stopping",
    ids=("C16",),
    title="Early stopping ends where it must, near the best point, and is as good as L2",
    source="Prechelt 1998, Early stopping - but when?; Ali, Kolter & Tibshirani 2019 (arXiv:1810.10082)",
    time="t0",
)


@dataclass
class Settings:
    """What can be set on the command line."""

    examples: int = setting(100, "to train on", least=2)
    features: int = setting(80, "of each example", least=1)
    noise: float = setting(1.5, "deviation of the noise; the signal's is 1")
    epochs: int = setting(400, "at most", least=2)
    patience: int = setting(30, "epochs without improvement", least=1)
    seed: int = setting(0, "of the data")


class Path(Callback):
    """Remembers the weights of every epoch, and may write an error of its own into the history."""

    def __init__(self, errors: Sequence[float] = ()) -> None:
        self.errors = errors
        self.weights: list[np.ndarray] = []

    def on_epoch_end(self, trainer: Trainer) -> None:
        self.weights.append(_weights(trainer.model))
        if self.errors:
            trainer.history.setdefault("error", []).append(self.errors[trainer.epoch - 1])


def run(settings: Settings, report: Report) -> None:
    """A written sequence of errors, then regression with noise, early stopping beside the path and the ridge."""
    _scripted(report)
    rng = np.random.default_rng(settings.seed)
    truth = rng.standard_normal(settings.features) / np.sqrt(settings.features)
    train, validation = (_sample(rng, n, truth, settings.noise) for n in (settings.examples, 1000))

    def risk(weights: np.ndarray) -> float:
        """The expected squared error on new examples."""
        return float(((weights - truth) ** 2).sum() + settings.noise**2)

    path, stopping = Path(), EarlyStopping(settings.patience)
    stopped = _trainer(settings, train)
    stopped.fit([tuple(map(tensor, train))], settings.epochs, validation=validation, callbacks=[path, stopping])
    found = risk(_weights(stopped.model))
    report.check("it stops before the last epoch", stopping.stopped_epoch is not None, equals=True)

    whole = Path()
    _trainer(settings, train).fit([tuple(map(tensor, train))], settings.epochs, callbacks=[whole])
    risks = [risk(w) for w in whole.weights]
    report.say(
        f"best epoch {stopping.best_epoch}, lowest error at {1 + int(np.argmin(risks))}, at the end {risks[-1]:.4g}"
    )
    report.check("stopped error over the lowest on the path", found / min(risks), at_most=1.05)
    report.check("error at the end over the stopped error", risks[-1] / found, at_least=1.5)

    ridge = [risk(w) for w in _best_ridge(train, validation)]
    report.check("stopped error over that of the ridge with the best validation error", found / ridge[0], at_most=1.05)
    report.figure("errors", lambda figure: _draw(figure, risks, stopping.best_epoch, ridge[0]))


def _scripted(report: Report) -> None:
    """The best value comes at epoch 4, and three worse ones after it."""
    manual_seed(0)
    errors = [5.0, 3.0, 4.0, 2.0, 2.5, 2.0, 9.0, 1.0]
    path, stopping = Path(errors), EarlyStopping(patience=3, monitor="error")
    model = nn.Linear(2, 1, bias=False)
    trainer = Trainer(model, F.mse_loss, optim.SGD(model.parameters(), lr=0.01))
    trainer.fit([(tensor([[1.0, 2.0]]), tensor([[1.0]]))], len(errors), callbacks=[path, stopping])
    report.check("epoch at which a written sequence ends", trainer.epoch, equals=7)
    report.check("its weights are those of epoch 4", bool((_weights(model) == path.weights[3]).all()), equals=True)


def _sample(rng: np.random.Generator, n: int, truth: np.ndarray, noise: float) -> tuple[np.ndarray, np.ndarray]:
    x = rng.standard_normal((n, len(truth)))
    return x, (x @ truth + noise * rng.standard_normal(n))[:, None]


def _trainer(settings: Settings, train: tuple[np.ndarray, np.ndarray]) -> Trainer:
    """Gradient descent from 0, at a fifth of the rate at which it would diverge."""
    model = nn.Linear(settings.features, 1, bias=False).double()
    with no_grad():
        model.weight.fill_(0.0)
    steepest = np.linalg.eigvalsh(train[0].T @ train[0] / settings.examples).max()
    return Trainer(model, F.mse_loss, optim.SGD(model.parameters(), lr=0.2 / float(steepest)))


def _weights(model: nn.Module) -> np.ndarray:
    (weight,) = model.parameters()
    return np.array(weight.detach().numpy()[0])


def _best_ridge(train: tuple[np.ndarray, np.ndarray], validation: tuple[np.ndarray, np.ndarray]) -> list[np.ndarray]:
    """The weights of ridges, that of the lowest validation error first."""
    (x, y), (held_x, held_y) = train, validation
    gram, moments = x.T @ x / len(x), x.T @ y[:, 0] / len(x)
    fits = [np.linalg.solve(gram + weight * np.eye(len(gram)), moments) for weight in np.geomspace(1e-3, 1e2, 60)]
    return sorted(fits, key=lambda w: float(((held_x @ w - held_y[:, 0]) ** 2).mean()))


def _draw(figure: object, risks: list[float], best: int, ridge: float) -> None:
    axes = figure.subplots()  # type: ignore[attr-defined]
    axes.plot(range(1, len(risks) + 1), risks, label="gradient descent")
    axes.axvline(best, color="grey", linestyle=":", label="stopped: these weights are kept")
    axes.axhline(ridge, color="C1", linestyle="--", label="ridge")
    axes.set(xlabel="epoch", ylabel="squared error on new examples", xscale="log")
    axes.legend()
