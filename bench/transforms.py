"""Derivatives of functions: Hessians, their products, Jacobians, and gradients of every example of a batch."""

from typing import Any

from bench.workload import Workload, jax_function, normals, torch_function

SIZE, BATCH, WIDTH = 100, 128, 128


def _scalar(x: Any, w: Any) -> Any:
    return ((w @ x) ** 3).sum()


def _vector(x: Any, w: Any) -> Any:
    return (w @ x) ** 3


def _loss(weights: Any, x: Any) -> Any:
    """Of one example (d,), through two layers."""
    first, second = weights
    return ((((x @ first) ** 3) @ second) ** 2).sum()


def _per_example(vmap: Any, grad: Any) -> Any:
    mapped = vmap(grad(_loss), (None, 0))
    return lambda x, first, second: mapped((first, second), x)[0]


INPUTS = normals((SIZE,), (SIZE, SIZE))
LAYERS = normals((BATCH, WIDTH), (WIDTH, WIDTH), (WIDTH, 10))

WORKLOADS = [
    Workload(
        name=f"transforms/hessian_{SIZE}",
        flop=4.0 * SIZE**3,
        makers={
            "torch": torch_function(lambda ns: lambda x, w: ns.func.hessian(_scalar)(x, w), INPUTS, train=False),
            "jax": jax_function(lambda jax: lambda x, w: jax.hessian(_scalar)(x, w), INPUTS, train=False),
        },
    ),
    Workload(
        name=f"transforms/jacrev_{SIZE}",
        flop=2.0 * SIZE**3,
        makers={
            "torch": torch_function(lambda ns: lambda x, w: ns.func.jacrev(_vector)(x, w), INPUTS, train=False),
            "jax": jax_function(lambda jax: lambda x, w: jax.jacrev(_vector)(x, w), INPUTS, train=False),
        },
    ),
    Workload(
        name=f"transforms/per_example_{BATCH}x{WIDTH}",
        flop=6.0 * BATCH * WIDTH * (WIDTH + 10),
        moved=4.0 * BATCH * WIDTH * WIDTH,
        makers={
            "torch": torch_function(lambda ns: _per_example(ns.func.vmap, ns.func.grad), LAYERS, train=False),
            "jax": jax_function(lambda jax: _per_example(jax.vmap, jax.grad), LAYERS, train=False),
        },
    ),
]
