"""Dropout on the inputs of a linear model is a ridge whose weight is each feature's size."""

from dataclasses import dataclass

import numpy as np

from pydl import manual_seed, nn, no_grad, optim, tensor
from pydl.nn import functional as F
from pydl.recipes.recipe import Recipe, Report, setting

RECIPE = Recipe(
    name="dropout-ridge",
    ids=("C14",),
    title="Dropout: what it keeps on average, and the ridge that it is on linear models",
    source="Srivastava et al. 2014; Wager, Wang & Liang 2013 (arXiv:1307.1493)",
    time="t1",
)


@dataclass
class Settings:
    """What can be set on the command line."""

    p: float = setting(0.2, "probability of dropping (keep probability q = 1 - p)")
    masks: int = setting(100_000, "masks of the expectation")
    steps: int = setting(4000, "steps of the linear regression")
    copies: int = setting(40, "masks of every example in a step")
    seed: int = setting(0, "of data and masks")


def run(settings: Settings, report: Report) -> None:
    """Checks the expectation, evaluation, both conventions, and the penalty p / (1 - p) diag(X^T X)."""
    p, q = settings.p, 1 - settings.p
    manual_seed(settings.seed)
    x = tensor(np.linspace(-2, 2, 8))
    mean = F.dropout(x.expand(settings.masks, 8), p).mean(0)
    error = np.abs((mean - x).numpy()) / (np.abs(x.numpy()) * np.sqrt(p / q / settings.masks))
    report.check("mean output minus input, in standard errors", float(error.max()), at_most=4.0)
    layer = nn.Dropout(p).eval()
    report.check("evaluation changes nothing", bool((layer(x) == x).all()), equals=True)

    inverted, original = nn.Linear(8, 3), nn.Linear(8, 3)
    with no_grad():
        original.weight.copy_(inverted.weight / q)
        original.bias.copy_(inverted.bias)
        row = x.float().reshape(1, 8)
        gap = inverted(nn.Dropout(p).eval()(row)) - original(nn.Dropout(p, mode="original").eval()(row))
    report.check("test-time outputs of both conventions", float(gap.abs().max()), at_most=1e-5)
    report.check("weights of dropout against the ridge's", _against_ridge(settings), at_most=1e-2)


def _against_ridge(settings: Settings) -> float:
    """The largest difference between linear regression with dropped inputs and (X^T X + p / q diag(X^T X))^-1 X^T y."""
    rng = np.random.default_rng(settings.seed)
    x = rng.standard_normal((50, 5)) @ rng.standard_normal((5, 5))
    y = x @ rng.standard_normal(5) + 0.3 * rng.standard_normal(50)
    gram = x.T @ x
    ridge = np.linalg.solve(gram + settings.p / (1 - settings.p) * np.diag(np.diag(gram)), x.T @ y)
    inputs, target = tensor(np.tile(x, (settings.copies, 1))), tensor(np.tile(y, settings.copies))
    theta, mean = tensor(np.zeros(5)).requires_grad_(), np.zeros(5)
    descent = optim.SGD([theta], lr=0.5 / np.linalg.eigvalsh(gram / 50).max())
    for step in range(settings.steps):
        descent.param_groups[0]["lr"] *= 1 if step < settings.steps // 4 else 0.999
        descent.zero_grad()
        ((F.dropout(inputs, settings.p) @ theta - target) ** 2).mean().mul(0.5).backward()
        descent.step()
        if step >= settings.steps // 2:
            mean += theta.detach().numpy() / (settings.steps - settings.steps // 2)
    return float(np.abs(mean - ridge).max())
