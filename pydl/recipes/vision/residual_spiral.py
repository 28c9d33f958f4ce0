"""Fifty layers learn two spirals with shortcuts, and do not without.

Measured over draws 0-4: the plain loss stays at 0.693, the residual one ends below 0.0001; the first layer's
gradients differ by a factor of 1.8e18 at least.
"""

from dataclasses import dataclass

from pydl import manual_seed, nn, optim, randn, relu
from pydl.data.synthetic import make_spirals
from pydl.nn import functional as F
from pydl.recipes.recipe import Recipe, Report, setting
from pydl.tensor import Tensor

RECIPE = Recipe(
    name="residual-spiral",
    ids=("C19",),
    title="Fifty layers with and without shortcuts",
    source="He et al. 2015, Deep residual learning for image recognition, sections 1 and 3",
    time="t1",
)


@dataclass
class Settings:
    """What can be set on the command line."""

    depth: int = setting(50, "linear layers", least=4)
    width: int = setting(32, "units in each", least=1)
    points: int = setting(400, "training points", least=2)
    steps: int = setting(400, "full-batch steps of Adam", least=1)
    lr: float = setting(1e-3, "step size")
    seeds: int = setting(5, "draws of points and weights", least=1)
    seed: int = setting(0, "of the first draw")


def run(settings: Settings, report: Report) -> None:
    """Counts the draws in which the plain network stays above 0.5 and the residual one falls below 0.1."""
    s, wins, ratios = settings, 0, []
    branch = nn.Linear(s.width, s.width)
    for p in branch.parameters():
        nn.init.zeros_(p)
    z = randn(s.points, s.width)
    same = bool((nn.ResidualBlock(branch)(z) == relu(z)).all())
    report.check("a branch of zeros leaves relu(x), to the bit", same, equals=True)
    for seed in range(s.seed, s.seed + s.seeds):
        x, y = make_spirals(s.points, turns=1.0, noise=0.0, random_state=seed)
        (plain, small), (residual, large) = (_train(shortcuts, x, y, seed, s) for shortcuts in (False, True))
        wins += plain > 0.5 and residual < 0.1
        ratios.append(large / max(small, 1e-300))
        report.say(
            f"draw {seed}: loss {plain:.4f} plain, {residual:.4f} residual; first gradients {small:.3g}, {large:.3g}"
        )
    report.check(f"draws of {s.seeds} won", wins, at_least=0.8 * s.seeds)
    report.check("smallest ratio of the first layer's gradients", min(ratios), at_least=100)


def network(shortcuts: bool, depth: int, width: int) -> nn.Sequential:
    """(n, 2) -> (n, 2) through depth linear layers."""
    layers: list[nn.Module] = [nn.Linear(2, width, activation="relu")]
    for _ in range((depth - 2) // 2):
        if shortcuts:
            pair = nn.Sequential(nn.Linear(width, width, activation="relu"), nn.Linear(width, width))
            layers.append(nn.ResidualBlock(pair))
        else:
            layers += [nn.Linear(width, width, activation="relu"), nn.Linear(width, width, activation="relu")]
    return nn.Sequential(*layers, nn.Linear(width, 2))


def _train(shortcuts: bool, x: Tensor, y: Tensor, seed: int, s: Settings) -> tuple[float, float]:
    """The loss after training, and the norm of the first layer's gradient before it."""
    manual_seed(seed)
    model = network(shortcuts, s.depth, s.width)
    optimizer, first, loss = optim.Adam(model.parameters(), s.lr), 0.0, float("nan")
    for step in range(s.steps):
        optimizer.zero_grad()
        value = F.cross_entropy(model(x), y)
        value.backward()
        if step == 0:
            gradient = model.get_parameter("0.weight").grad
            assert gradient is not None
            first = float(gradient.square().sum().sqrt().item())
        optimizer.step()
        loss = value.item()
    return loss, first
