"""Matrix products (m, k) @ (k, n), alone or `batch` of them."""

from functools import partial

from bench.workload import Workload, jax_function, normals, numpy_function, onnx_node, torch_function


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


WORKLOADS = [_gemm(f"{s}", s, s, s) for s in (64, 128, 256, 512, 1024, 2048, 4096)] + [
    _gemm("gemv_1x4096x4096", 1, 4096, 4096),
    _gemm("32x1024x4096", 32, 1024, 4096),
    _gemm("64x128x10", 64, 128, 10),
    _gemm("8192x64x64", 8192, 64, 64),
    _gemm("batched_64x128x128x64", 128, 128, 64, batch=64),
]
