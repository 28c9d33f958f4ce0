"""Optimizer steps over many small or one large parameter. `fused` asks torch for its fused kernel, its fastest."""

import numpy as np

from bench.workload import Array, Job, Library, Maker, Workload, seeded, to_numpy

_CLASSES = {"sgdm": "SGD", "adam": "Adam", "adamw": "AdamW"}


def _step(kind: str, tensors: int, size: int, variant: str) -> Maker:
    def make(lib: Library) -> Job:
        rng = seeded()
        before = rng.standard_normal((tensors, size), dtype=np.float32)
        gradients = rng.standard_normal((tensors, size), dtype=np.float32)
        parameters = [lib.tensor(row, grad=True) for row in before]
        for p, g in zip(parameters, gradients, strict=True):
            p.grad = lib.tensor(g)
        options = {"momentum": 0.9} if kind == "sgdm" else {}
        if variant == "fused" and lib.ns.__name__ == "torch":
            options["fused"] = True
        run = lib.capture(lib.ready(getattr(lib.ns.optim, _CLASSES[kind])(parameters, lr=1e-3, **options)).step)

        def change_of_two_steps() -> Array:
            run()
            run()
            return np.concatenate([to_numpy(p) - row for p, row in zip(parameters, before, strict=True)])

        return Job(run, change_of_two_steps)

    return make


def _workload(kind: str, tensors: int, size: int, variant: str) -> Workload:
    moves, arrays = (5, 3) if kind == "sgdm" else (7, 4)  # read p, g and the state; write p and the state
    maker = _step(kind, tensors, size, variant)
    return Workload(
        name=f"optim/{kind}_{tensors}x{size // 1000}k/{variant}",
        moved=4.0 * moves * tensors * size,
        held=4.0 * arrays * tensors * size,
        traffic="update",
        rtol=1e-3,
        makers={"torch": maker, "replay": maker},
    )


WORKLOADS = [
    _workload(kind, tensors, size, variant)
    for kind in _CLASSES
    for tensors, size in ((1, 10**7), (200, 50_000))
    for variant in ("default", "fused")
]
