"""Pooling, against PyTorch."""

import itertools
from typing import Any

import numpy as np
import pytest
from checks import RowChecks
from registry import row, tensor, via

import pydl
from pydl import nn
from pydl.autograd import gradcheck, gradgradcheck
from pydl.errors import ArgumentError, BoundsError, DtypeError, PydlError, ShapeError
from pydl.nn import functional as F

IMAGE = [(2, 3, 7, 6), (1, 5, 4), (0, 2, 4, 5)]
WINDOWS = [
    {"kernel_size": 2},
    {"kernel_size": (3, 2), "stride": (2, 1), "padding": (1, 1)},
    {"kernel_size": 3, "stride": 2, "padding": 1, "ceil_mode": True},
]
DILATED = [{"kernel_size": 2, "stride": 3, "dilation": (2, 1)}]
COUNTED = [
    {"kernel_size": 3, "padding": 1, "count_include_pad": False},
    {"kernel_size": 2, "divisor_override": 3},
    {"kernel_size": 3, "stride": 2, "padding": 1, "ceil_mode": True, "count_include_pad": False},
]
UNEVEN = {"kernel_size": (1, 3, 2), "stride": (1, 2, 1), "padding": (0, 1, 1)}
PARTS = [{"output_size": (3, 4)}, {"output_size": (None, 2)}, {"output_size": 1}]
LINE = [(2, 3, 9), (2, 8)]
VOLUME = [(2, 2, 4, 5, 6), (2, 3, 5, 4)]
BAD = [
    (((2, 3), {"kernel_size": 2}), ShapeError, "expected an input of 3 or 4 axes, got (2, 3)"),
    (((1, 3, 4, 4), {"kernel_size": 5}), ShapeError, "a window of 5 does not fit an input of 4"),
    (((1, 3, 4, 4), {"kernel_size": 2, "padding": 2}), ArgumentError, "half of the window"),
    (((1, 3, 4, 4), {"kernel_size": 0}), ArgumentError, "at least 1"),
    (((1, 3, 4, 4), {"kernel_size": (2, 2, 2)}), ArgumentError, "must be an int or 2 ints"),
    (((1, 3, 0, 4), {"kernel_size": 2}), ShapeError, "must not be empty"),
]


def pooling(name: str, shapes: Any, kwargs: Any, **options: Any) -> Any:
    """A pooling function beside PyTorch's."""
    fn = getattr(F, name)
    return row(fn, via(f"nn.functional.{name}"), name=name, shapes=shapes, kwargs=kwargs, **options)


