"""Moves, reductions and placements: transposes, joins, broadcasts, reductions over any axis, gathers, scatters, masks
and running sums on a dozen sizes. Bound by memory; `moved` is what each must read and write at least."""

from collections.abc import Callable
from typing import Any

import numpy as np

from bench.workload import Array, Inputs, Workload, normals, numpy_function, torch_function

Function = Callable[[Any], Callable[..., Any]]


def _one(
    label: str,
    op: str,
    inputs: Inputs,
    function: Function,
    floats: float,  # elements of four bytes that must be read and written
    numpy: Callable[..., Callable[..., Any]] | None = None,
    reads: bool = False,
) -> Workload:
    makers = {"torch": torch_function(function, inputs, False)}
    if numpy:
        makers["numpy"] = numpy_function(numpy, inputs)
    traffic = "read" if reads else "copy"
    return Workload(name=f"movement/{label}", op=op, makers=makers, moved=4.0 * floats, traffic=traffic)


def _indexed(*shapes: tuple[int, ...], index: tuple[int, ...], below: int) -> Inputs:
    """Float arrays of these shapes, then an index."""

    def make(rng: np.random.Generator) -> list[Array]:
        return [*(rng.standard_normal(s, dtype=np.float32) for s in shapes), rng.integers(0, below, index)]

    return make


def _masked(shape: tuple[int, ...], share: float) -> Inputs:
    def make(rng: np.random.Generator) -> list[Array]:
        return [rng.standard_normal(shape, dtype=np.float32), rng.random(shape) < share]

    return make


def _size(shape: tuple[int, ...]) -> int:
    return int(np.prod(shape))


def _permuted(shape: tuple[int, ...], *dims: int) -> Workload:
    label = f"permute_{'x'.join(map(str, shape))}_{''.join(map(str, dims))}"
    return _one(
        label,
        "permute",
        normals(shape),
        lambda ns: lambda x: x.permute(*dims).contiguous(),
        2 * _size(shape),
        numpy=lambda np, _: lambda x: np.ascontiguousarray(x.transpose(dims)),
    )


def _reduced(op: str, shape: tuple[int, ...], dim: Any, numpy: str = "") -> Workload:
    label = f"{op}_{'x'.join(map(str, shape))}_{'all' if dim is None else dim}".replace(" ", "")
    call: Function = lambda ns: lambda x: getattr(ns, op)(x) if dim is None else getattr(ns, op)(x, dim)  # noqa: E731
    plain = (lambda np, _: lambda x: getattr(np, numpy)(x, dim)) if numpy else None
    return _one(label, op, normals(shape), call, _size(shape), plain, reads=True)


def _joined(shape: tuple[int, ...], count: int, dim: int) -> Workload:
    return _one(
        f"cat_{count}x{'x'.join(map(str, shape))}_{dim}",
        "cat",
        normals(*[shape] * count),
        lambda ns: lambda *xs: ns.cat(xs, dim),
        2 * count * _size(shape),
        numpy=lambda np, *_: lambda *xs: np.concatenate(xs, dim),
    )


_SQUARE, _DEEP, _LONG, _TEN = (2048, 2048), (64, 128, 512), (100000, 16), (10**7,)
_TABLE, _ROWS = (32000, 512), (4096, 512)
_ALL = _size(_SQUARE)

