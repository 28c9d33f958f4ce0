"""Features on different scales make descent slow; scaled, they do not."""

from dataclasses import dataclass

import numpy as np

from pydl import optim, tensor
from pydl.preprocessing import MinMaxScaler, Normalizer, StandardScaler
from pydl.recipes.recipe import Recipe, Report, setting

RECIPE = Recipe(
    name="input-scaling",
    ids=("C17",),
    title="Scaling the inputs, the condition number, and the steps of descent",
    source="LeCun, Bottou, Orr & Mueller 1998, Efficient backprop, section 4.3",
    time="t0",
)


@dataclass
class Settings:
    """What can be set on the command line."""

    n: int = setting(400, "examples")
    spread: float = setting(30.0, "ratio of the largest feature's scale to the smallest's")
    seed: int = setting(0, "of the data")


def run(settings: Settings, report: Report) -> None:
    """Checks the scalers' statistics, then the condition number of X^T X and the steps to 1e-6."""
    rng = np.random.default_rng(settings.seed)
    x = rng.standard_normal((settings.n, 4)) * np.geomspace(1, settings.spread, 4)
    scaled = StandardScaler().fit_transform(x)
    report.check("mean after standardising", float(np.abs(scaled.mean(0)).max()), at_most=1e-12)
    report.check(
        "standard deviation after standardising, minus 1", float(np.abs(scaled.std(0) - 1).max()), at_most=1e-12
    )
    boxed = MinMaxScaler().fit_transform(x)
    report.check("range after min-max scaling", [float(boxed.min()), round(float(boxed.max()), 12)], equals=[0.0, 1.0])
    lengths = np.linalg.norm(Normalizer().fit_transform(x), axis=1)
    report.check("length after normalising, minus 1", float(np.abs(lengths - 1).max()), at_most=1e-12)

    before, after = (float(np.linalg.cond(v.T @ v)) for v in (x, scaled))
    report.check("condition number before over after", before / after, at_least=100.0)
    y = rng.standard_normal(settings.n)
    slow, fast = _steps(x, y), _steps(scaled, y)
    report.check("steps of descent before over after", slow / fast, at_least=10.0)


def _steps(x: np.ndarray, y: np.ndarray, tol: float = 1e-6) -> int:
    """Steps of gradient descent at the rate 1 / L until the loss is within tol of the least."""
    matrix, target = tensor(x), tensor(y)
    least = float(((x @ np.linalg.lstsq(x, y, rcond=None)[0] - y) ** 2).mean()) / 2
    theta = tensor(np.zeros(x.shape[1])).requires_grad_()
    descent = optim.GD([theta], lr=len(x) / np.linalg.norm(x, 2) ** 2)
    for step in range(1, 200_000):
        descent.zero_grad()
        loss = ((matrix @ theta - target) ** 2).mean() * 0.5
        if loss.item() - least <= tol:
            return step
        loss.backward()
        descent.step()
    return 200_000
