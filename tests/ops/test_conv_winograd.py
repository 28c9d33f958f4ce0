"""Convolutions by Winograd (csrc/kernels/conv/winograd.h): error, borders, threads, and when they are taken."""

from typing import Any

import numpy as np
import pytest

import pydl
import pydl.nn.functional as F
from pydl import _C

torch = pytest.importorskip("torch")

# (b, c, m, h, w, padding): tiles that reach over every border, one and several vectors of them, pieces of some rows and
# of some images, and pieces that all threads share
SHAPES = [
    (2, 40, 33, 12, 37, 1),
    (33, 40, 70, 4, 4, 1),
    (8, 37, 39, 7, 7, 1),
    (1, 32, 40, 30, 70, 0),
    (1, 32, 40, 21, 33, 2),
    (9, 64, 45, 8, 9, 1),
    (1, 35, 32, 20, 32, 3),
    (40, 32, 32, 16, 17, 1),
    (1, 530, 32, 24, 24, 1),
]
ERROR = 2e-5  # of the largest output; sums without the transforms err by 2e-6


def data(case: Any, dtype: str = "float32") -> tuple[Any, ...]:
    b, c, m, h, w, _ = case
    rng = np.random.default_rng(0)
    return tuple(rng.standard_normal(s).astype(dtype) for s in ((b, c, h, w), (m, c, 3, 3), (m,)))


def path(product: str, x: Any, w: Any, padding: int, y: Any, dilation: int = 1) -> str:
    return _C.conv_path(product, x.array, w.array, (1, 1), (padding,) * 2, (dilation,) * 2, 1, y.array)


def near(ours: pydl.Tensor, theirs: Any) -> None:
    e = theirs.detach().numpy()
    np.testing.assert_allclose(ours.detach().numpy(), e, rtol=0, atol=ERROR * np.abs(e).max())


@pytest.mark.parametrize("case", SHAPES, ids=str)
def test_error_against_float64(case: Any) -> None:
    arrays, padding = data(case), case[-1]
    ours = [pydl.tensor(a).requires_grad_() for a in arrays]
    exact = [torch.tensor(a).double().requires_grad_() for a in arrays]
    y = F.conv2d(*ours, padding=padding)
    e = torch.nn.functional.conv2d(*exact, padding=padding)
    assert path("forward", ours[0], ours[1], padding, y) == "winograd"
    assert path("input_grad", ours[0], ours[1], padding, y) == "winograd"
    assert path("weight_grad", ours[0], ours[1], padding, y) == "winograd"
    near(y, e)
    g = np.random.default_rng(1).standard_normal(e.shape).astype("float32")
    found = pydl.autograd.grad(y, ours, pydl.tensor(g))
    for a, t in zip(found, torch.autograd.grad(e, exact, torch.tensor(g).double()), strict=True):
        near(a, t)


@pytest.mark.parametrize("activation", ["relu", "tanh", "sigmoid"])
def test_activation_and_bias(activation: str) -> None:
    x, w, bias = data(SHAPES[0])
    y = F.conv2d(pydl.tensor(x), pydl.tensor(w / 20), pydl.tensor(bias), padding=1, activation=activation)
    exact = torch.nn.functional.conv2d(*(torch.tensor(a).double() for a in (x, w / 20, bias)), padding=1)
    np.testing.assert_allclose(y.numpy(), getattr(torch, activation)(exact).numpy(), rtol=0, atol=1e-4)


def test_views_of_larger_arrays() -> None:
    """Images and weights cut out of others, and weights whose taps lie apart."""
    x, w, _ = data((3, 40, 34, 13, 15, 1))
    wide, taps = pydl.tensor(x), pydl.tensor(np.ascontiguousarray(w.transpose(2, 3, 1, 0)))
    y = F.conv2d(wide[1:, 4:36, 1:, 2:14], taps.permute(3, 2, 0, 1)[:, 4:36], padding=1)
    e = torch.nn.functional.conv2d(
        torch.tensor(x[1:, 4:36, 1:, 2:14]).double(), torch.tensor(w[:, 4:36]).double(), padding=1
    )
    near(y, e)


@pytest.mark.parametrize("case", [SHAPES[1], SHAPES[5], SHAPES[7]], ids=str)
def test_same_bits_for_any_number_of_threads(case: Any) -> None:
    x, w, bias = (pydl.tensor(a).requires_grad_() for a in data(case))
    before, made = pydl.get_num_threads(), []
    for threads in (1, 2, 3):
        pydl.set_num_threads(threads)
        y = F.conv2d(x, w, bias, padding=case[-1])
        made.append([t.detach().numpy().tobytes() for t in (y, *pydl.autograd.grad(y, [x, w], pydl.ones_like(y)))])
    pydl.set_num_threads(before)
    assert made[0] == made[1] == made[2]


def test_what_does_not_go_this_way() -> None:
    x, w = pydl.zeros(2, 32, 16, 16), pydl.zeros(32, 32, 3, 3)
    y = pydl.zeros(2, 32, 16, 16)
    assert path("forward", x, w, 1, y) == "winograd"
    assert path("forward", x, w, 2, y, dilation=2) != "winograd"
    assert path("forward", x[:1, :, :4, :4], w, 1, y[:1, :, :4, :4]) != "winograd"  # one tile
    assert path("forward", x[:, :31], w[:, :31], 1, y) != "winograd"
    assert path("weight_grad", x[:, :31], w[:, :31], 1, y) != "winograd"


def test_an_infinity_stays_in_its_tiles() -> None:
    x = pydl.ones(1, 32, 24, 24)
    x[0, 3, 5, 6] = float("inf")
    y = F.conv2d(x, pydl.ones(32, 32, 3, 3), padding=1).numpy()
    bad = ~np.isfinite(y[0, 0])
    assert bad[4:7, 5:8].all() and not bad[9:].any() and not bad[:, 9:].any()
