"""What convolution is: its definition and theorems, adjoints, dilation, groups, sizes."""

import itertools
from typing import Any

import numpy as np
import pytest

import pydl
import pydl.nn.functional as F
from pydl.errors import ShapeError

torch = pytest.importorskip("torch")

AXES = (1, 2, 3)
SETTINGS = list(itertools.product((1, 2, 3), (0, 1, 2), (1, 2), (1, 2, 4), (1, 2, 3)))  # stride, padding, dilation, ...
IDS = ["s{}p{}d{}g{}k{}".format(*s) for s in SETTINGS]
IMAGE = {1: (11,), 2: (9, 7), 3: (6, 6, 7)}


def close(ours: pydl.Tensor, theirs: Any, dtype: str) -> None:
    e = theirs.detach().double().numpy()
    assert ours.shape == e.shape
    limit = {"float32": 2e-5, "float64": 1e-12}[dtype] * max(1.0, np.abs(e).max(initial=0.0))
    np.testing.assert_allclose(ours.detach().numpy(), e, rtol=0, atol=limit)


def plain_conv(x: np.ndarray, w: np.ndarray, stride: int, padding: int) -> np.ndarray:
    """The definition, in loops."""
    b, _, h, wide = x.shape
    m, _, kh, kw = w.shape
    x = np.pad(x, ((0, 0), (0, 0), (padding, padding), (padding, padding)))
    oh, ow = (h + 2 * padding - kh) // stride + 1, (wide + 2 * padding - kw) // stride + 1
    y = np.zeros((b, m, oh, ow))
    for i, j in itertools.product(range(oh), range(ow)):
        patch = x[:, :, i * stride : i * stride + kh, j * stride : j * stride + kw]
        y[:, :, i, j] = np.einsum("bchw,mchw->bm", patch, w)
    return y


def test_definition() -> None:
    rng = np.random.default_rng(0)
    for stride, padding in itertools.product((1, 2), (0, 2)):
        x, w = rng.standard_normal((2, 3, 7, 8)), rng.standard_normal((4, 3, 3, 2))
        made = F.conv2d(pydl.tensor(x), pydl.tensor(w), None, stride, padding).numpy()
        np.testing.assert_allclose(made, plain_conv(x, w, stride, padding), rtol=0, atol=1e-10)


def test_convolution_theorem() -> None:
    """Circular convolution is the product of the spectra; it correlates with the flipped kernel."""
    rng = np.random.default_rng(0)
    x, k = rng.standard_normal(16), rng.standard_normal(16)
    spectra = np.fft.ifft(np.fft.fft(x) * np.fft.fft(k)).real
    twice = np.concatenate([x, x])[None, None]
    made = F.conv1d(pydl.tensor(twice), pydl.tensor(k[::-1].copy()[None, None])).numpy()[0, 0, 1:]
    np.testing.assert_allclose(made, spectra, rtol=0, atol=1e-10)
    full = np.convolve(x, k[:5])
    ours = F.conv1d(pydl.tensor(x[None, None]), pydl.tensor(k[4::-1].copy()[None, None]), padding=4).numpy()[0, 0]
    np.testing.assert_allclose(ours, full, rtol=0, atol=1e-10)


