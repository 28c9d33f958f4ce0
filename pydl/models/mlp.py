"""The multi-layer perceptron."""

from collections.abc import Sequence

from pydl import nn
from pydl.errors import ArgumentError
from pydl.tensor import Tensor

__all__ = ["MLP"]

_FUSED = ("relu", "tanh", "sigmoid")


class MLP(nn.Module):
    """Linear layers with an activation between them: a_i = activation(W_i a_{i-1} + b_i), the last one without.

    Args:
        sizes: of the input, the hidden layers and the output.
        activation: 'relu', 'tanh' or 'sigmoid', applied within the linear layers' kernels.
        dropout: probability of dropping, after each hidden activation.
    Shapes: (..., sizes[0]) -> (..., sizes[-1]).
    Source: Rumelhart, Hinton & Williams 1986.
    """

    def __init__(self, sizes: Sequence[int], activation: str = "relu", dropout: float = 0.0) -> None:
        super().__init__()
        if len(sizes) < 2:
            raise ArgumentError(f"MLP: expected the sizes of input and output at least, got {list(sizes)}")
        if activation not in _FUSED:
            raise ArgumentError(f"MLP: activation must be one of {_FUSED}, got {activation!r}")
        layers: list[nn.Module] = []
        for i, (size, out) in enumerate(zip(sizes[:-1], sizes[1:], strict=True)):
            last = i == len(sizes) - 2
            layers.append(nn.Linear(size, out, activation=None if last else activation))
            if dropout and not last:
                layers.append(nn.Dropout(dropout))
        self.layers = nn.Sequential(*layers)

    def forward(self, x: Tensor) -> Tensor:
        """(..., sizes[0]) -> (..., sizes[-1])."""
        y: Tensor = self.layers(x)
        return y
