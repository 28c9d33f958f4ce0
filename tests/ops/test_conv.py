"""Convolutions: rows against torch in float64, every argument, layouts, paths, threads, errors."""

import itertools
from typing import Any

import numpy as np
import pytest
from checks import RowChecks
from registry import FLOATS, row, via

import pydl
import pydl.nn.functional as F
from pydl import _C, ops
from pydl.autograd import gradcheck, gradgradcheck
from pydl.errors import ArgumentError, DtypeError, PydlError, ShapeError
from pydl.ops.conv import ConvInputGrad, ConvWeightGrad

torch = pytest.importorskip("torch")

SUMS: dict[str, Any] = {"sums": True, "slack": 4}
ONE = [((2, 3, 7), (4, 3, 3), (4,)), ((3, 5), (2, 3, 2), (2,)), ((0, 3, 7), (4, 3, 3), (4,))]
TWO = [((2, 3, 4, 2), (2, 3, 3, 2), (2,)), ((2, 5, 6), (3, 2, 1, 2), (3,)), ((0, 2, 5, 6), (3, 2, 2, 2), (3,))]
THREE = [((1, 2, 3, 2, 4), (2, 2, 2, 1, 3), (2,)), ((2, 3, 4, 2), (2, 2, 3, 1, 2), (2,))]
BACK_ONE = [((2, 3, 4), (3, 2, 3), (2,)), ((3, 5), (3, 2, 2), (2,))]
BACK_TWO = [((2, 3, 3, 2), (3, 2, 3, 2), (2,)), ((2, 3, 4), (2, 3, 1, 2), (3,))]
BACK_THREE = [((1, 2, 3, 2, 3), (2, 2, 2, 1, 2), (2,))]


def activated(*arrays: Any, activation: str | None = None, **kwargs: Any) -> np.ndarray:
    y = via("nn.functional.conv2d")(*arrays, **kwargs)
    return {None: lambda v: v, "relu": lambda v: np.maximum(v, 0), "tanh": np.tanh,
            "sigmoid": lambda v: 1 / (1 + np.exp(-v))}[activation](y)  # fmt: skip


