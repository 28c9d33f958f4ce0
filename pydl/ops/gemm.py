"""Matrix products. All of them end in the gemm kernel; their gradients are matrix products again."""

import math
from collections.abc import Callable
from functools import partial

from pydl import _C
from pydl.autograd.mode import mode
from pydl.autograd.op import REFUSALS, Op, recovered
from pydl.errors import ArgumentError, DtypeError, ShapeError
from pydl.ops.activation import ReluGrad, SigmoidGrad, gelu, silu
from pydl.ops.elementary import TanhGrad
from pydl.ops.precision import lowered
from pydl.ops.shape import broadcast_shape, reshape, transpose, unsqueeze
from pydl.tensor import Tensor

__all__ = [
    "addmm",
    "baddbmm",
    "bmm",
    "dot",
    "inner",
    "linear",
    "matmul",
    "mm",
    "mv",
    "outer",
]


class MatMul(Op):
    """(..., m, k) by (..., k, n)."""

    kernel = _C.matmul

    def vjp(g, a, b):
        def left():
            return matmul(g, transpose(b, -1, -2))

        def right():
            if b.ndim == 2 and a.ndim > 2:  # one product over all rows instead of a sum over the batch
                return matmul(transpose(_rows(a), 0, 1), _rows(g))
            return matmul(transpose(a, -1, -2), g)

        return left, right


class Linear(Op):
    """x w^T + b + residual, with the activation applied before the result is stored."""

    kernel = _C.linear

    @classmethod
    def apply(  # type: ignore[override]
        cls, x: Tensor, weight: Tensor, bias: Tensor | None, residual: Tensor | None, activation: str
    ) -> Tensor:
        """The same without loops: the call that small models make most."""
        if mode.cast is not None:
            (x, weight), (bias, residual) = lowered(x, weight), lowered(bias, residual)
        try:
            y = cls.kernel(
                x.array,
                weight.array,
                None if bias is None else bias.array,
                None if residual is None else residual.array,
                activation,
            )
        except REFUSALS as error:
            return recovered(error, cls, (x, weight, bias, residual), {"activation": activation})
        if mode.enabled and (
            x.requires_grad
            or weight.requires_grad
            or (bias is not None and bias.requires_grad)
            or (residual is not None and residual.requires_grad)
        ):
            return cls.record(y, (x, weight, bias, residual), (), {"activation": activation})
        return Tensor(y)

    def vjp(g, x, weight, bias, residual, activation):
        return (
            lambda: matmul(g, weight),
            lambda: matmul(transpose(_rows(g), 0, 1), _rows(x)),
            None if bias is None else lambda: g.sum(list(range(g.ndim - 1))) if g.ndim > 1 else g,
            None if residual is None else g,
        )


class LinearActivation(Linear):
    saves_output = True

    def vjp(g, x, weight, bias, residual, y, activation):
        g = _SLOPES[activation].apply(g, y)
        return Linear.vjp(g, x, weight, bias, residual, activation)


# Those whose slope follows from the output, and those that need what went in.
_SLOPES = {"relu": ReluGrad, "tanh": TanhGrad, "sigmoid": SigmoidGrad}
_CURVES: dict[str, Callable[[Tensor], Tensor]] = {
    "gelu": gelu,
    "gelu_tanh": partial(gelu, approximate="tanh"),
    "silu": silu,
}


class AddMM(Op):
    """beta * input + alpha * a b, in one pass; op is the name for errors."""

    kernel = _C.addmm
    uses = (1, 2)

    def vjp(g, input, a, b, beta, alpha, op):
        scaled = g if alpha == 1 else g * alpha
        return (
            lambda: g if beta == 1 else g * beta,
            lambda: matmul(scaled, transpose(b, -1, -2)),
            lambda: matmul(transpose(a, -1, -2), scaled),
        )


def _rows(x: Tensor) -> Tensor:
    return x if x.ndim == 2 else reshape(x, [math.prod(x.shape[:-1]), x.shape[-1]])


def matmul(input: Tensor, other: Tensor) -> Tensor:
    """(..., m, k) by (..., k, n) to (..., m, n), with the leading axes broadcast.

    A vector is a row on the left and a column on the right; that axis is left out of the result.
    Cost: 2 m n k flop. Raises: ShapeError, DtypeError.
    """
    for x in (input, other):
        if not isinstance(x, Tensor):
            raise DtypeError(f"matmul: expected tensors, got {type(x).__name__}")
    if mode.cast is not None:
        input, other = lowered(input, other)
    if not input.requires_grad and not other.requires_grad:
        try:
            return Tensor(_C.matmul(input.array, other.array))
        except TypeError:
            if isinstance(input.array, _C.Array) and isinstance(other.array, _C.Array):
                raise
    if input.ndim == 0 or other.ndim == 0 or input.shape[-1] != other.shape[max(other.ndim - 2, 0)]:
        _C.matmul(input.array, other.array)  # raises, naming the shapes as they were given
    a = unsqueeze(input, 0) if input.ndim == 1 else input
    b = unsqueeze(other, 1) if other.ndim == 1 else other
    y = MatMul.apply(a, b)
    if input.ndim == 1:
        y = reshape(y, [*y.shape[:-2], y.shape[-1]])
    return reshape(y, y.shape[:-1]) if other.ndim == 1 else y


