"""Attention with dropout: against its plain definition with the same draws; bits for any number of threads."""

import math

import numpy as np
import pytest
from registry import NUMPY, tensor

import pydl
from pydl.autograd import gradcheck, gradgradcheck
from pydl.nn import functional as F
from pydl.ops import attention as family

SDPA = F.scaled_dot_product_attention


def drawn(*shapes: tuple[int, ...], dtype: str = "float64") -> list[np.ndarray]:
    rng = np.random.default_rng(0)
    return [rng.standard_normal(s).astype(NUMPY[dtype]) for s in shapes]


def seeded(seed: int = 5) -> pydl.Generator:
    return pydl.Generator().manual_seed(seed)


@pytest.mark.parametrize(("t", "s"), [(3, 2000), (40, 70), (200, 600)])
@pytest.mark.parametrize("p", [0.25, 0.9])
def test_dropout_is_its_plain_definition(t: int, s: int, p: float) -> None:
    """Values and gradients, with the mask that the seed gives."""
    arrays = drawn((1, 2, t, 5), (1, 2, s, 5), (1, 2, s, 4))
    made = []
    for plain in (False, True):
        xs = [tensor(a).requires_grad_() for a in arrays]
        if plain:
            rng = pydl.Tensor(pydl._C.attention_ticket(seeded().array, (1, 2, t, s)))
            rest = {"scale": 5**-0.5, "below": family.FAR, "above": family.FAR, "dropout": p}
            y = family.Attention.reference(*xs, None, None, rng, **rest)  # type: ignore[misc]
        else:
            y = SDPA(*xs, dropout_p=p, generator=seeded())
        (y * tensor(np.arange(y.numel()).reshape(y.shape) % 7 - 3.0)).sum().backward()
        made.append([y.detach().numpy(), *(x.grad.numpy() for x in xs)])
    for ours, plainly in zip(*made, strict=True):
        np.testing.assert_allclose(ours, plainly, atol=1e-11)


def test_dropout_keeps_the_mean() -> None:
    q, k = pydl.zeros(2, 4, 128, 8), pydl.zeros(2, 4, 256, 8)
    v = pydl.ones(2, 4, 256, 8)
    y = SDPA(q, k, v, dropout_p=0.3, generator=seeded()).numpy()
    kept = y[..., 0] * 256 * 0.7  # how many weights of each row are left
    assert abs(kept.mean() / 256 - 0.7) < 5 * math.sqrt(0.21 / kept.size / 256)
    assert abs(kept.std() / math.sqrt(256 * 0.21) - 1) < 0.1
    assert not SDPA(q, k, v, dropout_p=1.0).numpy().any()
    np.testing.assert_allclose(SDPA(q, k, v, dropout_p=0.0).numpy(), 1.0, rtol=1e-6)


def test_each_call_draws_anew() -> None:
    q, k, v = map(tensor, drawn((1, 1, 20, 4), (1, 1, 30, 4), (1, 1, 30, 4)))
    generator = seeded()
    first, second = (SDPA(q, k, v, dropout_p=0.5, generator=generator).numpy() for _ in range(2))
    assert not np.array_equal(first, second)
    assert np.array_equal(first, SDPA(q, k, v, dropout_p=0.5, generator=seeded()).numpy())


def test_packed_operands_with_everything() -> None:
    """Mask, lengths and dropout, with gradients, as of the parts."""
    x, mask = drawn((2, 40, 3, 2, 8), (40, 40))
    rest = (tensor(mask), pydl.tensor([40, 17]))
    made = []
    for joint in (True, False):
        z = tensor(x).requires_grad_()
        options = {"above": 3, "dropout": 0.3, "generator": seeded()}
        if joint:
            y = family.self_attention(z, *rest, **options)
        else:
            y = family.attention(*(z[:, :, i].transpose(1, 2) for i in range(3)), *rest, **options)
        y.square().sum().backward()
        made.append((y.detach().numpy(), z.grad.numpy()))
    for a, b in zip(*made, strict=True):
        np.testing.assert_allclose(a, b, atol=1e-12)


@pytest.mark.parametrize("causal", [False, True])
def test_dropout_by_differences(causal: bool) -> None:
    xs = [tensor(a).requires_grad_() for a in drawn((1, 2, 6, 3), (1, 2, 5, 3), (1, 2, 5, 2))]
    call = lambda *a: SDPA(*a, dropout_p=0.4, is_causal=causal, generator=seeded())  # noqa: E731
    gradcheck(call, xs)
    gradgradcheck(call, xs, fast_mode=True)


@pytest.mark.parametrize("t", [2, 300])
def test_same_bits_for_any_number_of_threads(t: int) -> None:
    """Forward and gradients, with dropout and heads that are shared or too few for all threads."""
    made = []
    for threads in (1, 2, 3):
        pydl.set_num_threads(threads)
        xs = [
            tensor(a).requires_grad_()
            for a in drawn((1, 2, t, 32), (1, 1, 1500, 32), (1, 1, 1500, 32), dtype="float32")
        ]
        y = SDPA(*xs, dropout_p=0.1, enable_gqa=True, generator=seeded())
        y.sum().backward()
        made.append([y.detach().numpy().tobytes(), *(x.grad.numpy().tobytes() for x in xs)])
    assert made[0] == made[1] == made[2]