ROWS = [
    row(
        ops.conv1d,
        via("nn.functional.conv1d"),
        kinds="fff",
        shapes=ONE,
        kwargs=[{}, {"stride": 2, "padding": 1}, {"padding": "valid"}],
        cases=[(((2, 4, 9), (6, 2, 3), (6,)), {"groups": 2, "dilation": 2, "stride": 2, "padding": 3})],
        tails=lambda n: ((1, 2, n + 2), (n, 2, 3), (n,)),
        errors=[
            (((2, 3, 7), (4, 2, 3), (4,)), ShapeError, "conv1d: 3 input channels do not match weight (4, 2, 3) of 1"),
            (((2, 3, 7), (4, 3, 8), (4,)), ShapeError, "reaches over 8 elements, the input has 7 and 0 of padding"),
            (((2, 3, 0), (4, 3, 1), (4,)), ShapeError, "expected at least 1"),
            (((2, 3), (4, 3, 3, 3), (4,)), ShapeError, "expected an input with 3 axes, or 2 without a batch"),
            (((2, 3, 7), (4, 3, 3), (5,)), ShapeError, "bias (5,) does not match 4 output channels"),
        ],
        **SUMS,
    ),
    row(
        ops.conv2d,
        activated,
        kinds="fff",
        shapes=TWO,
        kwargs=[{}, {"padding": (1, 0), "stride": (1, 2)}, {"activation": "tanh"}, {"activation": "sigmoid"}],
        cases=[
            (((1, 2, 3, 4), (2, 1, 2, 2), (2,)), {"groups": 2, "dilation": (1, 2), "padding": 1}),
            (((1, 2, 3, 4), (2, 2, 2, 2), (2,)), {"activation": "relu", "padding": "valid"}),
        ],
        tails=lambda n: ((2, 3, 3, n), (5, 3, 2, 1), (5,)),
        large=((4, 9, 33, 35), (20, 9, 3, 3), (20,)),
        errors=[
            (((2, 3, 7, 7), (4, 3, 3, 3), (4,), {"padding": "full"}), ArgumentError, "'same' or 'valid', got 'full'"),
            (((2, 3, 7, 7), (4, 3, 3, 3), (4,), {"padding": "same", "stride": 2}), ArgumentError, "a stride of 1"),
            (((2, 3, 7, 7), (4, 3, 3, 3), (4,), {"stride": 0}), ArgumentError, "stride must be positive numbers"),
            (((2, 3, 7, 7), (4, 3, 3, 3), (4,), {"stride": (1, 1, 1)}), ArgumentError, "does not fit 2 axes"),
            (((2, 3, 7, 7), (4, 3, 3, 3), (4,), {"padding": -1}), ArgumentError, "non-negative numbers, got -1"),
            (((2, 3, 7, 7), (4, 3, 3, 3), (4,), {"groups": 3}), ShapeError, "does not split into 3 groups"),
            (((2, 3, 7, 7), (4, 3, 3, 3), (4,), {"groups": 0}), ArgumentError, "groups must be a positive number"),
            (((2, 3, 7, 7), (4, 3, 3, 3), (4,), {"activation": "gelu"}), ArgumentError, "activation must be None"),
            (((2, 3, 7, 7), 3.0, (4,)), DtypeError, "conv2d: expected a tensor, got float"),
            (
                (pydl.zeros(1, 1, 2, 2, dtype=pydl.int64), pydl.zeros(1, 1, 2, 2, dtype=pydl.int64), None),
                DtypeError,
                "expected a floating dtype, got int64",
            ),
            (
                (pydl.zeros(1, 1, 2, 2), pydl.zeros(1, 1, 2, 2, dtype=pydl.float64), None),
                DtypeError,
                "conv2d: expected one dtype, got float32 and float64",
            ),
        ],
        **SUMS,
    ),
    row(
        ops.conv3d,
        via("nn.functional.conv3d"),
        kinds="fff",
        shapes=THREE,
        kwargs=[{}, {"stride": (1, 2, 1), "padding": (1, 0, 1), "dilation": (2, 1, 1)}],
        large=((2, 5, 9, 17, 19), (8, 5, 3, 3, 3), (8,)),
        errors=[(((2, 3, 7), (4, 3, 3), (4,)), ShapeError, "conv3d: input (2, 3, 7) and weight (4, 3, 3)")],
        **SUMS,
    ),
    row(
        ops.conv_transpose1d,
        via("nn.functional.conv_transpose1d"),
        kinds="fff",
        shapes=BACK_ONE,
        kwargs=[{}, {"stride": 3, "padding": 1, "output_padding": 2}, {"dilation": 2, "output_padding": 1}],
        tails=lambda n: ((1, 3, n), (3, n, 3), (n,)),
        errors=[
            (((2, 3, 4), (3, 2, 3), (2,), {"output_padding": 1}), ArgumentError, "output_padding (1,) must be smaller"),
            (((2, 3, 1), (3, 2, 1), (2,), {"padding": 1}), ShapeError, "give an output of size (-1,)"),
            (((2, 4, 4), (3, 2, 3), (2,)), ShapeError, "conv_transpose1d: 4 input channels do not match"),
        ],
        **SUMS,
    ),
    row(
        ops.conv_transpose2d,
        via("nn.functional.conv_transpose2d"),
        kinds="fff",
        shapes=BACK_TWO,
        kwargs=[{}, {"stride": (2, 3), "padding": (1, 0), "output_padding": (1, 2)}],
        cases=[(((1, 4, 3, 2), (4, 1, 2, 2), (2,)), {"groups": 2, "stride": 2, "dilation": (1, 2)})],
        large=((4, 10, 17, 18), (10, 12, 3, 3), (12,)),
        errors=[(((2, 3, 4, 4), (4, 2, 3, 3), (2,)), ShapeError, "3 input channels do not match weight (4, 2, 3, 3)")],
        **SUMS,
    ),
    row(
        ops.conv_transpose3d,
        via("nn.functional.conv_transpose3d"),
        kinds="fff",
        shapes=BACK_THREE,
        kwargs=[{}, {"stride": 2, "output_padding": (1, 0, 1)}],
        **SUMS,
    ),
]


