"""Pointwise chains, reductions, norms, losses and look-ups: bound by memory.

`fwd` is the forward pass without gradients; `train` adds the gradients of all floating-point inputs.
"""

from collections.abc import Callable
from typing import Any

import numpy as np

from bench.workload import (
    Array,
    Inputs,
    Maker,
    Workload,
    jax_function,
    normals,
    numpy_function,
    onnx_node,
    torch_function,
)

Function = Callable[[Any], Callable[..., Any]]


def pair(
    label: str,
    op: str,
    inputs: Inputs,
    torch: Function,
    jax: Function | None,
    moved: tuple[float, ...],  # floats that fwd and train must read and write; without the second: no train
    numpy: Callable[..., Callable[..., Any]] | None = None,
    onnx: Maker | None = None,
    reads: bool = False,
    family: str = "pointwise",
) -> list[Workload]:
    """The workloads of a function without and with gradients."""
    made = []
    for train, floats in enumerate(moved):
        maker = torch_function(torch, inputs, bool(train))
        makers = {"torch": maker, "compile": maker}
        if jax:
            makers["jax"] = jax_function(jax, inputs, bool(train))
        if numpy and not train:
            makers["numpy"] = numpy_function(numpy, inputs)
        if onnx and not train:
            makers["onnx"] = onnx
        name = f"{family}/{label}/{'train' if train else 'fwd'}"
        traffic = "read" if reads and not train else "copy"
        made.append(Workload(name=name, op=op, makers=makers, moved=4.0 * floats, traffic=traffic))
    return made


def _jax_norm(axes: tuple[int, ...], shape: tuple[int, ...]) -> Function:
    def normalise(jax: Any) -> Callable[..., Any]:
        def f(x: Any, w: Any, b: Any) -> Any:
            centred = x - x.mean(axes, keepdims=True)
            variance = (centred * centred).mean(axes, keepdims=True)
            return centred * jax.lax.rsqrt(variance + 1e-5) * w.reshape(shape) + b.reshape(shape)

        return f

    return normalise


def _jax_cross_entropy(jax: Any) -> Callable[..., Any]:
    def f(x: Any, labels: Any) -> Any:
        return -jax.numpy.take_along_axis(jax.nn.log_softmax(x, -1), labels[:, None], -1).mean()

    return f


def _jax_max_pool(jax: Any) -> Callable[..., Any]:
    window = (1, 1, 2, 2)
    return lambda x: jax.lax.reduce_window(x, -jax.numpy.inf, jax.lax.max, window, window, "VALID")


def _with_indices(shape: tuple[int, ...], count: int, below: int) -> Inputs:
    """A float array of this shape, and `count` random indices."""

    def make(rng: np.random.Generator) -> list[Array]:
        return [rng.standard_normal(shape, dtype=np.float32), rng.integers(0, below, count)]

    return make


_TEN = 10**7
_EIGHT = 8 * 10**6
_ONE_8M = normals((_EIGHT,))
_TWO_10M = normals((_TEN,), (_TEN,))
_FOUR_10M = normals(*[(_TEN,)] * 4)
_ROWS = normals((4096, 1024))
_LN, _BN, _SM, _CE, _MP = 4096 * 768, 32 * 64 * 32 * 32, 4096 * 1024, 4096 * 32000, 64 * 32 * 64 * 64
_TABLE, _ROWS_READ = 32000 * 512, 4096 * 512

_ROW, _COLUMN, _SQUARE = (1024,), (4096, 1), (2048, 2048)
_THREE_8M = normals(*[(_EIGHT,)] * 3)

# Shapes that broadcast, operands that lie otherwise than their result, and formulas of three operands.
LAYOUTS = [
    *pair(
        "add_row_4096x1024",
        "add",
        normals((4096, 1024), _ROW),
        lambda ns: ns.add,
        lambda jax: jax.numpy.add,
        (2 * _SM, 3 * _SM),
        numpy=lambda np, *_: np.add,
    ),
    *pair(
        "mul_column_4096x1024",
        "mul",
        normals((4096, 1024), _COLUMN),
        lambda ns: ns.mul,
        lambda jax: jax.numpy.multiply,
        (2 * _SM, 4 * _SM),
        numpy=lambda np, *_: np.multiply,
    ),
    *pair(
        "add_outer_4096x1024",
        "add",
        normals(_COLUMN, _ROW),
        lambda ns: ns.add,
        lambda jax: jax.numpy.add,
        (_SM,),
        numpy=lambda np, *_: np.add,
    ),
    *pair(
        "add_transposed_2048",
        "add",
        normals(_SQUARE, _SQUARE),
        lambda ns: lambda a, b: a + b.T,
        lambda jax: lambda a, b: a + b.T,
        (3 * 2048**2,),
        numpy=lambda np, *_: lambda a, b: a + b.T,
    ),
    *pair(
        "relu_every_second_4096x1024",
        "relu",
        _ROWS,
        lambda ns: lambda x: ns.relu(x[:, ::2]),
        lambda jax: lambda x: jax.nn.relu(x[:, ::2]),
        (1.5 * _SM,),
        numpy=lambda np, _: lambda x: np.maximum(x[:, ::2], 0),
    ),
    *pair(
        "lerp_8M",
        "lerp",
        _THREE_8M,
        lambda ns: ns.lerp,
        lambda jax: lambda a, b, w: a + w * (b - a),
        (4 * _EIGHT,),
        numpy=lambda np, *_: lambda a, b, w: a + w * (b - a),
    ),
    *pair(
        "addcmul_8M",
        "addcmul",
        _THREE_8M,
        lambda ns: ns.addcmul,
        lambda jax: lambda a, b, c: a + b * c,
        (4 * _EIGHT,),
        numpy=lambda np, *_: lambda a, b, c: a + b * c,
    ),
]

