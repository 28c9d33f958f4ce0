"""Internal covariate shift: how far the inputs of each layer move while a network trains, and noise that moves them.

Sources: Ioffe & Szegedy 2015 (arXiv:1502.03167), who named it; Santurkar et al. 2018 (arXiv:1805.11604), sections 2.1
and 2.2 and appendix A.2: batch norm followed by noise of changing mean and variance trains as well as without.
"""

from collections.abc import Iterable
from types import TracebackType
from typing import Any

import numpy as np
import numpy.typing as npt

from pydl import nn, ops
from pydl.errors import ArgumentError, ShapeError
from pydl.tensor import RemovableHandle, Tensor

__all__ = ["CovariateShift", "MovingNoise", "covariate_shift"]

Floats = npt.NDArray[np.float64]


class MovingNoise(nn.Module):
    """s x + m in training, with s and m drawn anew for every unit of every example, from a law that moves.

    At each step every unit draws a centre mu ~ U(-shift, shift) and a scale sigma ~ U(1, scale); its examples then have
    m ~ U(mu - spread, mu + spread) and s ~ N(sigma, spread^2).
    Args: shift, scale, spread: n_mu, n_sigma and r of the paper, whose values are the defaults.
    Shapes: (n, c) or (n, c, ...) -> the same; the places of a map share what their channel draws.
    """

    def __init__(self, shift: float = 0.5, scale: float = 1.25, spread: float = 0.1) -> None:
        super().__init__()
        if shift < 0 or scale < 1 or spread < 0:
            raise ArgumentError(
                f"MovingNoise: shift and spread must be >= 0 and scale >= 1, got {shift}, {spread} and {scale}"
            )
        self.shift, self.scale, self.spread = shift, scale, spread

    def forward(self, x: Tensor) -> Tensor:
        """(n, c, ...) -> the same."""
        if x.ndim < 2:
            raise ShapeError(f"MovingNoise: expected (examples, units, ...), got {x.shape}")
        if not self.training:
            return x
        (n, c), rest = x.shape[:2], (1,) * (x.ndim - 2)
        centre = self.shift * (2 * ops.rand(1, c) - 1)
        sigma = 1 + (self.scale - 1) * ops.rand(1, c)
        m = centre + self.spread * (2 * ops.rand(n, c) - 1)
        s = sigma + self.spread * ops.randn(n, c)
        y: Tensor = ops.reshape(s, (n, c, *rest)).to(x.dtype) * x + ops.reshape(m, (n, c, *rest)).to(x.dtype)
        return y

    def extra_repr(self) -> str:
        """Settings."""
        return f"shift={self.shift}, scale={self.scale}, spread={self.spread}"


class CovariateShift:
    """Records the first two moments of what layers are given, while it is in force as a context.

    Attributes:
        means, stds: for each layer (calls, units): of each unit of its input over the batch, and over the places of a
            map.
    """

    def __init__(self, layers: dict[str, nn.Module]) -> None:
        self.layers = layers
        self._means: dict[str, list[Floats]] = {name: [] for name in layers}
        self._stds: dict[str, list[Floats]] = {name: [] for name in layers}
        self._handles: list[RemovableHandle] = []

    def __enter__(self) -> "CovariateShift":
        for name, layer in self.layers.items():
            self._handles.append(layer.register_forward_pre_hook(self._recorder(name)))
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        for handle in self._handles:
            handle.remove()
        self._handles.clear()

    def _recorder(self, name: str) -> Any:
        def record(layer: nn.Module, args: tuple[Tensor, ...]) -> None:
            if layer.training:
                x = np.asarray(args[0].detach().numpy(), np.float64)
                over = (0, *range(2, x.ndim))
                self._means[name].append(x.mean(over))
                self._stds[name].append(x.std(over))

        return record

    @property
    def means(self) -> dict[str, Floats]:
        """For each layer (calls, units)."""
        return {name: np.array(rows) for name, rows in self._means.items()}

    @property
    def stds(self) -> dict[str, Floats]:
        """For each layer (calls, units)."""
        return {name: np.array(rows) for name, rows in self._stds.items()}

    def shift(self) -> tuple[float, float]:
        """How much the mean and the standard deviation of a unit change from one call to the next, on average.

        Raises: ArgumentError if there were not two calls.
        """
        changes = []
        for rows in (self.means, self.stds):
            steps = [np.abs(np.diff(moments, axis=0)).mean() for moments in rows.values() if len(moments) > 1]
            if not steps:
                raise ArgumentError("CovariateShift: shift needs two calls in training mode at least")
            changes.append(float(np.mean(steps)))
        return changes[0], changes[1]


def covariate_shift(model: nn.Module, layers: Iterable[str] | None = None) -> CovariateShift:
    """A context that records the moments of the inputs of layers in training mode.

    Args: layers: dotted names; None: every linear and convolutional layer but the first, whose input is the data.
    """
    parts = dict(model.named_modules())
    if layers is None:
        learnt = (nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d)
        chosen = [name for name, part in parts.items() if isinstance(part, learnt)][1:]
    else:
        chosen = list(layers)
    missing = [name for name in chosen if name not in parts]
    if missing or not chosen:
        raise ArgumentError(f"covariate_shift: there are no layers {missing or chosen} in {type(model).__name__}")
    return CovariateShift({name: parts[name] for name in chosen})
