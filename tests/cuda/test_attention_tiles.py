"""Attention on a CUDA device (or the emulation of one) against that of the CPU in float64."""

from typing import Any

import numpy as np
import pytest

import pydl
from pydl.ops.attention import attention

pytestmark = pytest.mark.skipif(not pydl.cuda.is_available(), reason="no CUDA device")

# Queries' (b, h, t, d), keys' heads, s, e: few; causal, over borders; keys in parts; wide values.
CASES: list[tuple[tuple[int, int, int, int], int, int, int, dict[str, Any]]] = [
    ((1, 2, 5, 3), 1, 7, 4, {}),
    ((1, 2, 70, 16), 2, 75, 20, {"above": 0}),
    ((1, 2, 1, 24), 1, 700, 72, {}),
    ((2, 1, 33, 70), 1, 40, 130, {"below": 9, "above": 3}),
]
WITHIN = {"float64": 1e-13, "float32": 2e-6, "bfloat16": 6e-3, "float16": 8e-4}


def results(inputs: list[np.ndarray], g: np.ndarray, device: str, dtype: str, options: dict[str, Any]) -> list[Any]:
    """The output and the gradients of queries, keys and values."""
    given = [pydl.tensor(x).to(device, getattr(pydl, dtype)).requires_grad_() for x in inputs]
    y = attention(*given, **options)
    y.backward(pydl.tensor(g).to(device, getattr(pydl, dtype)))
    made = [y, *(t.grad for t in given)]
    assert all(t is not None and t.device.type == device for t in made)
    return [t.detach().cpu().double().numpy() for t in made if t is not None]


@pytest.mark.parametrize("dtype", list(WITHIN))
@pytest.mark.parametrize("case", range(len(CASES)))
def test_tiles(case: int, dtype: str) -> None:
    """Values and gradients, both the same bits in a second run."""
    (b, h, t, d), shared, s, e, options = CASES[case]
    rng = np.random.default_rng(case)
    shapes = (b, h, t, d), (b, shared, s, d), (b, shared, s, e), (b, h, t, e)
    drawn = [pydl.tensor(rng.standard_normal(x)).to(getattr(pydl, dtype)).double().numpy() for x in shapes]
    made = results(drawn[:3], drawn[3], "cuda", dtype, options)
    for y, exact in zip(made, results(drawn[:3], drawn[3], "cpu", "float64", options), strict=True):
        assert np.linalg.norm(y - exact) <= WITHIN[dtype] * np.linalg.norm(exact)
    for y, again in zip(made, results(drawn[:3], drawn[3], "cuda", dtype, options), strict=True):
        assert y.tobytes() == again.tobytes()


def test_extras() -> None:
    """Masks of both kinds, lengths, and the CPU's dropout bit for bit."""
    rng = np.random.default_rng(0)
    q, k, v = (rng.standard_normal((2, 2, 6, 5)) for _ in range(3))
    masks = rng.random((6, 6)) < 0.7, rng.standard_normal((2, 1, 6, 6))
    for mask in masks:
        made = []
        for device in ("cuda", "cpu"):
            pydl.manual_seed(3)
            x = [pydl.tensor(a, device=device) for a in (q, k, v, mask)]
            lengths = pydl.tensor([4, 6], device=device)
            made.append(attention(*x, lengths, dropout=0.4).numpy())
        np.testing.assert_allclose(made[0], made[1], rtol=1e-12, atol=1e-12)
        assert (made[0] != 0).any()
