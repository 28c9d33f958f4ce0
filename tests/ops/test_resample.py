"""Resampling, against PyTorch."""

import itertools
from typing import Any

import numpy as np
import pytest
from checks import RowChecks
from registry import row, tensor, via

import pydl
from pydl import nn
from pydl.autograd import gradcheck, gradgradcheck
from pydl.errors import ArgumentError, DtypeError, PydlError, ShapeError
from pydl.nn import functional as F

LINE, IMAGE, VOLUME = [(2, 3, 7)], [(1, 2, 4, 5), (2, 3, 5, 6)], [(1, 1, 3, 4, 5)]
SAMPLING = {"padding_mode": "border", "align_corners": False}
BAD_SIZE = [
    (((1, 2, 4, 4),), ArgumentError, "one of size and scale_factor"),
    (((1, 2, 4, 4), {"size": 3, "mode": "linear"}), ShapeError, "expects an input of 3 axes"),
    (((1, 2, 4, 4), {"size": 3, "mode": "sharp"}), ArgumentError, "mode must be one of nearest"),
    (((1, 2, 4, 4), {"size": 3, "align_corners": True}), ArgumentError, "align_corners can only be set"),
    (((1, 2, 4, 4), {"size": 3, "antialias": True}), ArgumentError, "antialias needs"),
    (((1, 2, 4, 4), {"size": (3, 3, 3)}), ArgumentError, "a number or 2 of them"),
    (((1, 2, 4, 4), {"size": 0}), ShapeError, "greater than 0"),
    (((1, 2, 0, 4), {"size": 3}), ShapeError, "greater than 0"),
    (((1, 2, 4, 4), {"size": 3, "recompute_scale_factor": True}), ArgumentError, "explicit size"),
    (((4, 4), {"size": 3}), ShapeError, "3, 4 or 5 axes"),
]
BAD_PAD = [
    (((2, 3, 4), {"pad": (4, 0), "mode": "reflect"}), ShapeError, "expected at most 3"),
    (((2, 3, 4), {"pad": (5, 0), "mode": "circular"}), ShapeError, "expected at most 4"),
    (((2, 3, 4), {"pad": (1, 0, 0)}), ShapeError, "expected pairs"),
    (((2, 3, 4), {"pad": (-3, -2)}), ShapeError, "cuts more"),
    (((2, 3, 4), {"pad": (1, 1), "mode": "mirror"}), ArgumentError, "mode must be one of"),
    (((3, 4), {"pad": (1, 1, 1, 1), "mode": "reflect"}), ShapeError, "one or two more"),
    (((2, 3, 4), {"pad": (1, 1), "mode": "reflect", "value": 2.0}), ArgumentError, "does not take a value"),
]
BAD_GRID = [
    (((1, 2, 4, 4), (2, 3, 3, 2)), ShapeError, "do not fit"),
    (((1, 2, 4, 4), (1, 3, 3, 3)), ShapeError, "do not fit"),
    (((1, 2, 0, 4), (1, 3, 3, 2)), ShapeError, "must not be empty"),
    (((1, 2, 4, 4), (1, 3, 3, 2), {"mode": "sharp"}), ArgumentError, "mode must be"),
    (((1, 2, 4, 4), (1, 3, 3, 2), {"padding_mode": "none"}), ArgumentError, "padding_mode must be"),
    (((1, 2, 4, 4, 4), (1, 3, 3, 3, 3), {"mode": "bicubic"}), ArgumentError, "4 axes"),
]
GRIDS = [
    {"mode": mode, "padding_mode": padding, "align_corners": align}
    for mode in ("bilinear", "nearest", "bicubic")
    for padding in ("zeros", "border", "reflection")
    for align in (False, True)
]


def functional(name: str, shapes: Any, kwargs: Any, **options: Any) -> Any:
    """A function beside PyTorch's."""
    return row(getattr(F, name), via(f"nn.functional.{name}"), name=name, shapes=shapes, kwargs=kwargs, **options)


