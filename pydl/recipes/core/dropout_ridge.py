"""Dropout on the inputs of a linear model is a ridge whose weight is each feature's size.

With probability p of dropping and q = 1 - p of keeping (some texts call that p), the penalty is (1 - q) / q X^T X's
diagonal. Measured over seeds 0-9: weights within 0.004 of the ridge's.
"""

from dataclasses import dataclass

import numpy as np

from pydl import manual_seed, nn, no_grad, optim, randn, tensor
from pydl.nn import functional as F
from pydl.recipes.recipe import Recipe, Report, setting

RECIPE = Recipe(
    name="dropout-ridge",
    ids=("C14",),
    title="Dropout: what it keeps on average, and the ridge that it is on linear models",
    source="Srivastava et al. 2014; Wager, Wang & Liang 2013 (arXiv:1307.1493)",
    time="t0",
)


@dataclass
class Settings:
    """What can be set on the command line."""

    p: float = setting(0.2, "probability of dropping", least=0.01, most=0.9)
    masks: int = setting(100_000, "masks of the expectation", least=1)
    steps: int = setting(4000, "steps of the linear regression", least=4)
    copies: int = setting(40, "masks of every example in a step", least=1)
    seed: int = setting(0, "of data and masks")


def run(settings: Settings, report: Report) -> None:
    """Checks the expectation, evaluation, both conventions, and the penalty p / (1 - p) diag(X^T X)."""
    p, q = settings.p, 1 - settings.p
    x = tensor(np.linspace(-2, 2, 8))
    mean = F.dropout(x.expand(settings.masks, 8), p).mean(0)
    errors = (mean - x).abs() / (x.abs() * np.sqrt(p / q / settings.masks))
    report.check("mean output minus input, in standard errors", errors.max(), at_most=4.0)
    report.check("evaluation is the identity", (nn.Dropout(p).eval()(x) == x).all(), equals=True)
    report.check("both conventions in training", _convention_gap(p, settings.seed, training=True), at_most=1e-5)
    report.check("both conventions at test time", _convention_gap(p, settings.seed, training=False), at_most=1e-5)
    report.check("weights under dropout against the ridge's", _against_ridge(settings), at_most=1e-2)


def _convention_gap(p: float, seed: int, *, training: bool) -> float:
    """The largest difference between two linear networks that are meant to be the same function.

    One divides by q = 1 - p in training. The other, which does not, needs weights 1 / q as large to see in training
    what the first sees; multiplied by q at test time, they are the first's again.
    """
    manual_seed(seed)
    inverted = nn.Sequential(nn.Dropout(p), nn.Linear(8, 6), nn.Dropout(p), nn.Linear(6, 3))
    original = nn.Sequential(
        nn.Dropout(p, mode="original"), nn.Linear(8, 6), nn.Dropout(p, mode="original"), nn.Linear(6, 3)
    )
    original.load_state_dict(
        {name: v / (1 - p) if name.endswith("weight") else v for name, v in inverted.state_dict().items()}
    )
    x, outputs = randn(16, 8), []
    for net in (inverted, original):
        manual_seed(seed + 1)
        with no_grad():
            outputs.append(net.train(training)(x))
    return float((outputs[0] - outputs[1]).abs().max())


def _against_ridge(settings: Settings) -> float:
    """The largest difference between the weights of linear regression with dropped inputs and
    (X^T X + p / q diag(X^T X))^-1 X^T y, the minimum of the loss in the mean over masks."""
    rng = np.random.default_rng(settings.seed)
    x = rng.standard_normal((50, 5)) @ rng.standard_normal((5, 5))
    y = x @ rng.standard_normal(5) + 0.3 * rng.standard_normal(50)
    gram = x.T @ x
    ridge = np.linalg.solve(gram + settings.p / (1 - settings.p) * np.diag(np.diag(gram)), x.T @ y)
    inputs, target = tensor(np.tile(x, (settings.copies, 1))), tensor(np.tile(y, settings.copies))
    theta, mean = tensor(np.zeros(5), requires_grad=True), np.zeros(5)
    descent = optim.SGD([theta], lr=0.5 / np.linalg.eigvalsh(gram / 50).max())
    shrink = optim.lr_scheduler.LambdaLR(descent, lambda step: 0.999 ** max(0, step - settings.steps // 4))
    for step in range(settings.steps):
        descent.zero_grad()
        (((F.dropout(inputs, settings.p) @ theta - target) ** 2).mean() * 0.5).backward()
        descent.step()
        shrink.step()
        if step >= settings.steps // 2:
            mean += theta.detach().numpy() / (settings.steps - settings.steps // 2)
    return float(np.abs(mean - ridge).max())
