"""Receptive fields against gradients, and what has none."""

import numpy as np
import pytest

import pydl
from pydl import nn
from pydl.errors import ArgumentError
from pydl.recipes.vision.receptive_field import gradient_support, network
from pydl.vision import ReceptiveField, receptive_field


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_it_is_where_the_gradient_is(seed: int) -> None:
    rng = np.random.default_rng(seed)
    for _ in range(5):
        model = network(rng)
        box, start = gradient_support(model)
        field = receptive_field(model)
        assert (box.shape, start) == (field.size, field.start)


def test_known_networks() -> None:
    vgg = nn.Sequential(*(nn.Sequential(nn.Conv2d(1, 1, 3, padding=1), nn.ReLU()) for _ in range(2)), nn.MaxPool2d(2))
    assert receptive_field(vgg) == ReceptiveField((6, 6), (2, 2), (-2, -2))
    assert receptive_field(nn.Conv1d(1, 1, 3, dilation=4)) == ((9,), (1,), (0,))
    assert receptive_field(nn.Conv1d(1, 1, 4, padding="same")).start == (-1,)
    assert receptive_field(nn.Conv2d(1, 1, (1, 5), (2, 1), padding="valid")) == ((1, 5), (2, 1), (0, 0))
    assert receptive_field(nn.Sequential(nn.AvgPool3d(2), nn.BatchNorm3d(1), nn.MaxPool3d((1, 2, 3), 1))).size == (
        2,
        4,
        6,
    )
    assert receptive_field(nn.MaxPool1d(3, 2, 1)) == ((3,), (2,), (-1,))
    assert receptive_field(nn.Sequential(nn.Dropout(), nn.LeakyReLU(), nn.Conv1d(1, 1, 2))).size == (2,)


@pytest.mark.parametrize(
    ("model", "text"),
    [
        (nn.Sequential(nn.Conv1d(1, 1, 3), nn.Linear(3, 3)), "Linear has none"),
        (nn.Sequential(nn.AdaptiveAvgPool2d(1)), "AdaptiveAvgPool2d has none"),
        (nn.Sequential(nn.Conv1d(1, 1, 3), nn.Conv2d(1, 1, 3)), "layers of 1 and of 2 axes"),
        (nn.ReLU(), "a convolution or pooling at least"),
    ],
)
def test_what_has_none(model: nn.Module, text: str) -> None:
    with pytest.raises(ArgumentError, match=text):
        receptive_field(model)


def test_a_stack_sees_no_more() -> None:
    """An input outside of it changes nothing, one at its edge does."""
    model = nn.Sequential(nn.Conv1d(1, 2, 3, dilation=2), nn.ReLU(), nn.Conv1d(2, 1, 2, 3))
    nn.init.uniform_(model[0].weight, 0.5, 1.0)
    nn.init.uniform_(model[2].weight, 0.5, 1.0)
    (size,), (jump,), (start,) = receptive_field(model)
    x = pydl.rand(1, 1, 40) + 1
    y = model(x).detach().numpy()[0, 0]
    for place in range(40):
        moved = x.clone()
        moved[0, 0, place] = 5.0
        changed = np.flatnonzero(model(moved).detach().numpy()[0, 0] != y)
        inside = [i for i in range(len(y)) if start + i * jump <= place < start + i * jump + size]
        assert set(changed) <= set(inside)
        edges = [i for i in inside if place in (start + i * jump, start + i * jump + size - 1)]
        assert set(edges) <= set(changed)
