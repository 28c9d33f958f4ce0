"""The first convolutional networks for digits."""

from dataclasses import dataclass

from pydl import nn
from pydl.errors import ArgumentError
from pydl.models.scaling import check_classes, scaler
from pydl.tensor import Tensor

__all__ = ["LeNet", "LeNet5"]


@dataclass(frozen=True)
class LeNetSizes:
    """What distinguishes the variants: two convolutions of 5 x 5, each pooled 2 x 2, and linear layers."""

    channels: tuple[int, int]
    hidden: tuple[int, ...]
    activation: str
    pool: str
    dropout: float


_VARIANTS = {
    "nyu2017": LeNetSizes((4, 6), (128,), "relu", "max", 0.5),
    "lenet5": LeNetSizes((6, 16), (120, 84), "tanh", "avg", 0.0),
}


class LeNet(nn.Module):
    """Two convolutions of 5 x 5, each followed by an activation and pooling, then linear layers.

    'nyu2017' (21 328 parameters): 32 -conv-> 4 x 28 -max-> 14 -conv-> 6 x 10 -max-> 5 -> 150, dropout -> 128 -> 10.
    'lenet5' (61 706): 32 -conv-> 6 x 28 -mean-> 14 -conv-> 16 x 10 -mean-> 5 -> 400 -> 120 -> 84 -> 10, with tanh. Its
    second convolution sees all channels and its pooling has no weights, unlike those of 1998.

    Args:
        image_size: of the square images: 32, or down to 22 with a border of zeros up to 32.
        activation ('relu', 'tanh' or 'sigmoid'), pool ('max' or 'avg'), dropout: in place of the variant's.
    Shapes: (n, in_channels, image_size, image_size) -> (n, num_classes).
    Source: LeCun et al. 1998, Gradient-based learning applied to document recognition.
    """

    def __init__(
        self,
        variant: str = "nyu2017",
        num_classes: int = 10,
        *,
        in_channels: int = 1,
        image_size: int = 32,
        width_mult: float = 1.0,
        activation: str | None = None,
        pool: str | None = None,
        dropout: float | None = None,
    ) -> None:
        super().__init__()
        if variant not in _VARIANTS:
            raise ArgumentError(f"LeNet: variant must be one of {tuple(_VARIANTS)}, got {variant!r}")
        if not 22 <= image_size <= 32 or image_size % 2:
            raise ArgumentError(f"LeNet: image_size must be even and from 22 to 32, got {image_size}")
        if pool not in (None, "max", "avg"):
            raise ArgumentError(f"LeNet: pool must be 'max' or 'avg', got {pool!r}")
        check_classes("LeNet", num_classes)
        sizes, wide = _VARIANTS[variant], scaler("LeNet", width_mult)
        act, pooling = activation or sizes.activation, nn.MaxPool2d if (pool or sizes.pool) == "max" else nn.AvgPool2d
        first, second = (wide(c) for c in sizes.channels)
        self.features = nn.Sequential(
            nn.Conv2d(in_channels, first, 5, padding=(32 - image_size) // 2, activation=act),
            pooling(2),
            nn.Conv2d(first, second, 5, activation=act),
            pooling(2),
        )
        widths = [25 * second, *(wide(h) for h in sizes.hidden)]
        layers = [nn.Linear(a, b, activation=act) for a, b in zip(widths[:-1], widths[1:], strict=True)]
        drop = nn.Dropout(sizes.dropout if dropout is None else dropout)
        self.classifier = nn.Sequential(drop, *layers, nn.Linear(widths[-1], num_classes))

    def forward(self, x: Tensor) -> Tensor:
        """(n, in_channels, image_size, image_size) -> (n, num_classes)."""
        y: Tensor = self.classifier(self.features(x).flatten(1))
        return y


class LeNet5(LeNet):
    """LeNet('lenet5', ...)."""

    def __init__(
        self,
        num_classes: int = 10,
        *,
        in_channels: int = 1,
        image_size: int = 32,
        width_mult: float = 1.0,
        activation: str = "tanh",
        pool: str = "avg",
        dropout: float = 0.0,
    ) -> None:
        super().__init__(
            "lenet5", num_classes, in_channels=in_channels, image_size=image_size, width_mult=width_mult,
            activation=activation, pool=pool, dropout=dropout,
        )  # fmt: skip
