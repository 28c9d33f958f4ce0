"""Matrix products whose shapes cross the borders of tiles on a CUDA device (or the emulation of one)."""

import ml_dtypes
import numpy as np
import pytest

import pydl
from pydl import ops

pytestmark = pytest.mark.skipif(not pydl.cuda.is_available(), reason="no CUDA device")

ROUNDING = {"float32": 2.0**-24, "float64": 2.0**-53, "float16": 2.0**-11, "bfloat16": 2.0**-8}
STORED = {"float16": np.float16, "bfloat16": ml_dtypes.bfloat16}
SHAPES = {
    "small tiles": ((2, 65, 40), (40, 67)),
    "large tiles": ((128, 65, 9), (9, 20)),
    "parts of the sum": ((5, 1100), (1100, 72)),
}


def drawn(shape: tuple[int, ...], dtype: str, turned: bool, rng: np.random.Generator) -> tuple[np.ndarray, pydl.Tensor]:
    """Numbers of the dtype, in float64 and on the device; turned: the last two axes lie the other way in memory."""
    x = rng.standard_normal(shape).astype(STORED.get(dtype, dtype)).astype(np.float64)
    there = pydl.tensor(np.swapaxes(x, -1, -2).copy() if turned else x).to("cuda", getattr(pydl, dtype))
    return x, there.transpose(-1, -2) if turned else there


@pytest.mark.parametrize("dtype", list(ROUNDING))
@pytest.mark.parametrize("case", list(SHAPES))
def test_tiles(case: str, dtype: str) -> None:
    """Factors that lie by rows and by columns; errors within k roundings of the sum and one of the result."""
    rng = np.random.default_rng(0)
    for turned in ((True, False),) if case == "large tiles" else ((False, True), (True, False)):
        (a, da), (b, db) = (drawn(s, dtype, t, rng) for s, t in zip(SHAPES[case], turned, strict=True))
        y = ops.matmul(da, db).double().numpy()
        sums = a.shape[-1] * (np.abs(a) @ np.abs(b)) * 2.0 ** (-53 if dtype == "float64" else -24)
        assert (np.abs(y - a @ b) <= ROUNDING[dtype] * np.abs(a @ b) + sums).all()


def test_epilogue() -> None:
    """Bias, residual and activation after a sum in parts."""
    rng = np.random.default_rng(1)
    x, w, bias, rest = (rng.standard_normal(s) for s in ((3, 700), (9, 700), (9,), (3, 9)))
    given = [pydl.tensor(v, device="cuda") for v in (x, w, bias)]
    y = ops.linear(*given, "tanh", pydl.tensor(rest, device="cuda"))
    np.testing.assert_allclose(y.numpy(), np.tanh(x @ w.T + bias + rest), rtol=1e-11, atol=1e-12)
