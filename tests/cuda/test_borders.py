"""Kernels at the borders of warps, blocks and tiles: values and gradients are those of the CPU."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from checks import listed
from registry import tensor

import pydl
from pydl import ops
from pydl.nn import functional as F

pytestmark = pytest.mark.skipif(not pydl.cuda.is_available(), reason="no CUDA device")

RNG = np.random.default_rng(0)


def ties(*shape: int) -> np.ndarray:
    """Few different numbers, of both signs of zero, some of them NaN."""
    x = RNG.integers(-3, 4, shape) * RNG.choice([1.0, -1.0], shape)
    x[RNG.random(shape) < 0.02] = np.nan
    return x


def normal(*shape: int) -> np.ndarray:
    return RNG.standard_normal(shape)


def unpooled(x: pydl.Tensor) -> Any:
    """Windows that share their largest elements: what is put there again is added up in the gradient."""
    y, at = F.max_pool2d(x, 3, 1, return_indices=True)
    return y, at, F.max_pool2d(F.max_unpool2d(y, at, 3, 1), 2)


EXACT: dict[str, tuple[Callable[..., Any], list[np.ndarray]]] = {
    "sort": (lambda x: ops.sort(x, -1, True), [ties(2, 1025)]),
    "sort of tiles": (lambda x: ops.sort(x.float(), 0), [ties(3001, 1)]),
    "sort of bytes": (lambda x: ops.sort(x), [RNG.integers(0, 255, (3, 33)).astype(np.uint8)]),
    "sort of int64": (lambda x: ops.sort(x), [RNG.integers(-(2**62), 2**62, 2049)]),
    "topk": (lambda x: ops.topk(x, 7), [ties(2, 1500)]),
    "topk of few long rows": (lambda x: (ops.topk(x, 3), ops.topk(x, 9, largest=False)), [ties(2, 24_001)]),
    "topk, smallest": (lambda x: ops.topk(x.half(), 300, largest=False), [ties(1, 2500)]),
    "kthvalue": (lambda x: ops.kthvalue(x, 400), [ties(2, 777)]),
    "median": (lambda x: (ops.median(x, 1), ops.nanmedian(x, 1)), [ties(3, 300)]),
    "kthvalue of few long rows": (
        lambda x: (*(ops.kthvalue(x, k) for k in (1, 9000, 24_001)), ops.kthvalue(x.half(), 9000)),
        [ties(2, 24_001)],
    ),
    "kthvalue of a long row": (lambda x: ops.kthvalue(x, 20_000), [RNG.integers(-(2**62), 2**62, 33_000)]),
    "median of few long rows": (lambda x: (ops.median(x, 1), ops.nanmedian(x, 1)), [ties(3, 17_000)]),
    "median without ties": (lambda x: (ops.median(x.float(), 1), ops.nanmedian(x, 1)), [normal(2, 20_011)]),
    "nanmedian of NaN": (lambda x: ops.nanmedian(x, 1), [np.full((1, 17_000), np.nan)]),
    "mode": (lambda x: ops.mode(x, 1), [np.abs(RNG.integers(0, 40, (2, 700)))]),
    "unique": (lambda x: ops.unique(x, return_inverse=True, return_counts=True), [RNG.integers(0, 50, 600)]),
    "unique slices": (lambda x: ops.unique(x, dim=0, return_inverse=True), [RNG.integers(0, 2, (70, 3))]),
    "searchsorted": (lambda e, x: ops.searchsorted(e, x, right=True), [np.sort(normal(2, 300)), normal(2, 70)]),
    "bincount": (lambda x: (ops.bincount(x), ops.bincount(x, minlength=5000)), [RNG.integers(0, 90, 1000)]),
    "cummax": (lambda x: (ops.cummax(x, 1), ops.cummin(x, 1)), [ties(3, 100)]),
    "cummin of columns": (lambda x: (ops.cummax(x, 0), ops.cummin(x, 0)), [ties(40, 70)]),
    "max_unpool2d": (unpooled, [normal(1, 2, 9, 9)]),
}

CLOSE: dict[str, tuple[Callable[..., Any], list[np.ndarray]]] = {
    "layer_norm of a warp": (lambda x, w: F.layer_norm(x, w.shape, w, w), [normal(5, 1024), normal(1024)]),
    "layer_norm of a block": (lambda x, w: F.layer_norm(x, w.shape, w, w), [normal(2, 1027), normal(1027)]),
    "layer_norm beyond the registers": (lambda x: F.layer_norm(x, x.shape[1:]), [normal(2, 8264) + 50]),
    "rms_norm": (lambda x, w: F.rms_norm(x, w.shape, w), [normal(3, 264), normal(264)]),
    "group_norm": (lambda x, w: F.group_norm(x, 2, w, w), [normal(2, 6, 7, 9), normal(6)]),
    "batch_norm of many rows": (
        lambda x, w: F.batch_norm(x, None, None, w, w, True), [normal(700, 40) + 9, normal(40)],
    ),
    "batch_norm in parts": (lambda x, w: F.batch_norm(x, None, None, w, w, True), [normal(3, 2, 97, 89), normal(2)]),
    "avg_pool2d of long windows": (lambda x: F.avg_pool2d(x, 9, 2), [normal(1, 2, 21, 20)]),
    "adaptive_avg_pool2d": (lambda x: F.adaptive_avg_pool2d(x, (1, 3)), [normal(2, 3, 33, 17)]),
    "interpolate by many taps": (
        lambda x: F.interpolate(x, (3, 2), mode="bicubic", antialias=True), [normal(1, 2, 31, 29)],
    ),
    "interpolate, enlarged": (lambda x: F.interpolate(x, (40, 37), mode="bilinear"), [normal(1, 1, 5, 4)]),
    "conv2d of several tiles": (lambda x, w, b: F.conv2d(x, w, b, padding=1), [
        normal(1, 9, 13, 11), normal(70, 9, 3, 3), normal(70),
    ]),
    "conv2d in parts": (lambda x, w: F.conv2d(x, w), [normal(1, 130, 5, 6), normal(5, 130, 3, 3)]),
    "conv2d of groups": (lambda x, w: F.conv2d(x, w, None, (2, 3), (2, 1), (1, 2), 2), [
        normal(2, 10, 15, 17), normal(12, 5, 3, 2),
    ]),
    "conv2d of single channels": (lambda x, w: F.conv2d(x, w, None, 2, 1, groups=6), [
        normal(2, 6, 9, 8), normal(12, 1, 3, 3),
    ]),
    "conv2d, channels last": (lambda x, w: F.conv2d(x.permute([0, 3, 1, 2]), w), [
        normal(2, 9, 8, 5), normal(6, 5, 3, 3),
    ]),
    "conv_transpose2d": (lambda x, w, b: F.conv_transpose2d(x, w, b, 3, 1, 1), [
        normal(1, 9, 6, 7), normal(9, 8, 4, 4), normal(8),
    ]),
    "conv3d": (lambda x, w: F.conv3d(x, w, None, (1, 2, 1), 1), [normal(1, 5, 6, 5, 7), normal(7, 5, 3, 2, 3)]),
    "fold": (lambda x: F.fold(x, (9, 8), 3, padding=1), [normal(1, 18, 72)]),
}  # fmt: skip

HALF = ["conv2d of several tiles", "conv2d in parts", "conv2d of groups", "conv2d of single channels"]
GRIDS = [("bilinear", 3), ("nearest", 2), ("bicubic", 2)]


def both(fn: Callable[..., Any], arrays: list[np.ndarray], weigh: bool) -> list[list[np.ndarray]]:
    """What fn makes, and the gradients of a weighted sum of it, on the CPU and the device."""
    found = []
    for device in ("cpu", "cuda"):
        inputs = [tensor(a).to(device) for a in arrays]
        for t in inputs:
            t.requires_grad_(weigh)
        made = fn(*inputs)
        flat = [t for part in listed(made) for t in (part if isinstance(part, tuple) else (part,))]
        assert all(t.device.type == device for t in flat)
        if weigh:
            (y,) = flat
            y.backward(tensor(np.sin(np.arange(y.numel())).reshape(y.shape)).to(device))
            flat += [t.grad for t in inputs]
        found.append([t.detach().numpy() for t in flat])
    return found


@pytest.mark.parametrize("name", list(EXACT))
def test_exact(name: str) -> None:
    """Elements that are moved, counted or compared: bit for bit."""
    for here, there in zip(*both(*EXACT[name], weigh=False), strict=True):
        assert here.dtype == there.dtype
        np.testing.assert_array_equal(there, here)


@pytest.mark.parametrize("name", list(CLOSE))
def test_close(name: str) -> None:
    """Sums, and their gradients."""
    for here, there in zip(*both(*CLOSE[name], weigh=True), strict=True):
        np.testing.assert_allclose(there, here, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32"])
@pytest.mark.parametrize("name", HALF)
def test_conv_of_fewer_bits(name: str, dtype: str) -> None:
    """Products of 16-bit floats are summed in float32: each result is off by its own rounding alone."""
    fn, arrays = CLOSE[name]
    rounded = [tensor(a).to(getattr(pydl, dtype)) for a in arrays]
    wide = both(fn, [t.double().numpy() for t in rounded], weigh=True)[0]
    inputs = [t.cuda().requires_grad_() for t in rounded]
    y = fn(*inputs)
    g = tensor(np.sin(np.arange(y.numel())).reshape(y.shape)).to(getattr(pydl, dtype))
    y.backward(g.cuda())
    given = [t.detach().clone().requires_grad_() for t in rounded]
    fn(*[t.double() for t in given]).backward(g.double())
    scale = {"float16": 2.0**-10, "bfloat16": 2.0**-7, "float32": 2.0**-19}[dtype]
    exact = [wide[0], *[t.grad.double().numpy() for t in given]]
    for made, e in zip([y.detach(), *[t.grad for t in inputs]], exact, strict=True):
        np.testing.assert_allclose(made.cpu().double().numpy(), e, rtol=scale, atol=scale * np.abs(e).max())


@pytest.mark.parametrize("padding", ["zeros", "border", "reflection"])
@pytest.mark.parametrize(("mode", "axes"), GRIDS)
def test_grid_sample(mode: str, axes: int, padding: str) -> None:
    """Places inside and far outside; many of them meet one element."""
    size = (3, 4, 5)[:axes]
    grid = RNG.uniform(-1.7, 1.7, (2, *size, axes))
    grid[0, 0] = 0.3
    arrays = [normal(2, 17, *size), grid]
    found = both(lambda x, g: F.grid_sample(x, g, mode, padding, align_corners=False), arrays, weigh=True)
    for here, there in zip(*found, strict=True):
        np.testing.assert_allclose(there, here, rtol=1e-9, atol=1e-9)
