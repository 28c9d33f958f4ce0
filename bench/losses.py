"""Losses: of a million elements, bound by memory, and of tiny inputs, where the call is what costs."""

from collections.abc import Callable
from typing import Any

import numpy as np

from bench.pointwise import pair
from bench.workload import Array, Inputs, Job, Library, Workload, torch_function

_N = 1 << 20


def _scores_and_probabilities(*shape: int) -> Inputs:
    def make(rng: np.random.Generator) -> list[Array]:
        return [rng.standard_normal(shape, dtype=np.float32), rng.uniform(0.05, 0.95, shape).astype(np.float32)]

    return make


def _labelled(rows: int, classes: int) -> Inputs:
    def make(rng: np.random.Generator) -> list[Array]:
        return [rng.standard_normal((rows, classes), dtype=np.float32), rng.integers(0, classes, rows)]

    return make


def _jax_mse(jax: Any) -> Callable[..., Any]:
    return lambda x, t: ((x - t) ** 2).mean()


def _jax_logits(jax: Any) -> Callable[..., Any]:
    return lambda x, t: (t * jax.nn.softplus(-x) + (1 - t) * jax.nn.softplus(x)).mean()


def _jax_huber(jax: Any) -> Callable[..., Any]:
    def f(x: Any, t: Any) -> Any:
        size = jax.numpy.abs(x - t)
        return jax.numpy.where(size < 1, 0.5 * size * size, size - 0.5).mean()

    return f


def _jax_divergence(jax: Any) -> Callable[..., Any]:
    return lambda x, t: (t * (jax.numpy.log(t) - x)).sum()


def _large(label: str, op: str, torch: Callable[[Any], Callable[..., Any]], jax: Any) -> list[Workload]:
    inputs = _scores_and_probabilities(_N)
    return pair(label, op, inputs, torch, jax, (2 * _N, 6 * _N), reads=True)  # train: both gradients are written


def _layer(name: str, inputs: Inputs) -> Callable[[Library], Job]:
    """Forward and backward of a loss module on tiny inputs."""

    def make(lib: Library) -> Job:
        x, target = inputs(np.random.default_rng(0))
        scores, wanted = lib.tensor(x, grad=True), lib.tensor(target)
        module = getattr(lib.ns.nn, name)()

        def step() -> Any:
            scores.grad = None
            module(scores, wanted).backward()
            return scores.grad

        run = lib.capture(step)
        return Job(run, run)

    return make


def _linear(lib: Library) -> Job:
    """Forward and backward of a small layer."""
    module = lib.ns.nn.Linear(64, 64).to(lib.device)
    rng = np.random.default_rng(0)
    x = lib.tensor(rng.standard_normal((32, 64), dtype=np.float32))
    with lib.ns.no_grad():
        for p in module.parameters():
            p.copy_(lib.tensor(rng.standard_normal(tuple(p.shape)).astype(np.float32)))

    def step() -> Any:
        module.weight.grad = module.bias.grad = None
        module(x).sum().backward()
        return module.weight.grad, module.bias.grad

    run = lib.capture(step)
    return Job(run, run)


def _overhead(name: str, op: str, maker: Callable[[Library], Job]) -> Workload:
    return Workload(name=f"overhead/{name}", op=op, makers={"torch": maker, "replay": maker})


WORKLOADS = [
    *_large("mse_1M", "mse_loss", lambda ns: ns.nn.functional.mse_loss, _jax_mse),
    *_large(
        "bce_with_logits_1M",
        "binary_cross_entropy_with_logits",
        lambda ns: ns.nn.functional.binary_cross_entropy_with_logits,
        _jax_logits,
    ),
    *_large("smooth_l1_1M", "smooth_l1_loss", lambda ns: ns.nn.functional.smooth_l1_loss, _jax_huber),
    *_large(
        "kl_div_1M", "kl_div", lambda ns: lambda x, t: ns.nn.functional.kl_div(x, t, reduction="sum"), _jax_divergence
    ),
    Workload(
        name="pointwise/log_softmax_1x1M/fwd",
        op="log_softmax",
        makers={
            "torch": torch_function(
                lambda ns: lambda x: ns.log_softmax(x, -1),
                lambda rng: [rng.standard_normal((1, _N), dtype=np.float32)],
                False,
            )
        },
        moved=8.0 * _N,
        traffic="copy",
    ),
    _overhead("linear_64_train", "linear", _linear),
    _overhead("mse_32x10_train", "mse_loss", _layer("MSELoss", _scores_and_probabilities(32, 10))),
    _overhead("cross_entropy_32x10_train", "cross_entropy", _layer("CrossEntropyLoss", _labelled(32, 10))),
    _overhead("nll_32x10_train", "nll_loss", _layer("NLLLoss", _labelled(32, 10))),
]
