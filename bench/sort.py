"""Sorting, selection, look-up and counting: long and short rows, float32 where nothing else is said.

The bytes are those of reading the input and writing the result once; a sort moves its words several times over.
"""

from collections.abc import Callable
from typing import Any

import numpy as np

from bench.workload import Array, Inputs, Maker, Workload, jax_function, normals, numpy_function, torch_function

Function = Callable[[Any], Callable[..., Any]]


def _one(
    label: str,
    op: str,
    inputs: Inputs,
    torch: Function,
    moved: float,
    jax: Function | None = None,
    numpy: Callable[..., Callable[..., Any]] | None = None,
    train: bool = False,
) -> list[Workload]:
    """fwd, and train where the result is differentiable."""
    made = []
    for grad in (False, True)[: 1 + train]:
        makers: dict[str, Maker] = {"torch": torch_function(torch, inputs, grad)}
        if jax and not grad:
            makers["jax"] = jax_function(jax, inputs, False)
        if numpy and not grad:
            makers["numpy"] = numpy_function(numpy, inputs)
        made.append(Workload(name=f"sort/{label}/{'train' if grad else 'fwd'}", op=op, makers=makers, moved=moved))
    return made


def _whole(shape: tuple[int, ...], below: int, dtype: Any = np.int64) -> Inputs:
    """Random integers."""
    return lambda rng: [rng.integers(0, below, shape).astype(dtype)]


def _doubles(shape: tuple[int, ...]) -> Inputs:
    return lambda rng: [rng.standard_normal(shape)]


def _edges(m: int, k: int) -> Inputs:
    """A sorted vector and values to look up in it."""

    def make(rng: np.random.Generator) -> list[Array]:
        return [np.sort(rng.standard_normal(m, dtype=np.float32)), rng.standard_normal(k, dtype=np.float32)]

    return make


def _sort(label: str, inputs: Inputs, moved: float, dim: int = -1, train: bool = False) -> list[Workload]:
    return _one(
        f"sort_{label}",
        "sort",
        inputs,
        lambda ns: lambda x: ns.sort(x, dim)[0],
        moved,
        lambda jax: lambda x: jax.numpy.sort(x, dim),
        lambda np, _: lambda x: np.sort(x, dim),
        train,
    )


def _topk(label: str, shape: tuple[int, ...], k: int, train: bool = False) -> list[Workload]:
    count = float(np.prod(shape))
    return _one(
        f"topk{k}_{label}",
        "topk",
        normals(shape),
        lambda ns: lambda x: ns.topk(x, k)[0],
        4 * count + 12 * count / shape[-1] * k,
        lambda jax: lambda x: jax.lax.top_k(x, k)[0],
        train=train,
    )


def _median(label: str, shape: tuple[int, ...]) -> list[Workload]:
    return _one(
        f"median_{label}", "median", normals(shape), lambda ns: lambda x: ns.median(x, -1)[0], 4.0 * np.prod(shape)
    )


WORKLOADS = [
    *_sort("10M", normals((10**7,)), 16e7),
    *_sort("1M", normals((10**6,)), 16e6, train=True),
    *_sort("1M_int64", _whole((10**6,), 10**6), 24e6),
    *_sort("1M_float64", _doubles((10**6,)), 24e6),
    *_sort("100x10000", normals((100, 10000)), 16e6),
    *_sort("1000x1000", normals((1000, 1000)), 16e6),
    *_sort("1000x1000_dim0", normals((1000, 1000)), 16e6, dim=0),
    *_sort("4096x64", normals((4096, 64)), 16 * 4096 * 64),
    *_sort("100000x16", normals((100000, 16)), 16 * 1.6e6),
    *_one(
        "argsort_1M",
        "argsort",
        normals((10**6,)),
        lambda ns: lambda x: ns.argsort(x, stable=True),
        12e6,
        numpy=lambda np, _: lambda x: np.argsort(x, kind="stable"),
    ),
    *_topk("10M", (10**7,), 10),
    *_topk("1000x1000", (1000, 1000), 10, train=True),
    *_topk("64x32000", (64, 32000), 50),
    *_topk("1000x1000", (1000, 1000), 250),
    *_median("10M", (10**7,)),
    *_median("1000x1000", (1000, 1000)),
    *_one(
        "unique_1M_of_1000", "unique", _whole((10**6,), 1000), lambda ns: ns.unique, 8e6, numpy=lambda np, _: np.unique
    ),
    *_one("unique_1M", "unique", normals((10**6,)), lambda ns: ns.unique, 8e6, numpy=lambda np, _: np.unique),
    *_one(
        "searchsorted_1M_in_1000",
        "searchsorted",
        _edges(1000, 10**6),
        lambda ns: ns.searchsorted,
        12e6,
        lambda jax: jax.numpy.searchsorted,
        lambda np, *_: np.searchsorted,
    ),
    *_one(
        "searchsorted_1M_in_1M",
        "searchsorted",
        _edges(10**6, 10**6),
        lambda ns: ns.searchsorted,
        16e6,
        numpy=lambda np, *_: np.searchsorted,
    ),
    *_one(
        "bincount_10M_in_256",
        "bincount",
        _whole((10**7,), 256),
        lambda ns: ns.bincount,
        8e7,
        numpy=lambda np, _: np.bincount,
    ),
    *_one("cummax_1000x1000", "cummax", normals((1000, 1000)), lambda ns: lambda x: ns.cummax(x, 1)[0], 16e6),
]
