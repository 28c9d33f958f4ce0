"""L2 penalty and decoupled decay: the same for plain descent, not for momentum and Adam.

Measured: penalty and decay give the same path within 5e-16, also with momentum; AdamW's factor is exact within 2e-16.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from pydl import optim, tensor
from pydl.recipes.recipe import Recipe, Report, setting
from pydl.tensor import Tensor

if TYPE_CHECKING:
    from matplotlib.figure import Figure

RECIPE = Recipe(
    name="weight-decay",
    ids=("C12", "C13"),
    title="A penalty in the loss, decay in the step, and decay beside the step",
    source="Krogh & Hertz 1992; Loshchilov & Hutter 2019 (arXiv:1711.05101), propositions 1 and 2",
    time="t0",
)

Maker = Callable[[Tensor, Tensor], optim.Optimizer]


@dataclass
class Settings:
    """What can be set on the command line."""

    steps: int = setting(100, "of each path", least=3)
    decay: float = setting(0.3, "factor of |w|^2 / 2")
    seed: int = setting(0, "of the start")


def run(settings: Settings, report: Report) -> None:
    """Compares paths on a quadratic in weights and biases, of which only the weights decay."""
    decay, s = settings.decay, settings

    def grouped(kind: Callable[..., optim.Optimizer], **options: float) -> Maker:
        return lambda w, b: kind(
            [{"params": [w], "weight_decay": decay}, {"params": [b], "weight_decay": 0}], **options
        )

    for momentum in (0.0, 0.9):
        penalty = _path(lambda w, b, m=momentum: optim.SGD([w, b], lr=0.05, momentum=m), s, decay)  # type: ignore[misc]
        step = _path(grouped(optim.SGD, lr=0.05, momentum=momentum), s)
        gap = np.abs(penalty - step).max()
        report.check(f"penalty in the loss against decay in the step, momentum {momentum}", gap, at_most=1e-12)
    plain = _path(lambda w, b: optim.SGD([w, b], lr=0.05), s)
    report.check("what the decay changes", np.abs(plain - _path(grouped(optim.SGD, lr=0.05), s)).max(), at_least=0.01)

    paths = {}
    for name, coupled, decoupled, options in (
        ("plain descent", optim.SGD, optim.SGDW, {}),
        ("momentum", optim.SGD, optim.SGDW, {"momentum": 0.9}),
        ("Adam", optim.Adam, optim.AdamW, {}),
    ):
        pair = [_path(grouped(kind, lr=0.05, **options), s) for kind in (coupled, decoupled)]  # type: ignore[arg-type]
        paths[name], gap = pair, np.abs(pair[0] - pair[1])
        bound = {"at_most": 1e-12} if name == "plain descent" else {"at_least": 1e-4}
        report.check(f"{name}: decay in the step against beside it, after 2 steps", gap[1].max(), **bound)
    _without_gradients(report, decay)
    report.figure("weight-decay", lambda figure: _draw(figure, paths))


def _path(make: Maker, settings: Settings, penalty: float = 0.0) -> np.ndarray:
    """(steps, 12): weights and biases on h (w + b - 1)^2 / 2 + penalty |w|^2 / 2."""
    rng, h = np.random.default_rng(settings.seed), tensor(np.geomspace(0.1, 2, 6))
    w, b = (tensor(rng.standard_normal(6), requires_grad=True) for _ in range(2))
    optimizer, seen = make(w, b), []
    for _ in range(settings.steps):
        optimizer.zero_grad()
        gap = w + b - 1
        (0.5 * (h * gap * gap).sum() + 0.5 * penalty * (w * w).sum()).backward()
        optimizer.step()
        seen.append(np.concatenate([w.detach().numpy(), b.detach().numpy()]))
    return np.array(seen)


def _without_gradients(report: Report, decay: float) -> None:
    """What decay does by itself in ten steps."""
    factors = {}
    for kind in (optim.AdamW, optim.Adam):
        w = tensor(np.array([1.0, -3.0]), requires_grad=True)
        optimizer = kind([w], lr=0.1, weight_decay=decay)
        for _ in range(10):
            w.grad = tensor(np.zeros(2))
            optimizer.step()
        factors[kind] = w.detach().numpy() / [1.0, -3.0]
    want = (1 - 0.1 * decay) ** 10
    report.check(
        "AdamW without gradients against (1 - lr decay)^t", np.abs(factors[optim.AdamW] - want).max(), at_most=1e-12
    )
    report.check(
        "Adam with L2 without gradients, against the same", np.abs(factors[optim.Adam] - want).min(), at_least=0.01
    )


def _draw(figure: "Figure", paths: dict[str, list[np.ndarray]]) -> None:
    figure.set_size_inches(10, 3.5)
    for axes, (name, pair) in zip(figure.subplots(1, len(paths)), paths.items(), strict=True):
        for path, label in zip(pair, ("in the step (L2)", "beside it (decoupled)"), strict=True):
            axes.plot(np.linalg.norm(path[:, :6], axis=1), label=label)
        axes.set(title=name, xlabel="step", ylabel="|w|")
    axes.legend(fontsize=7)
