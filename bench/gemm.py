"""Matrix products (m, k) @ (k, n), alone or `batch` of them."""

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from bench.workload import (
    Array,
    Job,
    Library,
    Maker,
    Workload,
    jax_function,
    normals,
    numpy_function,
    onnx_node,
    seeded,
    torch_function,
)


def _gemm(label: str, m: int, n: int, k: int, batch: int = 0) -> Workload:
    lead, count = ((batch,), batch) if batch else ((), 1)
    inputs = normals((*lead, m, k), (*lead, k, n))
    plain = numpy_function(lambda np, a, b: partial(np.matmul, out=np.matmul(a, b)), inputs)
    return Workload(
        name=f"gemm/{label}",
        op="matmul",
        flop=2.0 * count * m * n * k,
        moved=4.0 * count * (m * k + k * n + m * n),
        traffic="read" if m == 1 else "copy",
        makers={
            "torch": torch_function(lambda ns: ns.matmul, inputs, train=False),
            "jax": jax_function(lambda jax: jax.numpy.matmul, inputs, train=False),
            "numpy": plain,
            "blas": plain,
            "onnx": onnx_node("MatMul", inputs, constants=1),
        },
    )


def _cast(size: int, dtype: str, peak: float, width: int) -> Workload:
    """A square product in another dtype; `peak`: multiply-adds of float32 in the time of one."""
    inputs = normals((size, size), (size, size))

    def make(lib: Library) -> Job:
        ns = lib.ns
        a, b = (lib.tensor(x).to(getattr(ns, dtype)) for x in inputs(seeded()))
        return Job(lambda: ns.matmul(a, b), lambda: ns.matmul(a, b).to(ns.float32))

    makers: dict[str, Maker] = {"torch": make}
    if dtype == "float64":
        wide = lambda rng: [x.astype("float64") for x in inputs(rng)]  # noqa: E731
        plain = numpy_function(lambda np, a, b: partial(np.matmul, out=np.matmul(a, b)), wide)
        makers |= {"numpy": plain, "blas": plain}
    return Workload(
        name=f"gemm/{dtype}_{size}",
        op="matmul",
        flop=peak * 2.0 * size**3,
        moved=3.0 * width * size**2,
        rtol=1e-4 if dtype == "float64" else 1e-2,
        makers=makers,
    )


def _fused(label: str, m: int, n: int, k: int) -> Workload:
    """What follows a product, in the same pass where the library has it."""

    def inputs(rng: np.random.Generator) -> list[Array]:
        """Weights of the size that layers have: gelu of large numbers is another workload."""
        shapes = ((m, k), (n, k), (n,)) if label == "linear_gelu" else ((m, n), (m, k), (k, n))
        x, w, b = normals(*shapes)(rng)
        return [x, w / np.float32(k**0.5), b]

    def function(ns: Any) -> Callable[..., Any]:
        if label == "addmm":
            return lambda c, a, b: ns.addmm(c, a, b, beta=0.5, alpha=2.0)
        if ns.__name__ == "pydl":
            return lambda x, w, b: ns.ops.linear(x, w, b, "gelu")
        return lambda x, w, b: ns.nn.functional.gelu(ns.nn.functional.linear(x, w, b))

    return Workload(
        name=f"gemm/{label}_{m}x{n}x{k}",
        op="addmm" if label == "addmm" else "linear",
        flop=2.0 * m * n * k,
        moved=4.0 * (m * k + k * n + m * n * (2 if label == "addmm" else 1)),
        makers={"torch": torch_function(function, inputs, train=False)},
    )


WORKLOADS = (
    [_gemm(f"{s}", s, s, s) for s in (64, 128, 256, 512, 1024, 2048, 4096)]
    + [
        _gemm("gemv_1x4096x4096", 1, 4096, 4096),
        _gemm("32x1024x4096", 32, 1024, 4096),
        _gemm("64x128x10", 64, 128, 10),
        _gemm("8192x64x64", 8192, 64, 64),
        _gemm("batched_64x128x128x64", 128, 128, 64, batch=64),
    ]
    + [
        _fused("addmm", 512, 512, 512),
        _fused("linear_gelu", 512, 2048, 512),
        *[_cast(s, "float64", 2.0, 8) for s in (256, 1024, 2048)],
        *[_cast(s, "bfloat16", 1.0, 2) for s in (256, 1024, 2048)],
        _cast(1024, "float16", 1.0, 2),
    ]
)
