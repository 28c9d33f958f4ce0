"""Factors of square matrices, and what follows from them: flops are LAPACK's counts."""

from collections.abc import Callable
from typing import Any

from bench.workload import Workload, normals, numpy_function, torch_function

Function = Callable[[Any], Callable[..., Any]]


def _square(label: str, n: int, thirds: int, function: Function, numpy: str, op: str = "", right: int = 0) -> Workload:
    """flop: thirds / 3 n^3, and 2 n^2 for each right side."""
    inputs = normals((n, n), (n, right)) if right else normals((n, n))
    makers = {"torch": torch_function(function, inputs, False)}
    if numpy:
        makers["numpy"] = numpy_function(lambda np, *_: getattr(np.linalg, numpy), inputs)
    flop = thirds / 3 * n**3 + 2.0 * n * n * right
    return Workload(name=f"linalg/{label}_{n}/fwd", op=op, makers=makers, flop=flop, rtol=1e-2)


WORKLOADS = [
    workload
    for n in (256, 1024, 2048)
    for workload in (
        _square("lu_factor", n, 2, lambda ns: lambda x: ns.linalg.lu_factor(x)[0], ""),
        _square("solve16", n, 2, lambda ns: lambda x, b: ns.linalg.solve(x, b), "solve", right=16),
        _square("inv", n, 6, lambda ns: lambda x: ns.linalg.inv(x), "inv", op="inverse"),
        _square("slogdet", n, 2, lambda ns: lambda x: ns.linalg.slogdet(x)[1], "", op="slogdet"),
    )
]
