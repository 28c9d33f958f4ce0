"""What runs on a GPU (`python -m bench --device cuda`): the families of the CPU's list at sizes that fill one, in the
dtypes that its tensor cores take, and whole steps, recorded too.

Sizes are several times what caches hold; with PYDL_BENCH_SMALL set they are tiny, to try all of it on an emulation.
"""

from dataclasses import replace
from typing import Any

import numpy as np

from bench import (
    attention,
    capture,
    conv,
    e2e,
    gemm,
    images,
    language,
    losses,
    movement,
    norm,
    optim,
    overhead,
    pointwise,
    pool,
    resample,
    rnn,
    sort,
)
from bench.device import allow_tf32, sized, small
from bench.workload import Job, Library, Maker, Workload, normals

_BYTES = {"float64": 8, "float32": 4, "tf32": 4, "float16": 2, "bfloat16": 2}
_UNITS = {"float64": "f64", "float32": "f32", "tf32": "tf32", "float16": "f16", "bfloat16": "bf16"}


def _cast(make: Maker, dtype: str) -> Maker:
    def cast(lib: Library) -> Job:
        if dtype == "tf32":
            allow_tf32(lib.ns, True)
            return make(lib)
        return make(replace(lib, dtype=dtype))

    return cast


def typed(workloads: list[Workload], *dtypes: str) -> list[Workload]:
    """The same for tensors of other dtypes: fewer bytes, and multiply-adds by the unit that serves them."""
    return [
        replace(
            w,
            name=f"{w.name}/{dtype}",
            makers={kind: _cast(make, dtype) for kind, make in w.makers.items() if kind in ("torch", "channels_last")},
            moved=w.moved * _BYTES[dtype] / 4,
            held=w.held * _BYTES[dtype] / 4,
            unit=_UNITS[dtype],
            rtol=w.rtol if dtype == "float64" else 2e-2,
        )
        for dtype in dtypes
        for w in workloads
    ]


def _recorded(w: Workload) -> Workload:
    """Also as a CUDA graph of torch's, where pydl records it."""
    return replace(w, makers={**w.makers, "graph": w.makers["replay"]} if "replay" in w.makers else w.makers)


def _named(workloads: list[Workload], *names: str) -> list[Workload]:
    by_name = {w.name: w for w in workloads}
    return [_recorded(by_name[name]) for name in names]


def _products() -> list[Workload]:
    side, batch = sized(4096, 24), sized(64, 2)
    squares = [gemm._gemm(str(n), n, n, n) for n in sized((1024, 4096), (24,))]
    thin = [gemm._gemm(f"{sized(32, 4)}x{side}x{side}", sized(32, 4), side, side)]
    m, n, k = sized((512, 512, 64), (9, 10, 7))
    many = [gemm._gemm(f"batched_{batch}x{m}x{n}x{k}", m, n, k, batch=batch)]
    return [
        *squares,
        *many,
        *typed(squares[-1:], "float64", "tf32", "float16"),
        *typed([*squares, *thin, *many, gemm._fused("linear_gelu", side, side, side)], "bfloat16"),
    ]


def _attentions() -> list[Workload]:
    b, h, s, d = sized((4, 16, 2048, 64), (1, 2, 20, 8))
    plain = [w for causal in (False, True) for w in attention._attention(b, h, s, d, causal, plain=False)]
    wide = attention._attention(*sized((2, 16, 4096, 128), (1, 1, 33, 16)), True, plain=False)
    decode = [attention._decode(*sized((8, 32, 8192, 128), (1, 2, 40, 8)))]
    return [*plain[2:], *typed([*plain, *wide, *decode], "bfloat16")]


def _convolutions() -> list[Workload]:
    b, c, n = sized((64, 64, 56), (1, 4, 6))
    shapes = [
        conv._conv(f"{c}_k3_{n}_b{b}", b, c, c, n, 3, padding=1),
        conv._conv(f"{4 * c}-{8 * c}_k1s2_{n}_b{b}", b, 4 * c, 8 * c, n, 1, stride=2),
        conv._conv(f"3-{c}_k7s2_{4 * n}_b{b}", b, 3, c, 4 * n, 7, stride=2, padding=3),
        conv._conv(f"depthwise_{2 * c}_k3_{n}_b{b}", b, 2 * c, 2 * c, n, 3, padding=1, groups=2 * c),
    ]
    plain = [w for pair in shapes for w in pair]
    return [*plain, *typed(plain, "bfloat16"), *typed(shapes[0], "tf32")]


def _recurrent() -> list[Workload]:
    t, b, n = sized((128, 32, 512), (3, 2, 8))
    made = [rnn._recurrent(kind, t, b, n, n, layers) for kind, layers in (("lstm", 1), ("lstm", 2), ("gru", 1))]
    return [*(w for pair in made for w in pair), *typed(made[0], "bfloat16")]


def _elementwise() -> list[Workload]:
    n, rows = sized(1 << 26, 1 << 9), sized((16384, 4096), (8, 40))
    one, two, four = (normals(*[(n,)] * k) for k in (1, 2, 4))
    pair = pointwise.pair
    made = [
        *pair("add", "add", two, lambda ns: ns.add, None, (3 * n,)),
        *pair("add_row", "add", normals(rows, rows[1:]), lambda ns: ns.add, None, (2 * np.prod(rows),)),
        *pair("gelu", "gelu", one, lambda ns: ns.nn.functional.gelu, None, (2 * n, 5 * n)),
        *pair("chain_tanh", "tanh", four, lambda ns: lambda a, b, c, d: ns.tanh(a * b + c) * d, None, (5 * n, 14 * n)),
        *pair("softmax", "softmax", normals(rows), lambda ns: lambda x: ns.softmax(x, -1), None,
              (2 * np.prod(rows), 5 * np.prod(rows))),
    ]  # fmt: skip
    tokens, words, width = sized((4096, 50304, 1024), (5, 40, 8))
    scored, table = (pointwise._with_indices((k, m), tokens, words) for k, m in ((tokens, words), (words, width)))
    made += pair("cross_entropy", "cross_entropy", scored, lambda ns: ns.nn.functional.cross_entropy, None,
                 (tokens * words, 3 * tokens * words), reads=True)  # fmt: skip
    made += pair("embedding", "embedding", table, lambda ns: lambda w, i: ns.nn.functional.embedding(i, w), None,
                 (2 * tokens * width, 4 * tokens * width + words * width))  # fmt: skip
    return [*(_fused(w) for w in made), *typed([made[0], *made[2:4]], "bfloat16")]