ROWS = [
    functional("interpolate", LINE, [{"size": 12, "mode": "linear"}, {"scale_factor": 2.0}]),
    functional("interpolate", IMAGE, [
        {"scale_factor": 2.0}, {"size": (11, 3), "mode": "bilinear"}, {"size": (3, 9), "mode": "bicubic"},
        {"size": (9, 2), "mode": "bilinear", "align_corners": True}, {"size": (3, 2), "mode": "area"},
        {"size": (2, 7), "mode": "bicubic", "antialias": True},
    ], errors=BAD_SIZE, large=((4, 8, 64, 63),), sums=True, slack={"float64": 4.0}),
    functional("interpolate", VOLUME, [{"size": (2, 7, 4), "mode": "trilinear"}]),
    functional("pad", IMAGE, [
        {"pad": (2, 1, 0, 3)}, {"pad": (2, 3, 1, 2), "mode": "reflect"}, {"pad": (3, -1, 6, 2), "mode": "replicate"},
        {"pad": (1, 2, 3, 0), "mode": "circular"}, {"pad": (-1, 2), "value": 1.5}, {"pad": (1, 0, 0, 1, 2, 0, 1, 1)},
    ], errors=BAD_PAD, large=((4, 8, 64, 63),)),
    functional("unfold", IMAGE, [{"kernel_size": 2}, {"kernel_size": (3, 2), "dilation": (1, 2), "padding": 1,
                                                      "stride": (2, 1)}], large=((4, 8, 64, 63),)),
    functional("fold", [(1, 4, 12), (2, 8, 12)], [{"output_size": (4, 5), "kernel_size": 2}]),
    row(F.grid_sample, via("nn.functional.grid_sample"), kinds="ff", low=(-2.0, -1.4), high=(2.0, 1.4), sums=True,
        shapes=[((1, 2, 4, 5), (1, 3, 3, 2)), ((2, 3, 5, 6), (2, 4, 3, 2))], kwargs=[SAMPLING], errors=BAD_GRID,
        slack=8.0, dtypes=("float64", "float32")),
]  # fmt: skip


class TestRows(RowChecks):
    """Every row's tests."""


def _both(name: str, arrays: list[np.ndarray], kwargs: dict[str, Any]) -> None:
    """Values and gradients beside PyTorch's; where PyTorch refuses, so do we."""
    torch = pytest.importorskip("torch")
    theirs_in = [torch.from_numpy(a.copy()).requires_grad_() for a in arrays]
    ours_in = [tensor(a.copy()).requires_grad_() for a in arrays]
    try:
        theirs = getattr(torch.nn.functional, name)(*theirs_in, **kwargs)
    except (RuntimeError, ValueError):  # torch takes no such arguments
        with pytest.raises(PydlError):
            getattr(F, name)(*ours_in, **kwargs)
        return
    ours = getattr(F, name)(*ours_in, **kwargs)
    what = f"{name} {[a.shape for a in arrays]} {kwargs}"
    assert ours.shape == tuple(theirs.shape), what
    np.testing.assert_allclose(ours.detach().numpy(), theirs.detach().numpy(), atol=1e-12, rtol=1e-10, err_msg=what)
    if theirs.numel() == 0:
        return  # PyTorch has no gradient there
    g = np.random.default_rng(9).standard_normal(ours.shape)
    ours.backward(tensor(g))
    theirs.backward(torch.from_numpy(g))
    for a, b in zip(ours_in, theirs_in, strict=True):
        assert a.grad is not None
        np.testing.assert_allclose(a.grad.numpy(), b.grad.numpy(), atol=1e-11, rtol=1e-9, err_msg=what)


