"""Recurrent layers: LSTM and GRU, large and small batches, forward and with all gradients."""

from typing import Any

import numpy as np

from bench.workload import Array, Inputs, Workload, jax_function, torch_function


def _inputs(gates: int, t: int, b: int, i: int, h: int, layers: int) -> Inputs:
    """The sequence, then weight_ih, weight_hh, bias_ih and bias_hh of each layer."""
    shapes = [(t, b, i)]
    for n in range(layers):
        shapes += [(gates * h, i if n == 0 else h), (gates * h, h), (gates * h,), (gates * h,)]

    def make(rng: np.random.Generator) -> list[Array]:
        bound = h**-0.5
        draw = lambda s: rng.uniform(-bound, bound, s).astype(np.float32)  # noqa: E731
        return [rng.standard_normal(shapes[0], dtype=np.float32), *map(draw, shapes[1:])]

    return make


def _function(kind: str, b: int, h: int, layers: int) -> Any:
    """For torch and pydl, which share the call."""

    def function(ns: Any) -> Any:
        run, first = getattr(ns, kind), []

        def call(x: Any, *w: Any) -> Any:
            if not first:
                first.append(ns.zeros(layers, b, h, dtype=x.dtype, device=x.device))
            hx = (first[0], first[0]) if kind == "lstm" else first[0]
            return run(x, hx, list(w), True, layers, 0.0, True, False, False)[0]

        return call

    return function


def _jax(b: int, h: int, layers: int) -> Any:
    """LSTM by scan, the input's products for all steps first."""

    def function(j: Any) -> Any:
        def layer(x: Any, wi: Any, wh: Any, bi: Any, bh: Any) -> Any:
            def cell(carry: Any, pre: Any) -> Any:
                y, c = carry
                i, f, g, o = j.numpy.split(pre + y @ wh.T, 4, -1)
                c = j.nn.sigmoid(f) * c + j.nn.sigmoid(i) * j.numpy.tanh(g)
                y = j.nn.sigmoid(o) * j.numpy.tanh(c)
                return (y, c), y

            zeros = j.numpy.zeros((b, h))
            return j.lax.scan(cell, (zeros, zeros), x @ wi.T + bi + bh)[1]

        def run(x: Any, *w: Any) -> Any:
            for n in range(layers):
                x = layer(x, *w[4 * n : 4 * n + 4])
            return x

        return run

    return function


def _recurrent(kind: str, t: int, b: int, i: int, h: int, layers: int) -> list[Workload]:
    gates = 4 if kind == "lstm" else 3
    inputs = _inputs(gates, t, b, i, h, layers)
    flop = sum(2.0 * t * b * gates * h * ((i if n == 0 else h) + h) for n in range(layers))
    made = []
    for train in (False, True):
        makers = {"torch": torch_function(_function(kind, b, h, layers), inputs, train)}
        if kind == "lstm":
            makers["jax"] = jax_function(_jax(b, h, layers), inputs, train)
        made.append(
            Workload(
                name=f"rnn/{kind}_T{t}_b{b}_{i}-{h}_x{layers}/{'train' if train else 'fwd'}",
                op=kind,
                flop=flop * (3 if train else 1),
                makers=makers,
                rtol=1e-3,
            )
        )
    return made


SIZES = ((128, 32, 512, 512, 1), (128, 32, 512, 512, 2), (32, 1, 128, 128, 1), (100, 64, 256, 256, 1))
WORKLOADS = [w for kind in ("lstm", "gru") for size in SIZES for w in _recurrent(kind, *size)]
