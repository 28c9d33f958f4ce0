"""float32 on the tensor cores of a CUDA device (or the emulation of one), rounded to 10 bits behind the point."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

import pydl
import pydl.nn.functional as F
from pydl import ops
from pydl.errors import ArgumentError

pytestmark = pytest.mark.skipif(not pydl.cuda.is_available(), reason="no CUDA device")

SHAPES = {"small": ((2, 65, 40), (40, 67)), "large": ((128, 65, 9), (9, 20)), "parts": ((5, 1100), (1100, 72))}


@pytest.fixture(autouse=True)
def _switches() -> Iterator[None]:
    """The switches are put back."""
    yield
    pydl.backends.cuda.matmul.allow_tf32 = pydl.backends.cudnn.allow_tf32 = False


@pytest.mark.parametrize("case", list(SHAPES))
def test_products(case: str) -> None:
    """Errors are within two roundings to 2^-11 of each factor and those of the sum, and beyond those of float32."""
    rng = np.random.default_rng(0)
    for turned in ((True, False),) if case == "large" else ((False, True), (True, False)):
        a, b = (rng.standard_normal(s).astype(np.float32) for s in SHAPES[case])
        given = [
            pydl.tensor(np.swapaxes(x, -1, -2).copy() if t else x, device="cuda")
            for x, t in zip((a, b), turned, strict=True)
        ]
        x, w = (g.transpose(-1, -2) if t else g for g, t in zip(given, turned, strict=True))
        size = np.abs(a).astype(np.float64) @ np.abs(b).astype(np.float64)
        exact = a.astype(np.float64) @ b.astype(np.float64)
        sums = a.shape[-1] * size * 2.0**-24
        pydl.set_float32_matmul_precision("high")
        rounded = np.abs(ops.matmul(x, w).numpy() - exact)
        assert (rounded <= (2 * 2.0**-11 + 2.0**-22) * size + sums).all()
        pydl.set_float32_matmul_precision("highest")
        full = np.abs(ops.matmul(x, w).numpy() - exact)
        assert (full <= sums + 2.0**-24 * np.abs(exact)).all() and rounded.mean() > 16 * full.mean()


def test_convolutions() -> None:
    """The product and both gradients, by a switch of their own."""
    rng = np.random.default_rng(1)
    x, w = rng.standard_normal((2, 6, 9, 9)), rng.standard_normal((10, 6, 3, 3))

    def run(dtype: Any, device: str) -> list[np.ndarray]:
        given = [pydl.tensor(v, dtype=dtype, device=device, requires_grad=True) for v in (x, w)]
        y = F.conv2d(*given, padding=1, stride=2)
        y.sum().backward()
        return [y.detach().numpy(), *[g.grad.numpy() for g in given if g.grad is not None]]

    def worst(found: list[np.ndarray]) -> list[float]:
        return [float(np.abs(f - e).max() / np.abs(e).max()) for f, e in zip(found, exact, strict=True)]

    exact = run(pydl.float64, "cpu")
    assert max(worst(run(pydl.float32, "cuda"))) < 2e-6
    pydl.backends.cuda.matmul.allow_tf32 = True
    assert max(worst(run(pydl.float32, "cuda"))) < 2e-6
    pydl.backends.cudnn.allow_tf32 = True
    found = worst(run(pydl.float32, "cuda"))
    assert max(found) < 2e-3 and min(found) > 5e-6


def test_infinite() -> None:
    """Numbers without a last bit stay what they are."""
    pydl.backends.cuda.matmul.allow_tf32 = True
    x = pydl.tensor([[np.inf, 1.0], [np.nan, 1.0], [3e38, 0.0]], device="cuda")
    y = ops.matmul(x, pydl.ones(2, 2, device="cuda")).numpy()
    assert np.isinf(y[0]).all() and np.isnan(y[1]).all() and np.isfinite(y[2]).all()


def test_replays_follow() -> None:
    """A graph is made anew where the switch is another one."""
    x, w = pydl.randn(40, 70, device="cuda"), pydl.randn(70, 30, device="cuda")
    run = pydl.capture(lambda x: ops.matmul(x.exp(), w).exp())
    for allowed in (False, True, True, False, False):
        pydl.backends.cuda.matmul.allow_tf32 = allowed
        for _ in range(2):
            np.testing.assert_array_equal(run(x).numpy(), ops.matmul(x.exp(), w).exp().numpy())


def test_switches() -> None:
    matmul = pydl.backends.cuda.matmul
    assert pydl.get_float32_matmul_precision() == "highest" and matmul.allow_tf32 is False
    pydl.set_float32_matmul_precision("medium")
    assert pydl.get_float32_matmul_precision() == "medium" and matmul.allow_tf32 is True
    matmul.allow_tf32 = False
    assert pydl.get_float32_matmul_precision() == "highest"
    matmul.allow_tf32 = True
    assert pydl.get_float32_matmul_precision() == "high" and pydl.backends.cudnn.allow_tf32 is False
    with pytest.raises(ArgumentError, match="expected highest, high or medium, got 'low'"):
        pydl.set_float32_matmul_precision("low")
    with pytest.raises(ArgumentError, match="expected True or False, got 1"):
        matmul.allow_tf32 = 1  # type: ignore[assignment]
