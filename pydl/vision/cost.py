"""What a convolutional network costs, layer by layer, and the two rules for the number of filters.

A convolution of K' maps of M x N positions from K maps by m x n kernels takes M N m n K K' multiply-adds; a linear
layer K K'. The rules are those of deeplearning.net's tutorial on LeNet (LISA lab 2015, "Choosing hyperparameters").
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from pydl import nn, ops
from pydl.autograd import no_grad
from pydl.errors import ArgumentError
from pydl.tensor import Tensor

__all__ = ["LayerCost", "broken_rules", "flops", "layer_costs", "suggest_filters"]

_CONVS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)
_TRANSPOSED = (nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)


@dataclass(frozen=True)
class LayerCost:
    """One call of a layer.

    Attributes:
        name, kind: where in the model, and of which class.
        shape: of the output for one example: (channels, *image) or (features,).
        multiply_adds: for one example.   parameters: of the layer.
    """

    name: str
    kind: str
    shape: tuple[int, ...]
    multiply_adds: int
    parameters: int

    @property
    def activations(self) -> int:
        """How many numbers the layer gives for one example."""
        return math.prod(self.shape)


def layer_costs(model: nn.Module, input_shape: Sequence[int]) -> list[LayerCost]:
    """The layers without parts of their own in the order of their calls, for an example of input_shape (c, h, w).

    Convolutions and linear layers have multiply-adds, borders of zeros included; biases, norms, activations and
    poolings count as 0.
    """
    found: list[LayerCost] = []
    leaves = [(name, part) for name, part in model.named_modules() if not list(part.children())]
    handles = [part.register_forward_hook(_counter(name, found)) for name, part in leaves]
    training = [part for part in model.modules() if part.training]
    try:
        model.eval()
        dtype = next((p.dtype for p in model.parameters()), None)
        with no_grad():
            model(ops.zeros((1, *input_shape), dtype=dtype))
    finally:
        for handle in handles:
            handle.remove()
        for part in training:
            part.training = True
    return found


def _counter(name: str, found: list[LayerCost]) -> Any:
    def count(layer: nn.Module, args: tuple[Tensor, ...], output: Any) -> None:
        if isinstance(output, Tensor):
            parameters = sum(p.numel() for p in layer.parameters())
            shape = tuple(output.shape[1:])
            found.append(
                LayerCost(name, type(layer).__name__, shape, _multiply_adds(layer, args[0], output), parameters)
            )

    return count


def _multiply_adds(layer: Any, x: Tensor, y: Tensor) -> int:
    """Of one call: the kernel's elements times the places that it is put to."""
    if isinstance(layer, _CONVS):
        return y.numel() * math.prod(layer.weight.shape[1:])
    if isinstance(layer, _TRANSPOSED):
        return x.numel() * math.prod(layer.weight.shape[1:])
    return y.numel() * layer.in_features if isinstance(layer, nn.Linear) else 0


def flops(model: nn.Module, input_shape: Sequence[int]) -> int:
    """Floating-point operations of a forward pass of one example of input_shape (c, h, w): two per multiply-add."""
    return 2 * sum(cost.multiply_adds for cost in layer_costs(model, input_shape))


def suggest_filters(first: int, positions: Sequence[int]) -> list[int]:
    """Numbers of filters that keep maps times positions what they are in the first layer.

    Args: first: filters of the first layer.   positions: of the pixels of each layer's maps.
    """
    if first < 1 or not positions or min(positions) < 1:
        raise ArgumentError(f"suggest_filters: expected positive numbers, got {first} and {list(positions)}")
    return [max(1, round(first * positions[0] / n)) for n in positions]


def broken_rules(costs: Sequence[LayerCost], tolerance: float = 0.5) -> list[str]:
    """The convolutions that break a rule of thumb, one line for each rule that one breaks.

    To spread the work evenly, maps times positions stays about constant: within a factor 1 +- tolerance of the layer
    before. To keep the information about the input, it never falls.
    """
    convolutions = [cost for cost in costs if cost.kind.startswith("Conv")]
    lines = []
    for before, after in zip(convolutions[:-1], convolutions[1:], strict=True):
        a, b = before.activations, after.activations
        if abs(b / a - 1) > tolerance:
            lines.append(f"{after.name}: {b} activations after {a}: the work is uneven")
        if b < a:
            lines.append(f"{after.name}: {b} activations after {a}: information is lost")
    return lines
