"""Scaled dot-product attention, against PyTorch and against its formula in float64."""

import math
from typing import Any

import numpy as np
import pytest
from checks import RowChecks
from registry import NUMPY, row, tensor, via

import pydl
from pydl.errors import ArgumentError, BoundsError, DtypeError, ShapeError
from pydl.nn import functional as F
from pydl.ops import attention as family

SDPA = F.scaled_dot_product_attention
THEIRS = via("nn.functional.scaled_dot_product_attention")
SHAPES = [
    ((2, 3, 4, 5), (2, 3, 6, 5), (2, 3, 6, 3)),
    ((2, 2, 6, 8), (2, 2, 6, 8), (2, 2, 6, 8)),
    ((4, 5), (6, 5), (6, 2)),
    ((3, 4, 2), (3, 1, 2), (3, 1, 3)),
    ((1, 2, 70, 33), (1, 2, 45, 33), (1, 2, 45, 17)),
    ((2, 1, 3, 4, 2), (2, 1, 3, 5, 2), (2, 1, 3, 5, 2)),
]
SLACK = {"float32": 8.0, "float64": 64.0, "float16": 4.0, "bfloat16": 4.0}
ERRORS: list[tuple[Any, type[Exception], str]] = [
    (((2, 3), (4, 5), (4, 5)), ShapeError, "expected (..., l, d), (..., s, d) and (..., s, e)"),
    (((2, 3), (4, 3), (5, 3)), ShapeError, "do not fit"),
    (((3,), (3,), (3,)), ShapeError, "expected (..., n, d)"),
    (((2, 2, 3), (3, 2, 3), (3, 2, 3)), ShapeError, "broadcast"),
    (((4, 2, 3), (3, 2, 3), (3, 2, 3), {"enable_gqa": True}), ShapeError, "do not divide"),
    (((2, 3), (2, 3), (2, 3), {"enable_gqa": True}), ShapeError, "expected (..., h, n, d)"),
    (((2, 3), (2, 3), (2, 3), {"dropout_p": 1.5}), ArgumentError, "dropout_p must be in [0, 1]"),
    (((2, 3), (2, 3), (2, 3), (5, 5)), ShapeError, "does not broadcast to (2, 2)"),
    (((2, 3), (2, 3), (2, 3), pydl.ones(2, 2, dtype=pydl.int64)), DtypeError, "bools or floating numbers"),
    ((pydl.ones(2, 3, dtype=pydl.float64), (2, 3), (2, 3)), DtypeError, "one floating dtype"),
    (([1.0], (2, 3), (2, 3)), DtypeError, "expected tensors"),
]


def packed(x: Any, causal: bool) -> Any:
    return family.self_attention(x, above=0 if causal else family.FAR)


def parts(x: Any, causal: bool) -> Any:
    """The same by PyTorch, on queries, keys and values taken apart."""
    return THEIRS(*(np.ascontiguousarray(x[:, :, i].swapaxes(1, 2)) for i in range(3)), is_causal=causal)


