"""Training steps of language models. The answer is the losses of the first three steps."""

from typing import Any

import numpy as np

from bench.e2e import step_job
from bench.workload import Array, Job, Library, Workload, seeded

_VOCABULARY = 65


def _drawn(lib: Library, net: Any, rng: np.random.Generator) -> Any:
    """Every parameter of two axes drawn, the others as they are made where that is fixed, else 0."""
    with lib.ns.no_grad():
        for name, p in net.named_parameters():
            if p.ndim == 2:
                p.copy_(lib.tensor(rng.standard_normal(tuple(p.shape), dtype=np.float32) * np.float32(0.04)))
            elif "bias" in name:
                p.copy_(lib.tensor(np.zeros(tuple(p.shape), np.float32)))
    return net


def _ids(rng: np.random.Generator, *shape: int) -> list[Array]:
    return [rng.integers(0, _VOCABULARY, shape), rng.integers(0, _VOCABULARY, int(np.prod(shape)))]


def _lstm(lib: Library) -> Job:
    """Characters (t, b) = (128, 32), two layers of 512 units, Adam."""
    nn, rng = lib.ns.nn, seeded()
    net = nn.ModuleList([nn.Embedding(_VOCABULARY, 128), nn.LSTM(128, 512, 2), nn.Linear(512, _VOCABULARY)])
    embedding, lstm, output = _drawn(lib, net, rng)
    x, y = (lib.tensor(a) for a in _ids(rng, 128, 32))

    def loss() -> Any:
        return nn.functional.cross_entropy(output(lstm(embedding(x))[0]).reshape(-1, _VOCABULARY), y)

    return step_job(lib, loss, lib.ns.optim.Adam(net.parameters(), lr=1e-3))


def _gpt_layer(nn: Any, d: int, heads: int) -> Any:
    """A pre-norm transformer layer for x (b, t, d), with causal attention."""

    class Layer(nn.Module):  # type: ignore[name-defined, misc]
        def __init__(self) -> None:
            super().__init__()
            self.first, self.second = nn.LayerNorm(d), nn.LayerNorm(d)
            self.qkv, self.out = nn.Linear(d, 3 * d), nn.Linear(d, d)
            self.up, self.down = nn.Linear(d, 4 * d), nn.Linear(4 * d, d)

        def forward(self, x: Any) -> Any:
            b, t, _ = x.shape
            q, k, v = (part.reshape(b, t, heads, -1).transpose(1, 2) for part in self.qkv(self.first(x)).chunk(3, -1))
            seen = nn.functional.scaled_dot_product_attention(q, k, v, is_causal=True)
            x = x + self.out(seen.transpose(1, 2).reshape(b, t, d))
            return x + self.down(nn.functional.gelu(self.up(self.second(x))))

    return Layer()


def _gpt(lib: Library) -> Job:
    """Characters (b, t) = (8, 256), six layers of 384, six heads, AdamW."""
    nn, rng = lib.ns.nn, seeded()
    parts = [nn.Embedding(_VOCABULARY, 384), nn.Embedding(256, 384), *(_gpt_layer(nn, 384, 6) for _ in range(6))]
    net = _drawn(lib, nn.ModuleList([*parts, nn.LayerNorm(384), nn.Linear(384, _VOCABULARY)]), rng)
    tokens, places, *layers = net
    x, y = (lib.tensor(a) for a in _ids(rng, 8, 256))
    at = lib.tensor(np.arange(256))

    def loss() -> Any:
        h = tokens(x) + places(at)
        for layer in layers:
            h = layer(h)
        return nn.functional.cross_entropy(h.reshape(-1, _VOCABULARY), y)

    return step_job(lib, loss, lib.ns.optim.AdamW(net.parameters(), lr=1e-3))


_LSTM_FLOP = 6 * 128 * 32 * (2048 * (128 + 512) + 2048 * 1024 + 512 * _VOCABULARY)
_GPT_FLOP = 6 * 2048 * (6 * 12 * 384 * 384 + 384 * _VOCABULARY) + 3 * 6 * 4 * 8 * 6 * 256 * 256 * 64 // 2

WORKLOADS = [
    # torch's compiler leaves its LSTM alone
    Workload(name="e2e/charlstm_2x512_T128_b32_adam", flop=_LSTM_FLOP, rtol=1e-3,
             makers={"torch": _lstm, "replay": _lstm}),
    Workload(name="e2e/gpt_6x384_ctx256_b8_adamw", flop=_GPT_FLOP, rtol=1e-3,
             makers={"torch": _gpt, "replay": _gpt, "compile": _gpt}),
]  # fmt: skip
