"""Outputs of elementwise operations, copies and conversions lie in memory as their inputs do; torch is the measure."""

import itertools
from typing import Any

import numpy as np
import pytest

import pydl
from pydl import ops

torch = pytest.importorskip("torch")

SHAPE = (2, 3, 4, 5)


def same(function: Any, *arrays: np.ndarray) -> None:
    """function gives the same numbers and strides in both libraries, and the same gradient as of dense inputs."""
    ours = function(pydl, *[pydl.from_numpy(a) for a in arrays])
    theirs = function(torch, *[torch.from_numpy(a) for a in arrays])
    np.testing.assert_allclose(ours.numpy(), theirs.numpy(), rtol=1e-12)
    steps = [(a, b) for n, a, b in zip(ours.shape, ours.stride(), theirs.stride(), strict=True) if n > 1]
    assert all(a == b for a, b in steps), (ours.stride(), theirs.stride())


def filled(order: tuple[int, ...], shape: tuple[int, ...] = SHAPE) -> np.ndarray:
    """Numbers of a shape whose axes lie in memory in that order."""
    rng = np.random.default_rng(0)
    return rng.uniform(0.5, 2, [shape[i] for i in order]).transpose(np.argsort(order))


ONE = [
    lambda lib, x: -x,
    lambda lib, x: x.exp(),
    lambda lib, x: x.lgamma(),
    lambda lib, x: x.relu(),
    lambda lib, x: x.isnan(),
    lambda lib, x: x.clone(),
    lambda lib, x: x.to(lib.float32).to(lib.float64),
    lambda lib, x: x.long(),
    lambda lib, x: x * 2,
    lambda lib, x: x**3,
    lambda lib, x: x > 1,
    lambda lib, x: lib.nn.functional.gelu(x),
]


@pytest.mark.parametrize("order", list(itertools.permutations(range(4))))
def test_one_input_in_any_order(order: tuple[int, ...]) -> None:
    for function in ONE:
        same(function, filled(order))


TWO = [lambda lib, a, b: a + b, lambda lib, a, b: a < b, lambda lib, a, b: lib.where(a > 1, a, b)]


@pytest.mark.parametrize("first", [(0, 1, 2, 3), (0, 2, 3, 1), (3, 2, 1, 0), (1, 0, 2, 3)])
@pytest.mark.parametrize("second", [(0, 1, 2, 3), (0, 2, 3, 1), (2, 3, 0, 1)])
def test_the_first_input_decides(first: tuple[int, ...], second: tuple[int, ...]) -> None:
    for function in TWO:
        same(function, filled(first), filled(second))
    same(lambda lib, a, b, c: lib.addcmul(a, b, c), filled(first), filled(second), filled((1, 3, 0, 2)))


@pytest.mark.parametrize("shape", [(1, 3, 1, 1), (3, 1, 1), (4, 5), (5,), (2, 1, 4, 5), (1, 1, 1, 1)])
@pytest.mark.parametrize("order", [(0, 1, 2, 3), (0, 2, 3, 1), (3, 2, 1, 0)])
def test_broadcast_inputs(shape: tuple[int, ...], order: tuple[int, ...]) -> None:
    other = np.random.default_rng(1).uniform(0.5, 2, shape)
    for function in TWO:
        same(function, filled(order), other)
        same(function, other, filled(order))


def test_parts_and_empty() -> None:
    a = filled((0, 2, 3, 1))
    for key in (np.s_[:, :2], np.s_[:, :, 1:3], np.s_[:1], np.s_[:, :0], np.s_[..., ::2]):
        for function in ONE[:3]:
            same(function, a[key])
        for function in TWO:
            same(function, a[key], a[key])
    flipped = ops.flip(pydl.from_numpy(a), 1, 2)
    np.testing.assert_allclose((flipped * 2).numpy(), np.flip(a, (1, 2)) * 2)


def test_gradients_through_layouts() -> None:
    a = filled((0, 2, 3, 1))
    x, y = pydl.from_numpy(a).requires_grad_(), pydl.from_numpy(filled((3, 0, 1, 2))).requires_grad_()
    g = pydl.autograd.gradcheck
    assert g(lambda x, y: (x * y).tanh() + ops.where(x > 1, x, y * 2), (x, y))
    (x.t() if x.ndim == 2 else x.permute(3, 0, 2, 1)).exp().sum().backward()
    np.testing.assert_allclose(x.grad.numpy(), np.exp(a))


def test_views_of_results() -> None:
    """As in torch: a result of a transposed matrix is one, and has no view as a row."""
    y = pydl.ones(3, 4).t() + 1
    assert not y.is_contiguous() and y.t().is_contiguous() and y.t().view(12).shape == (12,)
    assert y.reshape(12).shape == (12,)


def test_copies_of_all_kinds_of_views() -> None:
    """Without what lies between, and expanded axes written out."""
    x = np.arange(120.0).reshape(SHAPE)
    for view in (
        lambda x: x[:, 1:, ::2],
        lambda x: x.transpose(0, 2)[1:],
        lambda x: x.permute(3, 1, 0, 2)[:, :1],
        lambda x: x[0, 0].unsqueeze(1).expand(4, 3, 5),
        lambda x: x[:, :, 0, 0].t().expand(6, 3, 2),
        lambda x: x[:0],
        lambda x: x[0, 0, 0, 0],
    ):
        same(lambda lib, x, view=view: view(x).clone(), x)
        same(lambda lib, x, view=view: view(x).to(lib.float32).double(), x)
    y = pydl.from_numpy(x).transpose(0, 1).clone()
    assert y.data_ptr() != pydl.from_numpy(x).data_ptr() and not y.is_contiguous() and y.contiguous().is_contiguous()
