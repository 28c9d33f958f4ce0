"""Attention layers and the Transformer, against PyTorch."""

import itertools
import math
from typing import Any

import numpy as np
import pytest

import pydl
from pydl import nn
from pydl.autograd import gradcheck, gradgradcheck
from pydl.errors import ArgumentError, BoundsError, DtypeError, ShapeError
from pydl.nn import functional as F

RNG = np.random.default_rng


def pair(name: str, *args: Any, **options: Any) -> tuple[Any, Any]:
    """Our layer and PyTorch's with the same numbers, in float64; both have the same entries, in the same order."""
    torch = pytest.importorskip("torch")
    kinds = [dict(options), dict(options)]
    for options_, f in zip(kinds, (F, torch.nn.functional), strict=True):
        if options_.get("activation") == "function":
            options_["activation"] = f.silu
    ours = getattr(nn, name)(*args, **kinds[0]).double()
    theirs = getattr(torch.nn, name)(*args, **kinds[1]).double()
    rng = RNG(5)
    state = {k: rng.standard_normal(tuple(v.shape)) * 0.3 for k, v in theirs.state_dict().items()}
    theirs.load_state_dict({k: torch.from_numpy(v) for k, v in state.items()})
    assert list(ours.state_dict()) == list(state)
    ours.load_state_dict({k: pydl.tensor(v) for k, v in state.items()})
    return ours.eval(), theirs.eval()


def compare(ours: Any, theirs: Any, arrays: list[np.ndarray], limit: float = 1e-10, **options: Any) -> None:
    """All outputs, and the gradients of all inputs and parameters."""
    torch = pytest.importorskip("torch")
    turned = [{k: f(v) if isinstance(v, np.ndarray) else v for k, v in options.items()}
              for f in (pydl.tensor, torch.from_numpy)]  # fmt: skip
    xs = [pydl.tensor(a).requires_grad_() for a in arrays]
    ts = [torch.from_numpy(a).requires_grad_() for a in arrays]
    made = [m if isinstance(m, tuple) else (m,) for m in (ours(*xs, **turned[0]), theirs(*ts, **turned[1]))]
    assert len(made[0]) == len(made[1])
    for y, e in zip(*made, strict=True):
        assert (y is None) == (e is None)
        if y is not None:
            np.testing.assert_allclose(y.detach().numpy(), e.detach().numpy(), atol=limit)
    g = RNG(6).standard_normal(made[1][0].shape)
    sum_of = [(m[0] * s).sum() + (0 if m[1:] in ((), (None,)) else (m[1] ** 2).sum())
              for m, s in zip(made, (pydl.tensor(g), torch.from_numpy(g)), strict=True)]  # fmt: skip
    for total in sum_of:
        total.backward()
    for x, t in zip(xs, ts, strict=True):
        np.testing.assert_allclose(x.grad.numpy(), t.grad.numpy(), atol=limit)  # type: ignore[union-attr]
    for (name, p), (_, q) in zip(ours.named_parameters(), theirs.named_parameters(), strict=True):
        np.testing.assert_allclose(p.grad.numpy(), q.grad.numpy(), atol=limit, err_msg=name)


# ---------------------------------------------------------------- multi-head attention

VARIANTS = [{}, {"bias": False}, {"add_bias_kv": True}, {"add_zero_attn": True}, {"kdim": 6}, {"kdim": 5, "vdim": 3},
            {"add_bias_kv": True, "add_zero_attn": True, "vdim": 4}]  # fmt: skip


