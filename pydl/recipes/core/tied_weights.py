"""Parameters that are functions of one: equal, negated, transposed, or a convolution as a dense matrix."""

from dataclasses import dataclass

import numpy as np

from pydl import autograd, einsum, nn, optim, stack, tanh, tensor
from pydl.nn.utils import tie
from pydl.recipes.recipe import Recipe, Report, setting
from pydl.tensor import Tensor

RECIPE = Recipe(
    name="tied-weights",
    ids=("C25",),
    title="Tied weights: the gradient is the sum of what all uses ask for, and the ties hold",
    source="LeCun et al. 1989, section 3: weight sharing",
    time="t0",
)


@dataclass
class Settings:
    """What can be set on the command line."""

    width: int = setting(6, "units in each layer", least=2)
    steps: int = setting(100, "of training", least=1)
    seed: int = setting(0, "of weights and data")


class Chain(nn.Module):
    """(b, d) -> (b, d) through four square layers."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.a, self.b, self.c, self.d = (nn.Linear(width, width, bias=False).double() for _ in range(4))

    def forward(self, x: Tensor) -> Tensor:
        """tanh after each layer but the last."""
        return self.d(tanh(self.c(tanh(self.b(tanh(self.a(x)))))))  # type: ignore[no-any-return]

    def layers(self) -> tuple[nn.Linear, ...]:
        """In order."""
        return self.a, self.b, self.c, self.d


class Kernel(nn.Module):
    """The weights (k,) of a convolution."""

    def __init__(self, values: np.ndarray) -> None:
        super().__init__()
        self.weight = nn.Parameter(tensor(values))


def run(settings: Settings, report: Report) -> None:
    """Ties four layers, compares the gradient with that of free ones, trains, and writes a convolution as a matrix."""
    rng = np.random.default_rng(settings.seed)
    net, free = Chain(settings.width), Chain(settings.width)
    tie([(layer, "weight") for layer in net.layers()], transforms=["equal", "equal", "negated", "transposed"])
    report.check("tensors in the state", len(net.state_dict()), equals=1)
    x = tensor(rng.standard_normal((20, settings.width)))
    report.check("gradient against the sum over the uses", _gap(net, free, x), at_most=1e-10)

    optimizer = optim.Adam(net.parameters(), lr=0.02)
    for _ in range(settings.steps):
        optimizer.zero_grad()
        (net(x) - x).square().mean().backward()
        optimizer.step()
    theta = net.a.weight.detach()
    wanted = (theta, theta, -theta, theta.t())
    broken = sum(not np.array_equal(w.detach().numpy(), v.numpy()) for w, v in zip(_weights(net), wanted, strict=True))
    report.check(f"ties broken after {settings.steps} steps", broken, equals=0)
    outputs, gradients = _convolution(rng, length=12, size=3)
    report.check("outputs of a convolution and of its tied matrix", outputs, at_most=1e-10)
    report.check("gradients of their kernel", gradients, at_most=1e-10)


def _weights(net: Chain) -> list[Tensor]:
    return [layer.weight for layer in net.layers()]


def _gap(net: Chain, free: Chain, x: Tensor) -> float:
    """The largest difference between the tied gradient and the sum of t^T(gradient) over free copies."""
    for layer, weight in zip(free.layers(), _weights(net), strict=True):
        layer.weight = nn.Parameter(weight.detach().clone())
    (tied,) = autograd.grad(net(x).square().sum(), net.a.weight)
    a, b, c, d = autograd.grad(free(x).square().sum(), _weights(free))
    assert tied is not None and a is not None and b is not None and c is not None and d is not None
    return float((tied - (a + b - c + d.t())).abs().max().item())


def _convolution(rng: np.random.Generator, length: int, size: int) -> tuple[float, float]:
    """A kernel slid over (b, length), and a dense layer whose matrix is made of that kernel: largest differences."""
    kernel, dense = Kernel(rng.standard_normal(size)), nn.Linear(length, length - size + 1, bias=False).double()
    places = tensor(np.stack([np.eye(length - size + 1, length, k) for k in range(size)]))
    tie([(kernel, "weight"), (dense, "weight")], transforms=["equal", lambda w: einsum("k,kij->ij", w, places)])
    x = tensor(rng.standard_normal((5, length)))
    windows = stack([x[:, k : k + length - size + 1] for k in range(size)], -1)  # (b, positions, size)
    slid, product = windows @ kernel.weight, dense(x)
    first, second = (autograd.grad(y.sin().sum(), kernel.weight)[0] for y in (slid, product))
    assert first is not None and second is not None
    return (slid - product).abs().max().item(), (first - second).abs().max().item()
