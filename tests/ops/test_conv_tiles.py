"""Convolutions on the matrix unit (csrc/kernels/conv/tiles.h): error, layouts, threads, odd numbers."""

from typing import Any

import numpy as np
import pytest

import pydl
import pydl.nn.functional as F
from pydl import _C

torch = pytest.importorskip("torch")

needs_tiles = pytest.mark.skipif(_C.isa() != "amx", reason="the machine has no matrix unit")

# (x, w, stride, padding, dilation, groups): whole blocks of 32 channels and not, rows of outputs that end within a
# vector, several images in a piece, several pieces in an image, steps of 1, 2 and 3, several groups, 1 to 3 axes
CASES: list[Any] = [
    ((4, 96, 28, 28), (160, 96, 1, 1), 1, 0, 1, 1),
    ((12, 128, 30, 30), (200, 128, 1, 1), 2, 0, 1, 1),
    ((20, 96, 7, 7), (190, 96, 1, 1), 1, 0, 1, 1),
    ((4, 125, 31, 29), (149, 125, 1, 1), (1, 2), 0, 1, 1),
    ((2, 128, 20, 62), (112, 128, 1, 1), (3, 2), 1, 1, 1),
    ((4, 64, 300), (64, 64, 3), 1, 0, 8, 1),
    ((2, 32, 25, 25), (64, 32, 5, 5), 1, 2, 1, 1),
    ((5, 60, 33, 64), (72, 60, 3, 3), 2, 1, 1, 1),
    ((2, 62, 40, 43), (80, 62, 3, 3), 1, 2, 2, 1),
    ((2, 96, 20, 21), (192, 48, 3, 2), 1, 1, 1, 2),
    ((2, 62, 6, 13, 12), (64, 62, 3, 2, 3), (1, 2, 1), 1, 1, 1),
    ((1, 300, 17, 18), (600, 300, 1, 1), 1, 0, 1, 1),
    ((1, 64, 60, 95), (48, 64, 4, 4), 3, 1, 1, 1),
]


def pair(n: Any, x: Any) -> tuple[int, ...]:
    return n if isinstance(n, tuple) else (n,) * (len(x) - 2)


def data(case: Any, seed: int = 0) -> tuple[Any, Any]:
    rng = np.random.default_rng(seed)
    return tuple(rng.standard_normal(s).astype(np.float32) for s in case[:2])  # type: ignore[return-value]


def conv(ns: Any, case: Any, *tensors: Any, **more: Any) -> Any:
    x, _, stride, padding, dilation, groups = case
    bias = tensors[2] if len(tensors) > 2 else None
    return getattr(ns, f"conv{len(x) - 2}d")(*tensors[:2], bias, stride, padding, dilation, groups, **more)


def paths(case: Any, y: pydl.Tensor) -> list[str]:
    x, w, *geometry, groups = case
    arrays = [pydl.zeros(*s).array for s in (x, w)]
    spec = [pair(n, x) for n in geometry]
    return [_C.conv_path(p, *arrays, *spec, groups, y.array) for p in ("forward", "input_grad", "weight_grad")]


def error(ours: pydl.Tensor, exact: Any, scale: Any) -> float:
    """The largest difference from float64, in units of the rounding of a float32 sum of random terms."""
    return float((abs(ours.numpy() - exact.numpy()) / np.maximum(scale.numpy(), 1e-3)).max() / 2**-24)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_values_and_gradients_are_as_near_as_those_of_float32(case: Any) -> None:
    arrays = data(case)
    ours = [pydl.tensor(a).requires_grad_() for a in arrays]
    exact = [torch.tensor(a).double().requires_grad_() for a in arrays]
    squares = [torch.tensor(a).double().square().requires_grad_() for a in arrays]
    y, e, s = conv(F, case, *ours), conv(torch.nn.functional, case, *exact), conv(torch.nn.functional, case, *squares)
    g = np.random.default_rng(1).standard_normal(e.shape).astype(np.float32)
    found = pydl.autograd.grad(y, ours, pydl.tensor(g))
    wide = torch.tensor(g).double()
    gradients, scales = torch.autograd.grad(e, exact, wide), torch.autograd.grad(s, squares, wide.square())
    terms = y.numel() / y.shape[0] / y.shape[1]
    for a, b, c, n in zip(
        (y.detach(), *found),
        (e.detach(), *gradients),
        (s.detach(), *scales),
        (np.prod(case[1][1:]), np.prod(case[1]) / case[1][1], terms * y.shape[0]),
        strict=True,
    ):
        assert error(a, b, c.sqrt()) < 3 * np.sqrt(n) + 16


