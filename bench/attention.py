"""Scaled dot-product attention: three sizes with and without the causal mask, long sequences, decoding with a cache.

Only what the mask leaves counts as work: half of the products where attention is causal.
"""

from typing import Any

from bench.workload import Maker, Workload, jax_function, normals, torch_function


def _attention(b: int, h: int, s: int, d: int, causal: bool, plain: bool = True) -> list[Workload]:
    """`plain`: also in jax, which stores the weights."""
    shape = (b, h, s, d)
    inputs = normals(shape, shape, shape)
    flop = 4.0 * b * h * s * s * d / (2 if causal else 1)
    name = f"attention/b{b}h{h}s{s}d{d}{'_causal' if causal else ''}"

    def function(ns: Any) -> Any:
        return lambda q, k, v: ns.nn.functional.scaled_dot_product_attention(q, k, v, is_causal=causal)

    def jax(ns: Any) -> Any:
        return lambda q, k, v: _plain(ns, q, k, v, causal)

    made = []
    for train in (False, True):
        makers: dict[str, Maker] = {"torch": torch_function(function, inputs, train)}
        if plain:
            makers["jax"] = jax_function(jax, inputs, train)
        made.append(_workload(f"{name}/{'train' if train else 'fwd'}", flop, 4.0 * 4 * b * h * s * d, train, makers))
    return made


def _plain(jax: Any, q: Any, k: Any, v: Any, causal: bool) -> Any:
    scores = q @ k.swapaxes(-1, -2) / q.shape[-1] ** 0.5
    if causal:
        seen = jax.numpy.tril(jax.numpy.ones(scores.shape[-2:], bool))
        scores = jax.numpy.where(seen, scores, -1e30)
    return jax.nn.softmax(scores, -1) @ v


def _workload(name: str, flop: float, moved: float, train: bool, makers: dict[str, Maker]) -> Workload:
    passes = 3 if train else 1  # two products forward, four backward, besides what is computed again
    return Workload(
        name=name, op="scaled_dot_product_attention", flop=passes * flop, moved=passes * moved, makers=makers
    )


def _decode(b: int, h: int, s: int, d: int) -> Workload:
    """One new token against the keys and values of s earlier ones: bound by reading them."""
    inputs = normals((b, h, 1, d), (b, h, s, d), (b, h, s, d))

    def function(ns: Any) -> Any:
        return lambda q, k, v: ns.nn.functional.scaled_dot_product_attention(q, k, v)

    def jax(ns: Any) -> Any:
        return lambda q, k, v: _plain(ns, q, k, v, False)

    return Workload(
        name=f"attention/decode_b{b}h{h}s{s}d{d}",
        op="scaled_dot_product_attention",
        flop=4.0 * b * h * s * d,
        moved=8.0 * b * h * s * d,
        traffic="read",
        makers={"torch": torch_function(function, inputs, False), "jax": jax_function(jax, inputs, False)},
    )


WORKLOADS = [
    *(
        workload
        for sizes in ((8, 6, 256, 64), (4, 8, 512, 64), (1, 12, 2048, 64))
        for causal in (False, True)
        for workload in _attention(*sizes, causal)
    ),
    *_attention(1, 4, 8192, 64, True, plain=False),  # whose weights would take 1 GiB
    _decode(1, 12, 1024, 64),
    _decode(8, 12, 1024, 64),
]