ROWS = [
    row(packed, parts, shapes=[(1, 3, 3, 2, 3), (2, 4, 3, 2, 5), (1, 70, 3, 2, 33), (2, 0, 3, 1, 2)], slack=SLACK,
        name="self_attention",
        kwargs=[{"causal": False}, {"causal": True}], large=((2, 300, 3, 8, 40),),
        errors=[(((2, 4, 2, 2, 5), {"causal": True}), ShapeError, "expected (b, t, 3, h, d)"),
                (((2, 4, 3, 5), {"causal": True}), ShapeError, "expected (b, t, 3, h, d)")]),
    row(SDPA, THEIRS, kinds="fff", shapes=SHAPES[:4], kwargs=[{}, {"is_causal": True}, {"scale": 0.3}], slack=SLACK,
        cases=[(SHAPES[4], {}), (SHAPES[5], {}), (((2, 0, 3), (2, 4, 3), (2, 4, 3)), {}),
               (((2, 2, 3), (2, 0, 3), (2, 0, 4)), {}), (((0, 2, 3), (0, 2, 3), (0, 2, 3)), {}),
               (((2, 3), (4, 3), (4, 0)), {}), (((2, 3, 4), (1, 5, 4), (2, 5, 3)), {})],
        tails=lambda n: ((2, n), (n, n), (n, n)), large=((2, 8, 300, 40), (2, 8, 290, 40), (2, 8, 290, 24)),
        errors=ERRORS, name="scaled_dot_product_attention"),
    row(SDPA, THEIRS, kinds="fff",
        shapes=[((2, 6, 5, 4), (2, 2, 7, 4), (2, 2, 7, 3)), ((4, 3, 2), (1, 3, 2), (1, 3, 2)),
                ((6, 3, 2), (3, 3, 2), (2, 3, 2))],
        kwargs=[{"enable_gqa": True}, {"enable_gqa": True, "is_causal": True}], slack=SLACK,
        large=((2, 8, 70, 40), (2, 2, 70, 40), (2, 2, 70, 24)), name="scaled_dot_product_attention"),
    row(SDPA, THEIRS, kinds="fffb", shapes=[((2, 3, 4, 5), (2, 3, 6, 5), (2, 3, 6, 3), m) for m in (
        (4, 6), (2, 1, 1, 6), (3, 4, 1), (1, 1))], slack=SLACK, name="scaled_dot_product_attention",
        large=((1, 8, 300, 40), (1, 8, 290, 40), (1, 8, 290, 24), (300, 290))),
    row(SDPA, THEIRS, kinds="ffff", shapes=[((2, 3, 4, 5), (2, 3, 6, 5), (2, 3, 6, 3), m) for m in (
        (2, 3, 4, 6), (4, 6), (2, 1, 1, 6), (3, 4, 1))], slack=SLACK, name="scaled_dot_product_attention"),
]  # fmt: skip


class TestRows(RowChecks):
    """Every row's tests."""


def formula(q: Any, k: Any, v: Any, seen: Any = True, added: Any = 0.0, scale: float | None = None) -> np.ndarray:
    """Attention in float64; zeros where a query sees nothing."""
    q, k, v = (np.asarray(x, np.float64) for x in (q, k, v))
    scores = q @ k.swapaxes(-1, -2) * (q.shape[-1] ** -0.5 if scale is None else scale) + added
    scores = np.where(seen, scores, -np.inf)
    top = scores.max(-1, keepdims=True)
    e = np.exp(scores - np.where(np.isinf(top), 0, top))
    total = e.sum(-1, keepdims=True)
    return np.asarray(e / np.where(total == 0, 1, total) @ v)


def drawn(*shapes: tuple[int, ...], seed: int = 0, dtype: str = "float64") -> list[np.ndarray]:
    rng = np.random.default_rng(seed)
    return [rng.standard_normal(s).astype(NUMPY[dtype]) for s in shapes]


def against_torch(arrays: list[np.ndarray], mask: np.ndarray | None, ours: dict[str, Any], theirs: Any = None) -> None:
    """Values and all gradients, that of the mask included where it is of numbers."""
    torch = pytest.importorskip("torch")
    xs = [tensor(a).requires_grad_() for a in arrays]
    ts = [torch.from_numpy(a).requires_grad_() for a in arrays]
    m = None if mask is None else tensor(mask)
    n = None if mask is None and theirs is None else torch.from_numpy(mask if theirs is None else theirs)
    if m is not None and m.dtype is not pydl.bool:
        xs.append(m.requires_grad_())
        ts.append(n.requires_grad_())
    options = {k: v for k, v in ours.items() if k not in ("key_lengths", "window")}
    y, e = SDPA(*xs[:3], m, **ours), torch.nn.functional.scaled_dot_product_attention(*ts[:3], n, **options)
    g = np.random.default_rng(9).standard_normal(e.shape)
    y.backward(tensor(g))
    e.backward(torch.from_numpy(g))
    np.testing.assert_allclose(y.detach().numpy(), e.detach().numpy(), atol=1e-11)
    for i, (x, t) in enumerate(zip(xs, ts, strict=True)):
        np.testing.assert_allclose(x.grad.numpy(), t.grad.numpy(), atol=1e-11, err_msg=f"gradient {i}")


