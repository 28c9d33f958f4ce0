"""Training steps of language models. The answer is the losses of the first three steps."""

from typing import Any

import numpy as np

from bench.e2e import step_job
from bench.workload import Array, Job, Library, Workload, seeded

_VOCABULARY = 65


def _drawn(lib: Library, net: Any, rng: np.random.Generator) -> Any:
    """Every parameter of two axes drawn, the others as they are made where that is fixed, else 0."""
    with lib.ns.no_grad():
        for name, p in net.to(lib.device).named_parameters():
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


_SIZES = {"vocab_size": _VOCABULARY, "block_size": 256, "n_layer": 6, "n_head": 6, "n_embd": 384}
_PROMPT, _NEW = 128, 64


def _gpt_weights(d: int, layers: int) -> dict[str, Array]:
    """Of a GPT without biases, by the names of pydl.models.GPT."""
    shapes = {"transformer.wte.weight": (_VOCABULARY, d), "transformer.wpe.weight": (256, d)}
    for i in range(layers):
        for name, shape in (("attn.c_attn", (3 * d, d)), ("attn.c_proj", (d, d)), ("mlp.c_fc", (4 * d, d)),
                            ("mlp.c_proj", (d, 4 * d))):  # fmt: skip
            shapes[f"transformer.h.{i}.{name}.weight"] = shape
    rng = seeded()
    return {name: rng.standard_normal(s, dtype=np.float32) * np.float32(0.08) for name, s in shapes.items()}


def _pydl_decoder(lib: Library, weights: dict[str, Array]) -> Any:
    """pydl.models.GPT: prompt (1, t) -> logits (1, v), and what makes the next of one more token; recorded if asked."""
    from pydl.models import GPT

    gpt = GPT(bias=False, **_SIZES).eval()
    named = dict(gpt.named_parameters())
    with lib.ns.no_grad():
        for name, a in weights.items():
            named[name].copy_(lib.tensor(a))

    def begin(prompt: Any) -> Any:
        logits, state = gpt.decode(prompt)
        recorded = lib.capture is not Library.capture
        return logits, lib.capture(gpt.step(state, _NEW)) if recorded else _carrying(gpt.decode, state)

    return begin


def _carrying(decode: Any, state: Any) -> Any:
    """decode with the state of the call before: ids -> logits."""

    def step(ids: Any) -> Any:
        nonlocal state
        logits, state = decode(ids, state)
        return logits

    return step


def _torch_decoder(lib: Library, weights: dict[str, Array]) -> Any:
    """The same in torch's functions, with keys and values written into memory that is made once."""
    torch, f = lib.ns, lib.ns.nn.functional
    w = {name: lib.tensor(a) for name, a in weights.items()}
    d, heads, layers = _SIZES["n_embd"], _SIZES["n_head"], _SIZES["n_layer"]
    one = torch.ones(d)
    memory = torch.zeros(layers, 2, 1, heads, 256, d // heads)

    def attend(x: Any, i: int, start: int) -> Any:
        t, h = x.shape[1], f"transformer.h.{i}.attn."
        q, k, v = (p.reshape(1, t, heads, -1).transpose(1, 2) for p in f.linear(x, w[h + "c_attn.weight"]).chunk(3, -1))
        memory[i, 0, :, :, start : start + t], memory[i, 1, :, :, start : start + t] = k, v
        keys, values = memory[i, :, :, :, : start + t]
        y = f.scaled_dot_product_attention(q, keys, values, is_causal=t > 1)
        return f.linear(y.transpose(1, 2).reshape(1, t, d), w[h + "c_proj.weight"])

    def decode(ids: Any, state: Any = None) -> Any:
        start = state or 0
        with torch.no_grad():
            x = w["transformer.wte.weight"][ids] + w["transformer.wpe.weight"][start : start + ids.shape[1]]
            for i in range(layers):
                m = f"transformer.h.{i}.mlp."
                x = x + attend(f.layer_norm(x, (d,), one), i, start)
                y = f.gelu(f.linear(f.layer_norm(x, (d,), one), w[m + "c_fc.weight"]), approximate="tanh")
                x = x + f.linear(y, w[m + "c_proj.weight"])
            logits = f.linear(f.layer_norm(x[:, -1], (d,), one), w["transformer.wte.weight"])
        return logits, start + ids.shape[1]

    def begin(prompt: Any) -> Any:
        logits, state = decode(prompt)
        return logits, _carrying(decode, state)

    return begin


def _decoding(lib: Library) -> Job:
    """A prompt of 128 characters and 64 more, the most probable each time, with a cache of keys and values."""
    weights = _gpt_weights(_SIZES["n_embd"], _SIZES["n_layer"])
    begin = (_pydl_decoder if lib.ns.__name__ == "pydl" else _torch_decoder)(lib, weights)
    prompt = lib.tensor(seeded().integers(0, _VOCABULARY, (1, _PROMPT)))

    def run() -> list[int]:
        logits, step = begin(prompt)
        made = [int(logits.argmax(-1))]
        for _ in range(_NEW - 1):
            logits = step(logits.argmax(-1, keepdim=True))
            made.append(int(logits.argmax(-1)))
        return made

    return Job(run, run)


_LSTM_FLOP = 6 * 128 * 32 * (2048 * (128 + 512) + 2048 * 1024 + 512 * _VOCABULARY)
_DECODED = (_PROMPT + _NEW - 1) * 2 * 6 * 12 * 384 * 384 + _NEW * 2 * 384 * _VOCABULARY  # products with weights
_WEIGHTS = 4 * (6 * 12 * 384 * 384 + 384 * _VOCABULARY)  # bytes, read for each token
_GPT_FLOP = 6 * 2048 * (6 * 12 * 384 * 384 + 384 * _VOCABULARY) + 3 * 6 * 4 * 8 * 6 * 256 * 256 * 64 // 2

WORKLOADS = [
    # torch's compiler leaves its LSTM alone
    Workload(name="e2e/charlstm_2x512_T128_b32_adam", flop=_LSTM_FLOP, rtol=1e-3,
             makers={"torch": _lstm, "replay": _lstm}),
    Workload(name="e2e/gpt_6x384_ctx256_b8_adamw", flop=_GPT_FLOP, rtol=1e-3,
             makers={"torch": _gpt, "replay": _gpt, "compile": _gpt}),
    # 64 tokens a run: tokens/s are 64000 / ms
    Workload(name="e2e/gpt_decode_6x384_128+64", flop=_DECODED, moved=_NEW * _WEIGHTS, traffic="read",
             makers={"torch": _decoding, "replay": _decoding}),
]  # fmt: skip
