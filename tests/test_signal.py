"""Convolution and correlation against SciPy."""

import numpy as np
import pytest

import pydl
from pydl import signal
from pydl.autograd import gradcheck
from pydl.errors import ArgumentError, DtypeError, ShapeError

SHAPES = [
    ((7,), (3,)),
    ((3,), (7,)),
    ((4,), (4,)),
    ((1,), (5,)),
    ((6, 5), (3, 2)),
    ((2, 3), (5, 4)),
    ((4, 3, 5), (2, 3, 2)),
]


MODES = ["full", "same", "valid"]


def by_spectra(a: np.ndarray, b: np.ndarray, mode: str) -> np.ndarray:
    """Convolution as the product of the spectra of what zeros make long enough."""
    whole = [m + n - 1 for m, n in zip(a.shape, b.shape, strict=True)]
    axes = tuple(range(a.ndim))
    full = np.fft.irfftn(np.fft.rfftn(a, whole, axes) * np.fft.rfftn(b, whole, axes), whole, axes)
    size = [abs(m - n) + 1 for m, n in zip(a.shape, b.shape, strict=True)] if mode == "valid" else list(a.shape)
    size = whole if mode == "full" else size
    return full[tuple(slice((w - s) // 2, (w - s) // 2 + s) for w, s in zip(whole, size, strict=True))]


@pytest.mark.parametrize("mode", MODES)
def test_against_spectra(mode: str) -> None:
    rng = np.random.default_rng(0)
    for first, second in SHAPES:
        a, b = rng.standard_normal(first), rng.standard_normal(second)
        made = signal.convolve(pydl.tensor(a), pydl.tensor(b), mode).numpy()
        np.testing.assert_allclose(made, by_spectra(a, b, mode), rtol=0, atol=1e-12)
        turned = signal.correlate(pydl.tensor(a), pydl.tensor(np.flip(b).copy()), mode).numpy()
        np.testing.assert_allclose(turned, made, rtol=0, atol=1e-12)
    single = signal.convolve(pydl.ones(3), pydl.tensor([1.0, 2.0]), mode)
    assert single.dtype == pydl.float32
    np.testing.assert_array_equal(single.numpy(), np.convolve(np.ones(3), [1, 2], mode))


@pytest.mark.slow  # scipy.signal takes seconds to import
@pytest.mark.parametrize("mode", MODES)
def test_against_scipy(mode: str) -> None:
    scipy = pytest.importorskip("scipy.signal")
    rng = np.random.default_rng(1)
    for first, second in SHAPES:
        a, b = rng.standard_normal(first), rng.standard_normal(second)
        for name in ("convolve", "correlate"):
            made = getattr(signal, name)(pydl.tensor(a), pydl.tensor(b), mode).numpy()
            np.testing.assert_allclose(made, getattr(scipy, name)(a, b, mode, method="direct"), rtol=0, atol=1e-12)


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
    for a, b in ((pydl.tensor([1, 2]), pydl.tensor([1])), (pydl.ones(3), pydl.ones(3, dtype=pydl.float64))):
        with pytest.raises(DtypeError, match=r"convolve: in1 is .* expected one floating dtype"):
            signal.convolve(a, b)
    with pytest.raises(ArgumentError, match="mode must be 'full', 'same' or 'valid', got 'circular'"):
        signal.correlate(x, k, "circular")
