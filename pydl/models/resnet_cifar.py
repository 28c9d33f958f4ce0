"""Residual networks for images of 32 x 32."""

from typing import Any

from pydl import nn, ops
from pydl.errors import ArgumentError
from pydl.models.resnet import BasicBlock, Norm, convolution, zero_branches
from pydl.models.scaling import check_classes, he_init, scaler
from pydl.nn import functional as F
from pydl.tensor import Tensor

__all__ = ["CifarResNet", "resnet20", "resnet32", "resnet44", "resnet56", "resnet110"]


class PadShortcut(nn.Module):
    """Every stride-th pixel, and channels of zeros: a shortcut without parameters (the paper's option A)."""

    def __init__(self, extra: int, stride: int) -> None:
        super().__init__()
        self.extra, self.stride = extra, stride

    def forward(self, x: Tensor) -> Tensor:
        """(n, c, h, w) -> (n, c + extra, h / stride, w / stride)."""
        before = self.extra // 2
        return F.pad(x[:, :, :: self.stride, :: self.stride], (0, 0, 0, 0, before, self.extra - before))


class CifarResNet(nn.Module):
    """A convolution, three stages of (depth - 2) / 6 blocks with 16, 32 and 64 channels, the mean, a linear layer.

    Args:
        depth: 6 n + 2: 20, 32, 44, 56, 110, 1202.
        in_channels, width_mult: channels of the images; a factor of all widths.
        batch_norm: whether there is any; without it the last convolution of each block begins at 0.
        shortcut: where the channels change: 'A' zeros (the paper's), 'B' a 1 x 1 convolution.
        residual: False leaves out all shortcuts: the plain network.
        drop_path: stochastic depth: branch l of L is dropped with probability drop_path l / L.
    Shapes: (n, in_channels, h, w) -> (n, num_classes).
    Source: He et al. 2015, Deep residual learning for image recognition, section 4.2.
    """

    def __init__(
        self,
        depth: int = 20,
        num_classes: int = 10,
        *,
        in_channels: int = 3,
        width_mult: float = 1.0,
        batch_norm: bool = True,
        shortcut: str = "A",
        residual: bool = True,
        drop_path: float = 0.0,
    ) -> None:
        super().__init__()
        check_classes("CifarResNet", num_classes)
        if depth < 8 or (depth - 2) % 6:
            raise ArgumentError(f"CifarResNet: depth must be 6 n + 2 with n >= 1, got {depth}")
        if shortcut not in ("A", "B"):
            raise ArgumentError(f"CifarResNet: shortcut must be 'A' or 'B', got {shortcut!r}")
        wide, n = scaler("CifarResNet", width_mult), (depth - 2) // 6
        norm: Norm = nn.BatchNorm2d if batch_norm else nn.Identity
        self.conv1, self.bn1 = convolution(in_channels, wide(16), 3, 1, norm), norm(wide(16))
        self._residual, channels, stages = residual, wide(16), []
        for stage, out in enumerate((wide(16), wide(32), wide(64))):
            blocks: list[nn.Module] = []
            for i in range(n):
                drop, stride = drop_path * (stage * n + i + 1) / (3 * n), 2 if stage and not i else 1
                blocks.append(self._block(channels, out, stride, norm, shortcut, drop))
                channels = out
            stages.append(nn.Sequential(*blocks))
        self.layer1, self.layer2, self.layer3 = stages
        self.avgpool = nn.AdaptiveAvgPool2d((1, 1))
        self.fc = nn.Linear(channels, num_classes)
        he_init(self)
        if not batch_norm and residual:
            zero_branches(self)

    def _block(self, channels: int, out: int, stride: int, norm: Norm, shortcut: str, drop: float) -> nn.Module:
        if not self._residual:
            return PlainBlock(channels, out, stride, norm)
        down: nn.Module | None = None
        if stride != 1 and shortcut == "A":
            down = PadShortcut(out - channels, stride)
        elif stride != 1:
            down = nn.Sequential(convolution(channels, out, 1, stride, norm), norm(out))
        return BasicBlock(channels, out, stride, down, norm_layer=norm, drop_path=drop)

    def forward(self, x: Tensor) -> Tensor:
        """(n, in_channels, h, w) -> (n, num_classes)."""
        y = ops.relu(self.bn1(self.conv1(x)))
        y = self.layer3(self.layer2(self.layer1(y)))
        z: Tensor = self.fc(self.avgpool(y).flatten(1))
        return z


class PlainBlock(nn.Module):
    """The two convolutions of a BasicBlock without its shortcut."""

    def __init__(self, channels: int, out: int, stride: int, norm: Norm) -> None:
        super().__init__()
        self.conv1, self.bn1 = convolution(channels, out, 3, stride, norm), norm(out)
        self.conv2, self.bn2 = convolution(out, out, 3, 1, norm), norm(out)

    def forward(self, x: Tensor) -> Tensor:
        """(n, channels, h, w) -> (n, out, h / stride, w / stride)."""
        return ops.relu(self.bn2(self.conv2(ops.relu(self.bn1(self.conv1(x))))))


def resnet20(num_classes: int = 10, **kwargs: Any) -> CifarResNet:
    """CifarResNet of 20 layers: 269 722 parameters. kwargs: of CifarResNet."""
    return CifarResNet(20, num_classes, **kwargs)


def resnet32(num_classes: int = 10, **kwargs: Any) -> CifarResNet:
    """CifarResNet of 32 layers: 464 154 parameters. kwargs: of CifarResNet."""
    return CifarResNet(32, num_classes, **kwargs)


def resnet44(num_classes: int = 10, **kwargs: Any) -> CifarResNet:
    """CifarResNet of 44 layers: 658 586 parameters. kwargs: of CifarResNet."""
    return CifarResNet(44, num_classes, **kwargs)


def resnet56(num_classes: int = 10, **kwargs: Any) -> CifarResNet:
    """CifarResNet of 56 layers: 853 018 parameters. kwargs: of CifarResNet."""
    return CifarResNet(56, num_classes, **kwargs)


def resnet110(num_classes: int = 10, **kwargs: Any) -> CifarResNet:
    """CifarResNet of 110 layers: 1 727 962 parameters. kwargs: of CifarResNet."""
    return CifarResNet(110, num_classes, **kwargs)
