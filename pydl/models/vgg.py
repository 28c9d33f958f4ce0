"""VGG: nothing but 3 x 3 convolutions, 2 x 2 poolings and three linear layers."""

from collections.abc import Sequence
from typing import Any

from pydl import nn
from pydl.models.scaling import check_classes, he_init, scaler
from pydl.tensor import Tensor

__all__ = ["VGG", "vgg11", "vgg11_bn", "vgg13", "vgg13_bn", "vgg16", "vgg16_bn", "vgg19", "vgg19_bn"]

# Convolutions in each of the five stages, of 64, 128, 256, 512 and 512 channels: columns A, B, D, E of table 1.
_STAGES = {11: (1, 1, 2, 2, 2), 13: (2, 2, 2, 2, 2), 16: (2, 2, 3, 3, 3), 19: (2, 2, 4, 4, 4)}
_CHANNELS = (64, 128, 256, 512, 512)


class VGG(nn.Module):
    """Five stages of convolutions, each halving the image.

    Args:
        stages: how many convolutions each stage has.
        num_classes, dropout: as in torchvision, whose state_dict keys and shapes these are.
        batch_norm: a norm behind each convolution.
        in_channels, width_mult: channels of the images; a factor of all widths.
        init_weights: He's for convolutions, N(0, 0.01^2) for linear layers; else uniform in +-1 / sqrt(fan in).
    Shapes: (n, in_channels, h, w) -> (n, num_classes), from 32 x 32 on.
    Source: Simonyan & Zisserman 2014, Very deep convolutional networks for large-scale image recognition.
    """

    def __init__(
        self,
        stages: Sequence[int],
        num_classes: int = 1000,
        init_weights: bool = True,
        dropout: float = 0.5,
        *,
        batch_norm: bool = False,
        in_channels: int = 3,
        width_mult: float = 1.0,
    ) -> None:
        super().__init__()
        check_classes("VGG", num_classes)
        wide = scaler("VGG", width_mult)
        layers, channels = list[nn.Module](), in_channels
        for count, out in zip(stages, _CHANNELS, strict=True):
            for _ in range(count):
                layers += _convolution(channels, wide(out), batch_norm)
                channels = wide(out)
            layers.append(nn.MaxPool2d(2))
        self.features = nn.Sequential(*layers)
        self.avgpool = nn.AdaptiveAvgPool2d((7, 7))
        hidden = wide(4096)
        self.classifier = nn.Sequential(
            nn.Linear(channels * 49, hidden, activation="relu"),
            nn.Identity(),
            nn.Dropout(dropout),
            nn.Linear(hidden, hidden, activation="relu"),
            nn.Identity(),
            nn.Dropout(dropout),
            nn.Linear(hidden, num_classes),
        )
        if init_weights:
            he_init(self, linear_std=0.01)

    def forward(self, x: Tensor) -> Tensor:
        """(n, in_channels, h, w) -> (n, num_classes)."""
        y: Tensor = self.classifier(self.avgpool(self.features(x)).flatten(1))
        return y


def _convolution(channels: int, out: int, batch_norm: bool) -> list[nn.Module]:
    """The layers of one step. Without norm the activation runs within the convolution, and Identity stands where
    others number a ReLU."""
    if batch_norm:
        return [nn.Conv2d(channels, out, 3, padding=1), nn.BatchNorm2d(out), nn.ReLU()]
    return [nn.Conv2d(channels, out, 3, padding=1, activation="relu"), nn.Identity()]


def vgg11(num_classes: int = 1000, **kwargs: Any) -> VGG:
    """VGG of 8 convolutions and 3 linear layers: 132 863 336 parameters. kwargs: of VGG."""
    return VGG(_STAGES[11], num_classes, **kwargs)


def vgg13(num_classes: int = 1000, **kwargs: Any) -> VGG:
    """VGG of 10 convolutions and 3 linear layers: 133 047 848 parameters. kwargs: of VGG."""
    return VGG(_STAGES[13], num_classes, **kwargs)


def vgg16(num_classes: int = 1000, **kwargs: Any) -> VGG:
    """VGG of 13 convolutions and 3 linear layers: 138 357 544 parameters. kwargs: of VGG."""
    return VGG(_STAGES[16], num_classes, **kwargs)


def vgg19(num_classes: int = 1000, **kwargs: Any) -> VGG:
    """VGG of 16 convolutions and 3 linear layers: 143 667 240 parameters. kwargs: of VGG."""
    return VGG(_STAGES[19], num_classes, **kwargs)


def vgg11_bn(num_classes: int = 1000, **kwargs: Any) -> VGG:
    """vgg11 with batch norm: 132 868 840 parameters. kwargs: of VGG."""
    return VGG(_STAGES[11], num_classes, batch_norm=True, **kwargs)


def vgg13_bn(num_classes: int = 1000, **kwargs: Any) -> VGG:
    """vgg13 with batch norm: 133 053 736 parameters. kwargs: of VGG."""
    return VGG(_STAGES[13], num_classes, batch_norm=True, **kwargs)


def vgg16_bn(num_classes: int = 1000, **kwargs: Any) -> VGG:
    """vgg16 with batch norm: 138 365 992 parameters. kwargs: of VGG."""
    return VGG(_STAGES[16], num_classes, batch_norm=True, **kwargs)


def vgg19_bn(num_classes: int = 1000, **kwargs: Any) -> VGG:
    """vgg19 with batch norm: 143 678 248 parameters. kwargs: of VGG."""
    return VGG(_STAGES[19], num_classes, batch_norm=True, **kwargs)
