"""GoogLeNet, and the small Inception network of the random-label experiments."""

from collections.abc import Sequence
from typing import NamedTuple

from pydl import nn, ops
from pydl.errors import ArgumentError
from pydl.models.scaling import check_classes, he_init, scaler
from pydl.nn import functional as F
from pydl.nn import init
from pydl.nn.blocks import BasicConv2d
from pydl.tensor import Tensor

__all__ = ["GoogLeNet", "GoogLeNetOutputs", "SmallInception", "auxiliary_loss", "googlenet"]

# Channels of the 1x1, the 3x3 (reduced, full), the 5x5 (reduced, full) and the pooling branch: table 1 of the paper.
_MODULES = {
    "inception3a": (64, 96, 128, 16, 32, 32),
    "inception3b": (128, 128, 192, 32, 96, 64),
    "inception4a": (192, 96, 208, 16, 48, 64),
    "inception4b": (160, 112, 224, 24, 64, 64),
    "inception4c": (128, 128, 256, 24, 64, 64),
    "inception4d": (112, 144, 288, 32, 64, 64),
    "inception4e": (256, 160, 320, 32, 128, 128),
    "inception5a": (256, 160, 320, 32, 128, 128),
    "inception5b": (384, 192, 384, 48, 128, 128),
}


class GoogLeNetOutputs(NamedTuple):
    """What GoogLeNet with auxiliary heads returns in training: scores (n, num_classes) each."""

    logits: Tensor
    aux_logits2: Tensor | None
    aux_logits1: Tensor | None