@pytest.mark.parametrize("t", [1, 3, 5, 130, 300])
@pytest.mark.parametrize("s", [1, 4, 300, 600])
@pytest.mark.parametrize("kind", ["plain", "causal", "bool", "numbers"])
def test_gradients_across_blocks(t: int, s: int, kind: str) -> None:
    """Sizes on both sides of a tile, a block and the path for few queries."""
    arrays = drawn((2, 2, t, 20), (2, 2, s, 20), (2, 2, s, 9))
    rng = np.random.default_rng(1)
    mask = {"bool": rng.random((2, 1, t, s)) < 0.6, "numbers": rng.standard_normal((t, s))}.get(kind)
    against_torch(arrays, mask, {"is_causal": True} if kind == "causal" else {})


@pytest.mark.parametrize("shape", [(5, 7), (1, 7), (5, 1), (2, 3, 5, 7), (2, 1, 5, 7), (3, 1, 7), (1, 1, 1, 1), (7,)])
@pytest.mark.parametrize("bools", [True, False])
def test_masks_broadcast(shape: tuple[int, ...], bools: bool) -> None:
    rng = np.random.default_rng(2)
    mask = rng.random(shape) < 0.5 if bools else rng.standard_normal(shape)
    q, k, v = drawn((2, 3, 5, 4), (2, 3, 7, 4), (2, 3, 7, 6))
    if mask.ndim > 1:
        against_torch([q, k, v], mask, {})
    seen, added = (mask, 0.0) if bools else (True, mask)
    np.testing.assert_allclose(SDPA(*map(tensor, (q, k, v, mask))).numpy(), formula(q, k, v, seen, added), atol=1e-13)


def test_causal_and_a_mask_both_hold() -> None:
    q, k, v = drawn((2, 6, 4), (2, 8, 4), (2, 8, 4))
    mask = np.random.default_rng(0).random((6, 8)) < 0.7
    both = mask & np.tril(np.ones((6, 8), bool))
    np.testing.assert_allclose(
        SDPA(*map(tensor, (q, k, v, mask)), is_causal=True).numpy(), formula(q, k, v, both), atol=1e-13
    )


@pytest.mark.parametrize("t", [2, 40])
@pytest.mark.parametrize("kind", ["bool", "float64", "float32"])
def test_a_query_that_sees_nothing_gets_zeros(t: int, kind: str) -> None:
    """And passes no gradient; as PyTorch."""
    seen = np.random.default_rng(0).random((t, 50)) < 0.5
    seen[1] = False
    mask = seen if kind == "bool" else np.where(seen, 0.0, -np.inf).astype(NUMPY[kind])
    xs = [tensor(a).requires_grad_() for a in drawn((2, t, 4), (2, 50, 4), (2, 50, 4))]
    y = SDPA(*xs, tensor(mask))
    assert not y[:, 1].detach().numpy().any()
    y.sum().backward()
    assert not xs[0].grad[:, 1].numpy().any()
    assert all(np.isfinite(x.grad.numpy()).all() for x in xs)
    if kind != "float32":
        against_torch([x.detach().numpy() for x in xs], seen, {})


@pytest.mark.parametrize("t", [1, 4, 9, 150])
@pytest.mark.parametrize("window", [(None, None), (0, 0), (3, 0), (2, 5), (None, 2), (1, None), (-2, 4), (400, -1)])
def test_windows(t: int, window: tuple[int | None, int | None]) -> None:
    """Keys i - left .. i + right, with gradients, against the mask that says the same."""
    i, j = np.arange(t)[:, None], np.arange(350)
    left, right = (10**6 if w is None else w for w in window)
    seen = (j >= i - left) & (j <= i + right)
    arrays = drawn((1, 2, t, 6), (1, 2, 350, 6), (1, 2, 350, 5))
    against_torch(arrays, None, {"window": window}, theirs=seen)
    np.testing.assert_allclose(SDPA(*map(tensor, arrays), window=window).numpy(), formula(*arrays, seen), atol=1e-13)


