"""Pooling over windows. `maxpool2_64x32x64x64` is in bench/pointwise.py."""

from typing import Any

from bench.pointwise import Function, pair
from bench.workload import Workload, normals


def _pool(label: str, op: str, shape: tuple[int, ...], share: float, function: Function) -> list[Workload]:
    """`share`: outputs for each input."""
    n = 1.0
    for size in shape:
        n *= size
    return pair(label, op, normals(shape), function, None, ((1 + share) * n, 2 * (1 + share) * n), family="pool")


def _window(name: str, *arguments: Any) -> Function:
    return lambda ns: lambda x: getattr(ns.nn.functional, name)(x, *arguments)


WORKLOADS = [
    *_pool("max2_lenet_64x4x28x28", "max_pool2d", (64, 4, 28, 28), 0.25, _window("max_pool2d", 2)),
    *_pool("max3s2_16x64x112x112", "max_pool2d", (16, 64, 112, 112), 0.25, _window("max_pool2d", 3, 2, 1)),
    *_pool("avg2_64x32x64x64", "avg_pool2d", (64, 32, 64, 64), 0.25, _window("avg_pool2d", 2)),
    *_pool("avg3s1_64x32x32x32", "avg_pool2d", (64, 32, 32, 32), 1.0, _window("avg_pool2d", 3, 1, 1)),
    *_pool("global_32x512x7x7", "adaptive_avg_pool2d", (32, 512, 7, 7), 1 / 49, _window("adaptive_avg_pool2d", 1)),
]