@pytest.mark.parametrize("axes", AXES)
@pytest.mark.parametrize("setting", SETTINGS[::5], ids=IDS[::5])
def test_transposed_is_the_adjoint(setting: Any, axes: int) -> None:
    """<A x, y> = <x, A^T y>."""
    stride, padding, dilation, groups, kernel = setting
    rng = np.random.default_rng(0)
    kwargs = {"stride": stride, "padding": padding, "dilation": dilation, "groups": groups}
    x, w = (pydl.tensor(rng.standard_normal(s)) for s in ((2, 4, *IMAGE[axes]), (8, 4 // groups, *(kernel,) * axes)))
    ax = getattr(F, f"conv{axes}d")(x, w, None, **kwargs)
    y = pydl.tensor(rng.standard_normal(ax.shape))
    back = getattr(F, f"conv_transpose{axes}d")
    least = back(y, w, None, **kwargs).shape[2:]
    extra = [a - b for a, b in zip(x.shape[2:], least, strict=True)]
    aty = back(y, w, None, output_padding=extra, **kwargs) if any(extra) else back(y, w, None, **kwargs)
    left, right = float((ax * y).sum()), float((x * aty).sum())
    assert abs(left - right) <= 1e-10 * max(1.0, abs(left))


def test_dilation_is_a_kernel_with_zeros_between() -> None:
    rng = np.random.default_rng(0)
    x, w = rng.standard_normal((2, 3, 14, 15)), rng.standard_normal((4, 3, 3, 2))
    for dilation in (2, 3):
        stuffed = np.zeros((4, 3, 2 * dilation + 1, dilation + 1))
        stuffed[:, :, ::dilation, ::dilation] = w
        a = F.conv2d(pydl.tensor(x), pydl.tensor(w), dilation=dilation).numpy()
        b = F.conv2d(pydl.tensor(x), pydl.tensor(stuffed)).numpy()
        np.testing.assert_allclose(a, b, rtol=0, atol=1e-12)


def test_groups_do_not_see_each_other() -> None:
    rng = np.random.default_rng(0)
    x, w = rng.standard_normal((2, 6, 8, 9)), rng.standard_normal((9, 2, 3, 3))
    made = F.conv2d(pydl.tensor(x), pydl.tensor(w), padding=1, groups=3).numpy()
    for g in range(3):
        part = F.conv2d(
            pydl.tensor(x[:, 2 * g : 2 * g + 2].copy()), pydl.tensor(w[3 * g : 3 * g + 3].copy()), padding=1
        )
        np.testing.assert_allclose(made[:, 3 * g : 3 * g + 3], part.numpy(), rtol=0, atol=1e-12)


@pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel lengths")  # torch's, of its own speed
def test_same_padding_with_an_even_kernel_pads_more_at_the_end() -> None:
    rng = np.random.default_rng(0)
    for kernel, dilation in ((2, 1), (4, 1), (2, 3), (4, 3)):
        x, w = rng.standard_normal((1, 2, 9, 8)), rng.standard_normal((3, 2, kernel, 3))
        theirs = torch.nn.functional.conv2d(torch.tensor(x), torch.tensor(w), padding="same", dilation=dilation)
        close(F.conv2d(pydl.tensor(x), pydl.tensor(w), padding="same", dilation=dilation), theirs, "float64")


# ---------------------------------------------------------------- shapes


def test_out_size_exhaustively() -> None:
    """Every n, f, p, s against the output itself."""
    for n, f, p, s, d in itertools.product(range(1, 13), range(1, 6), range(3), range(1, 4), (1, 2)):
        x, w = pydl.zeros(1, 1, n), pydl.zeros(1, 1, f)
        if n + 2 * p < d * (f - 1) + 1:
            with pytest.raises(ShapeError, match=r"conv1d: .* reaches over"):
                F.conv1d(x, w, None, s, p, d)
            with pytest.raises(ShapeError, match=r"conv_out_size: .* reaches over"):
                F.conv_out_size(n, f, s, p, d)
            continue
        size = F.conv_out_size(n, f, s, p, d)
        assert F.conv1d(x, w, None, s, p, d).shape == (1, 1, size)
        assert size == (n + 2 * p - d * (f - 1) - 1) // s + 1
    assert F.conv_out_size((32, 30), 5, stride=(1, 2), padding=(0, 2)) == (28, 15)
    assert F.conv_out_size(9, 4, padding="same") == 9


def test_course_network_layer_by_layer() -> None:
    """32 -> 28 -> 14 -> 10 -> 5, then 6 * 5 * 5 = 150."""
    x = pydl.zeros(2, 1, 32, 32)
    a = F.conv2d(x, pydl.zeros(4, 1, 5, 5))
    assert a.shape == (2, 4, 28, 28)
    b = F.conv2d(pydl.zeros(2, 4, 14, 14), pydl.zeros(6, 4, 5, 5))
    assert b.shape == (2, 6, 10, 10) and F.conv_out_size(10, 2, 2) == 5 and 6 * 5 * 5 == 150