@pytest.mark.parametrize("t", [2, 33, 300])
@pytest.mark.parametrize("causal", [False, True])
def test_lengths(t: int, causal: bool) -> None:
    """Keys beyond an example's length do not count and are not read: there may be anything."""
    q, k, v = drawn((3, 2, t, 6), (3, 2, 400, 6), (3, 2, 400, 5))
    lengths = [0, 129, 400]
    seen = np.arange(400) < np.array(lengths)[:, None, None, None]
    if causal:
        seen = seen & np.tril(np.ones((t, 400), bool))
    for b, n in enumerate(lengths):
        k[b, :, n:], v[b, :, n:] = np.nan, np.inf
    xs = [tensor(a).requires_grad_() for a in (q, k, v)]
    y = SDPA(*xs, is_causal=causal, key_lengths=pydl.tensor(lengths))
    clean = [np.nan_to_num(a, nan=0.0, posinf=0.0) for a in (k, v)]
    np.testing.assert_allclose(y.detach().numpy(), formula(q, *clean, seen), atol=1e-13)
    y.sum().backward()
    zs = [tensor(a).requires_grad_() for a in (q, *clean)]
    SDPA(*zs, tensor(seen)).sum().backward()
    for x, z in zip(xs, zs, strict=True):
        np.testing.assert_allclose(x.grad.numpy(), z.grad.numpy(), atol=1e-12)


# ---------------------------------------------------------------- layouts, precision, values


def test_heads_within_rows_are_read_and_written_in_place() -> None:
    """(b, t, h, d) seen as (b, h, t, d): the result and the gradients lie the same way."""
    arrays = drawn((2, 40, 3, 16), (2, 50, 3, 16), (2, 50, 3, 16))
    xs = [tensor(a).requires_grad_() for a in arrays]
    y = SDPA(*(x.transpose(1, 2) for x in xs))
    assert y.transpose(1, 2).is_contiguous()
    expected = formula(*(a.swapaxes(1, 2) for a in arrays))
    np.testing.assert_allclose(y.detach().numpy(), expected, atol=1e-13)
    against_torch([np.ascontiguousarray(a.swapaxes(1, 2)) for a in arrays], None, {})
    y.sum().backward()
    zs = [tensor(np.ascontiguousarray(a.swapaxes(1, 2))).requires_grad_() for a in arrays]
    SDPA(*zs).sum().backward()
    for x, z in zip(xs, zs, strict=True):
        np.testing.assert_allclose(x.grad.numpy(), z.grad.numpy().swapaxes(1, 2), atol=1e-13)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
@pytest.mark.parametrize("shape", [(1, 2, 3, 64), (1, 2, 200, 40)])
def test_16_bits_are_computed_in_float32(dtype: str, shape: tuple[int, ...]) -> None:
    """Values and gradients are within twice the rounding of the result."""
    arrays = drawn(shape, (*shape[:2], 400, shape[-1]), (*shape[:2], 400, shape[-1]), dtype=dtype)
    xs = [tensor(a).requires_grad_() for a in arrays]
    y = SDPA(*xs)
    assert y.dtype is xs[0].dtype
    exact = formula(*arrays)
    unit = 2.0**-8 if dtype == "bfloat16" else 2.0**-11
    np.testing.assert_allclose(y.detach().float().numpy(), exact, atol=1.1 * unit * np.abs(exact).max())
    y.sum().backward()
    zs = [tensor(a.astype(np.float64)).requires_grad_() for a in arrays]
    SDPA(*zs).sum().backward()
    for x, z in zip(xs, zs, strict=True):
        top = float(z.grad.abs().max())
        np.testing.assert_allclose(x.grad.double().numpy(), z.grad.numpy(), atol=4 * unit * top)


def test_large_scores_do_not_overflow() -> None:
    q, k, v = drawn((1, 1, 60, 8), (1, 1, 700, 8), (1, 1, 700, 8), dtype="float32")
    made = SDPA(tensor(q * 1e3), tensor(k * 1e3), tensor(v)).numpy()
    best = (q.astype(np.float64) @ k.swapaxes(-1, -2)).argmax(-1)
    np.testing.assert_allclose(made, v[0, 0][best], rtol=1e-5)