def linear(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    activation: str | None = None,
    residual: Tensor | None = None,
) -> Tensor:
    """activation(input weight^T + bias + residual), in one pass.

    Args:
        input: (..., in).   weight: (out, in).   bias: (out,).   residual: (..., out).
        activation: None, 'relu', 'tanh', 'sigmoid', 'gelu', 'gelu_tanh' or 'silu'. The gradient of the last three needs
            what goes in, so they are a pass of their own while gradients are recorded.
    Returns: (..., out). Raises: ShapeError, DtypeError, ArgumentError.
    """
    if activation is None or activation == "none":
        return Linear.apply(input, weight, bias, residual, activation="none")
    if activation in _SLOPES:
        return LinearActivation.apply(input, weight, bias, residual, activation=activation)
    if activation not in _CURVES:
        known = "None, 'relu', 'tanh', 'sigmoid', 'gelu', 'gelu_tanh' or 'silu'"
        raise ArgumentError(f"linear: activation must be {known}, got {activation!r}")
    if mode.enabled and any(x is not None and x.requires_grad for x in (input, weight, bias, residual)):
        return _CURVES[activation](Linear.apply(input, weight, bias, residual, activation="none"))
    return Linear.apply(input, weight, bias, residual, activation=activation)


def _ranks(op: str, *pairs: tuple[Tensor, int]) -> None:
    for x, ndim in pairs:
        if x.ndim != ndim:
            raise ShapeError(f"{op}: expected {ndim} axes, got shape {x.shape}")


def _batches(op: str, a: Tensor, b: Tensor) -> None:
    _ranks(op, (a, 3), (b, 3))
    if a.shape[0] != b.shape[0]:
        raise ShapeError(f"{op}: batch of {a.shape} does not match {b.shape}: expected equal first sizes")


def mm(input: Tensor, mat2: Tensor) -> Tensor:
    """(m, k) by (k, n)."""
    _ranks("mm", (input, 2), (mat2, 2))
    return matmul(input, mat2)


def bmm(input: Tensor, mat2: Tensor) -> Tensor:
    """(b, m, k) by (b, k, n)."""
    _batches("bmm", input, mat2)
    return matmul(input, mat2)


def mv(input: Tensor, vec: Tensor) -> Tensor:
    """(m, k) by (k,)."""
    _ranks("mv", (input, 2), (vec, 1))
    return matmul(input, vec)


def dot(input: Tensor, tensor: Tensor) -> Tensor:
    """The inner product of two vectors."""
    _ranks("dot", (input, 1), (tensor, 1))
    return matmul(input, tensor)


def outer(input: Tensor, vec2: Tensor) -> Tensor:
    """(m,) and (n,) to (m, n)."""
    _ranks("outer", (input, 1), (vec2, 1))
    return unsqueeze(input, 1) * unsqueeze(vec2, 0)


def added(op: str, input: Tensor, product: Tensor, beta: float, alpha: float) -> Tensor:
    """beta * input + alpha * product, in the shape of the product; with beta 0 input is not read."""
    if broadcast_shape(op, input.shape, product.shape) != product.shape:
        raise ShapeError(f"{op}: input {input.shape} does not broadcast to the product {product.shape}")
    y = product if alpha == 1 else product * alpha
    return y if beta == 0 else y + (input if beta == 1 else input * beta)


def addmm(input: Tensor, mat1: Tensor, mat2: Tensor, *, beta: float = 1, alpha: float = 1) -> Tensor:
    """beta * input + alpha * mat1 mat2, in one pass; input is broadcast to (m, n), and not read where beta is 0.

    Args:
        mat1: (m, k).   mat2: (k, n).   beta, alpha: whole numbers for integer dtypes.
    Raises: ShapeError, DtypeError, ArgumentError.
    """
    _ranks("addmm", (mat1, 2), (mat2, 2))
    if mode.cast is not None:
        input, mat1, mat2 = lowered(input, mat1, mat2)
    return AddMM.apply(input, mat1, mat2, beta=beta, alpha=alpha, op="addmm")


def baddbmm(input: Tensor, batch1: Tensor, batch2: Tensor, *, beta: float = 1, alpha: float = 1) -> Tensor:
    """beta * input + alpha * batch1 batch2, in one pass, for batches of matrices; see addmm.

    Args:
        batch1: (b, m, k).   batch2: (b, k, n).   input: broadcast to (b, m, n).
    """
    _batches("baddbmm", batch1, batch2)
    if mode.cast is not None:
        input, batch1, batch2 = lowered(input, batch1, batch2)
    return AddMM.apply(input, batch1, batch2, beta=beta, alpha=alpha, op="baddbmm")


def inner(input: Tensor, other: Tensor) -> Tensor:
    """The sums of products over the last axes: (..., k) and (..., k) to (..., ...)."""
    if input.ndim == 0 or other.ndim == 0:
        return input * other
    if input.shape[-1] != other.shape[-1]:
        raise ShapeError(f"inner: {input.shape} does not match {other.shape}: expected equal last sizes")
    y = matmul(_rows(input), transpose(_rows(other), 0, 1))
    return reshape(y, [*input.shape[:-1], *other.shape[:-1]])
