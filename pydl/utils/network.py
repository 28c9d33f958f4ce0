"""What a network of convolutions sees and costs: receptive fields, multiply-adds, two rules of thumb for filters, and
how far a model is from moving its output along with its input."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from pydl import ops
from pydl.autograd.mode import no_grad
from pydl.errors import ArgumentError
from pydl.nn.module import Module
from pydl.tensor import Tensor

__all__ = ["Cost", "LayerCost", "equivariance_error", "flops", "receptive_field", "suggest_filters"]


def _leaves(model: Module) -> list[Module]:
    return [m for m in model.modules() if not any(True for _ in m.children())]


def _each(value: Any, axes: int) -> tuple[int, ...]:
    return (value,) * axes if isinstance(value, int) else tuple(value)


def receptive_field(model: Module) -> tuple[int, ...]:
    """How many elements of the input one output sees, along each spatial axis.

    Every layer with a `kernel_size` counts, in the order of definition: r grows by (kernel - 1) dilation j, where j,
    the distance of neighbouring outputs in the input, is multiplied by each stride. Layers without one see one element.
    Raises: ArgumentError where layers have different numbers of axes.
    Source: Araujo, Norris & Sim 2019, Computing Receptive Fields of Convolutional Neural Networks.
    """
    windows = [m for m in _leaves(model) if hasattr(m, "kernel_size")]
    axes = {len(k) for k in (m.kernel_size for m in windows) if not isinstance(k, int)} or {2}
    if len(axes) > 1:
        raise ArgumentError(f"receptive_field: layers of {sorted(axes)} axes: expected one number of axes")
    n = axes.pop()
    field, jump = [1] * n, [1] * n
    for m in windows:
        kernel = _each(m.kernel_size, n)
        stride, dilation = (_each(getattr(m, name, None) or 1, n) for name in ("stride", "dilation"))
        field = [r + (k - 1) * d * j for r, k, d, j in zip(field, kernel, dilation, jump, strict=True)]
        jump = [j * s for j, s in zip(jump, stride, strict=True)]
    return tuple(field)


@dataclass(frozen=True)
class LayerCost:
    """One layer: what it takes and gives (without the batch), and its multiply-adds for one sample."""

    name: str
    input: tuple[int, ...]
    output: tuple[int, ...]
    multiply_adds: int
    remarks: tuple[str, ...]


@dataclass(frozen=True)
class Cost:
    """The layers that multiply, in the order in which they ran."""

    layers: tuple[LayerCost, ...]

    @property
    def multiply_adds(self) -> int:
        """Of all layers, for one sample."""
        return sum(layer.multiply_adds for layer in self.layers)

    def __str__(self) -> str:
        rows = [
            f"{c.name:24} {c.input!s:>18} -> {c.output!s:18} {c.multiply_adds:>14,}  {'; '.join(c.remarks)}".rstrip()
            for c in self.layers
        ]
        return "\n".join([*rows, f"{'total':24} {'':40} {self.multiply_adds:>14,}"])


def _multiply_adds(module: Any, input: Tensor, output: Tensor) -> int:
    """Of one sample: each output element sums over what it is connected to; a transposed layer spreads each input."""
    elements = input if getattr(module, "transposed", False) else output
    weight: Tensor = module.weight
    return math.prod(elements.shape[1:]) * math.prod(weight.shape[1:])


def _remarks(before: tuple[int, ...], after: tuple[int, ...]) -> tuple[str, ...]:
    """Where a convolution breaks one of two rules of thumb: features times pixels stay constant, and the activations
    do not grow fewer from layer to layer before the last ones."""
    if len(before) < 2 or len(after) < 2:
        return ()
    have, made = math.prod(before), math.prod(after)
    found = [] if made >= have else [f"activations shrink from {have} to {made}"]
    wanted = suggest_filters(before[0], before[1:], after[1:])
    return (*found, *([] if after[0] == wanted else [f"{wanted} filters would keep features x pixels"]))


def flops(model: Module, input_shape: Sequence[int]) -> Cost:
    """The multiply-adds of a forward pass on one sample, layer by layer (two flop each).

    Args: input_shape: of one sample, without the batch.
    A convolution costs output elements times (in channels / groups) times kernel elements, a linear layer inputs times
    outputs; a transposed convolution costs what its adjoint does. Everything else is not counted.
    """
    found: list[LayerCost] = []
    handles = []

    def count(name: str) -> Callable[..., None]:
        def hook(module: Module, args: Any, out: Tensor) -> None:
            x, after = args[0], out.shape[1:]
            macs = _multiply_adds(module, x, out)
            found.append(LayerCost(name, x.shape[1:], after, macs, _remarks(x.shape[1:], after)))

        return hook

    for name, module in model.named_modules():
        weight = getattr(module, "weight", None)
        if isinstance(weight, Tensor) and (hasattr(module, "kernel_size") or hasattr(module, "in_features")):
            handles.append(module.register_forward_hook(count(name)))
    training = model.training
    try:
        with no_grad():
            model.eval()(ops.zeros(1, *input_shape))
    finally:
        model.train(training)
        for handle in handles:
            handle.remove()
    return Cost(tuple(found))


def suggest_filters(filters: int, size: Sequence[int], new_size: Sequence[int]) -> int:
    """How many filters keep features times pixels constant when an image of `size` becomes one of `new_size`."""
    if filters < 1 or any(s < 1 for s in (*size, *new_size)):
        raise ArgumentError(
            f"suggest_filters: {filters} filters from {tuple(size)} to {tuple(new_size)}: expected all > 0"
        )
    return max(1, round(filters * math.prod(size) / math.prod(new_size)))


def equivariance_error(
    model: Callable[[Tensor], Tensor],
    input: Tensor,
    moves: Sequence[Callable[[Tensor], Tensor]],
    moves_of_output: Sequence[Callable[[Tensor], Tensor]] | None = None,
) -> float:
    """The largest |model(move(x)) - move(model(x))|, over the moves of a group.

    Args: moves: functions of an input; moves_of_output: what each becomes on the output, where that is another.
    """
    with no_grad():
        plain = model(input)
        pairs = zip(moves, moves if moves_of_output is None else moves_of_output, strict=True)
        return max(float((model(move(input)) - back(plain)).abs().max()) for move, back in pairs)