@pytest.mark.parametrize("variant", VARIANTS, ids=[" ".join(v) or "plain" for v in VARIANTS])
@pytest.mark.parametrize("batch_first", [False, True])
@pytest.mark.parametrize("weights", ["none", "mean", "each"])
def test_multihead(variant: dict[str, Any], batch_first: bool, weights: str) -> None:
    """All variants, with every kind of mask, with a batch and without."""
    ours, theirs = pair("MultiheadAttention", 8, 2, batch_first=batch_first, **variant)
    options = {"need_weights": weights != "none", "average_attn_weights": weights == "mean"}
    rng, l, s, n = RNG(0), 4, 5, 3
    kdim, vdim = variant.get("kdim", 8), variant.get("vdim", 8)
    masks = [None, rng.random((l, s)) < 0.3, rng.random((n * 2, l, s)) < 0.3, rng.standard_normal((l, s))]
    paddings = [None, np.arange(s) >= np.array([[5], [3], [4]]), rng.standard_normal((n, s))]
    for batched, mask, padding in itertools.product((True, False), masks, paddings):
        both = [m for m in (mask, padding) if m is not None]
        if len({m.dtype for m in both}) > 1 or (not batched and mask is not None and mask.ndim == 3):
            continue
        if mask is not None and mask.dtype == bool:
            mask[..., 0] = False
        lead = lambda t: ((n, t) if batch_first else (t, n)) if batched else (t,)  # noqa: B023, E731
        arrays = [rng.standard_normal((*lead(t), d)) for t, d in ((l, 8), (s, kdim), (s, vdim))]
        if padding is not None and not batched:
            padding = padding[0]
        compare(ours, theirs, arrays, attn_mask=mask, key_padding_mask=padding, **options)


@pytest.mark.parametrize("extra", [{}, {"add_bias_kv": True}])
@pytest.mark.parametrize("need_weights", [False, True])
def test_causal(extra: dict[str, Any], need_weights: bool) -> None:
    """By the hint alone it is what the mask says; padding holds besides."""
    torch = pytest.importorskip("torch")
    ours, theirs = pair("MultiheadAttention", 8, 4, batch_first=True, **extra)
    x = RNG(0).standard_normal((2, 6, 8))
    hidden = np.triu(np.ones((6, 6), bool), 1)
    padding = np.array([[False] * 6, [False] * 4 + [True] * 2])
    t = torch.from_numpy(x)
    for pad in (None, padding):
        expected, _ = theirs(t, t, t, None if pad is None else torch.from_numpy(pad), need_weights,
                             torch.from_numpy(hidden))  # fmt: skip
        for mask in (None, pydl.tensor(hidden)):
            p = None if pad is None else pydl.tensor(pad)
            made, _ = ours(*[pydl.tensor(x)] * 3, p, need_weights, mask, is_causal=True)
            np.testing.assert_allclose(made.detach().numpy(), expected.detach().numpy(), atol=1e-12)


def test_fused_and_plain_weights_agree() -> None:
    """need_weights picks another path; a row that sees nothing is 0 in both, with finite gradients."""
    layer = nn.MultiheadAttention(8, 2, batch_first=True).double()
    x = pydl.tensor(RNG(0).standard_normal((2, 5, 8)))
    padding = pydl.tensor(np.array([[False] * 5, [True] * 5]))
    made = []
    for need in (False, True):
        layer.zero_grad()
        y, w = layer(x, x, x, padding, need)
        y.square().sum().backward()
        made.append([y.detach().numpy(), *(p.grad.numpy().copy() for p in layer.parameters())])
    for a, b in zip(*made, strict=True):
        np.testing.assert_allclose(a, b, atol=1e-12)
        assert np.isfinite(a).all()
    assert w is not None and not w[1].detach().numpy().any()
    np.testing.assert_allclose(w[0].sum(-1).detach().numpy(), 1.0)


def test_one_head_is_scaled_dot_product_attention() -> None:
    """With the identity for a projection; 4 d^2 + 4 d parameters; heads do not mix before the last projection."""
    layer = nn.MultiheadAttention(6, 1, batch_first=True).double()
    assert sum(p.numel() for p in layer.parameters()) == 4 * 36 + 4 * 6
    with pydl.no_grad():
        layer.in_proj_weight.copy_(pydl.tensor(np.tile(np.eye(6), (3, 1))))
        layer.out_proj.weight.copy_(pydl.eye(6, dtype=pydl.float64))
    x = pydl.tensor(RNG(0).standard_normal((2, 5, 6)))
    expected = F.scaled_dot_product_attention(x, x, x)
    np.testing.assert_allclose(layer(x, x, x, None, False)[0].detach().numpy(), expected.numpy(), atol=1e-13)
    two = nn.MultiheadAttention(6, 2, batch_first=True).double()
    with pydl.no_grad():
        two.in_proj_weight.copy_(pydl.tensor(np.tile(np.eye(6), (3, 1))))
        two.out_proj.weight.copy_(pydl.eye(6, dtype=pydl.float64))
    z = x.clone().requires_grad_()
    two(z, z, z, None, False)[0][..., :3].sum().backward()
    assert not z.grad[..., 3:].numpy().any() and z.grad[..., :3].numpy().any()