class TestRows(RowChecks):
    """Every row."""


# ---------------------------------------------------------------- every combination of arguments

AXES = (1, 2, 3)
SETTINGS = list(itertools.product((1, 2, 3), (0, 1, 2), (1, 2), (1, 2, 4), (1, 2, 3)))  # stride, padding, dilation, ...
IDS = ["s{}p{}d{}g{}k{}".format(*s) for s in SETTINGS]
IMAGE = {1: (11,), 2: (9, 7), 3: (6, 6, 7)}


def tensors(rng: np.random.Generator, dtype: str, *shapes: tuple[int, ...]) -> tuple[list[pydl.Tensor], list[Any]]:
    arrays = [rng.standard_normal(s).astype(dtype) for s in shapes]
    return [pydl.tensor(a).requires_grad_() for a in arrays], [torch.tensor(a).requires_grad_() for a in arrays]


def close(ours: pydl.Tensor, theirs: Any, dtype: str) -> None:
    e = theirs.detach().double().numpy()
    assert ours.shape == e.shape
    limit = {"float32": 2e-5, "float64": 1e-12}[dtype] * max(1.0, np.abs(e).max(initial=0.0))
    np.testing.assert_allclose(ours.detach().numpy(), e, rtol=0, atol=limit)


def same_gradients(ours: Any, theirs: Any, xs: list[pydl.Tensor], ts: list[Any], dtype: str) -> None:
    """Values and gradients of first and second order, the second along the first's own direction."""
    y, e = ours(*xs), theirs(*ts)
    close(y, e, dtype)
    g = np.random.default_rng(1).standard_normal(e.shape).astype(dtype)
    first = pydl.autograd.grad(y, xs, pydl.tensor(g), create_graph=True)
    expected = torch.autograd.grad(e, ts, torch.tensor(g), create_graph=True)
    for a, b in zip(first, expected, strict=True):
        close(a, b, dtype)
    weighted = sum((a * a).sum() for a in first)
    other = sum((b * b).sum() for b in expected)
    second = pydl.autograd.grad(weighted, xs[:2])
    for a, b in zip(second, torch.autograd.grad(other, ts[:2]), strict=True):
        close(a, b, dtype)


