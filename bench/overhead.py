"""Overhead: what a call costs when there is nothing to compute."""

from typing import Any

from bench.workload import Job, Library, Workload, jax_function, normals, numpy_function, seeded, torch_function

_TWO = normals((16,), (16,))


def _backward(lib: Library) -> Job:
    a, b = (lib.tensor(x, grad=True) for x in _TWO(seeded()))

    def step() -> Any:
        a.grad = b.grad = None
        (a * b).sum().backward()
        return a.grad, b.grad

    run = lib.capture(step)
    return Job(run, run)


_add = torch_function(lambda ns: lambda a, b: a + b, _TWO, train=False)

WORKLOADS = [
    Workload(
        name="overhead/add_16",
        op="add",
        makers={
            "torch": _add,
            "replay": _add,
            "jax": jax_function(lambda jax: jax.numpy.add, _TWO, train=False),
            "numpy": numpy_function(lambda np, *_: np.add, _TWO),
        },
    ),
    Workload(
        name="overhead/mul_sum_backward_16",
        op="mul",
        makers={
            "torch": _backward,
            "replay": _backward,
            "jax": jax_function(lambda jax: jax.grad(lambda a, b: (a * b).sum(), (0, 1)), _TWO, train=False),
        },
    ),
]