WORKLOADS = [
    *[_permuted(s, 1, 0) for s in [(64, 64), (512, 768), _SQUARE, (100000, 16)]],
    _permuted((16, 128, 12, 64), 0, 2, 1, 3),
    _permuted((8, 64, 56, 56), 0, 2, 3, 1),
    _permuted((8, 56, 56, 64), 0, 3, 1, 2),
    _permuted(_DEEP, 2, 1, 0),
    *[_joined(s, n, d) for s, n, d in [(_SQUARE, 2, 0), (_SQUARE, 2, 1), (_LONG, 2, 1), ((256, 32), 16, 1)]],
    _one("flip_2048x2048", "flip", normals(_SQUARE), lambda ns: lambda x: ns.flip(x, [1]).contiguous(), 2 * _ALL),
    _one("roll_2048x2048", "roll", normals(_SQUARE), lambda ns: lambda x: ns.roll(x, 5, 1), 2 * _ALL),
    _one("repeat_512x768", "repeat", normals((512, 768)), lambda ns: lambda x: x.repeat(4, 4), 17 * 512 * 768),
    _one("expand_4096x1024", "expand", normals((4096, 1)), lambda ns: lambda x: x.expand(4096, 1024).clone(), 2**22),
    _one("add_row", "add", normals(_SQUARE, (2048,)), lambda ns: ns.add, 2 * _ALL),
    _one("add_column", "add", normals(_SQUARE, (2048, 1)), lambda ns: ns.add, 2 * _ALL),
    *[
        _reduced(op, s, d, op if op not in ("argmax", "var") else "")
        for op in ("sum", "mean", "amax", "argmax", "var", "prod")
        for s, d in [(_SQUARE, 0), (_SQUARE, 1), (_DEEP, 1), (_LONG, 1), (_LONG, 0)]
    ],
    _reduced("sum", (8, 64, 56, 56), (0, 2, 3), "sum"),
    _reduced("norm", _SQUARE, None),
    _reduced("logsumexp", _SQUARE, 1),
    *[
        _one(
            f"cumsum_{'x'.join(map(str, s))}_{d}",
            "cumsum",
            normals(s),
            lambda ns, d=d: lambda x: ns.cumsum(x, d),
            2 * _size(s),
            numpy=lambda np, _, d=d: lambda x: np.cumsum(x, d),
        )
        for s, d in [(_TEN, 0), (_SQUARE, 1), (_SQUARE, 0), (_LONG, 1), (_DEEP, 1)]
    ],
    _one(
        "index_select_rows",
        "index_select",
        _indexed(_TABLE, index=(4096,), below=32000),
        lambda ns: lambda x, i: ns.index_select(x, 0, i),
        2 * _size(_ROWS),
    ),
    _one(
        "index_select_columns",
        "index_select",
        _indexed(_SQUARE, index=(1024,), below=2048),
        lambda ns: lambda x, i: ns.index_select(x, 1, i),
        _ALL,
    ),
    _one("index_10M", "take", _indexed(_TEN, index=(10**6,), below=10**7), lambda ns: lambda x, i: x[i], 4 * 10**6),
    _one("gather_1", "gather", _indexed(_SQUARE, index=(2048, 1024), below=2048),
         lambda ns: lambda x, i: ns.gather(x, 1, i), 2 * _ALL),
    _one("gather_0", "gather", _indexed(_SQUARE, index=(1024, 2048), below=2048),
         lambda ns: lambda x, i: ns.gather(x, 0, i), 2 * _ALL),
    _one("index_add_rows", "index_add", _indexed(_TABLE, _ROWS, index=(4096,), below=32000),
         lambda ns: lambda x, v, i: ns.index_add(x, 0, i, v), 2 * _size(_TABLE) + 3 * _size(_ROWS)),
    _one("scatter_add_1", "scatter_add", _indexed(_SQUARE, (2048, 1024), index=(2048, 1024), below=2048),
         lambda ns: lambda x, v, i: ns.scatter_add(x, 1, i, v), 4.5 * _ALL),
    _one("scatter_add_0", "scatter_add", _indexed(_SQUARE, (1024, 2048), index=(1024, 2048), below=2048),
         lambda ns: lambda x, v, i: ns.scatter_add(x, 0, i, v), 4.5 * _ALL),
    _one("scatter_reduce_amax", "scatter_reduce", _indexed(_SQUARE, (2048, 1024), index=(2048, 1024), below=2048),
         lambda ns: lambda x, v, i: ns.scatter_reduce(x, 1, i, v, "amax"), 4.5 * _ALL),
    _one("masked_fill", "masked_fill", _masked(_SQUARE, 0.5), lambda ns: lambda x, m: x.masked_fill(m, 0.5),
         2.25 * _ALL),
    _one("masked_select", "masked_select", _masked(_SQUARE, 0.5), lambda ns: lambda x, m: x[m], 1.75 * _ALL),
    _one("nonzero", "nonzero", _masked(_SQUARE, 0.5), lambda ns: lambda x, m: ns.nonzero(m), 2.25 * _ALL),
]  # fmt: skip
