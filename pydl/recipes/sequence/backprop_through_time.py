"""Back-propagation through time is the chain rule on the unrolled network, for all ways to write a simple RNN.

The layer agrees with its formula step by step; Elman's and Pascanu's form differ by a change of state; its gradients
are those of finite differences, through 15 steps; cut every k steps they are the same as soon as k covers the sequence;
and sequences that are packed have the gradients that they have alone.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from pydl import Tensor, float64, nn, no_grad, tensor
from pydl.autograd import grad
from pydl.nn.utils import tbptt
from pydl.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence, pad_sequence
from pydl.recipes.recipe import Recipe, Report, setting

RECIPE = Recipe(
    name="backprop-through-time",
    ids=("R01", "R02"),
    title="Back-propagation through time, whole, truncated and packed",
    source="Werbos 1990; Williams & Peng 1990; Pascanu, Mikolov & Bengio 2013 (arXiv:1211.5063)",
    time="t0",
)


@dataclass
class Settings:
    """What can be set on the command line."""

    steps: int = setting(15, "of the sequence", least=3)
    units: int = setting(6, "of the network", least=1)
    batch: int = setting(4, "sequences", least=2)
    seed: int = setting(0, "of weights and inputs")


def run(settings: Settings, report: Report) -> None:
    """Checks the forms, the gradients, the truncation and the padding."""
    s, rng = settings, np.random.default_rng(settings.seed)
    net = nn.RNN(3, s.units, dtype=float64)
    x = tensor(rng.standard_normal((s.steps, s.batch, 3)))
    _forms(net, x, report)
    report.check("gradient against finite differences, relative", _difference(net, x, rng), at_most=1e-6)
    whole = _gradients(net, net(x)[0].square().sum())
    for k in (s.steps, 2 * s.steps):
        gap = _gap(_truncated(net, x, k), whole)
        report.check(f"truncated after {k} of {s.steps} steps: change of the gradient", gap, at_most=1e-12)
    report.check("truncated after 2 steps: change of the gradient", _gap(_truncated(net, x, 2), whole), at_least=1e-3)
    _padding(net, x, report)


def _forms(net: nn.RNN, x: Tensor, report: Report) -> None:
    """The layer against a loop in NumPy, and against the form whose state is before the nonlinearity."""
    w_ih, w_hh, b_ih, b_hh = (p.detach().numpy() for p in net.parameters())
    h, loop = np.zeros((x.shape[1], net.hidden_size)), []
    for row in x.numpy():
        h = np.tanh(row @ w_ih.T + b_ih + h @ w_hh.T + b_hh)
        loop.append(h)
    with no_grad():
        y = net(x)[0].numpy()
        other = nn.RNN(3, net.hidden_size, form="pascanu", dtype=float64)
        other.load_state_dict(net.state_dict())
        z = np.tanh(other(x)[0].numpy())
    report.check("layer against its loop", float(np.abs(y - loop).max()), at_most=1e-12)
    report.check("nonlinearity of Pascanu's state against Elman's state", float(np.abs(y - z).max()), at_most=1e-10)


def _gradients(net: nn.RNN, loss: Tensor) -> list[np.ndarray]:
    return [np.asarray(g.numpy()) for g in grad([loss], list(net.parameters())) if g is not None]


def _gap(a: list[np.ndarray], b: list[np.ndarray]) -> float:
    return max(float(np.abs(x - y).max()) for x, y in zip(a, b, strict=True))


def _difference(net: nn.RNN, x: Tensor, rng: np.random.Generator) -> float:
    """The slope of the loss of the last step along a random direction, by the graph and by a central difference."""
    parameters = list(net.parameters())
    ways = [rng.standard_normal(tuple(p.shape)) for p in parameters]
    loss: Callable[[], Tensor] = lambda: net(x)[0][-1].square().sum()  # noqa: E731
    exact = sum(float((g * w).sum()) for g, w in zip(_gradients(net, loss()), ways, strict=True))
    values, h = [], 1e-5
    with no_grad():
        for step in (h, -2 * h):
            for p, way in zip(parameters, ways, strict=True):
                p.add_(tensor(step * way))
            values.append(loss().item())
        for p, way in zip(parameters, ways, strict=True):
            p.add_(tensor(h * way))
    return float(abs((values[0] - values[1]) / (2 * h) - exact) / abs(exact))


def _truncated(net: nn.RNN, x: Tensor, k: int) -> list[np.ndarray]:
    """The sum of the gradients of all stretches of k steps."""
    total = [np.zeros(tuple(p.shape)) for p in net.parameters()]
    for _, y, _ in tbptt(net, x, k):
        total = [a + g for a, g in zip(total, _gradients(net, y.square().sum()), strict=True)]
    return total


def _padding(net: nn.RNN, x: Tensor, report: Report) -> None:
    """Sequences of unlike lengths: each alone, and all packed."""
    lengths = [max(1, x.shape[0] - 2 * i) for i in range(x.shape[1])]
    alone = [x[:n, i] for i, n in enumerate(lengths)]
    sums = sum((net(one)[0].square().sum() for one in alone), tensor(0.0, dtype=float64))
    packed, _ = pad_packed_sequence(net(pack_padded_sequence(pad_sequence(alone), lengths))[0])
    gap = abs((packed.square().sum() - sums).item())
    report.check("packed batch against sequences one by one: loss", gap, at_most=1e-10)
    both = [_gradients(net, loss) for loss in (packed.square().sum(), sums)]
    report.check("packed batch against sequences one by one: gradients", _gap(*both), at_most=1e-10)