@pytest.mark.parametrize("axes", AXES)
@pytest.mark.parametrize("setting", SETTINGS, ids=IDS)
def test_forward_and_gradients(setting: Any, axes: int) -> None:
    stride, padding, dilation, groups, kernel = setting
    if axes == 3 and (groups == 2 or stride == 3):
        pytest.skip("as with two axes")
    rng = np.random.default_rng(0)
    kwargs = {"stride": stride, "padding": padding, "dilation": dilation, "groups": groups}
    shapes = ((2, 4, *IMAGE[axes]), (8, 4 // groups, *(kernel,) * axes), (8,))
    dtype = "float64" if (stride + padding + kernel) % 2 else "float32"
    xs, ts = tensors(rng, dtype, *shapes)
    ours, theirs = getattr(F, f"conv{axes}d"), getattr(torch.nn.functional, f"conv{axes}d")
    same_gradients(lambda *a: ours(*a, **kwargs), lambda *a: theirs(*a, **kwargs), xs, ts, dtype)


@pytest.mark.parametrize("axes", AXES)
@pytest.mark.parametrize("setting", SETTINGS, ids=IDS)
def test_transposed(setting: Any, axes: int) -> None:
    stride, padding, dilation, groups, kernel = setting
    if axes == 3 and (groups == 2 or stride == 3):
        pytest.skip("as with two axes")
    rng = np.random.default_rng(0)
    extra = max(stride, dilation) - 1
    kwargs = {"stride": stride, "padding": padding, "dilation": dilation, "groups": groups, "output_padding": extra}
    image = tuple(s - 1 for s in IMAGE[axes])
    shapes = ((2, 4, *image), (4, 8 // groups, *(kernel,) * axes), (8,))
    dtype = "float32" if (stride + padding + kernel) % 2 else "float64"
    xs, ts = tensors(rng, dtype, *shapes)
    ours, theirs = getattr(F, f"conv_transpose{axes}d"), getattr(torch.nn.functional, f"conv_transpose{axes}d")
    same_gradients(lambda *a: ours(*a, **kwargs), lambda *a: theirs(*a, **kwargs), xs, ts, dtype)


# shapes that reach every path, tile height and border: (b, c, m, h, w, kernel, stride, padding, dilation, groups)
LARGER = [
    (2, 20, 33, 12, 37, (3, 3), 1, 1, 1, 1),
    (3, 64, 30, 8, 8, (3, 3), 1, 1, 1, 1),
    (5, 40, 70, 4, 4, (3, 3), 1, 1, 1, 1),
    (4, 17, 29, 7, 7, (3, 3), 1, 1, 1, 1),
    (2, 3, 64, 40, 40, (7, 7), 2, 3, 1, 1),
    (2, 70, 90, 13, 16, (1, 1), 1, 0, 1, 1),
    (2, 70, 90, 16, 16, (1, 1), 1, 0, 1, 1),
    (2, 33, 40, 15, 18, (1, 1), 2, 0, 1, 1),
    (2, 24, 24, 19, 23, (3, 3), 1, 1, 1, 24),
    (2, 24, 24, 19, 23, (3, 3), 2, 1, 1, 24),
    (2, 24, 48, 19, 53, (5, 3), 1, 2, 2, 24),
    (2, 8, 8, 9, 70, (3, 3), 1, 2, 1, 8),
    (2, 2, 3, 10, 20, (4, 4), 2, 1, 1, 1),
    (2, 5, 7, 13, 9, (1, 1), 3, 0, 1, 1),
    (6, 1, 4, 32, 32, (5, 5), 1, 0, 1, 1),
    (6, 4, 6, 14, 14, (5, 5), 1, 0, 1, 1),
    (1, 30, 600, 3, 5, (2, 3), 1, 1, 1, 1),
    (1, 8, 8, 90, 17, (3, 3), 1, 40, 1, 2),
    (2, 6, 9, 20, 21, (4, 2), 3, 2, 2, 3),
    (1, 2, 3, 70, 400, (3, 11), 1, 1, 7, 1),
]


@pytest.mark.parametrize("case", LARGER, ids=str)
def test_larger_shapes(case: Any) -> None:
    b, c, m, h, w, kernel, stride, padding, dilation, groups = case
    rng = np.random.default_rng(0)
    kwargs = {"stride": stride, "padding": padding, "dilation": dilation, "groups": groups}
    xs, ts = tensors(rng, "float32", (b, c, h, w), (m, c // groups, *kernel), (m,))
    exact = [t.detach().double().requires_grad_() for t in ts]
    y, e = F.conv2d(*xs, **kwargs), torch.nn.functional.conv2d(*exact, **kwargs)
    close(y, e, "float32")
    g = rng.standard_normal(e.shape).astype("float32")
    for a, t in zip(
        pydl.autograd.grad(y, xs, pydl.tensor(g)), torch.autograd.grad(e, exact, torch.tensor(g).double()), strict=True
    ):
        close(a, t, "float32")


@pytest.mark.parametrize("case", LARGER[:6], ids=str)
def test_same_bits_for_any_number_of_threads(case: Any) -> None:
    b, c, m, h, w, kernel, stride, padding, dilation, groups = case
    rng = np.random.default_rng(0)
    (x, k), _ = tensors(rng, "float32", (b, c, h, w), (m, c // groups, *kernel))
    made = []
    for threads in (1, 2, 3, 2):
        pydl.set_num_threads(threads)
        y = F.conv2d(x, k, None, stride, padding, dilation, groups)
        found = pydl.autograd.grad(y, [x, k], pydl.ones_like(y))
        made.append([t.detach().numpy().tobytes() for t in (y, *found)])
    assert all(other == made[0] for other in made[1:])


def test_differences_of_all_three_products() -> None:
    """The derivatives of the gradients are again derivatives: each product differentiated twice, in both arguments."""
    rng = np.random.default_rng(0)
    same: dict[str, Any] = {"stride": (2, 1), "padding": (1, 0), "dilation": (1, 2), "groups": 2}
    (x, w), _ = tensors(rng, "float64", (2, 4, 5, 6), (2, 2, 3, 2))
    y = F.conv2d(x, w, None, **same)
    g = pydl.tensor(rng.standard_normal(y.shape)).requires_grad_()
    products = [
        (lambda x, w: F.conv2d(x, w, None, **same), [x, w]),
        (lambda g, w: ConvInputGrad.apply(g, w, None, size=(5, 6), activation="none", **same), [g, w]),
        (lambda x, g: ConvWeightGrad.apply(x, g, size=(3, 2), **same), [x, g]),
    ]
    for function, inputs in products:
        assert gradcheck(function, inputs, rtol=1e-6, atol=1e-8)
        assert gradgradcheck(function, inputs, rtol=1e-5, atol=1e-7)


# ---------------------------------------------------------------- memory layouts, dtypes, edges


def channels_last(a: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(a.transpose(0, 2, 3, 1)).transpose(0, 3, 1, 2)


@pytest.mark.parametrize("case", LARGER[:13], ids=str)
def test_strided_views_give_the_same(case: Any) -> None:
    """channels_last, transposed, flipped and broadcast inputs and weights, in all three products."""
    b, c, m, h, w, kernel, stride, padding, dilation, groups = case
    rng = np.random.default_rng(0)
    x, k = rng.standard_normal((b, c, h, w)).astype("f"), rng.standard_normal((m, c // groups, *kernel)).astype("f")
    same: dict[str, Any] = {"stride": (stride,) * 2, "padding": (padding,) * 2, "dilation": (dilation,) * 2}
    size = tuple(F.conv_out_size((h, w), kernel, stride, padding, dilation))  # type: ignore[arg-type]

    def products(x: Any, k: Any, g: Any) -> list[np.ndarray]:
        x, k, g = (pydl.from_numpy(a).array for a in (x, k, g))
        made = [
            _C.conv(x, k, None, size=size, groups=groups, activation="none", **same),
            _C.conv_input_grad(g, k, None, size=(h, w), groups=groups, activation="none", **same),
            _C.conv_weight_grad(x, g, size=kernel, groups=groups, **same),
        ]
        return [pydl.Tensor(a).numpy() for a in made]

    g = rng.standard_normal((b, m, *size)).astype("f")
    plain = products(x, k, g)
    for change in (channels_last, lambda a: np.ascontiguousarray(a.swapaxes(2, 3)).swapaxes(2, 3)):
        for a, e in zip(products(change(x), change(k), change(g)), plain, strict=True):
            np.testing.assert_allclose(a, e, rtol=0, atol=1e-5 * np.abs(e).max())
    flipped = products(x[:, :, ::-1, ::-1], k[::-1], g[:, ::-1])
    dense = products(x[:, :, ::-1, ::-1].copy(), k[::-1].copy(), g[:, ::-1].copy())
    wide = np.broadcast_to(x[:1, :1], x.shape)
    for a, e in zip(flipped + products(wide, k, g), dense + products(wide.copy(), k, g), strict=True):
        np.testing.assert_allclose(a, e, rtol=0, atol=1e-5 * np.abs(e).max())


@pytest.mark.parametrize("dtype", FLOATS[2:])
def test_half_precision_adds_in_float32(dtype: str) -> None:
    x, w = pydl.ones(1, 512, 5, 5, dtype=getattr(pydl, dtype)), pydl.ones(3, 512, 3, 3, dtype=getattr(pydl, dtype))
    assert float(F.conv2d(x, w)[0, 0, 0, 0]) == 4608
    x, w = x.requires_grad_(), w.requires_grad_()
    y = F.conv2d(x, w, padding=1, stride=2)
    gx, gw = pydl.autograd.grad(y, [x, w], pydl.ones_like(y))
    assert gx.dtype is x.dtype and float(gx[0, 0, 1, 1]) == 12 and float(gw[0, 0, 1, 1]) == 9


def test_nan_and_infinity_stay_where_they_belong() -> None:
    x = np.ones((1, 3, 9, 20), np.float32)
    x[0, 1, 4, 10] = np.nan
    y = F.conv2d(pydl.tensor(x), pydl.ones(5, 3, 3, 3), padding=1).numpy()
    touched = np.zeros((9, 20), bool)
    touched[3:6, 9:12] = True
    assert (np.isnan(y) == touched).all()


def test_empty_batch_and_no_channels() -> None:
    x, w = pydl.zeros(0, 3, 5, 5, requires_grad=True), pydl.ones(4, 3, 3, 3, requires_grad=True)
    y = F.conv2d(x, w)
    assert y.shape == (0, 4, 3, 3)
    gx, gw = pydl.autograd.grad(y, [x, w], pydl.ones_like(y))
    assert gx.shape == x.shape and (gw.numpy() == 0).all()
    none = F.conv2d(pydl.zeros(2, 0, 5, 5), pydl.zeros(4, 0, 3, 3), pydl.ones(4))
    assert none.shape == (2, 4, 3, 3) and (none.numpy() == 1).all()
    t = F.conv_transpose2d(pydl.zeros(0, 3, 2, 2), pydl.zeros(3, 2, 2, 2))
    assert t.shape == (0, 2, 3, 3)


def test_direct_calls_cannot_crash() -> None:
    """The kernels are given sizes by the operations; whatever is asked of them is computed or refused."""
    x, w = pydl.ones(1, 2, 4, 4).array, pydl.ones(3, 2, 3, 3).array
    same: dict[str, Any] = {"stride": (1, 1), "dilation": (1, 1), "groups": 1}
    far = _C.conv(x, w, None, padding=(5, -3), size=(9, 8), activation="none", **same)
    assert far.shape == (1, 3, 9, 8)
    for bad in ({"stride": (0, 1)}, {"dilation": (1,)}, {"groups": 0}, {"groups": 2}, {"size": (-1, 2)}, {"size": (2,)},
                {"activation": "gelu"}, {"padding": (0,)}):  # fmt: skip
        with pytest.raises(PydlError):
            _C.conv(x, w, None, **{"padding": (0, 0), "size": (2, 2), "activation": "none", **same, **bad})  # type: ignore[arg-type]
    with pytest.raises(PydlError):
        _C.conv_weight_grad(x, w, padding=(0, 0), size=(2, 2), **same)


def test_paths() -> None:
    """Which way a product goes follows from its shapes."""

    def path(b: int, c: int, m: int, h: int, k: int, p: int, groups: int = 1) -> str:
        same: dict[str, Any] = {"stride": (1, 1), "padding": (p, p), "dilation": (1, 1), "groups": groups}
        y = pydl.zeros(b, m, h + 2 * p - k + 1, h + 2 * p - k + 1).array
        return _C.conv_path(
            "forward", pydl.zeros(b, c, h, h).array, pydl.zeros(m, c // groups, k, k).array, y=y, **same
        )

    assert path(2, 64, 64, 32, 3, 1) == "winograd"
    tiles = "tiles" if _C.isa() == "amx" else None
    assert path(2, 64, 31, 32, 3, 1) == (tiles or "direct")
    assert path(2, 64, 256, 7, 3, 1) == (tiles or "packed")
    assert path(2, 64, 256, 56, 1, 0) == (tiles or "pointwise")
    assert path(2, 64, 64, 8, 3, 1, groups=64) == "planes"
    assert path(64, 4, 6, 14, 5, 0) == "lanes"
    assert path(2, 4, 6, 14, 5, 0) != "lanes"
    with pytest.raises(ArgumentError, match="product must be forward"):
        _C.conv_path(
            "sideways", pydl.zeros(1, 1, 2, 2).array, pydl.zeros(1, 1, 1, 1).array, (1, 1), (0, 0), (1, 1), 1,
            pydl.zeros(1, 1, 2, 2).array,
        )  # fmt: skip
