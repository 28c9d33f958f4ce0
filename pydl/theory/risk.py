"""What the risk of a trained model is made of: approximation, generalization and optimization error.

The task's distribution is a large finite population, so that expected risks are sums and nothing is estimated.
"""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from pydl import optim, relu, tensor
from pydl.errors import ArgumentError, ShapeError

__all__ = ["FeatureClass", "RiskDecomposition", "TeacherTask", "error_decomposition"]

Floats = npt.NDArray[np.float64]


class TeacherTask:
    """Regression on what a random two-layer teacher says, plus noise.

    Args: d: inputs; units: of the teacher; noise: standard deviation; population: points of the distribution; seed.
    Attributes: x (population, d); teacher (population,) the best possible prediction; noise.
    """

    def __init__(
        self, d: int = 3, units: int = 50, noise: float = 0.5, population: int = 20_000, seed: int = 0
    ) -> None:
        if d < 1 or units < 1 or population < 1 or not noise >= 0:
            raise ArgumentError(
                f"TeacherTask: expected d, units and population >= 1 and noise >= 0, got {d}, {units}, {population}, "
                f"{noise}"
            )
        rng = np.random.default_rng(seed)
        self.x = rng.standard_normal((population, d))
        inner, outer = rng.standard_normal((d, units)), rng.standard_normal(units) / np.sqrt(units)
        self.teacher = np.tanh(self.x @ inner) @ outer
        self.noise = noise

    def sample(self, n: int, seed: int) -> tuple[npt.NDArray[np.int64], Floats]:
        """n indices into the population, and their noisy targets."""
        rng = np.random.default_rng(seed)
        at = rng.integers(0, len(self.x), n)
        return at, self.teacher[at] + self.noise * rng.standard_normal(n)

    def risk(self, prediction: Floats) -> float:
        """E (prediction - y)^2 / 2 over population and noise; prediction: (population,)."""
        if np.shape(prediction) != self.teacher.shape:
            raise ShapeError(f"TeacherTask: a prediction {np.shape(prediction)}: expected {self.teacher.shape}")
        return float(((prediction - self.teacher) ** 2).mean() + self.noise**2) / 2


class FeatureClass:
    """Linear functions of the first `width` of a fixed sequence of random relu features, so that classes are nested.

    Args: width: number of features; d: inputs; seed: of the sequence.
    """

    def __init__(self, width: int, d: int = 3, seed: int = 1) -> None:
        if width < 1 or d < 1:
            raise ArgumentError(f"FeatureClass: expected width and d >= 1, got {width} and {d}")
        self.width = width
        drawn = np.random.default_rng(seed).standard_normal((width, d + 1))  # row j is the same for any width > j
        self._weight = tensor(drawn[:, :d] / np.linalg.norm(drawn[:, :d], axis=1, keepdims=True))
        self._bias = tensor(drawn[:, d])

    def features(self, x: Floats) -> Floats:
        """(n, d) -> (n, width): relu(w_j x + b_j) with |w_j| = 1."""
        return relu(tensor(x) @ self._weight.t() + self._bias).numpy()


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
    population, best = _best(model_class, task)
    at, y = task.sample(n, seed)
    sample = population[at]
    erm = np.linalg.lstsq(sample, y, rcond=None)[0]
    trained = _descend(sample, y, steps)
    risks = [task.risk(task.teacher)] + [task.risk(population @ w) for w in (best, erm, trained)]
    return RiskDecomposition(risks[1] - risks[0], risks[2] - risks[1], risks[3] - risks[2], risks[3] - risks[0])


@lru_cache(maxsize=1)
def _best(model_class: FeatureClass, task: TeacherTask) -> tuple[Floats, Floats]:
    """The population's features, (population, width), and the weights of the class's best on it, (width,)."""
    population = model_class.features(task.x)
    return population, np.linalg.lstsq(population, task.teacher, rcond=None)[0]


def _descend(x: Floats, y: Floats, steps: int) -> Floats:
    """Least squares of x (n, m) and y (n,) by `steps` steps from 0 at the rate 1 / (largest curvature): (m,)."""
    matrix, target, w = tensor(x), tensor(y), tensor(np.zeros(x.shape[1]), requires_grad=True)
    descent = optim.GD([w], lr=len(x) / max(float(np.linalg.norm(x, 2)) ** 2, 1e-300))
    for _ in range(steps):
        descent.zero_grad()
        (((matrix @ w - target) ** 2).mean() * 0.5).backward()
        descent.step()
    return w.detach().numpy()
