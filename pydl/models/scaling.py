"""What the architectures share: widths and first weights."""

from collections.abc import Callable

from pydl import nn
from pydl.errors import ArgumentError
from pydl.nn import init

__all__: list[str] = []

Norm = Callable[[int], nn.Module]


def scaler(name: str, width_mult: float) -> Callable[[int], int]:
    """A function that multiplies a number of channels by width_mult, rounded, at least 1."""
    if not 0 < width_mult < float("inf"):
        raise ArgumentError(f"{name}: width_mult must be > 0, got {width_mult}")
    return lambda channels: max(1, round(channels * width_mult))


def check_classes(name: str, num_classes: int) -> None:
    """Raises ArgumentError unless there is a class at least."""
    if not isinstance(num_classes, int) or num_classes < 1:
        raise ArgumentError(f"{name}: num_classes must be a positive number, got {num_classes!r}")


def he_init(model: nn.Module, linear_std: float | None = None) -> None:
    """Convolutions by He et al. 2015 (fan out), their biases 0; linear layers N(0, linear_std^2) if it is given."""
    for module in model.modules():
        if isinstance(module, nn.Conv2d):
            init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
            if module.bias is not None:
                init.zeros_(module.bias)
        elif isinstance(module, nn.Linear) and linear_std is not None:
            init.normal_(module.weight, 0.0, linear_std)
            if module.bias is not None:
                init.zeros_(module.bias)