def test_dropout_of_weights_is_for_training() -> None:
    layer = nn.MultiheadAttention(8, 2, dropout=0.5, batch_first=True)
    x = pydl.randn(2, 5, 8)
    first, second = (layer(x, x, x, None, False)[0].detach().numpy() for _ in range(2))
    assert not np.array_equal(first, second)
    layer.eval()
    first, second = (layer(x, x, x, None, need)[0].detach().numpy() for need in (False, True))
    np.testing.assert_allclose(first, second, atol=1e-5)


@pytest.mark.parametrize("need_weights", [False, True])
def test_second_derivatives(need_weights: bool) -> None:
    layer = nn.MultiheadAttention(4, 2, batch_first=True).double()
    x = pydl.tensor(RNG(0).standard_normal((1, 3, 4))).requires_grad_()
    call = lambda x: layer(x, x, x, None, need_weights, is_causal=True)[0]  # noqa: E731
    gradcheck(call, [x])
    gradgradcheck(call, [x], fast_mode=True)


# ---------------------------------------------------------------- Transformer layers

SETTINGS = [{}, {"norm_first": True}, {"activation": "gelu", "bias": False}, {"activation": "function"},
            {"batch_first": True, "norm_first": True, "layer_norm_eps": 1e-3}]  # fmt: skip


@pytest.mark.parametrize("settings", SETTINGS, ids=[" ".join(map(str, s)) or "plain" for s in SETTINGS])
def test_layers(settings: dict[str, Any]) -> None:
    """Encoder and decoder, alone and in stacks, with masks."""
    first = settings.get("batch_first", False)
    shape = lambda t: (2, t, 8) if first else (t, 2, 8)  # noqa: E731
    rng = RNG(0)
    src, tgt = rng.standard_normal(shape(5)), rng.standard_normal(shape(4))
    padding = np.array([[False] * 5, [False, False, False, True, True]])
    causal = np.triu(np.full((4, 4), -np.inf), 1)
    ours, theirs = pair("TransformerEncoderLayer", 8, 2, 12, 0.1, **settings)
    compare(ours, theirs, [src], src_key_padding_mask=padding)
    compare(ours, theirs, [src], src_mask=rng.standard_normal((5, 5)))
    ours, theirs = pair("TransformerDecoderLayer", 8, 2, 12, 0.1, **settings)
    compare(ours, theirs, [tgt, src], tgt_mask=causal)
    compare(ours, theirs, [tgt, src], tgt_mask=causal, tgt_is_causal=True, memory_key_padding_mask=padding)
    compare(ours, theirs, [tgt, src], memory_mask=rng.random((4, 5)) < 0.3)


@pytest.mark.filterwarnings("ignore:enable_nested_tensor")
@pytest.mark.parametrize("settings", SETTINGS[:2] + SETTINGS[-1:], ids=["post", "pre", "batch first"])
def test_whole(settings: dict[str, Any]) -> None:
    first = settings.get("batch_first", False)
    shape = lambda t: (2, t, 8) if first else (t, 2, 8)  # noqa: E731
    rng = RNG(1)
    src, tgt = rng.standard_normal(shape(5)), rng.standard_normal(shape(4))
    ours, theirs = pair("Transformer", 8, 2, 2, 1, 12, 0.1, **settings)
    mask = nn.Transformer.generate_square_subsequent_mask(4, dtype=pydl.float64).numpy()
    np.testing.assert_array_equal(mask, np.triu(np.full((4, 4), -np.inf), 1))
    padding = np.array([[False] * 5, [False, False, False, True, True]])
    compare(ours, theirs, [src, tgt], tgt_mask=mask, src_key_padding_mask=padding, memory_key_padding_mask=padding)
    compare(ours, theirs, [src, tgt])
    unbatched = [src[0], tgt[0]] if first else [src[:, 0], tgt[:, 0]]
    compare(ours, theirs, unbatched, tgt_mask=mask)