WORKLOADS = [
    *LAYOUTS,
    *pair(
        "layernorm_4096x768",
        "layer_norm",
        normals((4096, 768), (768,), (768,)),
        lambda ns: lambda x, w, b: ns.nn.functional.layer_norm(x, (768,), w, b),
        _jax_norm((-1,), (1, 768)),
        (2 * _LN, 5 * _LN),
    ),
    *pair(
        "batchnorm_32x64x32x32",
        "batch_norm",
        normals((32, 64, 32, 32), (64,), (64,)),
        lambda ns: lambda x, w, b: ns.nn.functional.batch_norm(x, None, None, w, b, True),
        _jax_norm((0, 2, 3), (1, 64, 1, 1)),
        (2 * _BN, 5 * _BN),
    ),
    *pair(
        "softmax_4096x1024",
        "softmax",
        _ROWS,
        lambda ns: lambda x: ns.softmax(x, -1),
        lambda jax: lambda x: jax.nn.softmax(x, -1),
        (2 * _SM, 5 * _SM),
        onnx=onnx_node("Softmax", _ROWS, axis=-1),
    ),
    *pair(
        "gelu_8M",
        "gelu",
        _ONE_8M,
        lambda ns: ns.nn.functional.gelu,
        lambda jax: lambda x: jax.nn.gelu(x, approximate=False),
        (2 * _EIGHT, 5 * _EIGHT),
        onnx=onnx_node("Gelu", _ONE_8M),
    ),
    *pair(
        "relu_8M",
        "relu",
        _ONE_8M,
        lambda ns: ns.relu,
        lambda jax: jax.nn.relu,
        (2 * _EIGHT, 5 * _EIGHT),
        numpy=lambda np, _: lambda x: np.maximum(x, 0),
        onnx=onnx_node("Relu", _ONE_8M),
    ),
    *pair(
        "cross_entropy_4096x32000",
        "cross_entropy",
        _with_indices((4096, 32000), 4096, 32000),
        lambda ns: ns.nn.functional.cross_entropy,
        _jax_cross_entropy,
        (_CE, 3 * _CE),
        reads=True,
    ),
    *pair(
        "maxpool2_64x32x64x64",
        "max_pool2d",
        normals((64, 32, 64, 64)),
        lambda ns: lambda x: ns.nn.functional.max_pool2d(x, 2),
        _jax_max_pool,
        (1.25 * _MP, 2.5 * _MP),
    ),
    *pair(
        "chain_tanh_10M",
        "tanh",
        _FOUR_10M,
        lambda ns: lambda a, b, c, d: ns.tanh(a * b + c) * d,
        lambda jax: lambda a, b, c, d: jax.numpy.tanh(a * b + c) * d,
        (5 * _TEN, 14 * _TEN),
        numpy=lambda np, *_: lambda a, b, c, d: np.tanh(a * b + c) * d,
    ),
    *pair(
        "add_10M",
        "add",
        _TWO_10M,
        lambda ns: ns.add,
        lambda jax: jax.numpy.add,
        (3 * _TEN,),
        numpy=lambda np, *_: np.add,
        onnx=onnx_node("Add", _TWO_10M),
    ),
    *pair(
        "sum_10M",
        "sum",
        normals((_TEN,)),
        lambda ns: ns.sum,
        lambda jax: jax.numpy.sum,
        (_TEN, _TEN),  # the gradient of a sum is a broadcast view
        numpy=lambda np, _: np.sum,
        reads=True,
    ),
    *pair(
        "embedding_32000x512_4096",
        "embedding",
        _with_indices((32000, 512), 4096, 32000),
        lambda ns: lambda w, ids: ns.nn.functional.embedding(ids, w),
        lambda jax: lambda w, ids: w[ids],
        (2 * _ROWS_READ, 4 * _ROWS_READ + _TABLE),
        numpy=lambda np, *_: lambda w, ids: w[ids],
    ),
]