@needs_tiles
@pytest.mark.parametrize("case", CASES, ids=str)
def test_which_products_go_this_way(case: Any) -> None:
    forward, gradient, _ = paths(case, conv(F, case, *(pydl.tensor(a) for a in data(case))))
    pointwise = case[1][2:] == (1, 1) and pair(case[2], case[0])[1] == 2 and case[0][3] % 2 == 0 and case[3] == 0
    assert forward == "tiles"
    assert (gradient == "tiles") == (pair(case[2], case[0]) == pair(1, case[0]) or pointwise)


@needs_tiles
def test_what_does_not_go_this_way() -> None:
    y = pydl.zeros(8, 64, 30, 30)
    assert paths(((8, 64, 32, 32), (64, 64, 3, 3), 1, 0, 1, 1), y) == ["winograd"] * 3
    assert "tiles" not in paths(((8, 64, 30, 30), (64, 64, 1, 1), 1, 0, 1, 1), y)  # little is multiplied
    assert "tiles" not in paths(((8, 16, 30, 30), (64, 16, 1, 1), 1, 0, 1, 1), y)
    wide = [a.astype(np.float64) for a in data(CASES[0])]  # float64 keeps its own way
    y, e = conv(F, CASES[0], *map(pydl.tensor, wide)), conv(torch.nn.functional, CASES[0], *map(torch.tensor, wide))
    np.testing.assert_allclose(y.numpy(), e.numpy(), rtol=0, atol=1e-11)


@pytest.mark.parametrize("activation", ["relu", "tanh", "sigmoid"])
@pytest.mark.parametrize("case", [CASES[0], CASES[2], CASES[9]], ids=str)
def test_bias_and_activation(case: Any, activation: str) -> None:
    x, w = data(case)
    bias = np.random.default_rng(2).standard_normal(case[1][0]).astype(np.float32)
    arrays = x, w / 8, bias
    y = conv(F, case, *map(pydl.tensor, arrays), activation=activation)
    exact = conv(torch.nn.functional, case, *(torch.tensor(a).double() for a in arrays))
    np.testing.assert_allclose(y.numpy(), getattr(torch, activation)(exact).numpy(), rtol=0, atol=3e-5)


@pytest.mark.parametrize("case", [CASES[0], CASES[1], CASES[3], CASES[6]], ids=str)
def test_a_bias_reaches_what_no_output_does(case: Any) -> None:
    """Of transposed convolutions, whose forward product is the gradient of the input."""
    _, w, stride, padding, dilation, groups = case
    rng = np.random.default_rng(3)
    arrays = [rng.standard_normal(s).astype(np.float32) for s in ((3, w[0], 21, 18), w, (w[1],))]
    for room in (0, 1) if stride != 1 else (0,):
        more = stride, padding, tuple(room if n > 1 else 0 for n in pair(stride, case[0])), groups, dilation
        y = F.conv_transpose2d(*map(pydl.tensor, arrays), *more)
        exact = torch.nn.functional.conv_transpose2d(*(torch.tensor(a).double() for a in arrays), *more)
        np.testing.assert_allclose(y.numpy(), exact.numpy(), rtol=0, atol=3e-4)


