"""Gradients of few weights, plane by plane: channels that share what is read, some taps at a time, against NumPy."""

from itertools import product

import numpy as np

import pydl
from pydl import _C

Array = np.ndarray[tuple[int, ...], np.dtype[np.floating]]


def exact(x: Array, g: Array, kernel: tuple[int, int], stride: int, padding: int, dilation: int) -> Array:
    """gw (m, c, kh, kw) in float64, a tap at a time."""
    x = np.pad(x.astype(np.float64), ((0, 0), (0, 0), (padding, padding), (padding, padding)))
    gw = np.empty((g.shape[1], x.shape[1], *kernel))
    for i, j in product(*map(range, kernel)):
        y0, x0 = i * dilation, j * dilation
        read = x[:, :, y0 : y0 + g.shape[2] * stride : stride, x0 : x0 + g.shape[3] * stride : stride]
        gw[:, :, i, j] = np.einsum("bmyx,bcyx->mc", g.astype(np.float64), read)
    return gw


def gradient(
    x: Array, g: Array, kernel: tuple[int, int], stride: int = 1, padding: int = 0, dilation: int = 1
) -> Array:
    twice = [(n, n) for n in (stride, padding, dilation)]
    made = _C.conv_weight_grad(pydl.tensor(x).array, pydl.tensor(g).array, *twice, 1, kernel)
    return pydl.Tensor(made).numpy()


def test_channels_and_taps() -> None:
    """Every number of channels that share, of taps left over, and of images to a piece."""
    rng = np.random.default_rng(0)
    for b, c, m, h, w, kernel, options in [
        (20, 4, 6, 14, 14, (5, 5), {}), (3, 1, 4, 32, 32, (5, 5), {}), (2, 1, 1, 9, 40, (7, 7), {}),
        (5, 2, 7, 6, 9, (1, 3), {}), (1, 4, 5, 8, 40, (4, 4), {"padding": 2}),
        (2, 3, 3, 12, 21, (2, 3), {"dilation": 2}),
        (4, 2, 16, 9, 19, (3, 3), {"stride": 2, "padding": 1}), (17, 1, 3, 5, 5, (5, 5), {}),
        (2, 2, 5, 90, 70, (3, 3), {"padding": 1}), (2, 2, 6, 70, 200, (6, 1), {}),
    ]:  # fmt: skip
        stride, padding, dilation = (options.get(n, d) for n, d in (("stride", 1), ("padding", 0), ("dilation", 1)))
        size = [(n + 2 * padding - dilation * (k - 1) - 1) // stride + 1 for n, k in zip((h, w), kernel, strict=True)]
        x, g = rng.standard_normal((b, c, h, w)), rng.standard_normal((b, m, *size))
        true = exact(x, g, kernel, stride, padding, dilation)
        for dtype in (np.float32, np.float64):
            made = gradient(x.astype(dtype), g.astype(dtype), kernel, stride, padding, dilation)
            bound = 40 * np.finfo(dtype).eps * np.sqrt(b * size[0] * size[1])
            np.testing.assert_allclose(made, true, rtol=0, atol=bound, err_msg=f"{(b, c, m, h, w, kernel, options)}")


def test_what_lies_behind_a_row_is_not_read() -> None:
    """Infinities beyond the columns that a tap reads reach that tap's sum in no lane."""
    rng = np.random.default_rng(1)
    x, g = rng.standard_normal((18, 3, 9, 14)).astype(np.float32), np.ones((18, 4, 5, 10), np.float32)
    x[:, :, :, 13] = np.inf
    found = np.isfinite(gradient(x, g, (5, 5)))
    assert found[..., :4].all() and not found[..., 4].any()
    views = pydl.tensor(np.concatenate([g, np.full_like(g, np.nan)], 3))[..., :10]
    sliced = _C.conv_weight_grad(pydl.tensor(x).array, views.array, (1, 1), (0, 0), (1, 1), 1, (5, 5))
    assert (np.isfinite(pydl.Tensor(sliced).numpy()) == found).all()


def test_layouts_halves_and_threads_give_the_same() -> None:
    """Views of other layouts are copied to rows of the same numbers; halves are multiplied in float32."""
    rng = np.random.default_rng(2)
    x, g = rng.integers(-3, 4, (19, 2, 14, 14)), rng.integers(-3, 4, (19, 6, 10, 10))
    true = exact(x.astype(np.float32), g.astype(np.float32), (5, 5), 1, 0, 1)
    for dtype in (pydl.float32, pydl.float64, pydl.bfloat16, pydl.float16):
        xs, gs = pydl.tensor(x).to(dtype), pydl.tensor(g).to(dtype)
        for threads in (1, 2, 3):
            pydl.set_num_threads(threads)
            for view in (gs, gs.transpose(2, 3).contiguous().transpose(2, 3)):
                made = pydl.Tensor(_C.conv_weight_grad(xs.array, view.array, (1, 1), (0, 0), (1, 1), 1, (5, 5)))
                assert (made.float().numpy() == pydl.tensor(true).to(dtype).float().numpy()).all()