@pytest.mark.parametrize("mode", ["nearest", "nearest-exact", "linear", "bilinear", "bicubic", "trilinear", "area"])
def test_every_way_to_interpolate(mode: str) -> None:
    axes = {"linear": 1, "trilinear": 3}.get(mode, 2)
    aligned = (None, False, True) if "linear" in mode or mode == "bicubic" else (None,)
    smooth = (False, True) if mode in ("bilinear", "bicubic") else (False,)
    rng = np.random.default_rng(0)
    for n, align, antialias in itertools.product((1, 2, 5, 8), aligned, smooth):
        x = rng.standard_normal((2, 2, *(n + i for i in range(axes))))
        how = {"mode": mode, "align_corners": align, "antialias": antialias}
        for size in (1, 2, 3, 5, 13):
            _both("interpolate", [x], {"size": size, **how})
        for factor, again in itertools.product((0.4, 0.7, 1.0, 1.3, 2.0, 2.6), (None, True, False)):
            if (mode == "bicubic" or antialias) and int(n * factor) == n and factor != 1:
                continue  # PyTorch's gradient is not that of its values there
            _both("interpolate", [x], {"scale_factor": factor, "recompute_scale_factor": again, **how})


def test_nearest_rounds_as_float32_does() -> None:
    torch = pytest.importorskip("torch")
    for n, out in itertools.product((3, 7, 10, 49, 100), range(1, 120, 3)):
        x = np.arange(n, dtype=np.float32).reshape(1, 1, n)
        for mode in ("nearest", "nearest-exact"):
            theirs = torch.nn.functional.interpolate(torch.from_numpy(x), out, mode=mode)
            np.testing.assert_array_equal(F.interpolate(tensor(x), out, mode=mode).numpy(), theirs.numpy())


def test_bytes_are_rounded() -> None:
    torch = pytest.importorskip("torch")
    x = np.random.default_rng(1).integers(0, 256, (2, 3, 9, 8)).astype(np.uint8)
    for mode, off in (("nearest", 0), ("bilinear", 1)):  # PyTorch's are of fixed point
        ours = F.interpolate(tensor(x), (13, 5), mode=mode).numpy()
        theirs = torch.nn.functional.interpolate(torch.from_numpy(x), (13, 5), mode=mode).numpy()
        assert ours.dtype == np.uint8
        assert np.abs(ours.astype(int) - theirs.astype(int)).max() <= off
    wide = torch.nn.functional.interpolate(torch.from_numpy(x).double(), (13, 5), mode="bicubic").numpy()
    ours = F.interpolate(tensor(x), (13, 5), mode="bicubic").numpy()
    assert np.abs(ours - np.clip(wide, 0, 255)).max() < 0.501
    with pytest.raises(DtypeError, match="floating dtype or uint8"):
        F.interpolate(pydl.ones(1, 1, 4, 4, dtype=pydl.int64), 2)


@pytest.mark.parametrize("axes", [1, 2, 3])
@pytest.mark.parametrize("mode", ["constant", "reflect", "replicate", "circular"])
def test_every_way_to_pad(mode: str, axes: int) -> None:
    rng = np.random.default_rng(2)
    sides = [(0, 0), (1, 2), (3, 0), (-1, 2), (-2, -1), (4, 5)]
    sides += [] if mode == "circular" else [(2, -3)]  # PyTorch reads what it has not written there; we refuse
    for lead in ((2,), (2, 3)):
        x = rng.standard_normal((*lead, *(4, 6, 5)[:axes]))
        for pairs in itertools.product(sides, repeat=axes) if axes < 3 else zip(sides, sides[::-1], sides, strict=True):
            _both("pad", [x], {"pad": [p for pair in pairs for p in pair], "mode": mode})


def test_padding_keeps_any_dtype() -> None:
    torch = pytest.importorskip("torch")
    x = np.arange(12).reshape(1, 3, 4)
    for mode in ("constant", "circular"):
        theirs = torch.nn.functional.pad(torch.from_numpy(x), (2, 1), mode)
        np.testing.assert_array_equal(F.pad(tensor(x), (2, 1), mode).numpy(), theirs.numpy())
    np.testing.assert_array_equal(F.pad(tensor(x), (2, 1), "reflect").numpy()[0, 0], [2, 1, 0, 1, 2, 3, 2])
    np.testing.assert_array_equal(F.pad(tensor(x > 5), (1, 0), "replicate").numpy()[0, 1], [0, 0, 0, 1, 1])


