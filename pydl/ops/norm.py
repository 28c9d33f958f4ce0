"""Normalisation, fused: statistics, the affine step and all gradients of one layer are one launch each way.

The gradients of a gradient are those of the plain definitions below the rules.
"""

from functools import partial
from math import prod

from pydl import _C
from pydl.autograd.mode import mode
from pydl.autograd.op import Op
from pydl.ops.elementary import rsqrt
from pydl.ops.reduce import mean as mean_over
from pydl.ops.reduce import sum as sum_over
from pydl.ops.shape import reshape
from pydl.tensor import Tensor

__all__: list[str] = []


def _wide(x):
    """16-bit floats are normalised in float32."""
    return x.to(_C.float32) if x.dtype in (_C.bfloat16, _C.float16) else x


def _normalised(v, dims, eps, centred):
    d = v - mean_over(v, dims, keepdim=True) if centred else v
    return d * rsqrt(mean_over(d * d, dims, keepdim=True) + eps)


def _with_weights(y, weight, bias, shape):
    if weight is not None:
        y = y * reshape(_wide(weight), shape)
    return y if bias is None else y + reshape(_wide(bias), shape)


def _row_norm_plain(x, weight, bias, rows, groups, inner, eps, centred):
    y = _normalised(reshape(_wide(x), (rows, -1)), 1, eps, centred)
    y = reshape(y, (rows // groups, -1, inner))
    return reshape(_with_weights(y, weight, bias, (-1, 1)), x.shape).to(x.dtype)


def _batch_norm_plain(x, weight, bias, eps, **_):
    dims = (0, *range(2, x.ndim))
    y = _normalised(_wide(x), dims, eps, True)
    return _with_weights(y, weight, bias, (-1, *(1,) * (x.ndim - 2))).to(x.dtype)


def _gradients(kernel, g, x, weight, bias, mean, rstd):
    """Those of x, weight and bias, by one kernel; outside the graph."""
    gx, sums = kernel(g.array, x.array, None if weight is None else weight.array, mean.array, rstd.array)
    both = None if weight is None and bias is None else Tensor(sums)
    of = lambda i, p: None if p is None else reshape(both.select(0, i), p.shape).to(p.dtype)  # noqa: E731
    return Tensor(gx), of(0, weight), of(1, bias)


class RowNorm(Op):
    """Rows of a flat view, each by its own mean and variance; see csrc/runtime/table/norm.h."""

    reference = _row_norm_plain
    uses = (0, 1)

    def kernel(x, weight, bias, rows, groups, inner, eps, centred):
        return _C.row_norm(x, weight, bias, rows, groups, inner, eps, centred)

    def vjp(g, x, weight, bias, mean, rstd, rows, groups, inner, eps, centred):
        if mode.enabled:
            return None
        options = {"rows": rows, "groups": groups, "inner": inner, "centred": centred}
        sums = weight is not None or bias is not None
        return _gradients(partial(_C.row_norm_grad, **options, sums=sums), g, x, weight, bias, mean, rstd)


class BatchNorm(Op):
    """Channels, each by its mean and variance over the batch; moves the running statistics."""

    reference = _batch_norm_plain
    uses = (0, 1)

    def kernel(x, weight, bias, running_mean, running_var, momentum, eps):
        return _C.batch_norm(x, weight, bias, running_mean, running_var, momentum, eps)

    def vjp(g, x, weight, bias, mean, rstd, **_):
        if mode.enabled:
            return None
        return _gradients(_C.batch_norm_grad, g, x, weight, bias, mean, rstd)


class ChannelAffine(Op):
    """x (n, channels, ...) times a scale and plus a shift for each channel."""

    uses = (0, 1)

    def kernel(x, scale, shift):
        return _C.channel_affine(x, scale, shift)

    def vjp(g, x, scale, shift):
        dims = (0, *range(2, x.ndim))
        gx = lambda: ChannelAffine.apply(g, scale, scale * 0)  # noqa: E731
        return gx, lambda: sum_over(_wide(g * x), dims).to(scale.dtype), lambda: sum_over(g, dims).to(scale.dtype)


def row_norm(
    x: Tensor, weight: Tensor | None, bias: Tensor | None, rows: int, groups: int, inner: int, eps: float, centred: bool
) -> Tensor:
    """x as rows, each normalised; `groups` rows share a set of weights, `inner` elements of a row share a weight."""
    return RowNorm.apply(x, weight, bias, rows=rows, groups=groups, inner=inner, eps=eps, centred=centred)


def rows_before(x: Tensor, axes: int) -> int:
    """How many rows x has if its last axes are one."""
    return prod(x.shape[: x.ndim - axes])