ROWS = [
    pooling("max_pool1d", LINE, [{"kernel_size": 2}, {"kernel_size": 3, "stride": 2, "padding": 1, "dilation": 2}]),
    pooling("max_pool2d", IMAGE, WINDOWS + DILATED, errors=BAD, large=((4, 16, 112, 113),)),
    pooling("max_pool3d", VOLUME, [{"kernel_size": 2}, UNEVEN]),
    row(lambda x: F.max_pool1d(x * x, 2), lambda x: (x * x)[..., : x.shape[-1] // 2 * 2].reshape(*x.shape[:-1], -1, 2)
        .max(-1), name="max_pool1d", shapes=LINE),
    pooling("avg_pool1d", LINE, [{"kernel_size": 3}, {"kernel_size": 3, "stride": 2, "padding": 1, "ceil_mode": True}]),
    pooling("avg_pool2d", IMAGE, WINDOWS + COUNTED, errors=BAD, large=((4, 16, 112, 113),)),
    pooling("avg_pool3d", VOLUME, [{"kernel_size": 2}, UNEVEN, WINDOWS[2]]),
    pooling("adaptive_max_pool1d", LINE, [{"output_size": 3}, {"output_size": 1}]),
    pooling("adaptive_max_pool2d", IMAGE[:2], PARTS),
    pooling("adaptive_max_pool3d", VOLUME, [{"output_size": (2, 3, 2)}]),
    pooling("adaptive_avg_pool1d", LINE, [{"output_size": 4}, {"output_size": 1}]),
    pooling("adaptive_avg_pool2d", IMAGE[:2], PARTS),
    pooling("adaptive_avg_pool3d", VOLUME, [{"output_size": (2, 3, 5)}]),
    pooling("lp_pool1d", LINE, [{"norm_type": 2, "kernel_size": 3}], low=0.5),
    pooling("lp_pool2d", IMAGE[:2], [{"norm_type": 3.0, "kernel_size": 2, "stride": 1}], low=0.5),
    pooling("lp_pool3d", VOLUME, [{"norm_type": 2, "kernel_size": 2}], low=0.5),
]  # fmt: skip


class TestRows(RowChecks):
    """Every row's tests."""


@pytest.mark.parametrize("axes", [1, 2, 3])
def test_every_window_of_max_and_average(axes: int) -> None:
    """Small sizes of input, window, stride, padding and dilation; where PyTorch refuses, so do we."""
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(0)
    sizes = range(1, 8) if axes == 1 else (4, 7)
    for n, k, s, p, d, ceil in itertools.product(sizes, (1, 2, 3), (1, 2, 3), (0, 1), (1, 2), (False, True)):
        x = rng.standard_normal((2, *[n + i for i in range(axes)]))
        _same(torch, f"max_pool{axes}d", x, (k, s, p, d, ceil, True))
        if d == 1:
            _same(torch, f"avg_pool{axes}d", x, (k, s, p, ceil, False))


def _same(torch: Any, name: str, x: np.ndarray, args: tuple[Any, ...]) -> None:
    try:
        theirs = getattr(torch.nn.functional, name)(torch.from_numpy(x), *args)
    except RuntimeError:
        with pytest.raises(PydlError):
            getattr(F, name)(tensor(x), *args)
        return
    ours = getattr(F, name)(tensor(x), *args)
    pairs = zip(ours, theirs, strict=True) if isinstance(ours, tuple) else [(ours, theirs)]
    found = np.isfinite((theirs[0] if isinstance(theirs, tuple) else theirs).numpy())  # not so in padding alone
    for a, b in pairs:
        assert a.shape == tuple(b.shape)
        np.testing.assert_allclose(a.numpy()[found], b.numpy()[found], atol=1e-14, err_msg=f"{name} {x.shape} {args}")


def test_not_a_number_wins_and_minus_infinity_has_a_place() -> None:
    torch = pytest.importorskip("torch")
    x = np.full((1, 1, 4, 4), -np.inf)
    x[0, 0, 0, 1], x[0, 0, 1, 0] = np.nan, 5
    ours = F.max_pool2d(tensor(x), 2, return_indices=True)
    theirs = torch.nn.functional.max_pool2d(torch.from_numpy(x), 2, return_indices=True)
    for a, b in zip(ours, theirs, strict=True):
        np.testing.assert_array_equal(a.numpy(), b.numpy())


@pytest.mark.parametrize("dtype", ["float32", "float64", "float16", "bfloat16"])
def test_windows_of_two_by_two(dtype: str) -> None:
    """All widths of a vector and its tails, odd ones too, with NaNs, infinities and equal values: the first largest."""
    rng = np.random.default_rng(2)
    for width in (2, 3, 5, 7, 10, 14, 15, 16, 17, 28, 30, 31, 32, 33, 34, 47, 64, 65, 67):
        values = rng.choice(np.float32([-np.inf, -2, -1, -0.0, 0, 1, 2, np.inf, np.nan]), (3, 5, width))
        x = tensor(values).to(getattr(pydl, dtype))
        y, index = F.max_pool2d(x, 2, return_indices=True)
        windows = values[:, :4, : width // 2 * 2].reshape(3, 2, 2, width // 2, 2).transpose(0, 1, 3, 2, 4)
        flat = windows.reshape(3, 2, width // 2, 4)
        last_nan = 3 - np.isnan(flat[..., ::-1]).argmax(-1)
        which = np.where(np.isnan(flat).any(-1), last_nan, np.where(np.isnan(flat), -np.inf, flat).argmax(-1))
        place = (2 * np.arange(2)[:, None] + which // 2) * width + 2 * np.arange(width // 2) + which % 2
        np.testing.assert_array_equal(index.numpy(), place)
        np.testing.assert_array_equal(y.float().numpy(), np.take_along_axis(flat, which[..., None], -1)[..., 0])


def test_half_precision_rounds_once() -> None:
    torch = pytest.importorskip("torch")
    x = np.random.default_rng(1).standard_normal((2, 3, 9, 8)).astype(np.float32)
    for name in ("bfloat16", "float16"):
        half = tensor(x).to(getattr(pydl, name)).requires_grad_()
        F.avg_pool2d(half, 3, 2, 1).sum().backward()
        wide = torch.from_numpy(x).requires_grad_()
        torch.nn.functional.avg_pool2d(wide, 3, 2, 1).sum().backward()
        assert half.grad is not None
        rounded = wide.grad.to(getattr(torch, name)).float().numpy()
        np.testing.assert_array_equal(half.grad.float().numpy(), rounded)


def test_unpooling_undoes_pooling() -> None:
    torch = pytest.importorskip("torch")
    for axes in (1, 2, 3):
        x = np.random.default_rng(axes).standard_normal((2, 3, *(6, 8, 4)[:axes]))
        y, at = getattr(F, f"max_pool{axes}d")(tensor(x), 2, return_indices=True)
        ours = getattr(F, f"max_unpool{axes}d")(y, at, 2)
        theirs = getattr(torch.nn.functional, f"max_unpool{axes}d")(
            torch.from_numpy(y.numpy()), torch.from_numpy(at.numpy()), 2
        )
        np.testing.assert_array_equal(ours.numpy(), theirs.numpy())
    sized = F.max_unpool1d(*F.max_pool1d(pydl.randn(1, 2, 7), 2, return_indices=True), 2, output_size=[7])
    assert sized.shape == (1, 2, 7)
    with pytest.raises(ShapeError, match="output_size"):
        F.max_unpool1d(*F.max_pool1d(pydl.randn(1, 2, 7), 2, return_indices=True), 2, output_size=[9])
    with pytest.raises(BoundsError, match="out of range"):
        F.max_unpool1d(pydl.ones(1, 1, 2), pydl.tensor([[[0, 9]]]), 2)


@pytest.mark.parametrize("axes", [2, 3])
def test_fractional_windows_are_torchs(axes: int) -> None:
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(7)
    x, samples = rng.standard_normal((2, 3, 9, 11, 8)[: axes + 2]), rng.random((2, 3, axes))
    name = f"fractional_max_pool{axes}d"
    for size in (4, (5, 3, 2)[:axes], 1):
        ours = getattr(F, name)(tensor(x), 2, size, None, True, tensor(samples))
        theirs = getattr(torch.nn.functional, name)(torch.from_numpy(x), 2, size, None, True, torch.from_numpy(samples))
        for a, b in zip(ours, theirs, strict=True):
            np.testing.assert_array_equal(a.numpy(), b.numpy())
    assert getattr(F, name)(pydl.randn(3, *(9,) * axes), 2, output_ratio=0.5).shape == (3, *(4,) * axes)
    with pytest.raises(ArgumentError, match="one of output_size and output_ratio"):
        getattr(F, name)(tensor(x), 2)


def test_gradients_of_picked_maxima() -> None:
    x = tensor(np.random.default_rng(3).standard_normal((1, 2, 5, 6))).requires_grad_()
    call = lambda t: F.max_pool2d(t, 3, 2, 1, return_indices=True)[0]  # noqa: E731
    assert gradcheck(call, (x,))
    assert gradgradcheck(call, (x,))


LAYERS = [
    ("MaxPool1d", (2,), (2, 3, 9)), ("MaxPool2d", (3, 2, 1), (2, 3, 9, 8)), ("MaxPool3d", (2,), (1, 2, 4, 5, 6)),
    ("AvgPool1d", (3, 2, 1), (2, 3, 9)), ("AvgPool2d", (2,), (2, 3, 9, 8)), ("AvgPool3d", (2,), (1, 2, 4, 5, 6)),
    ("AdaptiveMaxPool1d", (4,), (2, 3, 9)), ("AdaptiveMaxPool2d", ((3, None),), (2, 3, 9, 8)),
    ("AdaptiveMaxPool3d", (2,), (1, 2, 4, 5, 6)), ("AdaptiveAvgPool1d", (4,), (2, 3, 9)),
    ("AdaptiveAvgPool2d", ((1, 1),), (2, 3, 9, 8)), ("AdaptiveAvgPool3d", (2,), (1, 2, 4, 5, 6)),
    ("LPPool1d", (2, 3), (2, 3, 9)), ("LPPool2d", (2, 3), (2, 3, 9, 8)), ("LPPool3d", (2, 2), (1, 2, 4, 5, 6)),
]  # fmt: skip


@pytest.mark.parametrize(("name", "args", "shape"), LAYERS, ids=[n for n, *_ in LAYERS])
def test_layers(name: str, args: tuple[Any, ...], shape: tuple[int, ...]) -> None:
    torch = pytest.importorskip("torch")
    x = np.random.default_rng(4).standard_normal(shape)
    theirs = getattr(torch.nn, name)(*args)
    ours = getattr(nn, name)(*args)
    np.testing.assert_allclose(ours(tensor(x)).numpy(), theirs(torch.from_numpy(x)).numpy(), rtol=1e-12, atol=1e-14)
    if "Avg" not in name:
        assert repr(ours) == repr(theirs)


def test_layers_that_return_places() -> None:
    pool, back = nn.MaxPool2d(2, return_indices=True), nn.MaxUnpool2d(2)
    x = pydl.rand(2, 3, 4, 4)
    restored = back(*pool(x))
    assert restored.shape == x.shape
    np.testing.assert_array_equal(pool(restored)[0].numpy(), pool(x)[0].numpy())
    assert nn.FractionalMaxPool2d(2, output_size=3)(x).shape == (2, 3, 3, 3)
    assert nn.FractionalMaxPool3d(2, output_ratio=0.5)(pydl.rand(2, 4, 4, 4)).shape == (2, 2, 2, 2)


def test_wrong_dtypes() -> None:
    with pytest.raises(DtypeError, match="floating"):
        F.max_pool2d(pydl.ones(1, 1, 4, 4, dtype=pydl.int64), 2)
    with pytest.raises(ArgumentError, match="divisor_override"):
        F.avg_pool2d(pydl.ones(1, 1, 4, 4), 2, divisor_override=0)


def test_nothing_is_asked_for() -> None:
    x = pydl.ones(1, 2, 3, 3, requires_grad=True)
    for pool in (F.adaptive_avg_pool2d, F.adaptive_max_pool2d):
        y = pool(x, (0, 2))
        assert y.shape == (1, 2, 0, 2)
        (grad,) = pydl.autograd.grad(y.sum(), [x])
        np.testing.assert_array_equal(grad.numpy(), np.zeros((1, 2, 3, 3)))
