"""Recurrent layers wide enough for the matrix unit, where the machine has one, against float64."""

import numpy as np
import pytest
from numpy.typing import NDArray

import pydl
from pydl.ops.recurrence import recurrent

GATES = {"lstm": 4, "gru": 3, "gru_before": 3, "tanh": 1, "relu": 1}
FALLING = [70, 70, 33, 33, 16, 5]


def operands(cell: str, rows: int, batch: int, h: int) -> list[NDArray[np.float64]]:
    rng, g, i = np.random.default_rng(0), GATES[cell], 24
    scale = 1 / np.sqrt(h)
    shapes = [(rows, i), (batch, h), (batch, h), (g * h, i), (g * h, h), (g * h,), (g * h,)]
    return [rng.standard_normal(s) * (scale if len(s) == 1 or s[0] == g * h else 1) for s in shapes]


def run(
    cell: str, arrays: list[NDArray[np.float64]], dtype: pydl.dtype, reverse: bool, sizes: list[int]
) -> list[pydl.Tensor]:
    """Outputs, then the gradients of all inputs for seeds that follow from the shapes."""
    x, h0, c0, *w = (pydl.tensor(a).to(dtype).requires_grad_(True) for a in arrays)
    made = [t for t in recurrent(x, h0, c0 if cell == "lstm" else None, w, cell, reverse, sizes) if t is not None]
    seeds = [pydl.tensor(np.cos(np.arange(t.numel())).reshape(t.shape)).to(dtype) for t in made]
    inputs = [x, h0, *([c0] if cell == "lstm" else []), *w]
    return [t.detach() for t in (*made, *pydl.autograd.grad(made, inputs, seeds))]


@pytest.mark.parametrize("cell", list(GATES))
@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize(
    ("sizes", "h"), [([12] * 5, 64), ([64] * 4, 96), ([40] * 3, 256), (FALLING, 64), (FALLING, 288)]
)
def test_values_and_gradients(cell: str, reverse: bool, sizes: list[int], h: int) -> None:
    arrays = operands(cell, sum(sizes), sizes[0], h)
    single, double = (run(cell, arrays, dtype, reverse, sizes) for dtype in (pydl.float32, pydl.float64))
    for a, e in zip(single, double, strict=True):
        wide = e.numpy()
        np.testing.assert_allclose(a.numpy(), wide, rtol=1e-4, atol=1e-5 * max(1.0, abs(wide).max()))


@pytest.mark.parametrize("cell", list(GATES))
def test_the_same_bits_for_any_number_of_threads(cell: str) -> None:
    before, results = pydl.get_num_threads(), []
    try:
        for threads in (1, 2, 3):
            pydl.set_num_threads(threads)
            for sizes, h in ([70] * 3, 96), (FALLING, 288):
                made = run(cell, operands(cell, sum(sizes), sizes[0], h), pydl.float32, False, sizes)
                results.append(b"".join(t.numpy().tobytes() for t in made))
    finally:
        pydl.set_num_threads(before)
    assert len(set(results)) == 2


@pytest.mark.parametrize("odd", [np.nan, np.inf])
def test_what_is_no_number_stays_in_its_row(odd: float) -> None:
    arrays = operands("relu", 4 * 33, 33, 64)
    arrays[1][7, 5] = odd
    sizes = [33] * 4
    y = run("relu", arrays, pydl.float32, False, sizes)[0].numpy().reshape(4, 33, 64)
    exact = run("relu", arrays, pydl.float64, False, sizes)[0].numpy().reshape(4, 33, 64)
    assert not np.isfinite(y[:, 7]).all(-1).any() and np.isfinite(np.delete(y, 7, 1)).all()
    np.testing.assert_allclose(np.delete(y, 7, 1), np.delete(exact, 7, 1), rtol=1e-4, atol=1e-5)