def test_stacks_copy_their_layer_and_find_the_causal_mask(monkeypatch: pytest.MonkeyPatch) -> None:
    layer = nn.TransformerEncoderLayer(8, 2, 12, dropout=0.0, batch_first=True)
    stack = nn.TransformerEncoder(layer, 2, nn.LayerNorm(8))
    assert all(p is not q for p, q in zip(stack.layers[0].parameters(), stack.layers[1].parameters(), strict=True))
    seen: list[bool] = []
    forward = nn.TransformerEncoderLayer.forward

    def watched(self: Any, x: Any, mask: Any, padding: Any, causal: bool) -> Any:
        seen.append(causal)
        return forward(self, x, mask, padding, causal)

    monkeypatch.setattr(nn.TransformerEncoderLayer, "forward", watched)
    x = pydl.randn(2, 5, 8)
    causal = nn.Transformer.generate_square_subsequent_mask(5)
    masks = [causal, causal == -math.inf, None, causal * 0, pydl.ones(5, 5, dtype=pydl.bool), causal + 1.0]
    made = [stack(x, m).detach().numpy() for m in masks[:2]]
    assert seen == [True] * 4
    for m in masks[2:4] + masks[5:]:
        stack(x, m)
    assert seen == [True] * 4 + [False] * 6
    np.testing.assert_allclose(made[0], made[1], atol=1e-6)
    np.testing.assert_allclose(made[0], stack(x, causal, is_causal=False).detach().numpy(), atol=1e-5)


def test_the_future_has_no_gradient() -> None:
    """And without positions the encoder does not know the order."""
    layer = nn.TransformerDecoderLayer(8, 2, 12, batch_first=True).double().eval()
    tgt = pydl.tensor(RNG(0).standard_normal((1, 6, 8))).requires_grad_()
    memory = pydl.tensor(RNG(1).standard_normal((1, 3, 8)))
    layer(tgt, memory, tgt_is_causal=True)[:, 2].sum().backward()
    assert not tgt.grad[:, 3:].numpy().any() and tgt.grad[:, :3].numpy().any()
    encoder = nn.TransformerEncoderLayer(8, 2, 12, batch_first=True).double().eval()
    order = [3, 1, 0, 4, 2, 5]
    x = RNG(2).standard_normal((1, 6, 8))
    np.testing.assert_allclose(
        encoder(pydl.tensor(x)).detach().numpy()[:, order],
        encoder(pydl.tensor(x[:, order])).detach().numpy(),
        atol=1e-12,
    )


# ---------------------------------------------------------------- positions


def test_sinusoidal_positions() -> None:
    """The paper's formula; PE(t + k) is a linear map of PE(t); the two layouts; odd widths."""
    layer = nn.PositionalEncoding(16, max_len=60, dtype=pydl.float64)
    made = layer(pydl.zeros(1, 60, 16, dtype=pydl.float64))[0].numpy()
    for t, i in ((0, 0), (7, 3), (59, 7)):
        angle = t / 10000 ** (2 * i / 16)
        np.testing.assert_allclose(made[t, 2 * i : 2 * i + 2], [math.sin(angle), math.cos(angle)], atol=1e-13)
    solved, *_ = np.linalg.lstsq(made[:50], made[5:55], rcond=None)
    np.testing.assert_allclose(made[:50] @ solved, made[5:55], atol=1e-10)
    x = RNG(0).standard_normal((2, 4, 16))
    swapped = nn.PositionalEncoding(16, max_len=60, batch_first=False, dtype=pydl.float64)
    np.testing.assert_array_equal(
        layer(pydl.tensor(x)).numpy(), swapped(pydl.tensor(x.swapaxes(0, 1))).numpy().swapaxes(0, 1)
    )
    np.testing.assert_array_equal(layer(pydl.tensor(x[0, 1:]), start=1).numpy(), layer(pydl.tensor(x[0])).numpy()[1:])
    assert nn.PositionalEncoding(5)(pydl.zeros(3, 5)).shape == (3, 5)
    assert layer.state_dict() == {}


