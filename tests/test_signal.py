"""Convolution and correlation against SciPy."""

import numpy as np
import pytest

import pydl
from pydl import signal
from pydl.autograd import gradcheck
from pydl.errors import ArgumentError, ShapeError

SHAPES = [
    ((7,), (3,)),
    ((3,), (7,)),
    ((4,), (4,)),
    ((1,), (5,)),
    ((6, 5), (3, 2)),
    ((2, 3), (5, 4)),
    ((4, 3, 5), (2, 3, 2)),
]


@pytest.mark.parametrize("mode", ["full", "same", "valid"])
def test_against_scipy(mode: str) -> None:
    scipy = pytest.importorskip("scipy.signal")
    rng = np.random.default_rng(0)
    for first, second in SHAPES:
        a, b = rng.standard_normal(first), rng.standard_normal(second)
        for name in ("convolve", "correlate"):
            made = getattr(signal, name)(pydl.tensor(a), pydl.tensor(b), mode).numpy()
            wanted = getattr(scipy, name)(a, b, mode, method="direct")
            assert made.shape == wanted.shape, (name, first, second)
            np.testing.assert_allclose(made, wanted, rtol=0, atol=1e-12)


def test_gradients_and_layouts() -> None:
    a, b = (pydl.randn(*s, dtype=pydl.float64).requires_grad_() for s in ((5, 4), (2, 3)))
    for mode in ("full", "same", "valid"):
        assert gradcheck(lambda x, k, mode=mode: signal.convolve(x, k, mode), [a, b])
    turned = signal.convolve(a.T, b.T).detach().numpy()
    np.testing.assert_allclose(turned, signal.convolve(a, b).detach().numpy().T, atol=1e-12)


def test_errors() -> None:
    x, k = pydl.ones(3, 5), pydl.ones(4, 2)
    with pytest.raises(ShapeError, match="expected one to fit within the other"):
        signal.convolve(x, k, "valid")
    for a, b in ((x, pydl.ones(3)), (pydl.ones(()), pydl.ones(())), (pydl.ones(0), pydl.ones(3))):
        with pytest.raises(ShapeError, match="one to three axes, equally many, not empty"):
            signal.correlate(a, b)
    with pytest.raises(ArgumentError, match="mode must be 'full', 'same' or 'valid', got 'circular'"):
        signal.correlate(x, k, "circular")