@pytest.mark.parametrize("t", [1, 40])
def test_nan_stays_in_its_row(t: int) -> None:
    q, k, v = drawn((1, 1, t, 4), (1, 1, 30, 4), (1, 1, 30, 4))
    q[0, 0, t - 1, 2] = np.nan
    made = SDPA(*map(tensor, (q, k, v))).numpy()[0, 0]
    assert np.isnan(made[t - 1]).all() and np.isfinite(made[: t - 1]).all()
    q[0, 0, t - 1, 2], k[0, 0, 3] = 1.0, np.inf
    assert np.isnan(SDPA(*map(tensor, (q, k, v))).numpy()).any()


def test_what_the_formula_promises() -> None:
    """Loops; the order of the keys; equal scores; the spread of the scores of normal numbers."""
    q, k, v = drawn((5, 16), (9, 16), (9, 3))
    by_hand = np.zeros((5, 3))
    for i in range(5):
        scores = [sum(q[i, d] * k[j, d] for d in range(16)) / 4 for j in range(9)]
        total = sum(math.exp(x) for x in scores)
        for j in range(9):
            by_hand[i] += math.exp(scores[j]) / total * v[j]
    np.testing.assert_allclose(SDPA(*map(tensor, (q, k, v))).numpy(), by_hand, atol=1e-12)
    order = np.random.default_rng(0).permutation(9)
    np.testing.assert_allclose(SDPA(*map(tensor, (q, k[order], v[order]))).numpy(), by_hand, atol=1e-12)
    rows = np.random.default_rng(1).permutation(5)
    np.testing.assert_allclose(SDPA(*map(tensor, (q[rows], k, v))).numpy(), by_hand[rows], atol=1e-12)
    np.testing.assert_allclose(
        SDPA(tensor(q * 0), tensor(k), tensor(v)).numpy(), np.tile(v.mean(0), (5, 1)), atol=1e-14
    )
    q, k = drawn((400, 64), (400, 64))
    assert abs((q @ k.T / 8).var() - 1) < 0.05


@pytest.mark.parametrize(
    ("call", "error", "text"),
    [
        (lambda x: SDPA(x, x, x, key_lengths=pydl.tensor([5])), BoundsError, "length 5 is out of range"),
        (lambda x: SDPA(x, x, x, key_lengths=pydl.tensor([1, 2, 3])), ShapeError, "one int64 length for each of 1"),
        (lambda x: SDPA(x, x, x, key_lengths=pydl.tensor([-1])), BoundsError, "length -1"),
        (lambda x: SDPA(x.to(pydl.int64), x.to(pydl.int64), x.to(pydl.int64)), DtypeError, "floating"),
        (lambda x: pydl._C.attention(*[x.array] * 3, *[None] * 3, 1.0, 0, 0, 0.0), ShapeError, "expected (b, h, t, d)"),
    ],
)
def test_wrong_arguments(call: Any, error: type[Exception], text: str) -> None:
    with pytest.raises(error) as caught:
        call(pydl.ones(4, 3))
    assert text in str(caught.value)


def test_vmap_and_forward_derivatives() -> None:
    """Transforms of functions see the plain definition."""
    q, k, v = map(tensor, drawn((3, 2, 4, 5), (3, 2, 6, 5), (3, 2, 6, 5)))
    made = pydl.func.vmap(lambda *a: SDPA(*a, is_causal=True))(q, k, v)
    np.testing.assert_allclose(made.numpy(), SDPA(q, k, v, is_causal=True).numpy(), atol=1e-13)


@pytest.mark.slow
def test_memory_is_linear() -> None:
    """16k tokens, whose weights alone would be 1 GiB, in a process of its own."""
    import subprocess
    import sys

    code = (
        "import resource, pydl\n"
        "xs = [pydl.randn(1, 1, 16384, 16, requires_grad=True) for _ in range(3)]\n"
        "before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "pydl.nn.functional.scaled_dot_product_attention(*xs, is_causal=True).sum().backward()\n"
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)\n"
    )
    made = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert int(made.stdout) < 100 * 1024