def test_learned_positions() -> None:
    layer = nn.PositionalEncoding(4, "learned", max_len=7)
    assert list(layer.state_dict()) == ["table"]
    layer(pydl.zeros(2, 3, 4)).sum().backward()
    np.testing.assert_array_equal(layer.table.grad.numpy(), np.repeat([2.0, 0.0], [3, 4])[:, None] * np.ones(4))


@pytest.mark.parametrize("interleaved", [False, True])
def test_rotary_positions(interleaved: bool) -> None:
    """q . k depends on the distance alone; lengths stay; as complex numbers of modulus 1."""
    layer = nn.RotaryEmbedding(8, interleaved=interleaved, dtype=pydl.float64)
    q, k = (pydl.tensor(RNG(i).standard_normal((1, 8))) for i in (0, 1))
    at = lambda x, t: layer(x, start=t).numpy()[0]  # noqa: E731
    np.testing.assert_allclose(at(q, 3) @ at(k, 10), at(q, 40) @ at(k, 47), atol=1e-12)
    np.testing.assert_allclose(np.linalg.norm(at(q, 9)), np.linalg.norm(q.numpy()), atol=1e-13)
    x = q.numpy()[0]
    pairs = x[0::2] + 1j * x[1::2] if interleaved else x[:4] + 1j * x[4:]
    turned = pairs * np.exp(1j * 9 * 10000.0 ** (-np.arange(4) / 4))
    expected = np.stack([turned.real, turned.imag], 1 if interleaved else 0).reshape(-1)
    np.testing.assert_allclose(at(q, 9), expected, atol=1e-13)
    gradcheck(lambda x: layer(x, start=2), [pydl.tensor(RNG(2).standard_normal((2, 3, 8))).requires_grad_()])


# ---------------------------------------------------------------- other attentions


@pytest.mark.parametrize("name", ["additive", "general", "dot"])
def test_weights_of_the_other_attentions(name: str) -> None:
    """Against loops; they sum to 1, what is masked has 0, and a query that sees nothing gets zeros."""
    width = 4 if name == "dot" else 3
    layer = (
        nn.AdditiveAttention(width, 4, 6) if name == "additive" else nn.MultiplicativeAttention(width, 4, name)
    ).double()
    rng = RNG(0)
    q, k, v = rng.standard_normal((2, 3, width)), rng.standard_normal((2, 5, 4)), rng.standard_normal((2, 5, 2))
    mask = rng.random((2, 3, 5)) < 0.6
    mask[0, 1] = False
    context, weights = (x.detach().numpy() for x in layer(*map(pydl.tensor, (q, k, v, mask))))
    p = {n: x.detach().numpy() for n, x in layer.named_parameters()}
    for b, i in itertools.product(range(2), range(3)):
        if name == "additive":
            hidden = np.tanh(p["query_proj.weight"] @ q[b, i] + (p["key_proj.weight"] @ k[b].T).T)
            scores = hidden @ p["score"]
        else:
            scores = k[b] @ (q[b, i] if name == "dot" else p["weight"].T @ q[b, i])
        e = np.where(mask[b, i], np.exp(scores), 0)
        expected = e / e.sum() if e.any() else e
        np.testing.assert_allclose(weights[b, i], expected, atol=1e-13)
        np.testing.assert_allclose(context[b, i], expected @ v[b], atol=1e-13)
    one, w = layer(pydl.tensor(q[:, 0]), pydl.tensor(k), mask=pydl.tensor(mask[:, 0]))
    assert one.shape == (2, 4) and w.shape == (2, 5)
    xs = [pydl.tensor(a).requires_grad_() for a in (q[:1, :2], k[:1], v[:1])]
    gradcheck(lambda *a: layer(*a, pydl.tensor(mask[:1, :2]))[0], xs)
    gradgradcheck(lambda *a: layer(*a, pydl.tensor(mask[:1, :2]))[0], xs, fast_mode=True)