def _fused(w: Workload) -> Workload:
    """Also with pydl's own fusion of a recorded chain."""
    return replace(w, makers={**w.makers, "replay": w.makers["torch"]})


def _norms() -> list[Workload]:
    rows, width = sized((16384, 4096), (6, 40))
    image = sized((64, 256, 56, 56), (2, 3, 5, 5))
    layer = norm._norm(f"layer_{rows}x{width}", "layer_norm", (rows, width), width,
                       lambda ns: lambda x, w, b: ns.nn.functional.layer_norm(x, (width,), w, b))  # fmt: skip
    batch = norm._norm("batch_" + "x".join(map(str, image)), "batch_norm", image, image[1], norm._batch)
    return [*layer, *batch, *typed(layer, "bfloat16")]


def _moves() -> list[Workload]:
    side, tall = sized((8192, 8192), (12, 40)), sized((1 << 20, 64), (70, 5))
    shape = sized((16, 1024, 16, 64), (2, 5, 3, 4))
    words = sized((32000, 512), (50, 8))
    return [
        movement._permuted(side, 1, 0),
        movement._permuted(shape, 0, 2, 1, 3),
        movement._joined(side, 2, 1),
        *(movement._reduced(op, s, d) for op in ("sum", "argmax") for s, d in ((side, 0), (side, 1), (tall, 0))),
        movement._one("cumsum", "cumsum", normals((sized(1 << 26, 300),)), lambda ns: lambda x: ns.cumsum(x, 0),
                      2 * sized(1 << 26, 300)),
        movement._one("index_add", "index_add", movement._indexed(words, (sized(65536, 30), words[1]),
                      index=(sized(65536, 30),), below=words[0]), lambda ns: lambda x, v, i: ns.index_add(x, 0, i, v),
                      2 * np.prod(words) + sized(65536, 30) * words[1]),
        *sort._sort("16M", normals((sized(1 << 24, 300),)), 16.0 * sized(1 << 24, 300)),
        *sort._sort("4096x4096", normals(sized((4096, 4096), (3, 40))), 16.0 * sized(1 << 24, 120)),
        *sort._topk("64x128000", sized((64, 128000), (2, 90)), sized(50, 5)),
        *pool._pool("max3s2", "max_pool2d", sized((64, 64, 112, 112), (1, 2, 8, 8)), 0.25,
                    pool._window("max_pool2d", 3, 2, 1)),
        *([] if small() else [w for w in resample.WORKLOADS if "bilinear" in w.name]),
    ]  # fmt: skip


def _drawn(name: str, moved: float, function: Any) -> Workload:
    """Random numbers, which differ from library to library: what must agree is their mean."""

    def make(lib: Library) -> Job:
        x = lib.tensor(np.ones(sized(1 << 26, 4000), np.float32))
        run = function(lib.ns)
        return Job(lambda: run(x), lambda: run(x).mean() + 1)

    return Workload(name=f"random/{name}", makers={"torch": make}, moved=moved, rtol=sized(1e-3, 0.1))


def _random() -> list[Workload]:
    n = 4.0 * sized(1 << 26, 4000)
    return [
        _drawn("rand", n, lambda ns: ns.rand_like),
        _drawn("randn", n, lambda ns: ns.randn_like),
        _drawn("dropout", 2 * n, lambda ns: lambda x: ns.nn.functional.dropout(x, 0.3)),
    ]


def _optimizers() -> list[Workload]:
    return [
        _recorded(optim._workload(kind, tensors, size, variant))
        for kind in ("sgdm", "adamw")
        for tensors, size in sized(((1, 10**8), (200, 500_000)), ((1, 2000), (3, 1000)))
        for variant in ("default", "fused")
    ]


def _steps() -> list[Workload]:
    if small():
        tiny = [e2e._classifier(4, (4, 8, 8, 2)), *overhead.WORKLOADS, *capture.WORKLOADS[:1]]
        return [_recorded(w) for w in tiny]
    every = [*e2e.WORKLOADS, *language.WORKLOADS, *images.WORKLOADS, *overhead.WORKLOADS, *losses.WORKLOADS]
    return _named(
        [*every, *capture.WORKLOADS],
        "overhead/add_16",
        "overhead/mul_sum_backward_16",
        "overhead/linear_64_train",
        "e2e/mlp_4-64-64-2_b32_adam",
        "e2e/mlp_784-512-512-10_b128_adam",
        "e2e/dqn_4-128-128-2_b64",
        "capture/lenet_b64_sgd",
        "e2e/resnet18_cifar_b32_adam",
        "e2e/charlstm_2x512_T128_b32_adam",
        "e2e/gpt_6x384_ctx256_b8_adamw",
    )


WORKLOADS = [
    replace(w, note=None)
    for family in (
        _products, _convolutions, _attentions, _recurrent, _elementwise, _norms, _moves, _random, _optimizers, _steps
    )
    for w in family()
]  # fmt: skip
