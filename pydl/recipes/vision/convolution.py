"""What a convolutional layer computes: its definition, its gradients, and the theorem of convolution."""

import itertools
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from pydl import float64, nn, ops, randn, signal, tensor
from pydl.autograd import gradcheck, gradgradcheck
from pydl.nn import functional as F
from pydl.recipes.recipe import Recipe, Report, setting

RECIPE = Recipe(
    name="convolution",
    ids=("V01",),
    title="Convolution by its definition, gradients and theorem",
    source="LeCun et al. 1998, Gradient-based learning applied to document recognition, section II.A",
    time="t0",
)

Floats = npt.NDArray[np.float64]


@dataclass
class Settings:
    """What can be set on the command line."""

    images: int = setting(2, "in the batch", least=1)
    size: int = setting(9, "pixels on a side", least=5)
    seed: int = setting(0, "of images and kernels")


def run(settings: Settings, report: Report) -> None:
    """Compares with loops, differences and spectra in float64; and float32 of larger layers with float64."""
    s, rng = settings, np.random.default_rng(settings.seed)
    x, w, b = (rng.standard_normal(shape) for shape in ((s.images, 3, s.size, s.size), (4, 3, 3, 3), (4,)))
    layer = np.maximum(by_loops(x, w) + b[:, None, None], 0)
    made = F.relu(F.conv2d(tensor(x), tensor(w), tensor(b))).numpy()
    report.check("layer against loops", np.abs(made - layer).max(), at_most=1e-10)
    tensors = [tensor(v).requires_grad_() for v in (x[:1, :, :5, :5].copy(), w, b)]
    report.check("gradients agree with differences", gradcheck(F.conv2d, tensors), equals=True)
    report.check("second gradients agree", gradgradcheck(F.conv2d, tensors), equals=True)
    _theorem(rng, report)
    _paths(report)


def by_loops(x: Floats, w: Floats) -> Floats:
    """sum_cuv w[m, c, u, v] x[b, c, i + u, j + v]: (b, c, h, w), (m, c, kh, kw) -> (b, m, h - kh + 1, w - kw + 1)."""
    (count, _, h, wide), (maps, _, kh, kw) = x.shape, w.shape
    y = np.zeros((count, maps, h - kh + 1, wide - kw + 1))
    for b, m, i, j in np.ndindex(*y.shape):
        y[b, m, i, j] = (w[m] * x[b, :, i : i + kh, j : j + kw]).sum()
    return y


def _theorem(rng: np.random.Generator, report: Report) -> None:
    """Circular convolution is the product of the spectra; convolution correlates with the kernel turned around."""
    x, k = rng.standard_normal((12, 10)), rng.standard_normal((3, 3))
    spectra = np.fft.ifft2(np.fft.fft2(x) * np.fft.fft2(k, x.shape)).real
    around = F.pad(tensor(x)[None, None], (2, 0, 2, 0), "circular")[0, 0]
    made = signal.convolve(around, tensor(k), "valid").numpy()
    report.check("circular convolution against spectra", np.abs(made - spectra).max(), at_most=1e-10)
    turned = signal.correlate(tensor(x), ops.flip(tensor(k), (0, 1))).numpy()
    gap = np.abs(signal.convolve(tensor(x), tensor(k)).numpy() - turned).max()
    report.check("convolution against correlation with the kernel turned", gap, at_most=1e-10)


def _paths(report: Report) -> None:
    """float32 layers of the shapes that take different ways through the kernels, against float64."""
    worst = 0.0
    for (c, m, k), stride, groups in itertools.product(((1, 6, 5), (32, 32, 3), (64, 16, 1)), (1, 2), (1, -1)):
        parts = c if groups == -1 and m % c == 0 else 1
        layer = nn.Conv2d(c, m, k, stride, k // 2, groups=parts)
        x = randn(4, c, 16, 16)
        exact = F.conv2d(x.double(), layer.weight.double(), layer.bias.double(), stride, k // 2, 1, parts)  # type: ignore[union-attr]
        worst = max(worst, float((layer(x).double() - exact).abs().max() / exact.abs().max()))
    report.check("float32 against float64, relative", worst, at_most=1e-5)
    assert exact.dtype == float64