def test_what_is_not_read_does_not_leak() -> None:
    x = np.array([[[np.inf, 1.0, np.nan]]])
    np.testing.assert_array_equal(F.pad(tensor(x), (-1, 1)).numpy(), [[[1.0, np.nan, 0.0]]])
    image = tensor(np.full((1, 1, 2, 2), np.inf))
    outside = tensor(np.full((1, 1, 1, 2), -5.0))
    assert F.grid_sample(image, outside, align_corners=False).item() == 0.0


@pytest.mark.parametrize("how", GRIDS, ids=lambda how: "-".join(map(str, how.values())))
def test_every_way_to_sample(how: dict[str, Any]) -> None:
    rng = np.random.default_rng(3)
    for c, h, w, m in ((1, 1, 1, 5), (3, 5, 4, 9), (20, 2, 7, 70), (3, 29, 31, 1)):
        _both("grid_sample", [rng.standard_normal((2, c, h, w)), rng.uniform(-3.1, 3.1, (2, 2, m, 2))], how)
    x, grid = rng.standard_normal((2, 3, 4, 5, 3)), rng.uniform(-1.6, 1.6, (2, 3, 4, 5, 3))
    _both("grid_sample", [x, grid], how)


@pytest.mark.parametrize("mode", ["bilinear", "bicubic"])
@pytest.mark.parametrize("padding", ["zeros", "border", "reflection"])
def test_derivatives_of_sampling(mode: str, padding: str) -> None:
    rng = np.random.default_rng(4)
    x = tensor(rng.standard_normal((1, 2, 4, 5))).requires_grad_()
    pixels = rng.integers(-2, 6, (1, 2, 3, 2)) + rng.uniform(0.2, 0.8, (1, 2, 3, 2))  # away from kinks
    grid = tensor((pixels * 2 + 1) / np.array([5, 4]) - 1).requires_grad_()
    call = lambda a, b: F.grid_sample(a, b, mode, padding, False)  # noqa: E731
    assert gradcheck(call, (x, grid))
    assert gradgradcheck(call, (x, grid))


def test_places_that_are_no_numbers() -> None:
    x = tensor(np.arange(16.0).reshape(1, 1, 4, 4))
    wild = tensor(np.array([np.nan, np.inf, -np.inf, 1e30, -1e300, 0.0]).reshape(1, 3, 1, 2))
    for how in GRIDS:
        y = F.grid_sample(x, wild, how["mode"], how["padding_mode"], how["align_corners"])
        assert y.shape == (1, 1, 3, 1)
        grid = wild.detach().requires_grad_()
        F.grid_sample(x, grid, how["mode"], how["padding_mode"], True).sum().backward()
        assert grid.grad is not None
    nan = tensor(np.full((1, 1, 1, 2), np.nan))
    assert F.grid_sample(x, nan, padding_mode="border", align_corners=True).item() == 0.0
    with pytest.raises(DtypeError, match="one dtype"):
        F.grid_sample(x, pydl.zeros(1, 2, 2, 2))


@pytest.mark.filterwarnings("ignore:Since version")
def test_affine_grids() -> None:
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(5)
    for size, align in itertools.product([(2, 3, 4, 5), (1, 1, 1, 6), (2, 1, 3, 4, 2)], (False, True)):
        axes = len(size) - 2
        theta = rng.standard_normal((size[0], axes, axes + 1))
        theirs = torch.nn.functional.affine_grid(torch.from_numpy(theta), size, align)
        np.testing.assert_allclose(F.affine_grid(tensor(theta), size, align).numpy(), theirs.numpy(), atol=1e-13)
    assert gradcheck(
        lambda t: F.affine_grid(t, (1, 1, 2, 3)), (tensor(rng.standard_normal((1, 2, 3))).requires_grad_(),)
    )
    with pytest.raises(ShapeError, match="do not fit"):
        F.affine_grid(pydl.zeros(1, 2, 2), (1, 1, 2, 2))


