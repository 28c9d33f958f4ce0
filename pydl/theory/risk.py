"""What the risk of a trained model is made of: approximation, generalization and optimization error.

The task's distribution is a large finite population, so that expected risks are sums and nothing is estimated.
"""

from dataclasses import dataclass

import numpy as np

from pydl import optim, tensor
from pydl.errors import ArgumentError

__all__ = ["FeatureClass", "RiskDecomposition", "TeacherTask", "error_decomposition"]


class TeacherTask:
    """Regression on what a random two-layer teacher says, plus noise.

    Args: d: inputs; units: of the teacher; noise: standard deviation; population: points of the distribution; seed.
    Attributes: x (population, d); teacher (population,) the best possible prediction; noise.
    """

    def __init__(
        self, d: int = 3, units: int = 50, noise: float = 0.5, population: int = 20_000, seed: int = 0
    ) -> None:
        rng = np.random.default_rng(seed)
        self.x = rng.standard_normal((population, d))
        inner, outer = rng.standard_normal((d, units)), rng.standard_normal(units) / np.sqrt(units)
        self.teacher = np.tanh(self.x @ inner) @ outer
        self.noise = noise

    def sample(self, n: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
        """n indices into the population, and their noisy targets."""
        rng = np.random.default_rng(seed)
        at = rng.integers(0, len(self.x), n)
        return at, self.teacher[at] + self.noise * rng.standard_normal(n)

    def risk(self, prediction: np.ndarray) -> float:
        """E (prediction - y)^2 / 2 over population and noise; prediction: (population,)."""
        return float(((prediction - self.teacher) ** 2).mean() + self.noise**2) / 2


class FeatureClass:
    """Linear functions of the first `width` of a fixed sequence of random relu features, so that classes are nested."""

    def __init__(self, width: int, seed: int = 1) -> None:
        self.width = width
        self.seed = seed

    def features(self, x: np.ndarray) -> np.ndarray:
        """(n, d) -> (n, width)."""
        columns = []
        for j in range(self.width):
            rng = np.random.default_rng((self.seed, j))
            w = rng.standard_normal(x.shape[1])
            columns.append(np.maximum(x @ (w / np.linalg.norm(w)) + rng.uniform(-1, 1), 0))
        return np.stack(columns, 1)


@dataclass(frozen=True)
class RiskDecomposition:
    """The three parts of the excess risk, and the excess risk measured by itself.

    approximation: risk of the best of the class minus that of the best function.
    generalization: risk of the class's best on the sample minus that of its best on the distribution.
    optimization: risk of what training ended with minus that of the class's best on the sample.
    """

    approximation: float
    generalization: float
    optimization: float
    excess: float


def error_decomposition(
    model_class: FeatureClass, task: TeacherTask, n: int, steps: int = 1000, seed: int = 0
) -> RiskDecomposition:
    """Trains by gradient descent from 0 on n samples and splits the excess risk into its three causes.

    Source: Bottou & Bousquet 2008, The tradeoffs of large scale learning.
    """
    if n < 1 or steps < 0:
        raise ArgumentError(f"error_decomposition: expected n >= 1 and steps >= 0, got {n} and {steps}")
    population = model_class.features(task.x)
    at, y = task.sample(n, seed)
    sample = population[at]
    best = np.linalg.lstsq(population, task.teacher, rcond=None)[0]
    erm = np.linalg.lstsq(sample, y, rcond=None)[0]
    trained = _descend(sample, y, steps)
    risks = [task.risk(task.teacher)] + [task.risk(population @ w) for w in (best, erm, trained)]
    return RiskDecomposition(risks[1] - risks[0], risks[2] - risks[1], risks[3] - risks[2], risks[3] - risks[0])


def _descend(x: np.ndarray, y: np.ndarray, steps: int) -> np.ndarray:
    matrix, target, w = tensor(x), tensor(y), tensor(np.zeros(x.shape[1])).requires_grad_()
    descent = optim.GD([w], lr=len(x) / np.linalg.norm(x, 2) ** 2)
    for _ in range(steps):
        descent.zero_grad()
        (((matrix @ w - target) ** 2).mean() * 0.5).backward()
        descent.step()
    return w.detach().numpy().copy()
