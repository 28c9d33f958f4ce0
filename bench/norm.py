"""Normalisations. `layernorm_4096x768` and `batchnorm_32x64x32x32` are in bench/pointwise.py."""

from collections.abc import Callable
from typing import Any

from bench.pointwise import Function, pair
from bench.workload import Workload, normals


def _norm(label: str, op: str, shape: tuple[int, ...], weights: int, function: Function) -> list[Workload]:
    """`weights`: how many the scale and the shift have each; 0: neither."""
    n = 1.0
    for size in shape:
        n *= size
    inputs = normals(shape, *[(weights,)] * (2 if weights else 0))
    return pair(label, op, inputs, function, None, (2 * n, 5 * n), family="norm")


def _batch(ns: Any) -> Callable[..., Any]:
    return lambda x, w, b: ns.nn.functional.batch_norm(x, None, None, w, b, True)


WORKLOADS = [
    *_norm("batch_32x256x8x8", "batch_norm", (32, 256, 8, 8), 256, _batch),
    *_norm("batch_4096x512", "batch_norm", (4096, 512), 512, _batch),
    *_norm(
        "layer_256x384",
        "layer_norm",
        (256, 384),
        384,
        lambda ns: lambda x, w, b: ns.nn.functional.layer_norm(x, (384,), w, b),
    ),
    *_norm(
        "group8_32x64x32x32",
        "group_norm",
        (32, 64, 32, 32),
        64,
        lambda ns: lambda x, w, b: ns.nn.functional.group_norm(x, 8, w, b),
    ),
    *_norm(
        "instance_32x64x32x32",
        "instance_norm",
        (32, 64, 32, 32),
        0,
        lambda ns: lambda x: ns.nn.functional.instance_norm(x),
    ),
    *_norm(
        "rms_4096x768",
        "rms_norm",
        (4096, 768),
        0,
        lambda ns: lambda x: ns.nn.functional.rms_norm(x, (768,)),
    ),
]
