"""Residual networks for large images."""

from collections.abc import Callable, Sequence
from typing import Any, ClassVar

from pydl import nn, ops
from pydl.errors import ArgumentError
from pydl.models.scaling import check_classes, he_init, scaler
from pydl.nn import init
from pydl.tensor import Tensor

__all__ = ["BasicBlock", "Bottleneck", "ResNet", "resnet18", "resnet34", "resnet50", "resnet101", "resnet152"]

Norm = Callable[[int], nn.Module]


def convolution(channels: int, out: int, kernel: int, stride: int, norm: Norm, dilation: int = 1, groups: int = 1,
                padding: int | None = None) -> nn.Conv2d:  # fmt: skip
    """A convolution that keeps the size up to its stride, with a bias only where no norm follows."""
    pad = dilation * (kernel // 2) if padding is None else padding
    return nn.Conv2d(channels, out, kernel, stride, pad, dilation, groups, bias=norm is nn.Identity)


class BasicBlock(nn.Module):
    """relu(norm(conv3(relu(norm(conv3(x))))) + shortcut(x))."""

    expansion: ClassVar[int] = 1
    downsample: nn.Module | None

    def __init__(
        self,
        inplanes: int,
        planes: int,
        stride: int = 1,
        downsample: nn.Module | None = None,
        groups: int = 1,
        base_width: int = 64,
        dilation: int = 1,
        norm_layer: Norm | None = None,
        *,
        drop_path: float = 0.0,
    ) -> None:
        super().__init__()
        if groups != 1 or base_width != 64 or dilation != 1:
            raise ArgumentError("BasicBlock: groups, base_width and dilation must be 1, 64 and 1")
        norm: Norm = norm_layer or nn.BatchNorm2d
        self.conv1, self.bn1 = convolution(inplanes, planes, 3, stride, norm), norm(planes)
        self.relu = nn.ReLU()
        self.conv2, self.bn2 = convolution(planes, planes, 3, 1, norm), norm(planes)
        self.register_module("downsample", downsample)
        self.drop = nn.StochasticDepth(drop_path) if drop_path else nn.Identity()
        self.stride = stride

    def forward(self, x: Tensor) -> Tensor:
        """(n, inplanes, h, w) -> (n, planes, h / stride, w / stride)."""
        y = self.relu(self.bn1(self.conv1(x)))
        y = self.drop(self.bn2(self.conv2(y)))
        return ops.relu(y + (x if self.downsample is None else self.downsample(x)))


class Bottleneck(nn.Module):
    """1 x 1 to fewer channels, 3 x 3 (with the stride), 1 x 1 to four times planes, and the shortcut."""

    expansion: ClassVar[int] = 4
    downsample: nn.Module | None

    def __init__(
        self,
        inplanes: int,
        planes: int,
        stride: int = 1,
        downsample: nn.Module | None = None,
        groups: int = 1,
        base_width: int = 64,
        dilation: int = 1,
        norm_layer: Norm | None = None,
        *,
        drop_path: float = 0.0,
    ) -> None:
        super().__init__()
        norm: Norm = norm_layer or nn.BatchNorm2d
        width, out = int(planes * (base_width / 64.0)) * groups, planes * self.expansion
        self.conv1, self.bn1 = convolution(inplanes, width, 1, 1, norm), norm(width)
        self.conv2, self.bn2 = convolution(width, width, 3, stride, norm, dilation, groups), norm(width)
        self.conv3, self.bn3 = convolution(width, out, 1, 1, norm), norm(out)
        self.relu = nn.ReLU()
        self.register_module("downsample", downsample)
        self.drop = nn.StochasticDepth(drop_path) if drop_path else nn.Identity()
        self.stride = stride

    def forward(self, x: Tensor) -> Tensor:
        """(n, inplanes, h, w) -> (n, 4 planes, h / stride, w / stride)."""
        y = self.relu(self.bn1(self.conv1(x)))
        y = self.relu(self.bn2(self.conv2(y)))
        y = self.drop(self.bn3(self.conv3(y)))
        return ops.relu(y + (x if self.downsample is None else self.downsample(x)))


class ResNet(nn.Module):
    """A stem, four stages of residual blocks, the mean over the image, a linear layer.

    Args:
        block: BasicBlock or Bottleneck.   layers: how many blocks each stage has.
        num_classes ... norm_layer: as in torchvision, whose state_dict keys and shapes these are.
            norm_layer: None for BatchNorm2d, nn.Identity for none (convolutions have biases then).
        in_channels, width_mult: channels of the images; a factor of all widths.
        stem: 'imagenet' (7 x 7 with stride 2, then pooling) or 'cifar' (3 x 3) for images of 32 x 32.
        drop_path: stochastic depth: branch l of L is dropped with probability drop_path l / L.
    Shapes: (n, in_channels, h, w) -> (n, num_classes).
    Source: He et al. 2015, Deep residual learning for image recognition, table 1.
    """

    def __init__(
        self,
        block: type[BasicBlock | Bottleneck],
        layers: Sequence[int],
        num_classes: int = 1000,
        zero_init_residual: bool = False,
        groups: int = 1,
        width_per_group: int = 64,
        replace_stride_with_dilation: Sequence[bool] | None = None,
        norm_layer: Norm | None = None,
        *,
        in_channels: int = 3,
        width_mult: float = 1.0,
        stem: str = "imagenet",
        drop_path: float = 0.0,
    ) -> None:
        super().__init__()
        dilate = (False, False, False) if replace_stride_with_dilation is None else tuple(replace_stride_with_dilation)
        _check(layers, dilate, stem, num_classes)
        wide, self._norm = scaler("ResNet", width_mult), norm_layer or nn.BatchNorm2d
        self.inplanes, self.dilation, self.groups, self.base_width = wide(64), 1, groups, width_per_group
        large = stem == "imagenet"
        self.conv1 = convolution(in_channels, self.inplanes, 7 if large else 3, 2 if large else 1, self._norm)
        self.bn1, self.relu = self._norm(self.inplanes), nn.ReLU()
        self.maxpool = nn.MaxPool2d(3, 2, 1) if large else nn.Identity()
        self._block, self._drops = block, iter([drop_path * (i + 1) / sum(layers) for i in range(sum(layers))])
        self.layer1 = self._stage(wide(64), layers[0], 1, False)
        self.layer2 = self._stage(wide(128), layers[1], 2, dilate[0])
        self.layer3 = self._stage(wide(256), layers[2], 2, dilate[1])
        self.layer4 = self._stage(wide(512), layers[3], 2, dilate[2])
        self.avgpool = nn.AdaptiveAvgPool2d((1, 1))
        self.fc = nn.Linear(self.inplanes, num_classes)
        del self._drops
        he_init(self)
        if zero_init_residual:
            zero_branches(self)

    def _stage(self, planes: int, blocks: int, stride: int, dilate: bool) -> nn.Sequential:
        before, out = self.dilation, planes * self._block.expansion
        if dilate:
            self.dilation, stride = self.dilation * stride, 1
        down = None
        if stride != 1 or self.inplanes != out:
            down = nn.Sequential(convolution(self.inplanes, out, 1, stride, self._norm), self._norm(out))
        made = []
        for i in range(blocks):
            first: tuple[int, nn.Module | None] = (stride, down) if i == 0 else (1, None)
            dilation = before if i == 0 else self.dilation
            shape: tuple[Any, ...] = (self.groups, self.base_width, dilation, self._norm)
            made.append(self._block(self.inplanes, planes, *first, *shape, drop_path=next(self._drops)))
            self.inplanes = out
        return nn.Sequential(*made)

    def forward(self, x: Tensor) -> Tensor:
        """(n, in_channels, h, w) -> (n, num_classes)."""
        y = self.maxpool(self.relu(self.bn1(self.conv1(x))))
        y = self.layer4(self.layer3(self.layer2(self.layer1(y))))
        z: Tensor = self.fc(self.avgpool(y).flatten(1))
        return z


def _check(layers: Sequence[int], dilate: tuple[bool, ...], stem: str, num_classes: int) -> None:
    check_classes("ResNet", num_classes)
    if len(layers) != 4 or any(n < 1 for n in layers):
        raise ArgumentError(f"ResNet: layers must be 4 numbers >= 1, got {list(layers)}")
    if len(dilate) != 3:
        raise ArgumentError(f"ResNet: replace_stride_with_dilation must be 3 switches, got {dilate}")
    if stem not in ("imagenet", "cifar"):
        raise ArgumentError(f"ResNet: stem must be 'imagenet' or 'cifar', got {stem!r}")


def zero_branches(model: nn.Module) -> None:
    """Sets the last scale of each branch to 0 (the last weights, where there is no norm): blocks begin as identities.

    Source: Goyal et al. 2017, Accurate, large minibatch SGD, section 5.1; Zhang, Dauphin & Ma 2019, Fixup.
    """
    for module in model.modules():
        if isinstance(module, (BasicBlock, Bottleneck)):
            last = ("bn3", "conv3") if isinstance(module, Bottleneck) else ("bn2", "conv2")
            norm, conv = (getattr(module, name) for name in last)
            init.zeros_(conv.weight if isinstance(norm, nn.Identity) else norm.weight)


def resnet18(num_classes: int = 1000, **kwargs: Any) -> ResNet:
    """ResNet of 18 layers: 11 689 512 parameters. kwargs: of ResNet."""
    return ResNet(BasicBlock, (2, 2, 2, 2), num_classes, **kwargs)


def resnet34(num_classes: int = 1000, **kwargs: Any) -> ResNet:
    """ResNet of 34 layers: 21 797 672 parameters. kwargs: of ResNet."""
    return ResNet(BasicBlock, (3, 4, 6, 3), num_classes, **kwargs)


def resnet50(num_classes: int = 1000, **kwargs: Any) -> ResNet:
    """ResNet of 50 layers: 25 557 032 parameters. kwargs: of ResNet."""
    return ResNet(Bottleneck, (3, 4, 6, 3), num_classes, **kwargs)


def resnet101(num_classes: int = 1000, **kwargs: Any) -> ResNet:
    """ResNet of 101 layers: 44 549 160 parameters. kwargs: of ResNet."""
    return ResNet(Bottleneck, (3, 4, 23, 3), num_classes, **kwargs)


def resnet152(num_classes: int = 1000, **kwargs: Any) -> ResNet:
    """ResNet of 152 layers: 60 192 808 parameters. kwargs: of ResNet."""
    return ResNet(Bottleneck, (3, 8, 36, 3), num_classes, **kwargs)