def test_folds() -> None:
    rng = np.random.default_rng(6)
    for k, d, p, s in itertools.product((1, (2, 3)), (1, (2, 1)), (0, (1, 2)), (1, (2, 3))):
        how = {"kernel_size": k, "dilation": d, "padding": p, "stride": s}
        x = rng.standard_normal((2, 3, 6, 7))
        _both("unfold", [x], how)
        _both("unfold", [x[0]], how)
        columns = np.asarray(F.unfold(tensor(x), **how).numpy())
        _both("fold", [columns], {"output_size": (6, 7), **how})
        _both("fold", [columns[0]], {"output_size": (6, 7), **how})
    assert gradgradcheck(
        lambda t: F.unfold(t, 2, 1, 1) ** 2, (tensor(rng.standard_normal((1, 1, 3, 3))).requires_grad_(),)
    )
    for wrong in ({"kernel_size": 9}, {"kernel_size": 0}, {"kernel_size": 2, "stride": 0}):
        with pytest.raises(PydlError):
            F.unfold(pydl.ones(1, 1, 4, 4), **wrong)
    with pytest.raises(ShapeError, match="expected a multiple of 4 channels and 9 windows"):
        F.fold(pydl.ones(1, 4, 8), 4, 2)


LAYERS = [
    ("Upsample", {"scale_factor": 2.0}, (1, 2, 3, 4)), ("Upsample", {"size": (5, 2), "mode": "bilinear"}, (1, 2, 3, 4)),
    ("UpsamplingNearest2d", {"scale_factor": 2}, (1, 2, 3, 4)), ("UpsamplingBilinear2d", {"size": 6}, (1, 2, 3, 4)),
    ("Unfold", {"kernel_size": 2}, (1, 2, 3, 4)), ("Fold", {"output_size": (3, 4), "kernel_size": 2}, (1, 8, 6)),
    *((f"{kind}Pad{axes}d", {"padding": 1}, (1, 2, *(3, 4, 5)[:axes]))
      for kind in ("Reflection", "Replication", "Circular") for axes in (1, 2, 3)),
]  # fmt: skip


@pytest.mark.parametrize(("name", "kwargs", "shape"), LAYERS)
def test_layers(name: str, kwargs: dict[str, Any], shape: tuple[int, ...]) -> None:
    torch = pytest.importorskip("torch")
    x = np.random.default_rng(7).standard_normal(shape)
    ours, theirs = getattr(nn, name)(**kwargs), getattr(torch.nn, name)(**kwargs)
    np.testing.assert_allclose(ours(tensor(x)).numpy(), theirs(torch.from_numpy(x)).numpy(), atol=1e-13)
    assert repr(ours) == repr(theirs)


def test_examples_in_lanes() -> None:
    """vmap gives what one example after the other gives."""
    x = pydl.randn(3, 1, 2, 5, 6, dtype=pydl.float64)
    grid = pydl.rand(3, 1, 4, 4, 2, dtype=pydl.float64) * 2 - 1
    for f in (
        lambda a: F.interpolate(a, 7, mode="bilinear"),
        lambda a: F.pad(a, (1, 1, 2, 0), "reflect"),
        lambda a: F.unfold(a, 2),
    ):
        each = np.stack([f(x[i]).numpy() for i in range(3)])
        np.testing.assert_allclose(pydl.func.vmap(f)(x).numpy(), each, atol=1e-13)
    sample = lambda a, b: F.grid_sample(a, b, align_corners=False)  # noqa: E731
    each = np.stack([sample(x[i], grid[i]).numpy() for i in range(3)])
    np.testing.assert_allclose(pydl.func.vmap(sample)(x, grid).numpy(), each, atol=1e-13)