class Inception(nn.Module):
    """Four branches side by side: 1 x 1, 3 x 3, a larger one, and pooling; their channels are joined."""

    def __init__(self, channels: int, widths: Sequence[int], large: int, batch_norm: bool) -> None:
        super().__init__()
        one, reduced3, three, reduced5, five, pooled = widths

        def unit(inside: int, out: int, kernel: int) -> BasicConv2d:
            return BasicConv2d(inside, out, kernel, padding=kernel // 2, batch_norm=batch_norm)

        self.branch1 = unit(channels, one, 1)
        self.branch2 = nn.Sequential(unit(channels, reduced3, 1), unit(reduced3, three, 3))
        self.branch3 = nn.Sequential(unit(channels, reduced5, 1), unit(reduced5, five, large))
        self.branch4 = nn.Sequential(nn.MaxPool2d(3, 1, 1, ceil_mode=True), unit(channels, pooled, 1))
        self.out_channels = one + three + five + pooled

    def forward(self, x: Tensor) -> Tensor:
        """(n, c, h, w) -> (n, out_channels, h, w)."""
        return ops.cat([self.branch1(x), self.branch2(x), self.branch3(x), self.branch4(x)], 1)


class GoogLeNet(nn.Module):
    """Nine Inception modules and 6 624 904 parameters, 13 004 888 with the auxiliary heads.

    Args:
        num_classes ... dropout_aux: as in torchvision, whose state_dict keys and shapes these are.
            aux_logits: two classifiers in the middle, for training.   init_weights: N(0, 0.01^2), cut off at +-2.
        batch_norm: norms behind the convolutions, which the paper of 2014 did not have yet.
        large_kernel: of the third branch: 3 as in torchvision, 5 as in the paper.
        in_channels, width_mult: channels of the images; a factor of all widths.
    Shapes: (n, in_channels, h, w) -> (n, num_classes); with auxiliary heads in training a GoogLeNetOutputs.
    Source: Szegedy et al. 2014, Going deeper with convolutions; batch norm: Ioffe & Szegedy 2015.
    """

    def __init__(
        self,
        num_classes: int = 1000,
        aux_logits: bool = True,
        init_weights: bool = True,
        dropout: float = 0.2,
        dropout_aux: float = 0.7,
        *,
        batch_norm: bool = True,
        large_kernel: int = 3,
        in_channels: int = 3,
        width_mult: float = 1.0,
    ) -> None:
        super().__init__()
        check_classes("GoogLeNet", num_classes)
        if large_kernel not in (3, 5):
            raise ArgumentError(f"GoogLeNet: large_kernel must be 3 or 5, got {large_kernel!r}")
        wide, self.aux_logits = scaler("GoogLeNet", width_mult), aux_logits
        self.conv1 = BasicConv2d(in_channels, wide(64), 7, 2, 3, batch_norm=batch_norm)
        self.maxpool1 = nn.MaxPool2d(3, 2, ceil_mode=True)
        self.conv2 = BasicConv2d(wide(64), wide(64), 1, batch_norm=batch_norm)
        self.conv3 = BasicConv2d(wide(64), wide(192), 3, padding=1, batch_norm=batch_norm)
        self.maxpool2 = nn.MaxPool2d(3, 2, ceil_mode=True)
        channels, inputs = wide(192), {}
        for name, widths in _MODULES.items():
            mixed = Inception(channels, [wide(c) for c in widths], large_kernel, batch_norm)
            self.register_module(name, mixed)
            inputs[name], channels = channels, mixed.out_channels
        self.maxpool3 = nn.MaxPool2d(3, 2, ceil_mode=True)
        self.maxpool4 = nn.MaxPool2d(2, 2, ceil_mode=True)
        for name, at in (("aux1", "inception4b"), ("aux2", "inception4e")):
            head = nn.AuxHead(inputs[at], num_classes, dropout_aux, channels=wide(128), hidden=wide(1024),
                              batch_norm=batch_norm) if aux_logits else None  # fmt: skip
            self.register_module(name, head)
        self.avgpool = nn.AdaptiveAvgPool2d((1, 1))
        self.dropout = nn.Dropout(dropout)
        self.fc = nn.Linear(channels, num_classes)
        if init_weights:
            for module in self.modules():
                if isinstance(module, (nn.Conv2d, nn.Linear)):
                    init.trunc_normal_(module.weight, 0.0, 0.01, -2.0, 2.0)

    def forward(self, x: Tensor) -> "Tensor | GoogLeNetOutputs":
        """(n, in_channels, h, w) -> (n, num_classes), or a GoogLeNetOutputs."""
        y = self.maxpool2(self.conv3(self.conv2(self.maxpool1(self.conv1(x)))))
        y = self._through(self.maxpool3(self._through(y, "3a", "3b")), "4a")
        heads = self.training and self.aux_logits
        first = self.get_submodule("aux1")(y) if heads else None
        y = self._through(y, "4b", "4c", "4d")
        second = self.get_submodule("aux2")(y) if heads else None
        y = self._through(self.maxpool4(self._through(y, "4e")), "5a", "5b")
        z: Tensor = self.fc(self.dropout(self.avgpool(y).flatten(1)))
        return GoogLeNetOutputs(z, second, first) if heads else z

    def _through(self, x: Tensor, *modules: str) -> Tensor:
        for name in modules:
            x = getattr(self, f"inception{name}")(x)
        return x


def googlenet(num_classes: int = 1000, **kwargs: object) -> GoogLeNet:
    """GoogLeNet(num_classes, ...). kwargs: of GoogLeNet."""
    return GoogLeNet(num_classes, **kwargs)  # type: ignore[arg-type]


def auxiliary_loss(outputs: "Tensor | GoogLeNetOutputs", target: Tensor, weight: float = 0.3) -> Tensor:
    """Cross entropy of scores (n, classes) with target (n,), plus weight times that of each auxiliary head."""
    if isinstance(outputs, Tensor):
        return F.cross_entropy(outputs, target)
    loss = F.cross_entropy(outputs.logits, target)
    for scores in (outputs.aux_logits2, outputs.aux_logits1):
        loss = loss if scores is None else loss + weight * F.cross_entropy(scores, target)
    return loss


class SmallInception(nn.Module):
    """The Inception network for 28 x 28 cuts of CIFAR images that fits random labels.

    1 649 402 parameters without batch norm (the paper's number), 1 651 114 with it.


    conv 96 -> (32, 32) (32, 48) down 80 -> (112, 48) (96, 64) (80, 80) (48, 96) down 96 -> (176, 160) (176, 160) ->
    mean -> num_classes, where (a, b) joins a 1 x 1 and a 3 x 3 convolution, and `down` a 3 x 3 one and pooling, both
    with stride 2.
    Args: batch_norm, in_channels, width_mult: as in GoogLeNet.
    Shapes: (n, in_channels, h, w) -> (n, num_classes).
    Source: Zhang et al. 2016, Understanding deep learning requires rethinking generalization, figure 3.
    """

    def __init__(
        self, num_classes: int = 10, *, batch_norm: bool = True, in_channels: int = 3, width_mult: float = 1.0
    ) -> None:
        super().__init__()
        check_classes("SmallInception", num_classes)
        wide = scaler("SmallInception", width_mult)
        steps: tuple[tuple[int, ...], ...] = (
            (32, 32), (32, 48), (80,), (112, 48), (96, 64), (80, 80), (48, 96), (96,), (176, 160), (176, 160)
        )  # fmt: skip
        layers: list[nn.Module] = [BasicConv2d(in_channels, wide(96), 3, padding=1, batch_norm=batch_norm)]
        channels = wide(96)
        for step in steps:
            made = _Joined(channels, [wide(c) for c in step], batch_norm)
            layers.append(made)
            channels = made.out_channels
        self.features = nn.Sequential(*layers)
        self.avgpool = nn.AdaptiveAvgPool2d((1, 1))
        self.fc = nn.Linear(channels, num_classes)
        he_init(self)

    def forward(self, x: Tensor) -> Tensor:
        """(n, in_channels, h, w) -> (n, num_classes)."""
        y: Tensor = self.fc(self.avgpool(self.features(x)).flatten(1))
        return y


class _Joined(nn.Module):
    """Two widths: 1 x 1 and 3 x 3 convolutions. One width: a 3 x 3 one and pooling, both with stride 2."""

    def __init__(self, channels: int, widths: Sequence[int], batch_norm: bool) -> None:
        super().__init__()
        if len(widths) == 2:
            self.first: nn.Module = BasicConv2d(channels, widths[0], 1, batch_norm=batch_norm)
            self.second: nn.Module = BasicConv2d(channels, widths[1], 3, padding=1, batch_norm=batch_norm)
            self.out_channels = sum(widths)
        else:
            self.first = BasicConv2d(channels, widths[0], 3, 2, 1, batch_norm=batch_norm)
            self.second = nn.MaxPool2d(3, 2, 1)
            self.out_channels = widths[0] + channels

    def forward(self, x: Tensor) -> Tensor:
        """(n, c, h, w) -> (n, out_channels, h', w')."""
        return ops.cat([self.first(x), self.second(x)], 1)
