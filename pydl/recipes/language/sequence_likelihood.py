"""What a sequence model's factorisation can and cannot say, on sources whose entropy is known.

p(y | x) as a product of p(y_t | x) leaves the mutual information of the y_t on the table; as a product of
p(y_t | x, y_<t) it leaves nothing. And a recurrent network learns an order-2 chain to its entropy rate.
Measured over seeds 0-3: the first gap is 1.000 times the information, the second at most 2e-5 nats, and the chain is
learned to 1.001 to 1.006 times its entropy rate.
"""

from dataclasses import dataclass

import numpy as np

from pydl import from_numpy, manual_seed, no_grad, optim, tensor
from pydl.data import BPTTBatches
from pydl.models import RNNLanguageModel, detach_state
from pydl.nn import functional as F
from pydl.nn.utils import clip_grad_norm_
from pydl.recipes.language.shakespeare import log_loss
from pydl.recipes.recipe import Recipe, Report, setting
from pydl.tensor import Tensor

RECIPE = Recipe(
    name="sequence-likelihood",
    ids=("R08",),
    title="Conditional independence against autoregression; a chain learned to its entropy rate",
    source="Goodfellow, Bengio & Courville 2016, section 10.2; Shannon 1951, Prediction and entropy of printed English",
    time="t1",
)


@dataclass
class Settings:
    """What can be set on the command line."""

    symbols: int = setting(5, "of the chain", least=2, most=50)
    length: int = setting(200_000, "symbols to learn from, and to test on", least=10_000)
    hidden: int = setting(64, "units", least=1)
    steps: int = setting(800, "full-batch steps of the two factorisations", least=1)
    seed: int = setting(0, "of sources and weights")


def run(settings: Settings, report: Report) -> None:
    """Checks the two gaps against the mutual information and 0, and the cross-entropy against the entropy rate."""
    s = settings
    manual_seed(s.seed)
    rng = np.random.default_rng(s.seed)
    p = rng.dirichlet(np.full(16, 0.5), 2).reshape(2, 4, 4)  # p(y_1, y_2 | x), of x = 0 and 1
    entropy = -(p * np.log(p)).sum((1, 2)).mean()
    ones = -sum((p.sum(axis) * np.log(p.sum(axis))).sum(1).mean() for axis in (1, 2))
    information = ones - entropy
    report.say(f"entropy of y given x: {entropy:.4f} nats, mutual information of its parts: {information:.4f}")
    apart, together = (_best_nll(p, fed_back, s) for fed_back in (False, True))
    report.check("gap of independent parts over the information", (apart - entropy) / information, at_least=0.95,
                 at_most=1.05)  # fmt: skip
    report.check("gap of the autoregressive model, in nats", together - entropy, at_least=-1e-4, at_most=0.01)

    table = rng.dirichlet(np.full(s.symbols, 0.5), (s.symbols, s.symbols))
    rate, learned = _entropy_rate(table), _learn_chain(table, rng, s, report)
    report.check("cross-entropy over the entropy rate of an order-2 chain", learned / rate, at_least=0.98, at_most=1.02)


def _best_nll(p: np.ndarray, fed_back: bool, s: Settings) -> float:
    """Trains a model of (y_1, y_2) given x on the true probabilities; its expected -log p(y_1, y_2 | x).

    It reads x and then y_1, or a blank (token 4) in its place. Tokens 0-3 are the values of y, 5 and 6 those of x.
    """
    x, first, second = (part.ravel() for part in np.indices(p.shape))
    ids = np.stack([x + 5, first if fed_back else np.full_like(first, 4)], 1)
    targets, weights = tensor(np.stack([first, second], 1)), tensor(p.ravel() / 2).float()
    model = RNNLanguageModel(7, 16, 32, 1)
    optimizer = optim.Adam(model.parameters(), 0.02)
    schedule = optim.lr_scheduler.CosineAnnealingLR(optimizer, s.steps)
    for _ in range(s.steps):
        optimizer.zero_grad()
        _expected_nll(model, tensor(ids), targets, weights).backward()
        optimizer.step()
        schedule.step()
    with no_grad():
        return float(_expected_nll(model, tensor(ids), targets, weights))


def _expected_nll(model: RNNLanguageModel, ids: Tensor, targets: Tensor, weights: Tensor) -> Tensor:
    """ids and targets (n, 2), weights (n,) -> ()."""
    logits, _ = model(ids)
    nll = F.cross_entropy(logits[..., :4].flatten(0, 1), targets.flatten(), reduction="none")
    return (nll.reshape(targets.shape).sum(1) * weights).sum()


def _entropy_rate(table: np.ndarray) -> float:
    """Of the chain p(c | a, b) = table[a, b, c], in nats per symbol."""
    v = len(table)
    pairs = np.full((v, v), 1 / v**2)
    for _ in range(10_000):  # the stationary law of two symbols in a row
        pairs = np.einsum("ab,abc->bc", pairs, table)
    return float(-(pairs[..., None] * table * np.log(np.maximum(table, 1e-300))).sum())


def _draw(table: np.ndarray, n: int, rng: np.random.Generator) -> Tensor:
    """n symbols of the chain."""
    edges, u, made = table.cumsum(-1), rng.random(n), np.zeros(n, np.int64)
    for t in range(2, n):
        made[t] = min(np.searchsorted(edges[made[t - 2], made[t - 1]], u[t], side="right"), len(table) - 1)
    return from_numpy(made)


def _learn_chain(table: np.ndarray, rng: np.random.Generator, s: Settings, report: Report) -> float:
    """The cross-entropy on fresh symbols after one pass over a stretch of the chain."""
    train, test = (_draw(table, s.length, rng) for _ in range(2))
    model = RNNLanguageModel(s.symbols, 16, s.hidden, 1)
    batches = BPTTBatches(train, 32, 16)
    optimizer = optim.Adam(model.parameters(), 1e-2)
    schedule = optim.lr_scheduler.CosineAnnealingLR(optimizer, len(batches))
    state = None
    for x, y in batches:
        logits, state = model(x, state)
        state = detach_state(state)
        optimizer.zero_grad()
        F.cross_entropy(logits.flatten(0, 1), y.flatten()).backward()
        clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
    loss = log_loss(model, BPTTBatches(test, 32, 256), carry_state=True)
    report.say(f"entropy rate {_entropy_rate(table):.4f}, cross-entropy on fresh symbols {loss:.4f} nats")
    return loss
