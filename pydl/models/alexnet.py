"""The networks of ImageNet 2012 and 2013: AlexNet, ZF-Net and OverFeat."""

from collections.abc import Sequence

from pydl import nn
from pydl.models.scaling import check_classes, scaler
from pydl.nn import init
from pydl.tensor import Tensor

__all__ = ["AlexNet", "OverFeat", "ZFNet", "alexnet", "overfeat", "zfnet"]

Step = tuple[int, ...]  # (channels, kernel, stride, padding) of a convolution, (kernel, stride, padding) of a pooling


class _Early(nn.Module):
    """Convolutions, poolings and three linear layers, the hidden ones behind dropout."""

    def __init__(
        self, steps: Sequence[Step], side: int, hidden: tuple[int, int], num_classes: int, in_channels: int,
        width_mult: float, dropout: float,
    ) -> None:  # fmt: skip
        super().__init__()
        name = type(self).__name__
        check_classes(name, num_classes)
        wide, layers, channels = scaler(name, width_mult), list[nn.Module](), in_channels
        for step in steps:
            if len(step) == 3:
                layers.append(nn.MaxPool2d(*step))
                continue
            out, kernel, stride, padding = step
            # The activation runs within the convolution; Identity stands where others number a ReLU.
            layers += [nn.Conv2d(channels, wide(out), kernel, stride, padding, activation="relu"), nn.Identity()]
            channels = wide(out)
        self.features = nn.Sequential(*layers)
        self.avgpool = nn.AdaptiveAvgPool2d((side, side))
        first, second = (wide(h) for h in hidden)
        self.classifier = nn.Sequential(
            nn.Dropout(dropout),
            nn.Linear(channels * side * side, first, activation="relu"),
            nn.Identity(),
            nn.Dropout(dropout),
            nn.Linear(first, second, activation="relu"),
            nn.Identity(),
            nn.Linear(second, num_classes),
        )

    def forward(self, x: Tensor) -> Tensor:
        """(n, in_channels, h, w) -> (n, num_classes)."""
        y: Tensor = self.classifier(self.avgpool(self.features(x)).flatten(1))
        return y


class AlexNet(_Early):
    """Five convolutions and three linear layers: 61.1 million parameters.

    Args:
        num_classes, dropout: as in torchvision, whose state_dict keys and shapes these are.
        in_channels, width_mult: channels of the images; a factor of all widths.
        small_images: a first convolution of 5 x 5 with stride 1, for images of 32 x 32; else from 63 x 63 on.
        paper_init: weights N(0, 0.01^2), biases 1 in the convolutions 2, 4, 5 and the hidden layers, as section 5 has
            it; else uniform in +-1 / sqrt(fan in).
    Shapes: (n, in_channels, h, w) -> (n, num_classes).
    Source: Krizhevsky 2014 (arXiv:1404.5997), one column of Krizhevsky, Sutskever & Hinton 2012.
    """

    def __init__(
        self,
        num_classes: int = 1000,
        dropout: float = 0.5,
        *,
        in_channels: int = 3,
        width_mult: float = 1.0,
        small_images: bool = False,
        paper_init: bool = True,
    ) -> None:
        stem = (64, 5, 1, 2) if small_images else (64, 11, 4, 2)
        pool = (3, 2, 0)
        steps = [stem, pool, (192, 5, 1, 2), pool, (384, 3, 1, 1), (256, 3, 1, 1), (256, 3, 1, 1), pool]
        side = 3 if small_images else 6
        super().__init__(steps, side, (4096, 4096), num_classes, in_channels, width_mult, dropout)
        if paper_init:
            self._paper_init()

    def _paper_init(self) -> None:
        layers = [m for m in self.modules() if isinstance(m, (nn.Conv2d, nn.Linear))]
        for number, layer in enumerate(layers, 1):
            init.normal_(layer.weight, 0.0, 0.01)
            assert layer.bias is not None
            init.constant_(layer.bias, 1.0 if number in (2, 4, 5, 6, 7) else 0.0)


class ZFNet(_Early):
    """AlexNet with a finer first layer: 7 x 7 with stride 2. 62.4 million parameters.

    Args: as in AlexNet. Shapes: (n, in_channels, h, w) -> (n, num_classes), from 55 x 55 on; 224 in the paper.
    Source: Zeiler & Fergus 2013, Visualizing and understanding convolutional networks, figure 3.
    """

    def __init__(
        self, num_classes: int = 1000, dropout: float = 0.5, *, in_channels: int = 3, width_mult: float = 1.0
    ) -> None:
        steps = [(96, 7, 2, 1), (3, 2, 1), (256, 5, 2, 0), (3, 2, 1), (384, 3, 1, 1), (384, 3, 1, 1), (256, 3, 1, 1),
                 (3, 2, 0)]  # fmt: skip
        super().__init__(steps, 6, (4096, 4096), num_classes, in_channels, width_mult, dropout)


class OverFeat(_Early):
    """The fast model of OverFeat: 145.9 million parameters.

    Args: as in AlexNet. Shapes: (n, in_channels, h, w) -> (n, num_classes), from 71 x 71 on; 231 in the paper.
    Source: Sermanet et al. 2013, OverFeat, table 1.
    """

    def __init__(
        self, num_classes: int = 1000, dropout: float = 0.5, *, in_channels: int = 3, width_mult: float = 1.0
    ) -> None:
        steps = [(96, 11, 4, 0), (2, 2, 0), (256, 5, 1, 0), (2, 2, 0), (512, 3, 1, 1), (1024, 3, 1, 1),
                 (1024, 3, 1, 1), (2, 2, 0)]  # fmt: skip
        super().__init__(steps, 6, (3072, 4096), num_classes, in_channels, width_mult, dropout)


def alexnet(num_classes: int = 1000, width_mult: float = 1.0, *, small_images: bool = False) -> AlexNet:
    """AlexNet(num_classes, width_mult=width_mult, small_images=small_images)."""
    return AlexNet(num_classes, width_mult=width_mult, small_images=small_images)


def zfnet(num_classes: int = 1000, width_mult: float = 1.0) -> ZFNet:
    """ZFNet(num_classes, width_mult=width_mult)."""
    return ZFNet(num_classes, width_mult=width_mult)


def overfeat(num_classes: int = 1000, width_mult: float = 1.0) -> OverFeat:
    """OverFeat(num_classes, width_mult=width_mult)."""
    return OverFeat(num_classes, width_mult=width_mult)