@pytest.mark.parametrize("dtype", [pydl.float16, pydl.bfloat16])
@pytest.mark.parametrize("case", [*CASES[:6], CASES[7], CASES[8]], ids=str)
def test_half_precision(case: Any, dtype: pydl.dtype) -> None:
    ours = [(pydl.tensor(a) / 8).to(dtype).requires_grad_() for a in data(case)]
    exact = [torch.tensor(a.detach().double().numpy()).requires_grad_() for a in ours]
    y, e = conv(F, case, *ours), conv(torch.nn.functional, case, *exact)
    found = pydl.autograd.grad(y, ours, pydl.ones_like(y))
    expected = torch.autograd.grad(e, exact, torch.ones_like(e))
    step = 2**-11 if dtype is pydl.float16 else 2**-8
    for a, b in zip((y.detach(), *found), (e.detach(), *expected), strict=True):
        wide = b.numpy()
        assert (abs(a.double().numpy() - wide) <= 1.01 * step * abs(wide) + 2**-16 * abs(wide).max()).all()


@pytest.mark.parametrize("odd", [np.inf, -np.inf, np.nan, np.finfo(np.float32).max])
@pytest.mark.parametrize("case", [CASES[0], CASES[1], CASES[5], CASES[6], CASES[9]], ids=str)
def test_what_has_no_parts_is_multiplied_all_the_same(case: Any, odd: float) -> None:
    x, w = data(case)
    x[0, 5].flat[7] = odd
    w[:, 5 % w.shape[1]] *= 1e-3  # the largest number times these is in range
    ours = [pydl.tensor(a).requires_grad_() for a in (x, w)]
    exact = [torch.tensor(a).double().requires_grad_() for a in (x, w)]
    y, e = conv(F, case, *ours), conv(torch.nn.functional, case, *exact)
    g = np.ones(e.shape, np.float32) * 1e-3
    found = pydl.autograd.grad(y, ours, pydl.tensor(g))
    expected = torch.autograd.grad(e, exact, torch.tensor(g).double())
    for a, b in zip((y.detach(), *found), (e.detach(), *expected), strict=True):
        mine, wide = a.numpy(), b.numpy()
        with np.errstate(over="ignore"):
            narrow = wide.astype(np.float32)
        np.testing.assert_array_equal(np.isfinite(mine), np.isfinite(narrow))
        kept = np.isfinite(narrow) & (abs(wide) < 1e30)
        np.testing.assert_allclose(mine[kept], wide[kept], rtol=1e-4, atol=2e-3)


def test_views_of_larger_arrays() -> None:
    """Images and weights cut out of others, and weights whose taps lie apart."""
    rng = np.random.default_rng(4)
    x, w = (rng.standard_normal(s).astype(np.float32) for s in ((3, 70, 34, 43), (40, 66, 1, 5)))
    wide, taps = pydl.tensor(x), pydl.tensor(np.ascontiguousarray(w.transpose(2, 3, 1, 0)))
    y = F.conv2d(wide[1:, 4:68, 1:, 2:42], taps.permute(3, 2, 0, 1)[:, 2:], padding=(0, 2))
    e = torch.nn.functional.conv2d(
        torch.tensor(x[1:, 4:68, 1:, 2:42]).double(), torch.tensor(w[:, 2:]).double(), padding=(0, 2)
    )
    np.testing.assert_allclose(y.numpy(), e.numpy(), rtol=0, atol=2e-4)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_the_same_bits_for_any_number_of_threads(case: Any) -> None:
    ours = [pydl.tensor(a).requires_grad_() for a in data(case)]
    before, made = pydl.get_num_threads(), []
    try:
        for threads in (1, 2, 3):
            pydl.set_num_threads(threads)
            y = conv(F, case, *ours)
            made.append([t.detach().numpy().tobytes() for t in (y, *pydl.autograd.grad(y, ours, pydl.ones_like(y)))])
    finally:
        pydl.set_num_threads(before)
    assert made[0] == made[1] == made[2]
