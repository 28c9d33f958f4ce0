"""Arithmetic on three inputs that broadcast, in one pass, with its gradient rules."""

from pydl import _C
from pydl.autograd.op import Op
from pydl.ops.arithmetic import Operand, add, div, mul
from pydl.ops.compare import where
from pydl.ops.scalar import Number, expect_number, expect_tensor
from pydl.tensor import Tensor

__all__ = ["addcdiv", "addcmul", "lerp"]


class Lerp(Op):
    kernel = _C.lerp

    def vjp(g, a, b, weight):
        return lambda: g * (1.0 - weight), lambda: g * weight, lambda: g * (b - a)


class LerpByNumber(Op):
    """The same for one weight, which keeps neither end."""

    uses = ()

    def kernel(a, b, weight):
        return _C.lerp(a, b, _C.scalar(weight, a.dtype, a.device))

    def vjp(g, a, b, weight):
        return lambda: g * (1.0 - weight), lambda: g * weight


class AddCMul(Op):
    kernel = _C.addcmul
    uses = (1, 2)

    def vjp(g, x, a, b, value):
        scaled = g if value == 1 else g * value
        return g, lambda: scaled * b, lambda: scaled * a


class AddCDiv(Op):
    kernel = _C.addcdiv
    uses = (1, 2)

    def vjp(g, x, a, b, value):
        scaled = g if value == 1 else g * value
        return g, lambda: scaled / b, lambda: -scaled * a / (b * b)


def _alike(*tensors: Tensor) -> bool:
    """Whether the kernels take these: of one floating dtype."""
    first = tensors[0].array
    return first.is_floating and all(t.array.dtype is first.dtype for t in tensors)


def lerp(input: Tensor, end: Tensor, weight: Operand) -> Tensor:
    """input + weight * (end - input), broadcast; exactly end where weight is 1."""
    a, b = expect_tensor(input, "lerp"), expect_tensor(end, "lerp")
    if isinstance(weight, Tensor):
        if _alike(a, b, weight):
            return Lerp.apply(a, b, weight)
        return where(weight < 0.5, a + weight * (b - a), b - (1.0 - weight) * (b - a))
    weight = expect_number(weight, "lerp", "weight")
    if _alike(a, b):
        return LerpByNumber.apply(a, b, weight=weight)
    return a + weight * (b - a) if weight < 0.5 else b - (1.0 - weight) * (b - a)


def addcmul(input: Tensor, tensor1: Tensor, tensor2: Tensor, *, value: Number = 1) -> Tensor:
    """input + value * tensor1 * tensor2, broadcast."""
    x, a, b = (expect_tensor(t, "addcmul") for t in (input, tensor1, tensor2))
    if _alike(x, a, b):
        return AddCMul.apply(x, a, b, value=expect_number(value, "addcmul", "value"))
    return add(x, mul(a, b), alpha=value)


def addcdiv(input: Tensor, tensor1: Tensor, tensor2: Tensor, *, value: Number = 1) -> Tensor:
    """input + value * tensor1 / tensor2, broadcast."""
    x, a, b = (expect_tensor(t, "addcdiv") for t in (input, tensor1, tensor2))
    if _alike(x, a, b):
        return AddCDiv.apply(x, a, b, value=expect_number(value, "addcdiv", "value"))
    return add(x, div(a, b), alpha=value)
