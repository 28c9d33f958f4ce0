"""Capture: what replays are for and the other families lack. Whole captured training steps are in e2e."""

from typing import Any

import numpy as np

from bench.e2e import plain_step, step_job
from bench.workload import Job, Library, Workload, jax_function, normals, seeded, torch_function

_POLICY = (4, 128, 128, 2)
_CHAIN = normals(*[(10_000_000,)] * 4)


def _fill(lib: Library, net: Any) -> Any:
    rng = seeded()
    with lib.ns.no_grad():
        for p in net.to(lib.device).parameters():
            p.copy_(lib.tensor(rng.standard_normal(tuple(p.shape), dtype=np.float32) / np.float32(p.shape[-1] ** 0.5)))
    return net


def _policy_net(lib: Library) -> Any:
    nn = lib.ns.nn
    return _fill(lib, nn.Sequential(nn.Linear(4, 128), nn.ReLU(), nn.Linear(128, 128), nn.ReLU(), nn.Linear(128, 2)))


def _policy(lib: Library) -> Job:
    """An action for one state, a new tensor each time as a program has it."""
    net = _policy_net(lib)
    act = lib.capture(lib.fuse(lambda s: net(s).argmax(1)))
    state = lib.tensor(seeded().standard_normal((1, 4), dtype=np.float32))

    def run() -> int:
        with lib.ns.no_grad():
            return int(act(state))

    return Job(run, run)


def _lenet(lib: Library) -> Job:
    """The course's LeNet, batch 64: cross entropy and SGD with momentum."""
    nn, rng = lib.ns.nn, seeded()
    features = [nn.Conv2d(1, 4, 5), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(4, 6, 5), nn.ReLU(), nn.MaxPool2d(2)]
    net = _fill(lib, nn.Sequential(*features, nn.Flatten(), nn.Linear(150, 128), nn.ReLU(), nn.Linear(128, 10)))
    x = lib.tensor(rng.standard_normal((64, 1, 32, 32), dtype=np.float32))
    y = lib.tensor(rng.integers(0, 10, 64))
    optimizer = lib.ns.optim.SGD(net.parameters(), lr=1e-2, momentum=0.9)
    return step_job(lib, lambda: nn.functional.cross_entropy(net(x), y), optimizer)


def _first(lib: Library) -> Job:
    """From a function never called to its third result: eager, recorded or compiled, replayed."""
    net = _policy_net(lib)
    states = [lib.tensor(s) for s in seeded().standard_normal((3, 32, 4), dtype=np.float32)]

    def run() -> Any:
        f = lib.capture(lambda s: net(s).sum())
        with lib.ns.no_grad():
            return [f(s) for s in states][-1]

    return Job(run, lambda: run().item())


def _first_steps(lib: Library) -> Job:
    """The first two calls of a training step that is captured anew: one as it is, one recorded."""
    net, rng = _policy_net(lib), seeded()
    x, y = lib.tensor(rng.standard_normal((32, 4), dtype=np.float32)), lib.tensor(rng.integers(0, 2, 32))
    optimizer = lib.ns.optim.Adam(net.parameters(), lr=1e-3)
    step = plain_step(lib, lambda: lib.ns.nn.functional.cross_entropy(net(x), y), optimizer)

    def run() -> Any:
        f = lib.capture(step)
        f()
        return f()

    return Job(run, lambda: run().item())


def _launches(lib: Library) -> Job:
    """A thousand launches that do next to nothing: a microsecond here is a nanosecond for each."""

    def negations(x: Any) -> Any:
        for _ in range(1000):
            x = -x
        return x

    run = lib.capture(negations)
    one = lib.tensor(np.ones(1, np.float32))

    def job() -> Any:
        with lib.ns.no_grad():
            return run(one)

    return Job(job, lambda: job().item())


WORKLOADS = [
    Workload(name="capture/policy_b1", flop=2.0 * (4 * 128 + 128 * 128 + 128 * 2), makers={
        "torch": _policy, "replay": _policy, "compile": _policy,
    }),
    Workload(name="capture/lenet_b64_sgd", rtol=1e-3, makers={"torch": _lenet, "replay": _lenet, "compile": _lenet}),
    Workload(name="capture/thousand_launches", makers={"torch": _launches, "replay": _launches}),
    Workload(name="capture/three_first_calls", makers={"torch": _first, "replay": _first}),
    Workload(name="capture/two_first_steps", rtol=1e-3, makers={"torch": _first_steps, "replay": _first_steps}),
    Workload(name="capture/chain_10m", moved=4 * 5 * 1e7, traffic="triad", makers={
        "torch": torch_function(lambda ns: lambda a, b, c, d: ns.tanh(a * b + c) * d, _CHAIN, train=False),
        "replay": torch_function(lambda ns: lambda a, b, c, d: ns.tanh(a * b + c) * d, _CHAIN, train=False),
        "compile": torch_function(lambda ns: lambda a, b, c, d: ns.tanh(a * b + c) * d, _CHAIN, train=False),
        "jax": jax_function(lambda jax: lambda a, b, c, d: jax.numpy.tanh(a * b + c) * d, _CHAIN, train=False),
    }),
]  # fmt: skip
