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

    n: int = setting(400, "examples", least=10)
    spread: float = setting(1e3, "ratio of the largest feature's scale to the smallest's", least=1)
    patience: int = setting(2000, "steps after which descent on the raw features is given up", least=1)
    seed: int = setting(0, "of the data")


def run(settings: Settings, report: Report) -> None:
    """Checks the scalers' statistics, then the condition number of X^T X and the steps to 1e-6."""
    rng = np.random.default_rng(settings.seed)
    x = rng.standard_normal((settings.n, 4)) * np.geomspace(1, settings.spread, 4) + rng.uniform(-1, 1, 4)
    scaled, boxed = StandardScaler().fit_transform(x), MinMaxScaler().fit_transform(x)
    exact = (x - x.mean(0)) / x.std(0)
    report.check("standardised against (x - mean) / deviation", np.abs(scaled - exact).max(), at_most=1e-12)
    report.check("mean after standardising", np.abs(scaled.mean(0)).max(), at_most=1e-12)
    report.check("deviation after standardising, minus 1", np.abs(scaled.std(0) - 1).max(), at_most=1e-12)
    report.check("least after min-max scaling", np.abs(boxed.min(0)).max(), at_most=1e-12)
    report.check("largest after min-max scaling, minus 1", np.abs(boxed.max(0) - 1).max(), at_most=1e-12)
    lengths = np.linalg.norm(Normalizer().fit_transform(x), axis=1)
    report.check("length after normalising, minus 1", np.abs(lengths - 1).max(), at_most=1e-12)

    before, after = (float(np.linalg.cond(v.T @ v)) for v in (x, scaled))
    report.check("condition number before over after", before / after, at_least=100.0)
    y = rng.standard_normal(settings.n)
    slow, fast = _steps(x, y, settings.patience), _steps(scaled, y, settings.patience)
    report.say(f"steps to 1e-6: {fast} scaled, {slow}{' and not there yet' if slow == settings.patience else ''} raw")
    report.check("steps of descent before over after", slow / fast, at_least=10.0)


def _steps(x: np.ndarray, y: np.ndarray, patience: int) -> int:
    """Steps of gradient descent at the rate 1 / L until theta is within 1e-6 of the optimum, relatively."""
    matrix, target, best = tensor(x), tensor(y), np.linalg.lstsq(x, y, rcond=None)[0]
    theta = tensor(np.zeros(x.shape[1]), requires_grad=True)
    descent = optim.GD([theta], lr=len(x) / float(np.linalg.norm(x, 2)) ** 2)
    for step in range(patience):
        if np.linalg.norm(theta.detach().numpy() - best) <= 1e-6 * np.linalg.norm(best):
            return step
        descent.zero_grad()
        (((matrix @ theta - target) ** 2).mean() * 0.5).backward()
        descent.step()
    return patience
