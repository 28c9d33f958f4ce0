"""Receptive fields against the support of gradients, costs against an instrumented convolution, the two rules."""

import itertools
import math
from typing import Any

import numpy as np
import pytest

import pydl
from pydl import nn
from pydl.errors import ArgumentError
from pydl.utils.network import equivariance_error, flops, receptive_field, suggest_filters


def random_stack(rng: np.random.Generator) -> nn.Sequential:
    layers: list[Any] = []
    for _ in range(int(rng.integers(1, 4))):
        k, s, d = (int(v) for v in (rng.integers(1, 4), rng.integers(1, 3), rng.integers(1, 3)))
        m = nn.Conv2d(1, 1, (k, int(rng.integers(1, 4))), stride=(s, 1), dilation=d, bias=False).double()
        with pydl.no_grad():
            m.weight.copy_(pydl.ones(*m.weight.shape, dtype=pydl.float64))  # no gradient cancels
        layers += [m, nn.Identity()]
    return nn.Sequential(*layers)


@pytest.mark.parametrize("seed", range(10))
def test_receptive_field_is_the_support_of_the_gradient(seed: int) -> None:
    model = random_stack(np.random.default_rng(seed))
    x = pydl.zeros(1, 1, 48, 48, dtype=pydl.float64, requires_grad=True)
    y = model(x)
    at = pydl.zeros(*y.shape, dtype=pydl.float64)
    at[0, 0, y.shape[2] // 2, y.shape[3] // 2] = 1.0
    (g,) = pydl.autograd.grad(y, [x], at)
    rows, columns = np.nonzero(g.numpy()[0, 0])
    assert receptive_field(model) == (np.ptp(rows) + 1, np.ptp(columns) + 1)


def test_receptive_field_grows_by_two_for_each_layer_of_width_three() -> None:
    layers = [nn.Conv2d(1, 1, 3) for _ in range(3)]
    assert [receptive_field(nn.Sequential(*layers[:n])) for n in (1, 2, 3)] == [(3, 3), (5, 5), (7, 7)]
    assert receptive_field(nn.Sequential(nn.Conv1d(1, 1, 3, dilation=4), nn.Conv1d(1, 1, 2, stride=2))) == (10,)
    assert receptive_field(nn.Sequential(nn.ReLU())) == (1, 1)
    with pytest.raises(ArgumentError, match="expected one number of axes"):
        receptive_field(nn.Sequential(nn.Conv1d(1, 1, 3), nn.Conv2d(1, 1, 3)))


def counted(x: tuple[int, ...], w: tuple[int, ...], groups: int) -> int:
    """The multiply-adds of a convolution without padding, counted one by one."""
    (_, h, wide), (m, c, kh, kw) = x, w
    count = 0
    for i, _, _ in itertools.product(range(m), range(h - kh + 1), range(wide - kw + 1)):
        assert i // (m // groups) < groups
        for _ in itertools.product(range(c), range(kh), range(kw)):
            count += 1
    return count


@pytest.mark.parametrize(("c", "m", "groups"), [(1, 4, 1), (4, 6, 2), (3, 3, 3)])
def test_cost_is_what_a_plain_convolution_counts(c: int, m: int, groups: int) -> None:
    layer = nn.Conv2d(c, m, (3, 2), groups=groups)
    cost = flops(layer, (c, 7, 8))
    assert cost.multiply_adds == counted((c, 7, 8), layer.weight.shape, groups)
    assert cost.multiply_adds == (7 - 3 + 1) * (8 - 2 + 1) * 3 * 2 * (c // groups) * m


def test_cost_of_the_course_network() -> None:
    """1 -> 4 -> 6 channels on 32 x 32, then 150 -> 128 -> 10."""
    features = nn.Sequential(nn.Conv2d(1, 4, 5), nn.ReLU(), nn.Conv2d(4, 6, 5, stride=2))
    cost = flops(features, (1, 32, 32))
    assert [c.multiply_adds for c in cost.layers] == [28 * 28 * 25 * 4, 12 * 12 * 25 * 4 * 6]
    assert flops(nn.Conv2d(4, 6, 5), (4, 14, 14)).multiply_adds == 10 * 10 * 25 * 4 * 6 == 60000
    head = nn.Sequential(nn.Linear(150, 128), nn.ReLU(), nn.Linear(128, 10))
    assert flops(head, (150,)).multiply_adds == 150 * 128 + 128 * 10
    total = 78400 + 60000 + 19200 + 1280
    assert total == 158880
    assert flops(nn.ConvTranspose2d(3, 2, 4, stride=2), (3, 5, 5)).multiply_adds == 3 * 25 * 2 * 16


def test_rules_are_flagged() -> None:
    model = nn.Sequential(nn.Conv2d(4, 16, 2, stride=2), nn.Conv2d(16, 20, 2, stride=2), nn.Dropout(0.5))
    model.train()
    cost = flops(model, (4, 16, 16))
    assert model.training
    assert cost.layers[0].remarks == ()
    assert cost.layers[1].remarks == (
        "activations shrink from 1024 to 320",
        "64 filters would keep features x pixels",
    )
    text = str(cost)
    assert "total" in text and f"{cost.multiply_adds:,}" in text and text.count("\n") == 2


def test_suggested_filters_keep_features_times_pixels() -> None:
    assert suggest_filters(16, (32, 32), (16, 16)) == 64
    assert suggest_filters(3, (10,), (100,)) == 1
    for n in (1, 5, 64):
        new = suggest_filters(n, (24, 24), (12, 12))
        assert new * 12 * 12 == n * math.prod((24, 24))
    with pytest.raises(ArgumentError, match="expected all > 0"):
        suggest_filters(0, (2, 2), (1, 1))


def test_equivariance_error() -> None:
    x = pydl.randn(2, 3, 8, 8)
    moves = [lambda t, i=i, j=j: pydl.roll(t, (i, j), (2, 3)) for i in range(4) for j in range(4)]
    layers = [nn.Conv2d(3, 5, 3, padding=1, padding_mode="circular"), nn.ReLU()]
    assert equivariance_error(nn.Sequential(*layers), x, moves) < 1e-6
    assert equivariance_error(nn.Conv2d(3, 5, 3, padding=1), x, moves) > 1e-3
    pooled = lambda t: layers[0](t).mean((2, 3))  # noqa: E731
    assert equivariance_error(pooled, x, moves, [lambda t: t] * len(moves)) < 1e-6
