"""Parts that several networks share: a convolution with its norm, a residual block, an auxiliary classifier."""

from collections.abc import Sequence

from pydl import ops
from pydl.errors import ArgumentError
from pydl.nn import functional as F
from pydl.nn.conv import Conv2d
from pydl.nn.dropout import Dropout
from pydl.nn.linear import Identity, Linear
from pydl.nn.module import Module
from pydl.nn.normalization import BatchNorm2d
from pydl.nn.stochastic_depth import StochasticDepth
from pydl.tensor import Tensor

__all__ = ["AuxHead", "BasicConv2d", "ResidualBlock"]

_ACTIVATIONS = {"relu": ops.relu, "tanh": ops.tanh, "sigmoid": ops.sigmoid}


class BasicConv2d(Module):
    """relu(batch norm(convolution)), or relu(convolution + bias) in one pass without batch_norm.

    Attributes: conv; bn, Identity without batch_norm.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int | Sequence[int],
        stride: int | Sequence[int] = 1,
        padding: int | Sequence[int] | str = 0,
        *,
        batch_norm: bool = True,
        eps: float = 1e-3,
    ) -> None:
        super().__init__()
        activation = None if batch_norm else "relu"
        self.conv = Conv2d(
            in_channels, out_channels, kernel_size, stride, padding, bias=not batch_norm, activation=activation
        )
        self.bn = BatchNorm2d(out_channels, eps=eps) if batch_norm else Identity()
        self.batch_norm = batch_norm

    def forward(self, x: Tensor) -> Tensor:
        """(n, in, h, w) -> (n, out, h', w')."""
        y: Tensor = self.conv(x)
        return ops.relu(self.bn(y)) if self.batch_norm else y


class ResidualBlock(Module):
    """activation(branch(x) + shortcut(x)).

    Args:
        branch: the layers that learn what to add.
        shortcut: what brings x to the branch's shape where it changes; None: x itself.
        activation: 'relu', 'tanh' or 'sigmoid' after the sum, or None.
        drop_path: probability that an example skips the branch in training (stochastic depth).
    Source: He et al. 2015, Deep residual learning, equations 1 and 2.
    """

    def __init__(
        self,
        branch: Module,
        shortcut: Module | None = None,
        activation: str | None = "relu",
        drop_path: float = 0.0,
    ) -> None:
        super().__init__()
        if activation is not None and activation not in _ACTIVATIONS:
            raise ArgumentError(
                f"ResidualBlock: activation must be None or one of {tuple(_ACTIVATIONS)}, got {activation!r}"
            )
        self.branch = branch
        self.shortcut = Identity() if shortcut is None else shortcut
        self.activation = activation
        self.drop = StochasticDepth(drop_path) if drop_path else Identity()

    def forward(self, x: Tensor) -> Tensor:
        """What the branch takes -> what it gives."""
        y: Tensor = self.drop(self.branch(x)) + self.shortcut(x)
        return y if self.activation is None else _ACTIVATIONS[self.activation](y)


class AuxHead(Module):
    """A small classifier on the features in the middle of a network, for training only.

    (n, c, h, w) -> mean over 4 x 4 parts -> 1 x 1 convolution -> hidden units -> (n, num_classes).
    Its loss joins the network's with a weight, 0.3 in the paper.
    Source: Szegedy et al. 2014, Going deeper with convolutions, section 5.
    """

    def __init__(
        self,
        in_channels: int,
        num_classes: int,
        dropout: float = 0.7,
        *,
        channels: int = 128,
        hidden: int = 1024,
        batch_norm: bool = True,
    ) -> None:
        super().__init__()
        self.conv = BasicConv2d(in_channels, channels, 1, batch_norm=batch_norm)
        self.fc1 = Linear(16 * channels, hidden, activation="relu")
        self.fc2 = Linear(hidden, num_classes)
        self.dropout = Dropout(dropout)

    def forward(self, x: Tensor) -> Tensor:
        """(n, c, h, w) -> (n, num_classes)."""
        y = self.conv(F.adaptive_avg_pool2d(x, (4, 4))).flatten(1)
        z: Tensor = self.fc2(self.dropout(self.fc1(y)))
        return z