@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("r", [0, 3, 100])
def test_local_attention_is_masked_full_attention(r: int, causal: bool) -> None:
    xs = [pydl.tensor(RNG(i).standard_normal((2, 70, 6))) for i in range(3)]
    gap = np.arange(70)[:, None] - np.arange(70)
    seen = (gap <= r) & (gap >= (0 if causal else -r))
    expected = F.scaled_dot_product_attention(*xs, pydl.tensor(seen)).numpy()
    np.testing.assert_allclose(nn.LocalAttention(r, causal)(*xs).numpy(), expected, atol=1e-12)


def test_wrong_arguments() -> None:
    layer, x = nn.MultiheadAttention(8, 2, batch_first=True), pydl.ones(2, 3, 8)
    cases: list[tuple[Any, type[Exception], str]] = [
        (lambda: nn.MultiheadAttention(8, 3), ArgumentError, "do not share"),
        (lambda: nn.MultiheadAttention(0, 1), ArgumentError, "do not share"),
        (lambda: layer(x[..., :7], x, x), ShapeError, "query (2, 3, 7)"),
        (lambda: layer(x, x[0], x), ShapeError, "all three alike"),
        (lambda: layer(x, x[:1], x[:1]), ShapeError, "one batch size"),
        (lambda: layer(x, x, x[:, :2]), ShapeError, "as many values as keys"),
        (lambda: layer(x, x, x, pydl.ones(2, 4, dtype=pydl.bool)), ShapeError, "expected (2, 3)"),
        (lambda: layer(x, x, x, attn_mask=pydl.ones(4, 3)), ShapeError, "expected (3, 3) or (4, 3, 3)"),
        (lambda: layer(x, x, x, attn_mask=pydl.ones(3, 3, dtype=pydl.int64)), DtypeError, "bool or floating"),
        (lambda: nn.TransformerEncoderLayer(8, 2, activation="swish"), ArgumentError, "'relu', 'gelu'"),
        (lambda: nn.Transformer(8, 2, 1, 1, 8)(x, pydl.ones(2, 4, 8)), ShapeError, "one batch size"),
        (lambda: nn.Transformer(8, 2, 1, 1, 8)(pydl.ones(2, 3, 7), x), ShapeError, "last axis of 8"),
        (lambda: nn.PositionalEncoding(8, "cos"), ArgumentError, "'sin' or 'learned'"),
        (lambda: nn.PositionalEncoding(8, max_len=2)(x), BoundsError, "at most 2"),
        (lambda: nn.PositionalEncoding(7)(x), ShapeError, "(l, 7)"),
        (lambda: nn.RotaryEmbedding(7), ArgumentError, "even"),
        (lambda: nn.RotaryEmbedding(8, max_len=2)(x), BoundsError, "at most 2"),
        (lambda: nn.LocalAttention(-1), ArgumentError, "negative"),
        (lambda: nn.MultiplicativeAttention(3, 4, "dot"), ArgumentError, "as wide as"),
        (lambda: nn.AdditiveAttention(8, 8, 4)(x, x, mask=pydl.ones(2, 3, 3)), DtypeError, "must be bool"),
    ]  # fmt: skip
    for call, error, text in cases:
        with pytest.raises(error) as caught:
            call()
        assert text in str(caught.value), str(caught.value)
    empty = pydl.ones(0, 3, 8)
    assert layer(empty, empty, empty)[0].shape == (0, 3, 8)
    none = pydl.ones(2, 0, 8)
    assert layer(x, none, none, None, False)[0].shape == (2, 3, 8)
    assert layer(none, none, none)[1].shape == (2, 0, 0)
